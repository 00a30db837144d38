"""
A first look: move the blur
===========================

Earth is carried from the blue points to the orange ones, at the least cost, and the lines show who
sends how much to whom. ``blur`` is the size of the details that this plan does not look at: move
its slider to the left and every point finds its own partner, move it to the right and all share
with all. ``reach`` is the length beyond which a point rather gives up its earth than carry it.
"""

# sphinx_gallery_tags = ["sinkhorn", "transport", "viewer", "2D"]

import torch
from skimage import data

from sparseot.datasets import sample_image
from sparseot_widgets import PlanViewer

x = 0.5 * sample_image(data.camera() < 60, 400, seed=1)
y = 0.6 * sample_image(~data.horse(), 400, seed=2) + torch.tensor([0.4, 0.45])

PlanViewer(x, y, blur=0.05, title="A man and a horse")
