"""Kept pairs for angles on a sphere."""
