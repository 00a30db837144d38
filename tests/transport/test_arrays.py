"""Transport between arrays: everything that a result shows is an array, or a Python number."""

import numpy as np
import pytest
import torch

import sparseot as so

RNG = np.random.default_rng(0)
X, Y = RNG.random((12, 2)), RNG.random((9, 2)) + 0.3
V = RNG.random((12, 2))

SHOWN = {
    "value": lambda r: r.value,
    "value_linear": lambda r: r.value_linear,
    "potential_a": lambda r: r.potential_a,
    "potential_b": lambda r: r.potential_b,
    "potential_aa": lambda r: r.potential_aa,
    "potential_bb": lambda r: r.potential_bb,
    "lower": lambda r: r.lower,
    "upper": lambda r: r.upper,
    "gradient_error": lambda r: r.gradient_error(),
    "plan": lambda r: r.plan,
    "marginal_a": lambda r: r.marginal_a,
    "marginal_b": lambda r: r.marginal_b,
    "map": lambda r: r.map(),
    "inverse map": lambda r: r.map(inverse=True),
    "plan_operator.sum": lambda r: r.plan_operator.sum(),
    "plan_operator.T.sum": lambda r: r.plan_operator.T.sum(),
    "plan_operator.diagonal": lambda r: r.plan_operator.diagonal(),
    "plan_operator.to_dense": lambda r: r.plan_operator.T.to_dense(),
}
OF_ONE = {
    "hessian.to_dense": lambda r: so.hessian(r).to_dense(),
    "hessian.diagonal": lambda r: so.hessian(r).diagonal(),
    "hessian.sum": lambda r: so.hessian(r, "a").sum(),
    "unrolled.to_dense": lambda r: so.hessian(r, "a", method="unrolled", n_iter=3).to_dense(),
    "unrolled.diagonal": lambda r: so.hessian(r, "b", method="unrolled", n_iter=3).diagonal(),
}
FLOAT64 = ("lower", "upper", "gradient_error")


def _solved(dtype=np.float64, batch=(), **options):
    clouds = [np.broadcast_to(z, (*batch, *z.shape)).astype(dtype) for z in (X, Y)]
    options = {"blur": 0.3, "debias": True} | options
    return (
        so.solve_sample(*clouds, **options),
        so.solve_sample(*map(torch.from_numpy, clouds), **options),
    )


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_results_of_arrays_are_arrays(dtype, batch):
    found, exact = _solved(dtype, batch)
    for name, show in (SHOWN if batch else SHOWN | OF_ONE).items():
        ours, theirs = show(found), show(exact)
        np.testing.assert_array_equal(ours, theirs.detach().numpy(), err_msg=name)
        if theirs.dim():
            assert isinstance(ours, np.ndarray), name
            assert ours.dtype == (np.float64 if name in FLOAT64 else dtype), name
        else:
            assert type(ours) is float, name
    assert repr(found).splitlines()[1] == repr(exact).splitlines()[1]
    assert found._repr_html_().startswith("<pre>")


def test_points_and_directions_come_back_in_their_kind():
    """As vectors that operators multiply do."""
    found, exact = _solved()
    for result in (found, exact):
        for dtype in (np.float64, np.float32):
            new = V.astype(dtype)
            ours, theirs = result.map(new), result.map(torch.from_numpy(new))
            assert isinstance(ours, np.ndarray) and ours.dtype == np.float64
            np.testing.assert_array_equal(ours, theirs.numpy())
            ours, theirs = result.hvp(new), result.hvp(torch.from_numpy(new))
            assert isinstance(ours, np.ndarray) and ours.dtype == dtype
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5)
        np.testing.assert_array_equal(result.map(V.tolist()), result.map(V))
        np.testing.assert_allclose(result.hvp(V.tolist()), result.hvp(V))
        ones = np.ones((12, 2), int)
        np.testing.assert_allclose(result.hvp(ones), result.hvp(ones.astype(float)))
        assert isinstance(so.hessian(result) @ V.reshape(-1), np.ndarray)
        with pytest.raises(TypeError, match="points: got str, wanted a tensor or a NumPy array"):
            result.map("x")
        with pytest.raises(TypeError, match="v: got dtype complex128, wanted real numbers"):
            result.hvp(V + 1j)


def test_a_result_of_arrays_starts_one_of_tensors():
    found, exact = _solved()
    clouds = [torch.from_numpy(z) for z in (X, Y)]
    again = so.solve_sample(*clouds, blur=0.3, debias=True, init=found)
    assert isinstance(again.value, torch.Tensor) and again.n_iter <= exact.n_iter
    back = so.solve_sample(X, Y, blur=0.3, debias=True, init=exact)
    assert back.value == again.value.item()


def test_results_keep_copies_of_arrays():
    x, y = X.copy(), Y.copy()
    found = so.solve_sample(x, y, blur=0.3)
    plan, value = found.plan, found.value
    x[:] = np.nan
    np.testing.assert_array_equal(found.plan, plan)
    assert found.value == value and np.isfinite(found.map()).all()


def test_lists_and_weights():
    a, b = RNG.random(12), RNG.random(9)
    a, b = a / a.sum(), b / b.sum()
    found = so.solve_sample(X.tolist(), Y.tolist(), a.tolist(), b.tolist(), blur=0.3)
    exact = so.solve_sample(X, Y, a, b, blur=0.3)
    assert found.value == exact.value and isinstance(found.plan, np.ndarray)
    np.testing.assert_allclose(found.marginal_a, a, atol=1e-3)


def test_blurs_are_suggested_for_arrays():
    tensors = [torch.from_numpy(z) for z in (X, Y)]
    assert so.suggest_blur(X, Y) == so.suggest_blur(*tensors) == so.suggest_blur(X, Y.tolist())
