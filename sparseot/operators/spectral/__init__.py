"""Eigenpairs of operators, and what they are used for: Laplacians of graphs, spectral coordinates."""
