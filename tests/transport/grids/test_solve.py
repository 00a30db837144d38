"""Transport between images is that between the centres of their pixels."""

import math

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot.transport.grids import pyramid
from tests.transport.grids.images import gaussian, noise, places

GRIDS = [((30,), (0.04,), 0.05), ((7, 9), (0.1, 0.07), 0.1), ((4, 3, 5), (0.2, 0.25, 0.15), 0.3)]
CASES = [{}, {"debias": True}, {"reach": 0.5}, {"reach": 0.5, "debias": True}]


def pair(shape, reach=None):
    """Images with empty pixels, of different masses where these may be."""
    a, b = noise(*shape), noise(*shape, seed=1)
    return (2 * a, 0.7 * b) if reach else (a, b)


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize(("shape", "spacing", "blur"), GRIDS)
def test_it_is_transport_between_the_centres_of_pixels(shape, spacing, blur, options):
    a, b = (t.requires_grad_() for t in pair(shape, options.get("reach")))
    x = places(shape, spacing)
    how = {"blur": blur, "tol": 1e-11, **options}
    found = so.solve_grid(a, b, spacing=spacing, **how)
    with_points = so.solve_sample(x, x, a.reshape(-1), b.reshape(-1), **how)
    assert found.converged and with_points.converged
    torch.testing.assert_close(found.value, with_points.value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.value_linear, with_points.value_linear, rtol=1e-8, atol=1e-10)
    assert found.lower - 1e-12 <= with_points.value <= found.upper + 1e-12
    assert found.upper - found.lower < 1e-6
    for mine, other in zip(found.potentials, with_points.potentials, strict=True):
        torch.testing.assert_close(mine.reshape(-1), other, rtol=0, atol=1e-8)
    for mine, other in zip(found.marginals, with_points.marginals, strict=True):
        torch.testing.assert_close(mine.reshape(-1), other, rtol=0, atol=1e-10)
    for mine, other in zip(
        torch.autograd.grad(found.value, (a, b)),
        torch.autograd.grad(with_points.value, (a, b)),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)
    v = torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for wrt in "ab":
        wanted = with_points.hvp(v.reshape(-1, 2), wrt).view_as(v)
        scale = float(wanted.abs().max())
        torch.testing.assert_close(found.hvp(v, wrt), wanted, rtol=0, atol=1e-6 * scale)
    heavy = a > 0  # elsewhere the map is the entropic one, which points without weight share
    torch.testing.assert_close(
        found.map()[heavy], with_points.map().view(*shape, -1)[heavy], rtol=0, atol=1e-8
    )


def test_products_with_the_hessian_store_no_matrix(monkeypatch):
    """By conjugate gradients on sums along the axes, as on grids whose plan is too large to store."""
    from sparseot.transport.derivatives import curvature

    a, b = pair((7, 9))
    how = {"spacing": 0.1, "blur": 0.15, "tol": 1e-10, "debias": True}
    v = torch.randn(7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    stored = so.solve_grid(a, b, **how).hvp(v)
    monkeypatch.setattr(curvature, "STORED", 0)
    monkeypatch.setattr(curvature, "STORED_PAIRS", 0)
    found = so.solve_grid(a, b, **how)
    torch.testing.assert_close(found.hvp(v), stored, rtol=0, atol=1e-6 * float(stored.abs().max()))
    part = found.flat.solved[0].curvatures[0]
    assert type(part.here.e).__name__ == "Summed" and part.solver.products > 0


def test_gradients_and_their_gradients_are_those_of_differences():
    a, b = (noise(2, 3, seed=s, empty=0.0).requires_grad_() for s in (0, 1))

    def value(a, b):
        return so.solve_grid(a, b, blur=1.0, reach=3.0, debias=True, tol=1e-12).value

    assert torch.autograd.gradcheck(value, (a, b), eps=1e-5, atol=1e-7)
    assert torch.autograd.gradgradcheck(value, (a, b), eps=1e-5, atol=1e-6, nondet_tol=1e-9)


def test_translates_are_as_far_as_they_are_moved():
    """Debiased, half of the squared distance, at every blur (translation identity)."""
    shape, h = (96, 80), (0.02, 0.025)
    for blur in (0.5, 0.1, 0.03):
        a = gaussian(shape, h, (0.7, 0.8), (0.08, 0.1))
        b = a.roll((25, 12), (0, 1))
        found = so.solve_grid(a, b, spacing=h, blur=blur, debias=True, tol=1e-6)
        wanted = ((25 * 0.02) ** 2 + (12 * 0.025) ** 2) / 2
        assert abs(found.value - wanted) < 1e-6, blur
        where = found.map(), found.displacement()
        torch.testing.assert_close(where[0] - where[1], places(shape, h).view(*shape, 2))


def test_gaussians_have_the_known_divergence():
    """Janati et al., 2020, theorem 1, halved for our cost; each axis is one dimension."""
    shape, h, blur = (300,), (0.05,), 0.4
    widths, means = (0.5, 0.9), (5.0, 7.0)
    a, b = (gaussian(shape, h, (m,), (s,)) for m, s in zip(means, widths, strict=True))

    def cost(s, t):
        d = math.sqrt(4 * s**2 * t**2 + blur**4)
        eps = blur**2
        return (s**2 + t**2 - d + eps * (1 - math.log(2 * eps)) + eps * math.log(d + eps)) / 2

    s, t = widths
    wanted = 2.0 + cost(s, t) - cost(s, s) / 2 - cost(t, t) / 2
    found = so.solve_grid(a, b, spacing=h, blur=blur, debias=True, tol=1e-9)
    assert abs(found.value - wanted) < 1e-8


@pytest.mark.parametrize("reach", [None, 2.0])
def test_the_divergence_is_one(reach):
    """Positive, zero for equal images, and convex in each of them."""
    a, b, c = (noise(6, 8, seed=s) * (1 + s * bool(reach)) for s in range(3))
    how = {"blur": 1.0, "reach": reach, "debias": True, "tol": 1e-10}
    assert so.solve_grid(a, b, **how).value > 1e-3
    assert abs(so.solve_grid(a, a, **how).value) < 1e-12
    ends = so.solve_grid(torch.stack((b, c)), a, dim=2, **how).value
    middle = so.solve_grid((b + c) / 2, a, **how).value
    assert middle < ends.mean()
    assert so.solve_grid(a, a.clone(), **how).value < 1e-10


def test_batches_are_loops():
    a, b = (
        torch.stack([noise(5, 6, seed=s + k) for k in range(6)]).view(2, 3, 5, 6) for s in (0, 9)
    )
    how = {"blur": 0.7, "debias": True, "tol": 1e-9}
    a.requires_grad_()
    found = so.solve_grid(a, b, dim=2, **how)
    again = so.solve_grid(a, b, spacing=(1.0, 1.0), **how)
    assert found.value.shape == (2, 3) and found.potential_a.shape == a.shape
    assert found.map().shape == (2, 3, 5, 6, 2)
    assert torch.equal(found.value, again.value)
    (gradient,) = torch.autograd.grad(found.value.sum(), a)
    for k in np.ndindex(2, 3):
        alone = a[k].detach().requires_grad_()
        one = so.solve_grid(alone, b[k], **how)
        torch.testing.assert_close(found.value[k], one.value)
        torch.testing.assert_close(gradient[k], torch.autograd.grad(one.value, alone)[0])
        torch.testing.assert_close(found.map()[k], one.map())
    against_one = so.solve_grid(a, b[0, 0], dim=2, **how)
    torch.testing.assert_close(against_one.value[0, 0], found.value[0, 0])
    torch.testing.assert_close(found.hvp(a.detach())[1, 2], one.hvp(a[1, 2].detach()))


def test_kinds_and_precisions_come_back():
    a, b = pair((6, 7))
    double = so.solve_grid(a, b, blur=0.6, tol=1e-6)
    single = so.solve_grid(a.float(), b.float(), blur=0.6, tol=1e-6)
    half = so.solve_grid(a.half(), (a.half().sum() / b.half().sum()) * b.half(), blur=0.6)
    assert single.value.dtype == single.potential_a.dtype == single.map().dtype == torch.float32
    assert single.lower.dtype == torch.float64 and half.value.dtype == torch.float32
    torch.testing.assert_close(single.value.double(), double.value, rtol=1e-5, atol=0)
    array = so.solve_grid(a.numpy(), b.numpy(), blur=0.6, tol=1e-6)
    assert isinstance(array.value, float) and isinstance(array.map(), np.ndarray)
    assert array.value == float(double.value)
    assert isinstance(array.hvp(a.numpy()), np.ndarray) and array.displacement().shape == (6, 7, 2)
    np.testing.assert_allclose(array.marginal_a, a, atol=1e-6)


def test_a_result_is_a_start():
    a, b = pair((16, 16))
    first = so.solve_grid(a, b, blur=0.5, tol=1e-8)
    again = so.solve_grid(a, b, blur=0.5, tol=1e-8, init=first)
    assert again.n_iter < first.n_iter / 3 and len(again.levels) == 1
    torch.testing.assert_close(again.value, first.value)


def test_colours_go_with_the_mass():
    a, b = (gaussian((20, 20), (1.0, 1.0), m, (2.0, 2.0)) for m in ((6, 6), (12, 13)))
    found = so.solve_grid(a, b, blur=0.7)
    row, column = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    colours = torch.stack((row, column, 0 * row + 3), -1).double()
    torch.testing.assert_close(found.map(colours)[..., :2], found.map())
    torch.testing.assert_close(found.map(colours[..., 2]), colours[..., 2])
    back = found.map(inverse=True)[12, 13]
    assert (back - torch.tensor([6.0, 7.0])).abs().max() < 1.2


def test_most_sweeps_are_on_coarse_grids():
    a, b = (gaussian((64, 64), (1.0, 1.0), m, (5.0, 5.0)) for m in ((20, 20), (44, 40)))
    found = so.solve_grid(a, b, blur=6.0, tol=1e-4)
    sizes = [level.points[0] for level in found.levels]
    assert sizes[0] <= 64 and sizes[-2] < sizes[-1] == 64 * 64 and sizes == sorted(sizes)
    assert found.levels[-1].sweeps < found.n_iter / 2


@pytest.mark.parametrize(("shape", "cut"), [((8, 6), (2, 2)), ((7, 5, 9), (2, 1, 4)), ((9,), (4,))])
def test_cells_keep_mass_and_mean(shape, cut):
    image = noise(*shape)
    grid = so.solve_grid(image, image, blur=1.0).axes.engine
    coarse = pyramid.coarser(grid, cut)
    found = pyramid.pooled(image.reshape(1, -1), shape, cut)
    assert found.shape == (1, coarse.size) and abs(found.sum() - 1) < 1e-14
    fine = (1,) * len(shape)
    ramp = (
        coarse.coordinates(image) + (torch.tensor(cut) - 1) / 2
    )  # a linear potential, kept within
    whole = pyramid.interpolated(ramp.T, grid, cut, fine).T
    inside = ((places(shape, fine) >= ramp.amin(0)) & (places(shape, fine) <= ramp.amax(0))).all(1)
    torch.testing.assert_close(whole[inside], places(shape, fine)[inside])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing": (1.0, 2.0, 3.0)}, "spacing: got 3 numbers, wanted one, or one for each axis"),
        (
            {"spacing": torch.tensor([1.0, 2.0, 3.0]), "dim": 2},
            "spacing: got 3 numbers, wanted one, or 2",
        ),
        ({"spacing": torch.ones(2, 2)}, "spacing: got .* wanted one number, or one for each axis"),
        ({"spacing": (1.0, -1.0)}, r"spacing\[1\]: got -1"),
        ({"blur": 0.0}, "blur: got 0"),
        ({"dim": 4}, "dim: got .* wanted a grid of 1, 2 or 3 axes"),
        ({"dim": 3}, "a: got shape .* wanted a grid of 3 axes"),
        ({"b": torch.ones(4, 6) / 24}, r"b: got a grid of shape \(4, 6\), wanted \(4, 5\)"),
        ({"b": -torch.ones(4, 5)}, "b: got a negative weight"),
        ({"b": torch.zeros(4, 5)}, "b: got weights that are all zero"),
        ({"b": torch.full((4, 5), math.nan)}, "b: got NaN"),
        ({"b": torch.ones(4, 5)}, "a, b: got total masses 1.* and 20"),
        ({"b": torch.ones(4, 5).double() / 20}, "b: got dtype torch.float64, wanted torch.float32"),
        ({"a": torch.ones(4, 5, dtype=torch.uint8)}, "a: got dtype torch.uint8"),
        ({"a": torch.ones(2, 2, 4, 5)}, "dim: got shape .* Say how many"),
        ({"solver": so.Sinkhorn(engine="tiles")}, "solver.engine: got 'tiles'"),
        ({"solver": so.Sinkhorn(multilevel=True)}, "solver.multilevel: got True"),
        ({"init": 3}, "init: got int"),
        ({"reach": (1.0, None), "debias": True}, "reach: got the pair"),
    ],
)
def test_bad_input_gets_a_sentence(change, message):
    given = {"a": torch.ones(4, 5) / 20, "b": torch.ones(4, 5) / 20, "blur": 1.0} | change
    with pytest.raises((ValueError, TypeError), match=message):
        so.solve_grid(given.pop("a"), given.pop("b"), **given)


def test_batches_must_agree():
    a = torch.ones(2, 4, 5) / 20
    with pytest.raises(ValueError, match=r"b: got a batch of shape \(3,\), wanted \(2,\)"):
        so.solve_grid(a, torch.ones(3, 4, 5) / 20, blur=1.0, dim=2)
    found = so.solve_grid(a, a[0], blur=1.0, dim=2)
    with pytest.raises(ValueError, match="v: got shape"):
        found.hvp(a[0])
    with pytest.raises(ValueError, match="wrt: got 'x'"):
        found.hvp(a, wrt="x")


def test_not_converging_is_a_warning():
    a, b = pair((12, 12))
    with pytest.warns(RuntimeWarning, match="marginals are off"):
        found = so.solve_grid(a, b, blur=0.3, tol=1e-9, solver=so.Sinkhorn(max_sweeps=2))
    assert not found.converged and "NOT CONVERGED" in repr(found)
    value = so.solve_grid(a, b, blur=0.3, tol=1e-9).value
    assert found.lower <= value <= found.upper


def test_images_are_not_mapped():
    images = torch.rand(3, 4, 5)
    for call in (
        lambda z: so.solve_grid(z, z, blur=1.0).value,
        lambda z: so.grid_barycenter(z, blur=1.0).image,
    ):
        with pytest.raises(ValueError, match="torch.vmap: got a map over images"):
            torch.vmap(call)(images)


def test_means_of_whole_numbers_are_no_whole_numbers():
    """Colours are bytes, as a rule."""
    image = torch.rand(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = so.solve_grid(image, image.flip(0), blur=1.0)
    colours = torch.arange(60, dtype=torch.uint8).view(4, 5, 3)
    torch.testing.assert_close(
        result.map(colours), result.map(colours.double()).float(), check_dtype=False
    )
    assert not bool((result.map(colours) == result.map(colours).round()).all())
