"""Clouds in blocks of neighbouring points: how they are cut and held, by ranks too, and coarse ones."""
