"""Several processes of one group find what one process finds, and hear of each other's errors.

They are started once; each of the checks that they run is a test of its own.
"""

import subprocess
import sys
from functools import cache

import pytest
import torch

import sparseot as so
from sparseot import kernels
from tests.references import processes

MODULES = "tests.engines.ranks.losses,tests.engines.ranks.results,tests.graphs.ranks.search"
NAMES = list(processes.checks(MODULES))
outcomes = cache(processes.outcomes)


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks(name):
    said = outcomes(MODULES, 2)[name]
    assert not said, said


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_more_ranks_one_of_them_without_points(name, size):
    said = outcomes(MODULES, size)[name]
    assert not said, said


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others(tmp_path):
    """With a sentence that says where they waited."""
    started = processes.start("tests.engines.ranks.dying", 3, str(tmp_path))
    codes = [process.wait(3 * processes.WAIT) for process in started]
    assert codes == [0, 9, 0]
    for rank in (0, 2):
        text = (tmp_path / f"said{rank}").read_text()
        assert f"solve_sample: rank {rank} of 3 lost the others while it exchanged" in text


def test_a_group_needs_an_initialised_package():
    assert not torch.distributed.is_initialized()
    x = torch.rand(5, 2)
    with pytest.raises(ValueError, match="init_process_group"):
        so.kernel_norm(x, x, kernel=kernels.Energy(), group="world")


@pytest.mark.slow
def test_without_a_group_nothing_of_it_is_loaded():
    """Beyond what torch loads by itself."""
    code = (
        "import sys, torch; before = set(sys.modules); import sparseot as so; x = torch.rand(9, 2);"
        "so.solve_sample(x, x + 1, blur=0.5).value;"
        "print([m for m in set(sys.modules) - before if m.startswith('torch.distributed')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
