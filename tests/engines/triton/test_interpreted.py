"""The kernels on a CPU: Triton's interpreter is asked for before Triton is loaded, so by another process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TABLE = "tests/engines/test_conformance.py", "-k", "triton and not derivatives"
KEPT = "tests/engines/loops/test_kept.py", "-k", "triton"
HERE = ("tests/engines/triton/interpreted",)


def run(marks, *tests):
    """How many tests passed; any other outcome is shown."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marks, *tests]
    kind = {"cwd": ROOT, "env": os.environ | {"TRITON_INTERPRET": "1"}}
    done = subprocess.run(command, capture_output=True, text=True, **kind)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return int(re.search(r"(\d+) passed", done.stdout)[1])


def test_the_kernels_of_this_folder():
    assert run("not slow and not gpu", *HERE) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("tests", [TABLE, KEPT, HERE], ids=["table", "kept pairs", "here"])
def test_whole_tables(tests):
    """Derivatives of sums are sums of the same kernels: they are for a card."""
    assert run("slow" if tests is HERE else "not gpu", *tests) >= 4
