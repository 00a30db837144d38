r"""
A graph that learns which hits belong together
==============================================

A particle that enters a calorimeter leaves its energy in several places, and the detector reports
the deposits of all particles as one shuffled list. To measure a particle, its deposits have to be
found and summed. After this page you can put a graph of neighbours into a torch model, train the
space in which it is drawn, and say what the graph has learnt.

The toy is that of SparseDistance (Pata, 2020), after GravNet (Qasim et al., 2019), with three
changes: deposits are shuffled, events are padded under a mask, and nothing is claimed without a
comparison: to the same model without a graph, and with a random graph.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["neighbour graph", "learning", "physics"]

import matplotlib.pyplot as plt
import torch
from matplotlib.collections import LineCollection
from torch.nn.utils.rnn import pad_sequence

from sparseot.datasets import calorimeter
from sparseot.nn import KNNGraph
from sparseot_widgets.figures import BLUE, GREEN, GREY, ORANGE, RED, scatter, use_style

use_style()


def target(deposits, owner, energies):
    """The energy of the particle at its largest deposit, NaN at all others."""
    energy = deposits[:, 0]
    largest = torch.zeros(len(energies)).scatter_reduce(0, owner, energy, "amax")
    return energies[owner].where(energy == largest[owner], torch.nan)


events = [calorimeter(250, seed=seed) for seed in range(8)]
x = pad_sequence([deposits for deposits, _, _ in events], True, torch.nan)
particle = pad_sequence([owner for _, owner, _ in events], True, -1)
truth = pad_sequence([target(*event) for event in events], True, torch.nan)
mask, asked = particle >= 0, truth.isfinite()

fig, ax = plt.subplots(figsize=(5.4, 5.0))
first = x[0][mask[0]]
discs = scatter(ax, first[:, 1:], size=8)
discs.set(array=first[:, 0].numpy(), cmap="viridis")
fig.colorbar(discs, shrink=0.85, label="energy of a deposit")
ax.set(xlabel="$x_1$", ylabel="$x_2$", title=f"one event: {len(first):,} deposits, unsorted")
plt.show()

# %%
# The model
# ---------
# A small network S moves each deposit in a space that starts as the two coordinates. There every
# deposit finds its nearest neighbours :math:`j`, and sums what another network says of them:
#
# .. math:: m_i = \sum_{j} e^{-|s_i - s_j|^2 / 2 h^2} \, H(x_j), \qquad \hat E_i = R(x_i, m_i).
#
# The gradient of the loss reaches S through the weights of the edges; which edges exist is found
# anew at each step. Padding is full of NaN on purpose: the mask keeps it out of the graph.


def network(inputs, outputs):
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, 32), torch.nn.ELU(), torch.nn.Linear(32, outputs)
    )


class Calorimeter(torch.nn.Module):
    """Deposits (B, N, 3) to energies (B, N), with the graph "none", "random" or "learnt"."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.space, self.read = kind, network(3, 4), network(3 + 16, 1)
        self.features = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ELU())
        self.graph = KNNGraph(12, loop=True, bandwidth=0.03, learnable_bandwidth=True)

    def adjacency(self, x, mask):
        if self.kind == "random":
            return self.graph(torch.rand(*x.shape[:-1], 4), mask=mask)
        plane = torch.nn.functional.pad(x[..., 1:], (0, 2))
        return self.graph(plane + 0.02 * self.space(x), mask=mask)

    def forward(self, x, mask):
        x = x.where(mask[..., None], 0)
        h = self.features(x)
        message = torch.zeros_like(h) if self.kind == "none" else self.adjacency(x, mask) @ h
        return self.read(torch.cat((x, message), -1))[..., 0]


def error(model, e):
    """Root mean square error of the energies in some of the events."""
    return (model(x[e], mask[e]) - truth[e])[asked[e]].square().mean().sqrt()


def train(kind):
    """Fits six events, one a step; returns the model and its error on the two others."""
    torch.manual_seed(0)
    model, errors = Calorimeter(kind), []
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(150):
        optimiser.zero_grad()
        error(model, [2 + step % 6]).square().backward()
        optimiser.step()
        if step % 15 == 14:
            errors.append(error(model, [0, 1]).item())
    return model, errors


runs = {kind: train(kind) for kind in ("none", "random", "learnt")}
torch.manual_seed(0)
models = {"before": Calorimeter("learnt"), "after": runs["learnt"][0]}
print(f"standard deviation of the energies: {truth[:2][asked[:2]].std():.2f}")
for kind, (_, errors) in runs.items():
    print(f"graph: {kind:>6}, error of the energy on new events: {errors[-1]:.2f}")

# %%
# What the graph has learnt
# -------------------------
# Edges that join two deposits of one particle are green, others orange; opacity is their weight.
# The purity is the share of the weight within particles, loops left out.

fig, axes = plt.subplots(1, 3, figsize=(11.4, 3.9), width_ratios=(1, 1, 1.1))
for ax, (when, model) in zip(axes[:2], models.items(), strict=True):
    A = model.adjacency(first[None], None)
    centre, neighbour = A.edge_index("target_to_source")
    w, owner, place = A.edge_weight().detach(), particle[0], first[:, 1:]
    same = owner[centre] == owner[neighbour]
    purity = w[same & (centre != neighbour)].sum() / w[centre != neighbour].sum()
    inside = (place[centre].abs() < 0.3).all(-1)
    for mine, colour in ((inside & ~same, ORANGE), (inside & same, GREEN)):
        lines = torch.stack((place[centre], place[neighbour]), 1)[mine].numpy()
        ax.add_collection(LineCollection(lines, colors=colour, alpha=(w / w.max())[mine].numpy()))
    scatter(ax, place, GREY, size=6)
    ax.set(xlim=(-0.3, 0.3), ylim=(-0.3, 0.3), xticks=[], yticks=[])
    ax.set_title(f"{when} training: purity {purity:.0%}")
for (kind, (_, errors)), style in zip(runs.items(), (":", "--", "-"), strict=True):
    colour = {"none": GREY, "random": RED, "learnt": BLUE}[kind]
    axes[2].plot(range(15, 151, 15), errors, style, color=colour, label=f"graph: {kind}")
axes[2].set(xlabel="training step", ylabel="error of the energy (RMS)", ylim=(0, None))
axes[2].legend()
plt.show()

# %%
# **What to see.** Without a graph the model knows one deposit of the particle, and a random graph
# adds nothing. The learnt one takes a good part of the error away: the space moves deposits so that
# edges across particles become long, and their weights small.
#
# **What to try next.** ``bandwidth=1.0``: the weights are all alike at first, and the graph learns
# more slowly. Or a :class:`sparseot.nn.GravNetConv` in place of the model's own sum.
#
# References
# ----------
# - Pata (2020). SparseDistance, version 0.1. doi 10.5281/zenodo.4117570.
# - Qasim, Kieseler, Iiyama, Pierini (2019). Learning representations of irregular
#   particle-detector geometry with distance-weighted graph networks. *European Physical Journal C*.

# %%
# Look around
# -----------
# The same part of the event, with the graph in the space that was learnt: point at a deposit to see its
# neighbours. Lower K, or give the edges a bandwidth of your own, and see what stays within a particle.

from sparseot_widgets import GraphViewer

part = (first[:, 1:].abs() < 0.3).all(1)
A = runs["learnt"][0].adjacency(first[part], None)
labels = particle[0][mask[0]][part]
GraphViewer(A, first[part, 1:], labels=labels, title="Deposits of one event")
