"""FlowViewer: its particles go where the library's gradients, and closed forms, send them."""

import numpy as np
import pytest
import torch

from sparseot import SamplesLoss
from sparseot_widgets import FlowViewer


def cloud(count: int, dim: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, dim, generator=generator).double()


def test_a_translated_cloud_is_approached_along_lines():
    # S(a, a + v) = |v|^2 / 2 for every blur, so that each step goes the same share of the way.
    x, v = cloud(30), torch.tensor([0.4, -0.2]).double()
    solved = {"solved": lambda x, y, blur: SamplesLoss(blur=blur, tol=1e-8)(x, y)}
    viewer = FlowViewer(x, x + v, losses=solved, blur=0.1, step=0.1, until=1.0, frames=6)
    left = 0.9 ** np.linspace(0, 10, 6)
    far = np.linalg.norm(viewer.shown["path"] - (x + v).numpy(), axis=2)
    np.testing.assert_allclose(far, np.outer(left, np.full(30, v.norm())), rtol=1e-4)
    values = 10.0 ** viewer.shown["curve"]
    np.testing.assert_allclose(values, left**2 * float(v.square().sum()) / 2, rtol=1e-4)


def test_energy_on_the_line_moves_each_rank_at_its_own_speed():
    x = torch.linspace(0, 0.2, 20).double()[:, None]
    y = torch.linspace(0.6, 1.0, 30).double()[:, None]
    viewer = FlowViewer(x, y, losses=["energy"], until=0.1, frames=3)
    speed = (2 * np.arange(20) + 1) / 20
    np.testing.assert_allclose(
        viewer.shown["path"][-1, :, 0], x[:, 0].numpy() + 0.1 * speed, atol=1e-6
    )
    assert viewer.shown["path"].shape == (3, 20, 1) and "draw" not in viewer.controls


def test_steps_are_those_of_euler():
    x, y = cloud(25), cloud(20, seed=1) + 0.5
    viewer = FlowViewer(x, y, losses=["laplacian"], blur=0.3, until=0.4, frames=3, step=0.05)
    loss, z = SamplesLoss("laplacian", blur=0.3), x.clone()
    for _ in range(8):
        z = z.detach().requires_grad_()
        z = z - 0.05 * 25 * torch.autograd.grad(loss(z, y), [z])[0]
    np.testing.assert_allclose(viewer.shown["path"][-1], z.detach(), atol=1e-5)
    assert ["Euler steps", "8"] in viewer.shown["readout"]


def test_functions_are_losses_with_or_without_blur():
    seen = []

    def with_blur(x, y, blur):
        seen.append(blur)
        return SamplesLoss("gaussian", blur=blur)(x, y)

    def means(x, y):
        return (x.mean(0) - y.mean(0)).square().sum() / 2

    x, y = cloud(10), cloud(12, seed=1) + 1.0
    viewer = FlowViewer(x, y, losses={"mine": with_blur, "means": means}, blur=0.25, frames=3)
    assert set(seen) == {0.25}
    viewer.loss = "means"
    assert viewer.wait()
    path = viewer.shown["path"]
    np.testing.assert_allclose(path[-1] - path[-1].mean(0), x - x.mean(0), atol=1e-6)
    assert ["in this loss", "no blur in it"] in viewer.shown["readout"]


def test_five_coordinates_are_seen_in_space_and_many_points_are_thinned(tmp_path):
    x, y = cloud(600, 5), cloud(100, 5, seed=1) + 1.0
    viewer = FlowViewer(x, y, losses={"means": lambda x, y: (x.mean(0) - y.mean(0)).norm()})
    assert viewer.shown["path"].shape == (51, 500, 3)
    assert viewer.shown["note"] == "500 of 600 particles; first 3 principal axes of 5 coordinates"
    assert viewer.poster(tmp_path / "poster.png").stat().st_size > 5_000


def test_a_flow_in_space_is_that_of_the_points():
    x, v = cloud(20, 3), torch.tensor([0.4, -0.2, 0.3]).double()
    means = {"means": lambda x, y: (x.mean(0) - y.mean(0)).square().sum() / 2}
    viewer = FlowViewer(x, x + v, losses=means, step=0.1, until=0.1, frames=2)
    np.testing.assert_allclose(viewer.shown["path"], torch.stack((x, x + 0.1 * v)), atol=1e-6)


def test_a_flow_that_nobody_waits_for_ends():
    viewer = FlowViewer(cloud(10), cloud(10, seed=1), losses=["energy"])

    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        viewer.answer(viewer.state, False, check)


def test_an_error_of_a_loss_is_shown_and_the_slider_lives():
    def brittle(x, y, blur):
        if blur < 0.1:
            raise ValueError("blur too small for this one")
        return SamplesLoss("gaussian", blur=blur)(x, y)

    viewer = FlowViewer(cloud(10), cloud(10, seed=1), losses={"mine": brittle}, blur=0.5, frames=3)
    viewer.blur = 0.05
    assert viewer.wait() and "blur too small" in viewer._status["error"]
    viewer.blur = 0.2
    assert viewer.wait() and not viewer._status.get("error")
    assert "0.2" in viewer.shown["summary"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"losses": ["sinkhron"]}, "losses: got 'sinkhron', wanted functions, or some of \"sink"),
        ({"losses": []}, "losses: got none"),
        ({"blurs": [0.1, -1.0]}, "blurs: got .*wanted lengths above zero"),
        ({"blurs": []}, "blurs: got"),
        ({"frames": 1}, "frames: got 1"),
        ({"until": 0.0}, "until: got 0"),
        ({"step": float("nan")}, "step: got nan"),
        ({"loss": "energie"}, "loss: got 'energie'"),
        (
            {"losses": {"rows": lambda x, y: (x**2).sum(1)}},
            r"losses\['rows'\]: loss: got one that .* wanted a scalar",
        ),
        (
            {"losses": {"flat": lambda x, y: torch.tensor(1.0)}},
            r"losses\['flat'\]: loss: got one that .* wanted a scalar",
        ),
        ({"losses": {"root": lambda x, y: x.sub(x).norm(dim=1).sqrt().sum()}}, "NaN or infinity"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        FlowViewer(cloud(5), cloud(6), **options)


def test_clouds_of_two_dimensions_do_not_meet():
    with pytest.raises(ValueError, match=r"y: got shape \(5, 3\), wanted \(M, 2\)"):
        FlowViewer(cloud(5), cloud(5, 3))
