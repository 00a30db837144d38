"""Tests of the kernels run where Triton interprets them, in a process of their own."""

from tests.engines.triton import INTERPRETED

collect_ignore = [] if INTERPRETED else ["interpreted"]
