"""Sums over a plan, and of the derivatives of its cost, which second derivatives are made of."""
