"""Bounds of a value, of its gradient, and of transport without regularisation."""
