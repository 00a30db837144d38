"""Clouds to show, and Node to run the JavaScript of the viewers."""

import os
import shutil
import subprocess

import pytest
import torch


@pytest.fixture
def two_clouds():
    """40 and 50 points of the plane."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 2, generator=generator)
    return x, torch.rand(50, 2, generator=generator) + 0.5


@pytest.fixture(scope="session")
def node():
    """Run Node with some arguments and return what it printed. In CI it must be there."""
    path = shutil.which("node")
    if path is None and os.environ.get("CI") == "true":
        pytest.fail("Node is not installed, and here it is required", pytrace=False)
    if path is None:
        pytest.skip("Node is not installed")

    def run(*arguments: str) -> str:
        done = subprocess.run([path, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
