"""HessianViewer: what it shows is what the library's Hessians are."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot_widgets import HessianViewer
from sparseot_widgets.viewers.hessian import UPDATES, _decoded, _whole


def cloud(count: int, dim: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, dim, generator=generator).double()


def along(points: torch.Tensor) -> torch.Tensor:
    """Points that are already in the order of the picture."""
    return torch.stack((points[:, 0].sort().values, 0.01 * points[:, 1]), 1)


@pytest.mark.parametrize("wrt", ["x", "y", "a", "b"])
def test_matrices_are_those_of_the_library(wrt):
    x, y = along(cloud(8)), along(cloud(9, seed=1))
    found = so.solve_sample(x, y, blur=0.2, reach=0.7, debias=True, tol=1e-6)
    shown = HessianViewer(found, wrt=wrt).shown
    exact = so.hessian(found, wrt).to_dense()
    exact = exact.reshape(shown["rows"], -1).numpy()
    np.testing.assert_allclose(_whole(shown["matrix"], shown["rows"]), exact, atol=1e-6)
    for k in (0, 3):
        loop = so.hessian(found, wrt, method="unrolled", n_iter=UPDATES[k]).to_dense()
        gap = loop.numpy().reshape(exact.shape) - exact
        drawn = shown["largest"] * _whole(_decoded(shown["gaps"][k]), shown["rows"])
        np.testing.assert_allclose(drawn, gap, atol=1e-6)
        largest = np.abs(gap).max() / np.abs(exact).max()
        assert shown["errors"][k] == pytest.approx(np.log10(largest), abs=1e-2)


def test_no_hessian_in_points_that_a_cost_moved():
    cost = so.costs.Scaled([1.0, 10.0])
    found = so.solve_sample(cloud(8), cloud(9, seed=1), blur=0.3, cost=cost, tol=1e-6)
    with pytest.raises(ValueError, match="which moves points, wanted one of the points as they"):
        HessianViewer(found)
    viewer = HessianViewer(found, wrt="a")
    assert viewer.controls["wrt"].stops == ("a", "b")
    assert viewer.shown["note"] == "points as the cost Scaled moves them"


def test_a_transport_brings_its_cost_and_reach():
    x, y = cloud(8), cloud(9, seed=1)
    found = so.solve_sample(x, y, blur=0.2, p=1, reach=(0.5, None))
    viewer = HessianViewer(found)
    assert viewer.blur == 0.2 and viewer._options["p"] == 1
    assert viewer._options["reach"] == (0.5, None) and viewer._options["debias"] is False


def test_many_points_are_thinned_and_say_so():
    viewer = HessianViewer(cloud(100), cloud(20, seed=1), blur=0.5, wrt="a")
    assert viewer.shown["note"] == "40 of 100 points" and viewer.shown["rows"] == 40
    sketch = viewer.answer(viewer.state, True, lambda: None)
    assert sketch["rows"] == 10 and sketch["note"] == "sketch: 10 points"


def test_a_row_and_updates_need_no_kernel():
    viewer = HessianViewer(cloud(6), cloud(7, seed=1), blur=0.3)
    viewer.row, viewer.updates = 5, 50
    assert viewer._asked_for == 0 and set(viewer.state) == {"blur", "wrt"}


def test_bad_input():
    x, y = cloud(5), cloud(6, seed=1)
    with pytest.raises(ValueError, match="wrt: got 'z', wanted one of 'x', 'y', 'a', 'b'"):
        HessianViewer(x, y, wrt="z")
    with pytest.raises(TypeError, match="y: got None"):
        HessianViewer(x)
    with pytest.raises(ValueError, match="y, a, b: got a cloud or weights beside a Transport"):
        HessianViewer(so.solve_sample(x, y, blur=0.2), y)
    with pytest.raises(ValueError, match="batch"):
        HessianViewer(so.solve_sample(x[None].repeat(2, 1, 1), y[None].repeat(2, 1, 1), blur=0.2))
    with pytest.raises(ValueError, match=r"y: got shape \(6, 3\), wanted \(M, 2\)"):
        HessianViewer(x, cloud(6, 3))
