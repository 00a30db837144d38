"""Trees on CUDA devices: each formula becomes the source of a Triton kernel."""
