"""Results for sets of different sizes are those of a loop, as a whole and item by item."""

import pickle

import numpy as np
import pytest
import torch

import sparseot as so

from .clouds import COUNT, NX, NY, clouds, leaves, nested, vector, weights

X, Y, A, B = clouds(NX, 0), clouds(NY, 1, shift=0.1), weights(NX, 2), weights(NY, 3)
SIZES = [(n, 3) for n in NX]


def _solve(x=X, y=Y, a=A, b=B, **options):
    return so.solve_sample(x, y, a, b, **{"blur": 0.1, **options})


def _loop(**options):
    return [_solve(*each, **options) for each in zip(X, Y, A, B, strict=True)]


def _close(found, exact, tol=1e-12):
    found, exact = list(found), list(exact)
    assert len(found) == len(exact)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=tol, atol=tol)


@pytest.mark.parametrize(
    "options",
    [{}, {"debias": True}, {"p": 1}, {"reach": 0.5, "debias": True}],
    ids=["p = 2", "debiased", "p = 1", "reach"],
)
def test_the_whole_is_a_loop(options):
    found, exact = _solve(**options), _loop(**options)
    for name in ("value", "value_linear", "lower", "upper"):
        _close(getattr(found, name), [getattr(one, name) for one in exact])
    own = ["potential_aa", "potential_bb"] if "debias" in options else []
    for name in ("potential_a", "potential_b", "marginal_a", "marginal_b", "plan", *own):
        _close(getattr(found, name), [getattr(one, name) for one in exact])
    for inverse in (False, True):
        _close(found.map(inverse=inverse), [one.map(inverse=inverse) for one in exact])
    _close(found.gradient_error(), [one.gradient_error() for one in exact], 1e-9)
    assert found.converged and found.tol == 1e-3 and len(found) == COUNT
    assert found.n_iter == max(one.n_iter for one in exact)
    assert found.residual == max(one.residual for one in exact)


def test_items_are_results_of_their_own():
    found, exact = _solve(debias=True), _loop(debias=True)
    generator = torch.Generator().manual_seed(0)
    for one, other in zip(found, exact, strict=True):
        assert type(one) is so.Transport and not one.batched
        for name in ("value", "lower", "plan", "potential_a", "potential_bb", "marginal_b"):
            _close([getattr(one, name)], [getattr(other, name)])
        v = torch.rand(
            one.solved[0].problem.source.positions[0].shape, generator=generator
        ).double()
        _close([one.hvp(v), one.map(v)], [other.hvp(v), other.map(v)], 1e-10)
        assert (one.n_iter, one.residual) == (other.n_iter, other.residual)
        assert abs(one.sparse_plan(2) - other.sparse_plan(2)).max() < 1e-15
    assert [one.n_iter for one in found[1:3]] == [one.n_iter for one in exact[1:3]]
    _close([found[-1].value], [exact[-1].value])
    with pytest.raises(IndexError, match="item 5 of 5"):
        found[5]


def test_gradients_of_items_reach_the_points():
    x = leaves(X)
    found = _solve(x=x)
    whole = torch.autograd.grad(found.value.sum(), x, retain_graph=True)
    each = torch.autograd.grad(sum(one.value for one in found), x)
    loop = torch.autograd.grad(sum(one.value for one in map(_solve, x, Y, A, B)), x)
    _close(whole, loop)
    _close(each, loop)


def test_potentials_and_maps_have_the_form_of_the_points():
    exact = _solve()
    jagged = so.solve_sample(nested(X), nested(Y), nested(A), nested(B), blur=0.1)
    assert jagged.potential_a.is_nested and jagged.map().shape[::2] == (COUNT, 3)
    _close(jagged.map().unbind(), exact.map())
    each = (vector(NX), vector(NY))
    flat = so.solve_sample(*map(torch.cat, (X, Y, A, B)), batch=each, blur=0.1)
    _close([flat.potential_b, flat.map()], map(torch.cat, (exact.potential_b, exact.map())))


def test_new_points_are_mapped_set_by_set():
    found, exact, new = _solve(), _loop(), clouds((3, 1, 4, 2, 5), 9)
    wanted = [one.map(points) for one, points in zip(exact, new, strict=True)]
    _close(found.map(new), wanted)
    _close(found.map(nested(new)).unbind(), wanted)
    with pytest.raises(ValueError, match="points: got 2 sets, wanted 5"):
        found.map(new[:2])


def test_arrays_give_arrays():
    lists = [[t.numpy() for t in part] for part in (X, Y, A, B)]
    found, exact = so.solve_sample(*lists, blur=0.1), _solve()
    assert all(isinstance(t, np.ndarray) for t in (found.value, found.lower, *found.potential_a))
    assert all(isinstance(t, np.ndarray) for t in (*found.plan, *found.map(lists[0])))
    assert type(found[0].value) is float and isinstance(found[0].plan, np.ndarray)
    np.testing.assert_array_equal(found.value, exact.value.numpy())


def test_an_earlier_result_is_a_start():
    first = _solve(tol=1e-4)
    again = _solve(tol=1e-4, init=first)
    assert again.n_iter <= 3 < first.n_iter
    with pytest.raises(ValueError, match="init: got clouds of other sizes"):
        _solve(X[:2], Y[:2], A[:2], B[:2], init=first)
    with pytest.raises(TypeError, match="init: got Transport, wanted earlier Transports"):
        _solve(init=first[0])
    with pytest.raises(TypeError, match="init: got Transports, wanted an earlier Transport"):
        _solve(X[0], Y[0], A[0], B[0], init=first)


def test_it_reads_like_a_report():
    few = so.Sinkhorn(max_sweeps=1, accelerate=False)
    assert "5 items of different sizes, converged" in repr(_solve())
    with pytest.warns(RuntimeWarning, match="marginals are off"):
        found = _solve(tol=1e-9, solver=few)
    assert "NOT CONVERGED" in repr(found) and not found.converged


def test_zero_weights_at_the_end_are_points_still():
    """Copies of the last point, of weight zero, look like padding; their potentials come back."""
    x = [torch.cat((t, t[-1:], t[-1:])) for t in X]
    a = [torch.cat((w, w.new_zeros(2))) for w in A]
    found = _solve(x=x, a=a)
    exact = [_solve(*each) for each in zip(x, Y, a, B, strict=True)]
    _close(found.potential_a, [one.potential_a for one in exact])
    _close([one.potential_a for one in found], [one.potential_a for one in exact])
    assert [len(f) for f in found.potential_a] == [n + 2 for n in NX]


@pytest.mark.parametrize("form", ["list", "nested", "vector"])
def test_they_are_pickled_in_any_form(form):
    given = {
        "list": lambda: _solve(),
        "nested": lambda: so.solve_sample(nested(X), nested(Y), blur=0.1),
        "vector": lambda: so.solve_sample(
            torch.cat(X), torch.cat(Y), blur=0.1, batch=(vector(NX), vector(NY))
        ),
    }[form]()
    again = pickle.loads(pickle.dumps(given))
    assert torch.equal(again.value, given.value)
    pair = again.potential_a, given.potential_a
    assert type(pair[0]) is type(pair[1])
    _close(*([part.unbind() if form == "nested" else part for part in pair]))
