"""Each test compiles anew."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _afresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
