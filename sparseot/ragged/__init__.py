"""Sets of different sizes: how they come, and how they are computed together."""
