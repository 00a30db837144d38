"""Autograd for formulas that are trees: reductions, systems, and functions that were traced."""
