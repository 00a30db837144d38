"""Sums over the pixels of regular grids, one axis at a time."""
