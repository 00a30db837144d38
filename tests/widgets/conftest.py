"""Clouds to show, and Node to run the JavaScript of the viewers."""

import subprocess

import pytest
import torch

from tests import missing


@pytest.fixture
def two_clouds():
    """40 and 50 points of the plane."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 2, generator=generator)
    return x, torch.rand(50, 2, generator=generator) + 0.5


@pytest.fixture(scope="session")
def node():
    """Run Node with some arguments and return what it printed. In CI it must be there."""
    path = missing.required("node")

    def run(*arguments: str) -> str:
        done = subprocess.run([path, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
