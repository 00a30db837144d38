"""Kernels of trees, interpreted: see tests/engines/triton/__init__.py."""
