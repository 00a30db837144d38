"""What a solve keeps on disk, and solves that go on from there."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot.transport.solvers import checkpoint


def clouds(n=400, m=350):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n, 3, generator=generator, dtype=torch.float64)
    return x, 0.3 + torch.rand(m, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("multilevel", [True, False])
def test_a_solve_goes_on_from_where_it_was_stopped(tmp_path, monkeypatch, multilevel):
    """Ended in the middle of its last temperature, as by a signal that leaves no time to say so."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    x, y = clouds()
    seen = []

    def watch(blur, error, tol):
        seen.append(blur)
        if seen.count(0.1) == 25:
            raise ZeroDivisionError

    options = {"blur": 0.1, "tol": 1e-8}
    how = {"accelerate": False, "multilevel": multilevel, "engine": "numba"}
    whole = so.solve_sample(x, y, solver=so.Sinkhorn(**how), **options)
    with pytest.raises(ZeroDivisionError):
        so.solve_sample(
            x, y, solver=so.Sinkhorn(**how, progress=watch, checkpoint=tmp_path), **options
        )
    again = so.solve_sample(x, y, solver=so.Sinkhorn(**how), init=str(tmp_path), **options)
    assert again.converged and again.n_iter <= whole.reports[0].levels[-1].sweeps - 22
    assert abs(again.value - whole.value) <= 1e-9 * whole.value
    assert [path.name for path in tmp_path.iterdir()] == ["potentials-0.npz"]


def test_all_problems_of_a_divergence_are_kept_at_the_end(tmp_path):
    x, y = clouds()
    options = {"blur": 0.1, "debias": True, "tol": 1e-6}
    first = so.solve_sample(x, y, solver=so.Sinkhorn(checkpoint=tmp_path / "new"), **options)
    again = so.solve_sample(x, y, init=tmp_path / "new", **options)
    assert len(list((tmp_path / "new").iterdir())) == 3
    assert again.n_iter <= 2 and abs(again.value - first.value) <= 1e-6 * first.value


def test_many_dimensions_go_on_too(tmp_path, monkeypatch):
    """From sweeps over all pairs, of clouds whose padding was left out."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 8, generator=draw, dtype=torch.float64) for n in (402, 350))
    a = torch.full((402,), 1 / 400, dtype=torch.float64)
    x[400:], a[400:] = x[399], 0.0
    swept = []

    def watch(blur, error, tol):
        swept.extend(tmp_path.iterdir())
        if len(swept) > 12:
            raise ZeroDivisionError

    options = {"blur": 0.7, "tol": 1e-8}
    how = {"multilevel": True, "accelerate": False}
    with pytest.raises(ZeroDivisionError):
        so.solve_sample(
            x, y, a, solver=so.Sinkhorn(**how, progress=watch, checkpoint=tmp_path), **options
        )
    whole = so.solve_sample(x, y, a, solver=so.Sinkhorn(**how), **options)
    again = so.solve_sample(x, y, a, solver=so.Sinkhorn(**how), init=tmp_path, **options)
    assert again.converged and again.n_iter <= whole.reports[0].levels[-1].sweeps - 9
    assert abs(again.value - whole.value) <= 1e-9 * whole.value


@pytest.mark.parametrize("multilevel", [True, False])
def test_self_problems_are_kept_while_they_run(tmp_path, monkeypatch, multilevel):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    x, y = clouds()

    def watch(blur, error, tol):
        if (tmp_path / "potentials-2.npz").is_file():  # of the last problem, which has not ended
            raise ZeroDivisionError

    how = {"multilevel": multilevel, "engine": "numba"}
    options = {"blur": 0.1, "tol": 1e-8, "debias": True}
    with pytest.raises(ZeroDivisionError):
        so.solve_sample(
            x, y, solver=so.Sinkhorn(**how, progress=watch, checkpoint=tmp_path), **options
        )
    again = so.solve_sample(x, y, solver=so.Sinkhorn(**how), init=tmp_path, **options)
    whole = so.solve_sample(x, y, solver=so.Sinkhorn(**how), **options)
    assert abs(again.value - whole.value) <= 1e-6 * whole.value


def test_nothing_is_written_before_it_is_time(tmp_path, monkeypatch):
    """A solve that takes less than a minute writes once, when it has ended."""
    written, true = [], checkpoint.Checkpoint.write
    monkeypatch.setattr(
        checkpoint.Checkpoint, "write", lambda self, *both: (written.append(1), true(self, *both))
    )
    so.solve_sample(*clouds(), blur=0.1, solver=so.Sinkhorn(multilevel=True, checkpoint=tmp_path))
    assert written == [1]


def test_bad_folders_are_refused(tmp_path):
    x, y = clouds(50, 40)
    with pytest.raises(ValueError, match="init: got .*a folder with potentials"):
        so.solve_sample(x, y, blur=0.1, init=tmp_path / "none")
    so.solve_sample(x, y, blur=0.1, solver=so.Sinkhorn(checkpoint=tmp_path))
    with pytest.raises(ValueError, match="potentials of 50 and 40 points in .* 40 and 50"):
        so.solve_sample(y, x, blur=0.1, init=tmp_path)
    with pytest.raises(ValueError, match="init: got a folder, with a batch of clouds, wanted one"):
        so.solve_sample(torch.stack((x, x)), y.expand(2, 40, 3), blur=0.1, init=tmp_path)
    with pytest.raises(ValueError, match="2 pairs of clouds, with checkpoint"):
        so.solve_sample(
            torch.stack((x, x)),
            y.expand(2, 40, 3),
            blur=0.1,
            solver=so.Sinkhorn(checkpoint=tmp_path),
        )
    with np.load(tmp_path / "potentials-0.npz") as file:
        assert file["f"].shape == (50,) and float(file["blur"]) == 0.1
