r"""
A learnt adjacency as an image
==============================

A matrix of neighbours can be looked at: rows and columns are points, a dot is an edge. If the points
are sorted by the cluster that they belong to, a good graph is a chain of blocks. After this page you
can read such pictures, and tell by them what training has done to a graph (Pata, 2020).
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["neighbour graph", "learning"]

import matplotlib.pyplot as plt
import torch

from sparseot.nn import KNNGraph
from sparseot_widgets import GraphViewer
from sparseot_widgets.figures import BLUE, use_style

use_style()
torch.manual_seed(0)
N, CLUSTERS = 800, 8

cluster = torch.arange(N) * CLUSTERS // N
x = torch.cat(
    (torch.randn(CLUSTERS, 2)[cluster] + 0.3 * torch.randn(N, 2), 2 * torch.randn(N, 6)), 1
)
W = torch.nn.Linear(8, 3, bias=False)
graph = KNNGraph(20, bandwidth=0.7, normalize="row")
one_hot = torch.nn.functional.one_hot(cluster, CLUSTERS).float()


def image(A):
    """The adjacency as an image: blocks of 8 x 8 entries summed."""
    return torch.nn.functional.avg_pool2d(A.to_dense()[None].detach(), 8)[0] * 64


optimiser = torch.optim.Adam(W.parameters(), lr=0.05)
seen, shares = {}, []
for step in range(101):
    A = graph(W(x))
    agreed = ((A @ one_hot) * one_hot).sum(1)
    shares.append(agreed.mean().item())
    if step in (0, 10, 100):
        seen[step] = image(A)
    loss = -(agreed + 1e-3).log().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

fig, axes = plt.subplots(1, 3, figsize=(10, 3.7), sharey=True)
for ax, (step, picture) in zip(axes, seen.items(), strict=True):
    ax.imshow(picture, cmap="gray_r", vmax=0.8, extent=(0, N, N, 0))
    ax.set(xlabel="point $j$", title=f"step {step}: {shares[step]:.0%} inside clusters")
axes[0].set_ylabel("point $i$")
plt.show()

# %%
# **What to see.** The grey haze is weight between points of different clusters, the blocks on the diagonal weight inside of one.
# After ten steps some clusters are still mixed, and the rows and columns of a block off the diagonal say which;
# after a hundred the image is nearly block diagonal. Points were sorted for the picture only: the search does not
# depend on their order.
#
# How it was learnt
# -----------------
# Two of the eight coordinates tell the clusters apart; six are louder and carry only noise. A linear map
# to three dimensions was trained through the weights of the graph,
#
# .. math:: \max_W \sum_i \log \sum_{j \in c(i)} \bar A_{ij}(W x),
#
# with :math:`\bar A` the adjacency with rows that sum to one and :math:`c(i)` the cluster of i. Which edges
# exist is found anew in each step; the gradient goes through the weights of those that do.

weights = W.weight.detach().norm(dim=0)
print("what W gives to the eight coordinates:", *(f"{w:.2f}" for w in weights.tolist()))

fig, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(shares, color=BLUE)
ax.set(xlabel="step", ylabel="weight inside clusters", ylim=(0, 1))
plt.show()

# %%
# W has found the two that count. What a step costs, and how many of the true neighbours a search finds where
# points are many, is in :doc:`/performance`.
#
# Try it
# ------
# The last graph, in two of the learnt coordinates, coloured by cluster. Point at a point to see its neighbours.

GraphViewer(graph(W(x)), W(x)[:, :2].detach(), labels=cluster, title="After training")

# %%
# **What to try next.** ``KNNGraph(5)``, and ``KNNGraph(80)``: what happens to the blocks when there are more neighbours than
# half a cluster has? A graph that is learnt from a few labels only:
# :ref:`sphx_glr_auto_gallery_graphs_plot_2_learned_metric.py`.
#
# References
# ----------
# - Pata (2020). SparseDistance, version 0.1. doi 10.5281/zenodo.4117570.
