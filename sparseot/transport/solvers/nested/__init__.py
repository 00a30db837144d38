"""Solves in many dimensions: between leaves of a tree first, and a last pass that tells all."""
