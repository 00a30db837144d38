"""Kernels of trees on a CPU: Triton's interpreter is asked for before Triton is loaded, so by another process."""

import pytest

from tests.engines.triton.test_interpreted import run

HERE = ("tests/engines/trees/triton/interpreted",)
TABLES = {
    "engines": ("tests/engines/trees/test_engines.py", "-k", "triton"),
    "random formulas": (
        "tests/lazy/test_random_formulas.py",
        "-k",
        "triton",
        "-W",
        "ignore:divide by zero:RuntimeWarning",
    ),  # fmt: skip
    "here": HERE,
}


def test_the_kernels_of_this_folder():
    assert run("not slow and not gpu", *HERE) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_whole_tables(table):
    """What other engines are asked, too."""
    assert run("slow" if table == "here" else "not gpu", *TABLES[table]) >= 4
