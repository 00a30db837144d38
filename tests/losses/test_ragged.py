"""Sets of different sizes: every loss is a loop over the pairs, in each form in which they come."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import kernels

from ..ragged.clouds import COUNT, NX, NY, clouds, leaves, nested, vector, weights

X, Y = clouds(NX, 0), clouds(NY, 1, shift=0.1)
A, B, HEAVY = weights(NX, 2), weights(NY, 3), weights(NX, 2, mass=1.4)
EACH = (vector(NX), vector(NY))


def sinkhorn(p, **options):
    return so.SamplesLoss("sinkhorn", p=p, blur=0.1, **options)


BALANCED = {
    **{f"schedule, p = {p}": sinkhorn(p) for p in (1, 2)},
    **{f"tolerance, p = {p}": sinkhorn(p, tol=1e-4) for p in (1, 2)},
    **{f"hausdorff, p = {p}": so.SamplesLoss("hausdorff", p=p, blur=0.1) for p in (1, 2)},
    "biased": sinkhorn(2, debias=False),
    "multiscale": sinkhorn(2, backend="multiscale"),
    "a function": sinkhorn(2, cost=lambda x, y: (x @ y.mT - 1) ** 2 / 4, debias=False),
    "kept pairs": lambda a, x, b, y, **k: so.sinkhorn_divergence(
        x, y, a, b, blur=0.2, solver=so.Sinkhorn(multilevel=True), **k
    ),
    "a batch that is large": lambda a, x, b, y, **k: so.sinkhorn_divergence(
        x, y, a, b, engine="tiles", **k
    ),
}  # fmt: skip
UNBALANCED = {
    **{f"schedule, reach, p = {p}": sinkhorn(p, reach=0.5) for p in (1, 2)},
    **{f"tolerance, reach, p = {p}": sinkhorn(p, reach=0.5, tol=1e-4) for p in (1, 2)},
    "hausdorff, reach": so.SamplesLoss("hausdorff", blur=0.1, reach=0.7),
    "two reaches": lambda a, x, b, y, **k: so.sinkhorn_divergence(
        x, y, a, b, reach=(0.5, None), debias=False, **k
    ),
    **{name: so.SamplesLoss(name, blur=0.3) for name in ("gaussian", "laplacian", "energy")},
    "a kernel of a function": lambda a, x, b, y, **k: so.kernel_norm(
        x, y, a, b, kernel=lambda x, y: (x @ y.mT + 1) ** 2, **k
    ),
}  # fmt: skip
LOSSES = {
    **{name: (loss, A) for name, loss in BALANCED.items()},
    **{name: (loss, HEAVY) for name, loss in UNBALANCED.items()},
}


def _close(found, exact, tol=1e-12):
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=tol, atol=tol)


def _looped(loss, a):
    """Values and gradients of a loop."""
    given = [leaves(part) for part in (a, X, B, Y)]
    values = torch.stack([loss(*each) for each in zip(*given, strict=True)])
    gradients = torch.autograd.grad(values.square().sum(), [t for part in given for t in part])
    return values.detach(), [torch.cat(gradients[k * COUNT : (k + 1) * COUNT]) for k in range(4)]


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_a_loop_whatever_the_form(name):
    """Weights of zero, clouds of one point, masses that differ where they may; gradients in all four."""
    loss, a = LOSSES[name]
    values, gradients = _looped(loss, a)
    lists = [leaves(part) for part in (a, X, B, Y)]
    found = loss(*lists)
    assert found.shape == (COUNT,)
    _close(found, values)
    found.square().sum().backward()
    _close([torch.cat([t.grad for t in part]) for part in lists], gradients)
    flat = [torch.cat(part).requires_grad_() for part in (a, X, B, Y)]
    loss(*flat, batch=EACH).square().sum().backward()
    _close([t.grad for t in flat], gradients)
    jagged = [nested(part) for part in lists]
    loss(*jagged).square().sum().backward()
    assert all(t.grad.is_nested and t.grad.shape == t.shape for t in jagged)
    _close([t.grad.values() for t in jagged], gradients)


@pytest.mark.parametrize(
    "name", ["schedule, p = 2", "tolerance, p = 2", "hausdorff, p = 2", "energy"]
)
def test_weights_may_be_left_out(name):
    loss, _ = LOSSES[name]
    _close(loss(X, Y), torch.stack([loss(x, y) for x, y in zip(X, Y, strict=True)]))


POTENTIALS = {
    "schedule": so.SamplesLoss(blur=0.1, potentials=True),
    "tolerance": so.SamplesLoss(blur=0.1, tol=1e-4, potentials=True),
    "hausdorff": so.SamplesLoss("hausdorff", potentials=True),
    "energy": so.SamplesLoss("energy", potentials=True),
}


@pytest.mark.parametrize("name", POTENTIALS)
def test_potentials_have_the_form_of_the_points(name):
    loss = POTENTIALS[name]
    pairs = [loss(*each) for each in zip(A, X, B, Y, strict=True)]
    exact = [[pair[side] for pair in pairs] for side in (0, 1)]
    for found, wanted in zip(loss(A, X, B, Y), exact, strict=True):
        assert type(found) is list
        _close(found, wanted)
    f, g = loss(nested(A), nested(X), tuple(B), tuple(Y))
    assert f.is_nested and type(g) is tuple
    _close([*f.unbind(), *g], exact[0] + exact[1])
    flat = loss(*map(torch.cat, (A, X, B, Y)), batch=EACH)
    _close(flat, [torch.cat(part) for part in exact])


def test_a_batch_of_equal_sizes_stands_beside_others():
    """As clouds and one batch of templates of equal sizes; its potentials are a batch."""
    y = torch.stack(clouds((8,) * COUNT, 4))
    loss = so.SamplesLoss(blur=0.1, potentials=True)
    f, g = loss(X, y)
    pairs = [loss(x, other) for x, other in zip(X, y, strict=True)]
    assert g.shape == (COUNT, 8)
    _close([*f, *g], [pair[0] for pair in pairs] + [pair[1] for pair in pairs])


def test_large_clouds_are_computed_alone():
    """Beside small ones; together they would be padded to a thousand points each."""
    x, y = clouds((950, 20, 930), 5), clouds((10, 940, 4), 6)
    loss = so.SamplesLoss("gaussian", blur=0.2)
    _close(loss(x, y), torch.stack([loss(*pair) for pair in zip(x, y, strict=True)]))


@pytest.mark.parametrize("wrt", ["x", "a"])
def test_second_derivatives_are_those_of_the_loop(wrt):
    loss = so.SamplesLoss(blur=0.2, tol=1e-6)

    def product(run):
        given = leaves(X if wrt == "x" else A)
        value = run(A if wrt == "x" else given, given if wrt == "x" else X).sum()
        first = torch.autograd.grad(value, given, create_graph=True)
        directions = [torch.ones_like(t).cumsum(0) for t in given]
        total = sum((g * v).sum() for g, v in zip(first, directions, strict=True))
        return torch.autograd.grad(total, given)

    def loop(a, x):
        return torch.stack([loss(*each) for each in zip(a, x, B, Y, strict=True)])

    _close(product(lambda a, x: loss(a, x, B, Y)), product(loop), 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "name", ["schedule, p = 2", "tolerance, p = 2", "hausdorff, p = 2", "gaussian"]
)
def test_lower_precisions(name, dtype):
    loss, _ = LOSSES[name]
    x, y = leaves([t.to(dtype) for t in X]), [t.to(dtype) for t in Y]
    values = loss(x, y)
    assert values.dtype == torch.float32
    _close(values, torch.stack([loss(*pair) for pair in zip(x, y, strict=True)]), 1e-5)
    values.sum().backward()
    assert all(t.grad.dtype == dtype and t.grad.isfinite().all() for t in x)


def test_features_under_autocast():
    """A layer before gives half precision, and has a gradient in its own."""
    layer = torch.nn.Linear(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        features = [layer(x.float()) for x in X]
        values = so.SamplesLoss(blur=0.1)(features, [y[:, :2].bfloat16() for y in Y])
    values.sum().backward()
    assert features[0].dtype == torch.bfloat16 and values.dtype == torch.float32
    assert layer.weight.grad.dtype == torch.float32 and layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "name", ["schedule, p = 2", "tolerance, p = 1", "hausdorff, p = 2", "energy"]
)
def test_arrays_give_arrays(name):
    loss, a = LOSSES[name]
    exact = loss(a, X, B, Y)
    lists = [[t.numpy() for t in part] for part in (a, X, B, Y)]
    flat = [np.concatenate(part) for part in lists]
    for found in (loss(*lists), loss(*flat, batch=tuple(t.numpy() for t in EACH))):
        assert isinstance(found, np.ndarray) and found.dtype == np.float64
        np.testing.assert_array_equal(found, exact.numpy())


def test_lists_of_numbers_are_arrays_still():
    rows = [[0.0, 1.0], [1.0, 2.0], [3.0, 1.0]]
    assert isinstance(so.sinkhorn_divergence(rows, rows[:2]), float)
    assert isinstance(so.sinkhorn_divergence([np.array(row) for row in rows], rows[:2]), float)


def test_a_learnt_kernel_loses_no_gradient_to_arrays():
    sigma = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    values = so.kernel_norm(X, Y, kernel=kernels.Gaussian(sigma))
    loop = [so.kernel_norm(x, y, kernel=kernels.Gaussian(sigma)) for x, y in zip(X, Y, strict=True)]
    _close(
        torch.autograd.grad(values.sum(), sigma),
        torch.autograd.grad(torch.stack(loop).sum(), sigma),
    )
    arrays = [[t.numpy() for t in part] for part in (X, Y)]
    for potentials in (False, True):
        with pytest.raises(TypeError, match="arrays, beside a kernel"):
            so.kernel_norm(*arrays, kernel=kernels.Gaussian(sigma), potentials=potentials)


@pytest.mark.parametrize(
    "name", ["schedule, p = 2", "tolerance, p = 2", "hausdorff, p = 2", "energy"]
)
def test_padding_with_weights_of_zero_changes_nothing(name):
    """As the guide says: a copy of a point, of weight zero, is nothing."""
    loss, _ = LOSSES[name]
    x, a = X[3].clone().requires_grad_(), A[3]
    longer = torch.cat((x, x[-1:].detach().expand(20, 3)))
    heavier = torch.cat((a, a.new_zeros(20)))
    exact, found = loss(a, x, B[3], Y[3]), loss(heavier, longer, B[3], Y[3])
    _close([found], [exact])
    _close(torch.autograd.grad(found, x), torch.autograd.grad(exact, x))


def test_no_loop_over_items_is_left(monkeypatch):
    """Two hundred pairs take two batches: sizes from 20 to 79 are within factors of two."""
    from sparseot.ragged.batches import Batches

    calls = []
    clouds_of = Batches.clouds
    monkeypatch.setattr(
        Batches, "clouds", lambda self, group: calls.append(group) or clouds_of(self, group)
    )
    sizes = [20 + k % 60 for k in range(200)]
    so.SamplesLoss(blur=0.2)(clouds(sizes, 7, 2), clouds(sizes[::-1], 8, 2))
    assert len(calls) == 2 and sorted(k for group in calls for k in group.items) == list(range(200))
