"""Precision and threads are ours inside of a public function, and its caller's around it."""

import inspect

import pytest
import torch

from sparseot.engines.openmp import own_settings
from tests.engines.test_openmp import TOLD


@own_settings
def inside(x, *, fail=False):
    """What it sees."""
    if fail:
        raise ValueError("bad")
    return torch.is_autocast_enabled("cpu"), torch.get_num_threads(), x


@pytest.mark.skipif(not TOLD, reason="OpenMP's symbols are not found on this system")
def test_both_are_set_and_given_back(shared):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with torch.autocast("cpu", torch.bfloat16):
            assert inside(5) == (False, 1, 5)
            assert torch.is_autocast_enabled("cpu") and torch.get_num_threads() == 3
            with pytest.raises(ValueError, match="bad"):
                inside(5, fail=True)
            assert torch.is_autocast_enabled("cpu") and torch.get_num_threads() == 3
        assert inside(5) == (False, 1, 5)
    finally:
        torch.set_num_threads(before)


def test_the_function_keeps_its_name_its_words_and_its_signature():
    assert (inside.__name__, inside.__doc__) == ("inside", "What it sees.")
    assert str(inspect.signature(inside)) == "(x, *, fail=False)"
