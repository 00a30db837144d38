"""``python -m sparseot.command solve``: files in, files out, by one process and by two."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import sparseot as so
from sparseot.command.shards import Shards, part_of, write_json
from sparseot.command.solve import main


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(3)
    x, y = random.random((700, 3)), 0.3 + random.random((500, 3))
    a = random.random(700)
    np.save(tmp_path / "x.npy", x)
    for k, part in enumerate(np.split(y, [100, 350])):
        np.save(tmp_path / f"y-{k}.npy", part)
    np.save(tmp_path / "a.npy", a / a.sum())
    np.save(tmp_path / "b.npy", np.full(500, 1 / 500))
    return tmp_path


def command(folder, *more):
    files = [str(folder / "x.npy"), str(folder / "y-*.npy"), "--a", str(folder / "a.npy")]
    files += ["--b", str(folder / "b.npy"), "--out", str(folder / "plan")]
    return ["solve", *files, "--blur", "0.1", "--quiet", *more]


def whole(folder, told, name):
    """An answer put together as plan.json says."""
    parts = told["files"][name]
    found = [np.load(folder / "plan" / part["file"]) for part in parts]
    assert [part["rows"][1] - part["rows"][0] for part in parts] == [*map(len, found)]
    return np.concatenate(found)


def check(folder):
    told = json.loads((folder / "plan" / "plan.json").read_text())
    x, a = np.load(folder / "x.npy"), np.load(folder / "a.npy")
    y = np.concatenate([np.load(folder / f"y-{k}.npy") for k in range(3)])
    wanted = so.solve_sample(x, y, a, np.full(500, 1 / 500), blur=0.1)
    for name in ("value", "lower", "upper", "residual"):
        assert told[name] == pytest.approx(getattr(wanted, name), rel=1e-8)
    assert told["points"] == [700, 500] and told["converged"] is True and told["blur"] == 0.1
    for name in ("potential_a", "potential_b"):
        np.testing.assert_allclose(whole(folder, told, name), getattr(wanted, name), atol=1e-9)
    np.testing.assert_allclose(whole(folder, told, "map_a"), wanted.map(), atol=1e-9)
    np.testing.assert_allclose(whole(folder, told, "map_b"), wanted.map(inverse=True), atol=1e-9)
    return told


def test_one_process(folder, capsys):
    assert main(command(folder)) == 0
    assert "converged: marginals off by" in capsys.readouterr().out
    first = check(folder)
    assert main(command(folder, "--resume", "--no-maps")) == 0
    again = json.loads((folder / "plan" / "plan.json").read_text())
    assert again["sweeps"] < first["sweeps"] and [*again["files"]] == ["potential_a", "potential_b"]


@pytest.mark.slow
def test_two_processes(folder):
    """Which torchrun starts; one that does not find its files ends all of them."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    start, env = [*start, "-m", "sparseot.command"], os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run([*start, *command(folder)], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("converged: marginals off by") == 1
    assert check(folder)["processes"] == 2
    (folder / "b.npy").unlink()
    run = subprocess.run([*start, *command(folder)], env=env, capture_output=True, text=True)
    assert run.returncode and run.stderr.count("sparseot solve: b: got") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--b", "nothing-*.npy"], "b: got 'nothing-*.npy', where no file is"),
        (["--b", "FOLDER/x.npy"], "b: got 700 weights, wanted 500"),
        (["--a", "FOLDER/notes.txt"], "notes.txt', which NumPy does not read"),
        (["--a", "FOLDER/empty.npy"], "empty.npy', which NumPy does not read"),
        (["--a", "FOLDER/zip.npy"], "zip.npy', which NumPy does not read"),
        (["--blur", "-1"], "blur"),
        (["--a", "FOLDER/parts"], "rows as in"),
    ],
)
def test_errors_are_one_sentence(folder, capsys, words, sentence):
    (folder / "notes.txt").write_text("no array")
    (folder / "empty.npy").write_bytes(b"")
    (folder / "zip.npy").write_bytes(b"PK\x03\x04junk")
    (folder / "parts").mkdir()
    np.save(folder / "parts" / "0.npy", np.ones(3))
    np.save(folder / "parts" / "1.npy", np.ones((3, 2)))
    words = [word.replace("FOLDER", str(folder)) for word in words]
    assert main(command(folder, *words)) == 2
    said = capsys.readouterr().err
    assert said.startswith("sparseot solve: ") and sentence in said and said.count("\n") == 1


def test_what_is_not_met_is_told(folder):
    with pytest.warns(RuntimeWarning, match="marginals are off"):
        assert main(command(folder, "--tol", "1e-9", "--max-sweeps", "1")) == 1
    assert json.loads((folder / "plan" / "plan.json").read_text())["converged"] is False


def test_json_has_no_words_for_what_is_not_finite(tmp_path):
    write_json(tmp_path / "plan.json", {"upper": float("inf"), "value": float("nan"), "lower": 1.5})
    text = (tmp_path / "plan.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "upper": None,
        "value": None,
        "lower": 1.5,
    }


def test_help_says_what_is_written(capsys):
    with pytest.raises(SystemExit) as end:
        main(["solve", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "torchrun --nproc-per-node 4 -m sparseot.command solve" in said and "plan.json" in said


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_shards_of_any_ranks_make_the_whole(folder, size):
    y = Shards.of("y", str(folder / "y-*.npy"))
    assert len(y) == 500 and y.ends == [0, 100, 350, 500]
    found = [y.read(part_of(500, rank, size)) for rank in range(size)]
    np.testing.assert_array_equal(
        np.concatenate(found), np.concatenate([np.load(folder / f"y-{k}.npy") for k in range(3)])
    )
    few = Shards.of("b", str(folder / "b.npy"))
    assert few.read(part_of(3, 0, 4)).shape == (0,) and y.read(range(0)).shape == (0, 3)
