"""Every kernel is compiled for two generations of cards, without one at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def compiled(capability, part, *options):
    """The figures of all kernels of a part, of which none spills or wants more shared memory than a block may have."""
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "gpu.report", "--json", "--capability", capability]
    done = subprocess.run(
        [*command, "--parts", part, *options], cwd=BENCHMARKS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found) > 10
    for name, row in found.items():
        assert row["spills"] == 0 and row["registers"] <= 255, name
        assert row["shared"] <= row["room"], name
        assert row["atomics"] == 0, name  # equal input gives equal bits
    return found


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["80", "90"])
def test_kernels_fit_their_cards(capability):
    """Their inner loops stay as lean as they are."""
    found = compiled(capability, "kernels")
    if capability == "90":
        assert 0.8 * found["softmin, D = 3"]["ceiling"] > 2.5e12
        assert 0.8 * found["softmin, D = 64"]["ceiling"] > 1e12
        assert 0.8 * found["softmin, D = 16"]["ceiling"] > 2e12
        assert found["softmin, D = 3"]["clocks"]["issue"] < 11
        kept = found["kept pairs, D = 3"]["ceiling"]
        assert kept > 0.7 * found["softmin, D = 3"]["ceiling"]
        names = ("softmin and its gradient", "softmin", "plan times 4 columns")
        together, first, second = (1 / found[f"{name}, D = 3"]["ceiling"] for name in names)
        assert together < 0.8 * (first + second)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["80", "90"])
def test_formulas_fit_their_cards(capability):
    found = compiled(capability, "formulas")
    if capability == "90":
        assert 0.8 * found["formula: Gaussian"]["ceiling"] > 2e12
        assert 0.8 * found["formula: logsumexp"]["ceiling"] > 1.5e12
        assert 0.8 * found["formula: attention, 64 coordinates, 64 columns"]["ceiling"] > 1e11


@pytest.mark.slow
@pytest.mark.parametrize(("part", "least"), [("kernels", 60), ("formulas", 35)])
@pytest.mark.parametrize("capability", ["80", "90"])
def test_tiles_that_a_clock_may_choose_fit_their_cards(capability, part, least):
    """None is a mistake, whichever is the fastest there."""
    found = compiled(capability, part, "--candidates")
    assert len(found) > least
    assert any(row["warps"] == 4 for row in found.values())
