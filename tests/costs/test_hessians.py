"""Hessians in the points as they came, for costs that move them, against autograd through a dense loop."""

import pytest
import torch

import sparseot as so
from sparseot import costs

from .objects import COSTS, clouds
from .test_transport import BLUR, TIGHT, dense

MOVING = [name for name in COSTS if COSTS[name][0]().moves]


CASES = [("x", 2, None, False), ("y", 2, 0.8, True), ("y", 1, None, False)]


@pytest.mark.parametrize(("wrt", "p", "reach", "debias"), CASES)
@pytest.mark.parametrize("name", MOVING)
def test_against_a_dense_loop(name, wrt, p, reach, debias):
    if p == 1 and name == "Cosine":
        pytest.skip("its cost does not depend on p")
    torch.manual_seed(4)
    given = clouds(name, n=4, m=3)
    place = "xy".index(wrt)

    def value(t):
        moved = [t if k == place else cloud for k, cloud in enumerate(given)]
        return dense(name, *moved, p=p, reach=reach, debias=debias)

    exact = torch.autograd.functional.hessian(value, given[place])
    if name == "Labels":  # classes do not move
        assert exact[:, 2].abs().max() == 0
    how = {"p": p, "blur": BLUR, "reach": reach, "debias": debias, "tol": TIGHT}
    result = so.solve_sample(*given, cost=COSTS[name][0](), **how)
    H = so.hessian(result, wrt)
    scale = float(exact.abs().max())
    torch.testing.assert_close(H.to_dense(), exact, rtol=0, atol=1e-6 * scale)
    v = torch.randn(*given[place].shape, 2).double()
    wanted = torch.einsum("ijkl,klr->ijr", exact, v)
    close = {"rtol": 0, "atol": 1e-5 * scale}
    torch.testing.assert_close(result.hvp(v, wrt), wanted, **close)
    torch.testing.assert_close(H @ v[..., 0].flatten(), wanted[..., 0].flatten(), **close)


def test_turns_of_directions_cost_nothing():
    """A length changes no direction, so that the Hessian takes a point to minus its gradient."""
    x, y, a, b = clouds("Cosine")
    x.requires_grad_()
    for cost in (costs.Cosine(), costs.Geodesic()):
        result = so.solve_sample(x, y, a, b, blur=0.4, cost=cost, tol=1e-11)
        (slope,) = torch.autograd.grad(result.value, x)
        torch.testing.assert_close(
            result.hvp(torch.eye(9).double()[:, None] * x.detach()[..., None]).sum(2),
            -slope,
            rtol=1e-6,
            atol=1e-9,
        )


def test_batches_and_zeros_without_weight():
    """Each item has its own; points that have no direction and no weight are not moved."""
    x, y, a, b = clouds("Geodesic", batch=(2,))
    v = torch.randn_like(x)
    how = {"cost": costs.Geodesic(), "blur": 0.4, "tol": 1e-11}
    alone = [so.solve_sample(*(t[k] for t in (x, y, a, b)), **how).hvp(v[k]) for k in (0, 1)]
    more = [torch.cat((t, torch.zeros_like(t[:, :2])), 1) for t in (x, y, a, b, v)]
    found = so.solve_sample(*more[:4], **how).hvp(more[4])
    torch.testing.assert_close(found[:, :9], torch.stack(alone), rtol=1e-7, atol=1e-9)
    assert bool((found[:, 9:] == 0).all())


def test_pairs_that_are_kept():
    """Products over few pairs are those over all, and what the chain rule adds is there in both."""
    x, y = (torch.randn(700, 3).double() + shift for shift in (0.0, 0.3))
    how = {"cost": costs.Cosine(), "blur": 0.1, "tol": 1e-6, "debias": True}
    few = so.solve_sample(x, y, solver=so.Sinkhorn(tol=1e-6, multilevel=True), **how)
    assert few.kept_fraction < 0.9
    v = torch.randn_like(x)
    every = so.solve_sample(x, y, solver=so.Sinkhorn(tol=1e-6, multilevel=False), **how).hvp(v)
    assert (few.hvp(v) - every).norm() < 1e-3 * every.norm()


def test_costs_that_learn():
    """What moves points may learn, but may not have been changed since."""
    x, y, *_ = clouds("Scaled")
    scales = torch.nn.Parameter(torch.tensor([1.0, 2.0, 0.5]).double())
    how = {"blur": 0.3, "tol": 1e-10}
    result = so.solve_sample(x, y, cost=costs.Scaled(scales), **how)
    plain = so.solve_sample(x, y, cost=costs.Scaled(scales.detach().clone()), **how)
    torch.testing.assert_close(result.hvp(x), plain.hvp(x), rtol=1e-10, atol=0)
    with torch.no_grad():
        scales.mul_(2)
    with pytest.raises(RuntimeError, match="hvp: got the cost of a result was changed in place"):
        result.hvp(x)
