"""Softmins and plans over the pairs of blocks that matter, with bounds on all others."""
