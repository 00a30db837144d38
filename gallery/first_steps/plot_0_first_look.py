"""
A first look: move the blur
===========================

Mass is carried from the blue points to the orange ones at the least cost, and the lines show how much goes from
where to where. ``blur`` is the size of the details that the plan does not resolve: move its slider to the left, and
each point has one partner; move it to the right, and all share with all. ``reach`` is a length: mass that would
have to go farther is not carried at all.
"""

# sphinx_gallery_tags = ["sinkhorn", "transport", "viewer", "2D"]

import torch
from skimage import data

from sparseot.datasets import sample_image
from sparseot_widgets import PlanViewer

x = 0.5 * sample_image(data.camera() < 60, 400, seed=1)
y = 0.6 * sample_image(~data.horse(), 400, seed=2) + torch.tensor([0.4, 0.45])

PlanViewer(x, y, blur=0.05, title="A man and a horse")
