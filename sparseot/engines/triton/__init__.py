"""Sums over pairs on a CUDA device, by kernels written in Triton."""
