"""Several processes of one group find what one process finds, and hear of each other's errors.

They are started once; each of the checks that they run is a test of its own.
"""

import copy
import re
import subprocess
import sys
import weakref
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.engines.ranks.rows import SharedRows
from sparseot.formulas import Symbolic
from tests.engines.ranks import dying
from tests.references import processes

MODULES = ",".join(
    [
        *(f"tests.engines.ranks.{name}" for name in ("losses", "results", "owned", "angles")),
        "tests.graphs.ranks.search",
    ]
)
NAMES = list(processes.checks(MODULES))
outcomes = cache(processes.outcomes)
pytestmark = pytest.mark.timeout(processes.LONGEST + 300)  # the first test waits for all checks


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
def test_eight_ranks_most_of_them_with_few_points_or_none():
    said = outcomes("tests.engines.ranks.crowd", 8)["check_tiny_and_empty_shards"]
    assert not said, said


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_a_rank_that_dies_ends_the_others(tmp_path, size):
    """With a sentence that says which, and where they waited; from what was kept, one process goes on."""
    started = processes.start("tests.engines.ranks.dying", size, str(tmp_path))
    codes = [process.wait(3 * processes.WAIT) for process in started]
    assert codes == [0, 9, 0][:size]
    for rank in (0, 2)[: size - 1]:
        text = (tmp_path / f"said{rank}").read_text()
        assert f"solve_sample: rank {rank} of {size} lost the others while it exchanged" in text
        assert "nothing was heard within 3 s from rank 1;" in text
    x, y = dying.clouds()
    how = so.Sinkhorn(multilevel=True, accelerate=False)
    options = {"blur": dying.BLUR, "tol": 1e-6, "solver": how}
    whole = so.solve_sample(x, y, **options)
    again = so.solve_sample(x, y, init=tmp_path / "kept", **options)
    assert again.converged and again.n_iter <= whole.reports[0].levels[-1].sweeps - 9
    assert abs(again.value - whole.value) <= 1e-8 * whole.value


def test_a_group_needs_an_initialised_package():
    assert not torch.distributed.is_initialized()
    x = torch.rand(5, 2)
    with pytest.raises(ValueError, match="init_process_group"):
        so.kernel_norm(x, x, kernel=kernels.Energy(), group="world")


def test_a_group_of_one_process():
    """Finds what the process finds without it."""
    distributed = torch.distributed
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        x, y, how = torch.rand(700, 3), torch.rand(600, 3), so.Sinkhorn(multilevel=True)
        here = {"blur": 0.05, "solver": how}
        found = so.solve_sample(x, y, group=distributed.group.WORLD, **here)
        assert "(1 ranks) on kept pairs" in found.reports[0].engine
        assert abs(found.value - so.solve_sample(x, y, **here).value) <= 1e-6 * found.value
    finally:
        distributed.destroy_process_group()


def test_a_destroyed_group_is_gone_whatever_is_kept():
    """What holds it would keep its threads until Python ends, and these may end it with an abort."""
    distributed = torch.distributed
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        group = distributed.group.WORLD
        x, loss = torch.rand(60, 2, requires_grad=True), so.SamplesLoss(group=group)
        kept = [loss, copy.deepcopy(loss), loss(x, x.detach() + 1)]
        kept += [so.solve_sample(x, x + 1, blur=0.1, group=group)]
        kept += [
            so.solve_sample(x, x + 1, blur=0.1, group=group, solver=so.Sinkhorn(multilevel=True))
        ]
        kept += [so.KernelMatrix(kernels.Gaussian(0.3), x, group=group)]
        assert loss.group is group
        loss.group = distributed.GroupMember.NON_GROUP_MEMBER  # as on ranks that never call it
        assert so.SamplesLoss(group=loss.group).group is loss.group
        loss.group = group
        held = weakref.ref(group)
        del group
    finally:
        distributed.destroy_process_group()
    assert held() is None and len(kept) == 6
    with pytest.raises(RuntimeError, match="destroyed.*Take what you need"):
        kept[3].map()
    with pytest.raises(RuntimeError, match="destroyed"):
        loss(x, x + 1)


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


@pytest.mark.slow
def test_the_program_of_the_guide(tmp_path):
    """Two processes that torchrun starts map what one process maps."""
    page = (Path(__file__).parents[3] / "docs/guide/many-machines.md").read_text()
    program = re.search(r"```python\n(# solve.py\n.*?)```", page, re.S)[1]
    (tmp_path / "solve.py").write_text(program)
    x, y = torch.rand(301, 3), torch.rand(200, 3)
    for name, points in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", points.numpy())
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "solve.py"]
    told = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Transport: entropic transport, 301 x 200 points in dimension 3")
    found = np.concatenate([np.load(tmp_path / f"map{rank}.npy") for rank in (0, 1)])
    np.testing.assert_allclose(found, so.solve_sample(x, y, blur=0.01).map().numpy(), atol=1e-5)


def test_what_is_not_shared_is_refused():
    class Two:
        size = 2

    shared, x = SharedRows(load("tiles"), Two()), torch.rand(1, 5, 2)
    assert "(2 ranks)" in repr(shared)
    assert shared.refuses(kernels.Gaussian(1.0), x) is None
    assert "KeOps formulas" in shared.refuses(Symbolic("SqDist(X,Y)"), x)
    assert "Block pairs" in shared.refuses(kernels.Gaussian(1.0), x, object())
