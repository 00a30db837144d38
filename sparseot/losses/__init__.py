"""Losses between weighted clouds: kernel norms, Hausdorff and Sinkhorn divergences."""
