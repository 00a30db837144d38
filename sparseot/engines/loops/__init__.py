"""Loops that are compiled at their first call, and the torch loops that stand in for them."""
