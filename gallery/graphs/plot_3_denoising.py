r"""
Denoising a photograph with neighbours that are not near
========================================================

Noise in one pixel can be averaged away with pixels that show the same thing, wherever they are in
the picture. Who shows the same is a question of neighbours: not of places, but of small patches.
After this page you can let such a graph grow over the 273,280 pixels of a photograph, whose dense
matrix would take 299 GB, and train what it calls alike.

The method is that of non-local means (Buades, Coll and Morel, 2005) with a learnt descriptor.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["neighbour graph", "learning", "image"]

import matplotlib.pyplot as plt
import torch
from skimage.filters import gaussian
from sklearn.datasets import load_sample_image

from sparseot.nn import KNNGraph
from sparseot_widgets.figures import pictures, use_style

use_style()
generator = torch.Generator().manual_seed(0)


def photograph(name):
    """A photograph in grey, (H, W) in [0, 1], and the same with noise."""
    grey = torch.tensor(load_sample_image(name) / 255.0, dtype=torch.float32).mean(-1)
    return grey, grey + 0.15 * torch.randn(grey.shape, generator=generator)


clean, noisy = photograph("china.jpg")
pictures({"photograph": clean, "with noise": noisy})
plt.show()

# %%
# A graph of patches
# ------------------
# Each pixel is described by the 5 x 5 patch around it, slightly blurred, and by its place; a linear
# map W takes these 27 numbers to 6. In that space every pixel looks for its neighbours, and the
# denoised picture is a mean of noisy pixels over them, with Gaussian weights. The graph has
# 24 x 273,280 edges; six dimensions are few enough for an exact k-d tree.
#
# .. math:: \hat u = D^{-1} A u, \qquad A_{ij} = e^{-|W p_i - W p_j|^2 / 2 h^2}


def patches(image):
    """The descriptor of each pixel, (H * W, 27): its patch and its place."""
    smooth = torch.from_numpy(gaussian(image.numpy(), 1.0))
    padded = torch.nn.functional.pad(smooth[None, None], (2, 2, 2, 2), mode="reflect")
    place = torch.cartesian_prod(*(torch.arange(n) / 200 for n in image.shape))
    return torch.cat((torch.nn.functional.unfold(padded, 5)[0].T, place), 1)


def denoise(image):
    """Each pixel becomes a mean over its neighbours in the space of described patches."""
    return (graph(patches(image) @ W) @ image.reshape(-1)).view(image.shape)


# %%
# W starts as four principal axes of the patches of another photograph, and two for the place. It
# follows the gradient of the error on crops of that one; the picture above is only seen at the end.

other, other_noisy = photograph("flower.jpg")
p = patches(other_noisy)[::7, :25]
axes = torch.linalg.svd(p - p.mean(0), full_matrices=False)[2][:4]
W = torch.block_diag(axes.T, 4 * torch.eye(2)).requires_grad_()
graph = KNNGraph(24, bandwidth=0.15, learnable_bandwidth=True, loop=True, normalize="row")
with torch.no_grad():
    fixed = denoise(noisy)

optimiser = torch.optim.Adam([W, *graph.parameters()], lr=0.03)
for step in range(30):
    top, left = 60 * (step % 5), 70 * (step % 7)
    crop = (slice(top, top + 96), slice(left, left + 96))
    loss = (denoise(other_noisy[crop]) - other[crop]).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
with torch.no_grad():
    learnt = denoise(noisy)

blurred = torch.from_numpy(gaussian(noisy.numpy(), 1.0))
results = {"noisy": noisy, "blurred": blurred, "patches, fixed": fixed, "patches, learnt": learnt}
shown, part = {}, (slice(120, 320), slice(180, 480))
for name, image in results.items():
    error = (image - clean).square()  # the signal's peak is 1
    whole, here = (-10 * e.mean().log10() for e in (error, error[part]))
    shown[f"{name}: {here:.2f} dB here"] = image[part]
    print(f"peak signal to noise ratio of the whole picture, {name}: {whole:.2f} dB")
pictures(shown, columns=2)
plt.show()

# %%
# **What to see.** The blur pays for each bit of noise that it removes with a bit of edge. The graph
# averages along edges and across repetitions of the same motif, so the lines of the roofs stay; in
# the sky, where nothing repeats and nothing has to be kept, the blur is as good, and over the whole
# picture the two are close in decibels. Training decides how much a difference in each direction of
# patch space counts, and at which distance to stop; it gains little on the fixed axes, which are
# already those in which patches differ most.
#
# **What to try next.** ``method="forest"``: more dimensions of W, and an approximate graph; measure it
# with :func:`sparseot.knn_recall`.
#
# References
# ----------
# - Buades, Coll, Morel (2005). A non-local algorithm for image denoising. *CVPR*.
# - Plötz, Roth (2018). Neural nearest neighbors networks. *NeurIPS*.
