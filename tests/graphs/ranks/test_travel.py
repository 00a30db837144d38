"""Queries that travel between processes find what one process finds; each check is a test of its own."""

from functools import cache

import pytest

from tests.references.processes import checks, outcomes

MODULE = "tests.graphs.ranks.search"
outcomes = cache(outcomes)


@pytest.mark.parametrize("name", checks(MODULE))
def test_two_ranks(name):
    said = outcomes(MODULE, 2)[name]
    assert not said, said


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("name", checks(MODULE))
def test_other_numbers_of_ranks(name, size):
    said = outcomes(MODULE, size)[name]
    assert not said, said
