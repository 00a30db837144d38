"""Nearest-neighbour search, the sparse adjacencies that it gives, and layers made of them."""
