"""Matrices that are never stored, and the one place where autograd meets the engines."""
