r"""
A graph that learns which hits belong together
==============================================

A particle that enters a calorimeter leaves its energy in several places, and the detector reports
the deposits of all particles as one shuffled list. To tell the energy of its particle, a deposit
has to find the others. After this page you can put a graph of neighbours into a torch model, and
let it learn in which space to look for them. The toy is that of SparseDistance (Pata, 2020), the
idea that of GravNet (Qasim et al., 2019).
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["neighbour graph", "learning", "physics"]

import matplotlib.pyplot as plt
import torch
from matplotlib.collections import LineCollection
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from sparseot.datasets import calorimeter
from sparseot.nn import KNNGraph
from sparseot_widgets import GraphViewer
from sparseot_widgets.figures import GREEN, ORANGE, scatter, use_style

use_style()
events = [calorimeter(100, seed=seed) for seed in range(10)]
x = pad_sequence([deposits for deposits, _, _ in events], True)
truth = pad_sequence([energies[owner] for _, owner, energies in events], True)
mask = truth > 0  # padding is zero

first, owner = events[0][:2]
energy, place = first[:, 0].numpy(), first[:, 1:]
ax = plt.figure(figsize=(4.6, 4.6)).add_subplot()
scatter(ax, place, energy / energy.max())
ax.set(xlabel="$x_1$", ylabel="$x_2$", title=f"{len(first)} deposits, coloured by energy")
plt.show()

# %%
# The model
# ---------
# A deposit is three numbers, its energy and its place, and nobody tells the model which is which. A
# linear map W sends them to a space in which each deposit finds its nearest neighbours :math:`j`, and
# sums what a small network H says of them; R reads the energy off that sum:
#
# .. math:: m_i = \sum_{j} e^{-|W x_i - W x_j|^2 / 2 h^2} \, H(x_j), \qquad \hat E_i = R(x_i, m_i).
#
# The gradient of the loss reaches W and h through the weights of the edges; which edges exist is found
# anew at each step. The mask keeps the padding of small events out of the graph.


class Calorimeter(nn.Module):
    def __init__(self, neighbours, W, blind=False):
        super().__init__()
        self.W = nn.Parameter(W.clone())
        self.blind = blind  # neighbours are drawn at random
        self.graph = KNNGraph(neighbours, loop=True, bandwidth=0.1, learnable_bandwidth=True)
        self.say = nn.Sequential(nn.Linear(3, 16), nn.ELU())
        self.read = nn.Sequential(nn.Linear(3 + 16, 32), nn.ELU(), nn.Linear(32, 1))

    def forward(self, x, mask):
        A = self.graph(torch.rand_like(x) if self.blind else x @ self.W, mask=mask)
        return self.read(torch.cat((x, A @ self.say(x)), -1))[..., 0]


def error(model, e):
    """Root mean square over the deposits of some events."""
    return (model(x[e], mask[e]) - truth[e])[mask[e]].square().mean().sqrt()


def train(name, neighbours, W, learn=False, blind=False):
    """Fits eight events, one a step, and prints the error on the two others."""
    torch.manual_seed(0)
    model = Calorimeter(neighbours, W, blind)
    model.W.requires_grad_(learn)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.06)
    for step in range(150):
        optimiser.zero_grad()
        error(model, [2 + step % 8]).square().backward()
        optimiser.step()
    print(f"{name:>14}: error on new events {error(model, [0, 1]).item():.2f}")
    return model


alike = 0.25 * torch.eye(3)  # at first, energy and place count alike
train("no neighbours", 1, alike)
train("any neighbours", 12, alike, blind=True)
before = train("W kept", 12, alike)
after = train("W learnt", 12, alike, learn=True)
train("told the place", 12, torch.diag(torch.tensor([0.0, 3.0, 3.0])))
weights = (after.W / after.graph.bandwidth).norm(dim=1).tolist()
print("what W / h gives to energy, x_1 and x_2:", *(f"{w:.1f}" for w in weights))

# %%
# Now the graph: edges between deposits of one particle are green, others orange, as opaque as their
# weight. The purity is the share of the weight within particles, loops left out.

fig, axes = plt.subplots(1, 2, figsize=(9.0, 4.6))
for ax, model, name in zip(axes, (before, after), ("W kept", "W learnt"), strict=True):
    A = model.graph(first @ model.W)
    i, j = A.edge_index("target_to_source")
    w, same = A.edge_weight().detach(), owner[i] == owner[j]
    purity = w[same & (i != j)].sum() / w[i != j].sum()
    lines, colours = torch.stack((place[i], place[j]), 1), [(ORANGE, GREEN)[k] for k in same]
    ax.add_collection(LineCollection(lines, colors=colours, alpha=(w / w.max()).numpy()))
    scatter(ax, place, "black", size=4)
    ax.set(xticks=[], yticks=[], title=f"{name}: purity {purity:.0%}")
plt.show()

# %%
# **What to see.** Where energies count like places, the neighbours of a deposit are others of
# the same energy, which helps no more than none. Nor do *any neighbours*, drawn at random at each step:
# what counts is which neighbours, not how many. Training turns W away from the energy, until edges across particles
# are long and their weights small, and comes near the model that was told the place.
#
# **What to try next.** Start at ``torch.eye(3)``: why does W learn more slowly? And point at a deposit
# below to see its neighbours in the learnt space; lower K, or choose a bandwidth.

GraphViewer(after.graph(first @ after.W), place, labels=owner, title="Deposits of one event")

# %%
# References
# ----------
# - Pata (2020). SparseDistance, version 0.1. doi 10.5281/zenodo.4117570.
# - Qasim, Kieseler, Iiyama, Pierini (2019). Learning representations of irregular
#   particle-detector geometry with distance-weighted graph networks. *European Physical Journal C*.
