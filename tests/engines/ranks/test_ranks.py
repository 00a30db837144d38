"""Several processes of one group find what one process finds, and hear of each other's errors.

They are started once; each of the checks of :mod:`.losses` and :mod:`.results` is a test of its own.
"""

import subprocess
import sys
from functools import cache

import pytest
import torch

import sparseot as so
from sparseot import kernels
from tests.references.processes import WAIT, checks, outcomes

MODULES = [f"tests.engines.ranks.{name}" for name in ("losses", "results")]
NAMES = [(module, name) for module in MODULES for name in checks(module)]
outcomes = cache(outcomes)


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_three_ranks_one_of_them_empty(module, name):
    said = outcomes(",".join(MODULES), 3)[name]
    assert not said, said


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(("module", "name"), NAMES)
def test_other_numbers_of_ranks(module, name, size):
    said = outcomes(",".join(MODULES), size)[name]
    assert not said, said


def test_a_group_needs_an_initialised_package():
    assert not torch.distributed.is_initialized()
    x = torch.rand(5, 2)
    with pytest.raises(ValueError, match="init_process_group"):
        so.kernel_norm(x, x, kernel=kernels.Energy(), group="world")


def test_without_a_group_nothing_of_it_is_loaded():
    """Beyond what torch loads by itself."""
    code = (
        "import sys, torch; before = set(sys.modules); import sparseot as so; x = torch.rand(9, 2);"
        "so.solve_sample(x, x + 1, blur=0.5).value;"
        "print([m for m in set(sys.modules) - before if m.startswith('torch.distributed')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others(tmp_path):
    """Within the timeout of the group, with a sentence that says where they were."""
    from tests.references.processes import start

    processes = start("tests.engines.ranks.dying", 3, str(tmp_path))
    codes = [process.wait(3 * WAIT) for process in processes]
    assert codes[1] == 9 and codes[0] == codes[2] == 0
    for rank in (0, 2):
        text = (tmp_path / f"said{rank}").read_text()
        assert f"solve_sample: rank {rank} of 3 lost the others while it exchanged" in text
