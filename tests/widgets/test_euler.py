"""gradient_flow: steps that can be written down, kept at the times that were asked for."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sparseot import SamplesLoss
from sparseot_widgets import euler, gradient_flow

TRANSLATED = SamplesLoss("sinkhorn", p=2, blur=0.1, tol=1e-8)  # |v|^2 / 2, whatever the cloud


def cloud(count: int, dim: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, dim, generator=generator).double()


def test_each_step_goes_its_share_of_the_way():
    x, v = cloud(30), torch.tensor([0.4, -0.2]).double()
    flow = gradient_flow(TRANSLATED, x, x + v, [0.0, 0.2, 1.0], step=0.1)
    assert list(flow.clouds) == [0.0, 0.2, 1.0] and flow.steps == 10
    for value, (t, moved) in zip(flow.losses, flow.clouds.items(), strict=True):
        left = 0.9 ** round(10 * t)
        torch.testing.assert_close(moved, x + (1 - left) * v, rtol=0, atol=1e-6)
        assert value == pytest.approx(left**2 * float(v.square().sum()) / 2, rel=1e-5)


def test_times_between_steps_are_met():
    x, v = cloud(20), torch.tensor([0.4, -0.2]).double()
    flow = gradient_flow(TRANSLATED, x, x + v, [0.0, 0.25, 0.3], step=0.1)
    left = 0.9 * 0.9 * 0.95 * 0.95  # steps of 0.1, 0.1, 0.05 and 0.05
    torch.testing.assert_close(flow.clouds[0.3], x + (1 - left) * v, rtol=0, atol=1e-6)
    assert flow.steps == 4


def test_no_step_is_a_leap():
    x, y = cloud(40), cloud(40, seed=1)
    flow = gradient_flow(lambda x, y: 10 * x.mean(), x, y, [0.0, 0.1], step=0.1, jump=0.05)
    moved = 0.1 * 10 / 2  # of each coordinate: its speed is 10 / D
    torch.testing.assert_close(flow.clouds[0.1], x - moved)
    assert flow.steps == math.ceil(moved * math.sqrt(2) / 0.05)


def test_the_clock_starts_after_the_first_gradient_and_a_check_ends_the_flow(monkeypatch):
    """A clock that a call of the loss advances by two seconds."""
    calls = []
    clock = SimpleNamespace(perf_counter=lambda: 2.0 * len(calls))
    monkeypatch.setattr(euler, "time", clock)

    def loss(x, y):
        calls.append(len(x))
        return (x.mean(0) - y.mean(0)).square().sum()

    checks = iter(range(3))
    with pytest.raises(StopIteration):
        gradient_flow(loss, cloud(4), cloud(5), [0.0, 5.0], check=lambda: next(checks))
    assert len(calls) == 4  # at the start, then after each of the steps that were let pass
    flow = gradient_flow(loss, cloud(4), cloud(5), [0.0, 1.0])
    *_, steps, seconds = flow
    assert len(calls) == 4 + 1 + steps and seconds == 2.0


def test_the_cloud_that_came_is_left_alone():
    x = cloud(6).float().requires_grad_()
    before = x.detach().clone()
    flow = gradient_flow(SamplesLoss("energy"), x, cloud(7).float(), [0, 0.1])
    assert x.grad is None and torch.equal(x.detach(), before)
    assert flow.clouds[0.1].dtype == torch.float32 and not flow.clouds[0.1].requires_grad
    assert gradient_flow(SamplesLoss("energy"), x, before, [0.5]).steps == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"times": []}, r"times: got \[\], wanted finite times, at least one"),
        ({"times": [0.0, 1.0, 1.0]}, "times: got .*each later than"),
        ({"times": [0.0, np.inf]}, "times: got .*inf"),
        ({"times": [np.nan, 1.0]}, "times: got .*nan"),
        ({"times": 1.0}, "times: got 1.0, wanted a list of numbers"),
        ({"times": [1e9, 1e9 + 1], "step": 1e-9}, "step: got 1e-09 at times of 1e"),
        ({"step": None}, "step: got None"),
        ({"x": cloud(4).expand(3, 4, 2)}, r"x: got shape \(3, 4, 2\)"),
        ({"x": [[0.0, 1.0]]}, "x: got list"),
        ({"x": cloud(0)}, r"x: got shape \(0, 2\)"),
        ({"x": torch.full((3, 2), torch.nan)}, "x: got 3 points with NaN"),
        ({"loss": "energy"}, "loss: got 'energy', wanted a function"),
        ({"loss": lambda x, y: float("inf") + x.sum()}, "loss: got one that returned inf"),
        ({"step": 0.0}, "step: got 0"),
        ({"jump": np.inf}, "jump: got inf"),
        ({"loss": lambda x, y: (x**2).sum(1)}, r"loss: got one that returned shape \(5,\)"),
        ({"loss": lambda x, y: 1.0}, "loss: got one that returned float"),
        ({"loss": lambda x, y: (x - x).norm(dim=1).sqrt().sum()}, "NaN or infinity"),
    ],
)
def test_bad_input(changed, message):
    arguments = {"loss": SamplesLoss("energy"), "x": cloud(5), "y": cloud(6), "times": [0.0, 1.0]}
    with pytest.raises((ValueError, TypeError), match=message):
        gradient_flow(**arguments | changed)


def test_a_loss_that_looks_at_one_cloud_only():
    weight = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="does not depend on x"):
        gradient_flow(lambda x, y: weight.sum() * y.sum(), cloud(3), cloud(3), [0.0, 1.0])


def test_arrays_flow_as_tensors_do_and_what_was_kept_stays():
    x, y = cloud(5), cloud(6)
    flow = gradient_flow(SamplesLoss("energy"), x, y, [0.0, 0.1])
    first = x.clone()
    same = gradient_flow(SamplesLoss("energy"), x.numpy(), y.numpy(), [0.0, 0.1])
    torch.testing.assert_close(flow.clouds[0.1], same.clouds[0.1], rtol=0, atol=0)
    x.zero_()
    assert torch.equal(flow.clouds[0.0], first)
