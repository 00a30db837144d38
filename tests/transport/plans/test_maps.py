"""Maps of new points: the means over all pairs, and few pairs visited."""

import pytest
import torch

import sparseot as so
from sparseot.transport.problem import Problem
from sparseot.transport.pruned.softmins import PrunedSoftmins
from tests.references.clouds import cloud

ALL, FEW = so.Sinkhorn(multilevel=False), so.Sinkhorn(multilevel=True)


def counted(monkeypatch):
    """Pairs that block-sparse sums visit, and rows for which all pairs are."""
    pairs, rows = [0], [0]
    true, dense = PrunedSoftmins._run, Problem.plan_product

    def run(self, loop, side, *args):
        pairs[0] += len(self.tiles) * 32**2
        return true(self, loop, side, *args)

    def product(self, row, g, v, *, x=None, **rest):
        rows[0] += 0 if self.pairs is not None and x is None else row.shape[1]
        return dense(self, row, g, v, x=x, **rest)

    monkeypatch.setattr(PrunedSoftmins, "_run", run)
    monkeypatch.setattr(Problem, "plan_product", product)
    return pairs, rows


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.3, (None, 0.3)])
@pytest.mark.parametrize("inverse", [False, True])
def test_maps_of_new_points_visit_few_pairs(monkeypatch, inverse, reach, p):
    """Inside the clouds, at their edge and far away: the means over all pairs."""
    (x, a), (y, b) = cloud(3000, 2), cloud(3500, 2, shift=0.1)
    found = so.solve_sample(x, y, a, b, p=p, blur=0.02, reach=reach, solver=FEW)
    there, weights, g = (x, a, found.solved[0].solution.f[0]) if inverse else (
        y, b, found.solved[0].solution.g[0]
    )  # fmt: skip
    new = 1.1 * torch.rand(5000, 2).double()
    new[:3] = torch.tensor([[5.0, 5.0], [-3.0, 0.5], [0.5, 1.5]])
    pairs, rows = counted(monkeypatch)
    moved = found.map(new, inverse=inverse)
    logs = weights.log() + (g - torch.cdist(new, there) ** p / p) / 0.02**p
    torch.testing.assert_close(moved, logs.softmax(1) @ there, rtol=0, atol=2e-5)
    assert pairs[0] < {1: 0.9, 2: 0.25}[p] * 5000 * len(there) and rows[0] < 0.05 * 5000


def test_maps_of_new_points_in_batches_and_single_precision():
    x, y = torch.rand(2, 900, 3), torch.rand(2, 1200, 3) + 0.1
    found = so.solve_sample(x, y, blur=0.05, solver=FEW)
    new = torch.rand(2, 1000, 3)
    moved = found.map(new)
    assert moved.dtype == torch.float32
    for k in range(2):
        exact = so.solve_sample(
            x[k].double(), y[k].double(), blur=0.05, solver=ALL, init=None, tol=1e-3
        )
        assert (moved[k] - exact.map(new[k].double())).norm(dim=1).mean() < 1e-3
