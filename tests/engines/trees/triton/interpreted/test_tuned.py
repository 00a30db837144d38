"""Every tile that a clock may choose for a formula gives the same answers."""

import pytest
import torch

from sparseot import LazyTensor
from sparseot.engines.triton.card import tuning


class Nth:
    """Takes one of the candidates, of which all are run once on some rows."""

    def __init__(self, place):
        self.place, self.count, self.trials = place, 0, []

    def best(self, kind, shapes, run, device):
        self.count, self.kind = len(shapes), kind
        self.trials.append([run(shape)()[0] for shape in shapes])
        return shapes[self.place]


KINDS = {
    "sum": lambda K, v: (K.exp() * v).sum(1),
    "logsumexp": lambda K, v: K.logsumexp(1),
    "argmin": lambda K, v: (-K).argmin(dim=1),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "sum")) for n in KINDS]
)
def test_answers_are_those_of_the_usual_tile(monkeypatch, name):
    x, y, v = torch.rand(150, 2).double(), torch.rand(140, 2).double(), torch.rand(140, 1).double()

    def run():
        K = -((LazyTensor(x[:, None]) - LazyTensor(y[None])) ** 2).sum(-1)
        K.engine = "triton"
        return KINDS[name](K, LazyTensor(v[None]))

    wanted = run()
    monkeypatch.setattr(tuning, "ENOUGH", 70 * 140)
    monkeypatch.setattr(tuning, "TRIED", 70 * 140)
    for place in range(3):
        choices = Nth(place)
        monkeypatch.setattr(tuning, "CHOICES", choices)
        torch.testing.assert_close(run(), wanted, rtol=1e-13, atol=1e-13)
        assert choices.count == 3 and choices.kind[1].startswith("sparseot_formula_")
        (trials,) = choices.trials
        assert all(t.shape[1] * t.shape[-1] <= 70 and t.isfinite().all() for t in trials)
