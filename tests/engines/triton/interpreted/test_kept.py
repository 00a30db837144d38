"""Kept pairs in kernels against compiled loops: the same tiles and sums, a record of each tile made once."""

import pytest
import torch

import sparseot as so
from sparseot.engines.kept import TileRows
from sparseot.engines.triton import kept_kernels
from sparseot.formulas import ground_cost
from sparseot.transport.marginals import Balanced
from sparseot.transport.pruned.blocks.clouds import BlockCloud
from sparseot.transport.pruned.softmins import PrunedSoftmins
from tests.references.clouds import cloud


def softmins(engine, p, dtype, zero=None):
    torch.manual_seed(0)
    (x, a), (y, b) = cloud(300, 2, zero=zero), cloud(200, 2, shift=0.1)
    clouds = BlockCloud(x, a), BlockCloud(y, b)
    return PrunedSoftmins(*clouds, ground_cost(p), Balanced(), 0.1**p, 1e-3, dtype, engine)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("p", [1, 2])
def test_half_steps_are_those_of_compiled_loops(p, dtype, tol):
    """Trimmed tiles, potentials and errors; points without weight among them."""
    found = []
    for engine in ("numba", "triton"):
        given = softmins(engine, p, dtype, zero=slice(0, 40))
        f, g = torch.zeros_like(given.a), torch.zeros_like(given.b)
        for _ in range(3):
            step = given.step(0, f, g)
            f, g = step.value, given.step(1, g, step.value).value
        tiles = [side.blocks for side in given.tiles.sides]
        found.append((f, g, torch.tensor(float(step.error)), *tiles))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=tol, atol=tol * given.eps)


def test_rows_of_many_tiles_and_of_none(monkeypatch):
    """Sums are added up in chunks; a row that meets nothing is zero."""
    monkeypatch.setattr(kept_kernels, "CHUNK", type(kept_kernels.CHUNK)(3))
    given = softmins("triton", 2, torch.float64)
    f, g = torch.zeros_like(given.a), torch.zeros_like(given.b)
    given.build(f, g)
    counts = torch.zeros(len(given.clouds[0].log_weights), dtype=torch.int64)
    counts[1], counts[3] = 7, 2
    tiles = TileRows.of(counts, torch.tensor([0, 1, 2, 3, 4, 5, 6, 1, 4]).int())
    rows, cols, biases = given._given(0, f, g, given.clouds[1].log_weights)
    sums, largest = given.loops.sums(tiles, rows, cols, biases, peaks=False)
    plain, _ = softmins("tiles", 2, torch.float64).loops.sums(tiles, rows, cols, biases)
    assert largest is None and not sums[0].any() and sums[1].all()
    torch.testing.assert_close(sums, plain, rtol=1e-13, atol=0)


def test_records_are_made_once(monkeypatch):
    """For each side, until tiles are chosen anew."""
    given, made = softmins("triton", 2, torch.float32), []
    make = type(given.loops)._record
    monkeypatch.setattr(
        type(given.loops), "_record", lambda self, *args: made.append(1) or make(self, *args)
    )
    f, g = torch.zeros_like(given.a), torch.zeros_like(given.b)
    given.build(f, g)
    for _ in range(2):
        for side in (0, 1):
            given._sums(side, *((g, f) if side else (f, g)))
            given.age = 10
    assert len(made) == 2 == len(given.loops.known)
    given.build(f, g)
    given._sums(0, f, g)
    assert len(made) == 3 and len(given.loops.known) == 2


@pytest.mark.slow
def test_a_solve_on_kept_pairs():
    """From coarse clouds on, with its interval, its map and its gradient: those of the compiled loops."""
    found = []
    for engine in ("numba", "triton"):
        torch.manual_seed(0)
        (x, a), (y, b) = cloud(400, 2), cloud(350, 2, shift=0.2)
        x.requires_grad_()
        solver = so.Sinkhorn(multilevel=True, engine=engine)
        one = so.solve_sample(x, y, a, b, blur=0.2, tol=1e-3, solver=solver)
        (gradient,) = torch.autograd.grad(one.value, x)
        found.append((one.value.detach(), gradient, one.map().detach()))
        assert one.lower <= one.value <= one.upper
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)
