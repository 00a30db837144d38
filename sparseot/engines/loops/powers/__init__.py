"""Kept pairs for powers of the distance between the first and the second."""
