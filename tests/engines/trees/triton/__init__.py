"""Kernels for trees: interpreted in a process of their own, and compiled without a card by the report."""
