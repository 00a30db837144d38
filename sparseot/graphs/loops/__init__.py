"""Compiled loops of the neighbour searches; they are imported at the first search on a CPU.

Arrays are flat with explicit offsets, since a slice in a hot loop bumps a reference count that
all threads share, and indices are unsigned, since signed ones carry a test for negative values
that prevents vector loads. No infinity and no NaN may enter.
"""
