"""Draws the pictures of the first page: python docs/pictures.py

They are kept in the repository, so that the first page needs no tutorial to have run. Nothing in
them is white or black and what is empty is transparent: the same picture stands on the page in
light and in dark.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from PIL import Image
from skimage import data
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

import sparseot as so
from sparseot_widgets import gradient_flow
from sparseot_widgets.figures import place

OUT = Path(__file__).parent / "_static" / "home"
BLUE, ORANGE, GREY = "#2f8fd0", "#ee8a33", "#8b949e"
COLOURS = LinearSegmentedColormap.from_list(
    "both", ["#4f6fd8", "#2f9fd0", "#27b39a", "#8fb944", "#e2a93b", "#ee7f3f"]
)


def panels(*widths: float) -> tuple:
    """A figure of the size of a card, and its empty panels."""
    figure = plt.figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for ax in axes:
        ax.axis("off")
        ax.set_aspect("equal")
    return figure, *axes


def ink(ax, values, colour: str, *, top: float, power: float = 1.0) -> None:
    """A matrix in one colour, from nothing (transparent) to all of it."""
    image = np.empty((*values.shape, 4))
    image[..., :3] = to_rgb(colour)
    image[..., 3] = np.clip(values / top, 0, 1) ** power
    ax.imshow(image, interpolation="bilinear")


def man_and_horse(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = 0.5 * so.datasets.sample_image(data.camera() < 60, n, seed=1)
    y = 0.6 * so.datasets.sample_image(~data.horse(), n, seed=2) + torch.tensor([0.4, 0.45])
    return x, y


def kernels():
    """A rolled sheet in the colours of its first spectral coordinate, and a kernel matrix."""
    x = so.datasets.swiss_roll(6_000)
    first = so.spectral_embedding(x, 1, sigma=0.03).coordinates[:, 0]
    order = first.argsort()
    colour = COLOURS(order.argsort() / len(x))
    some = x[order[::12]]
    figure, cloud, matrix = panels(1.4, 1.0)
    far_first = (-x[:, 1]).argsort()
    x, colour = x[far_first], colour[far_first]
    cloud.scatter(x[:, 0] + 0.5 * x[:, 1], x[:, 2] + 0.32 * x[:, 1], c=colour, s=6, linewidths=0)
    K = so.KernelMatrix(so.kernels.Gaussian(0.1), some).to_dense().numpy()
    ink(matrix, K, BLUE, top=0.8, power=0.7)
    return figure


def graph():
    """Pictures of digits, joined to their neighbours in a space that was learnt."""
    torch.manual_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    pixels, digits = pixels[:700], digits[:700]
    x, labels = torch.as_tensor(pixels / 16, dtype=torch.float32), torch.as_tensor(digits)
    one_hot = torch.nn.functional.one_hot(labels, 10).float()
    W = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:16].T.clone().requires_grad_()
    layer = so.nn.KNNGraph(10, bandwidth=1.0, learnable_bandwidth=True, normalize="row")
    optimiser = torch.optim.Adam([W, *layer.parameters()], lr=0.02)
    for _ in range(4):
        guess = layer(x @ W) @ one_hot
        loss = -(guess * one_hot).sum(1).clamp(min=1e-4).log().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    z = (x @ W).detach()
    flat = TSNE(random_state=0, perplexity=120, early_exaggeration=4).fit_transform(z.numpy())
    near = layer(z).indices[:, :4]
    figure, ax = panels(1.0)
    ends = np.stack((np.repeat(flat, 4, 0), flat[near.reshape(-1)]), 1)
    colours = COLOURS((digits * 3 % 10) / 9)
    ax.add_collection(LineCollection(ends, colors=np.repeat(colours, 4, 0), lw=1.0, alpha=0.6))
    ax.scatter(*flat.T, c=colours, s=20, linewidths=0)
    ax.set_aspect("auto")
    return figure


def transport():
    """The pairs of most mass of a plan between clouds of 30,000 points."""
    x, y = man_and_horse(30_000)
    plan = so.solve_sample(x, y, blur=0.01).sparse_plan(1)
    rows = np.arange(0, len(x), 150)
    ends = np.stack((x[rows].numpy(), y[plan[rows].indices].numpy()), 1)
    figure, ax = panels(1.0)
    ax.scatter(*x[::4].T, c=BLUE, s=2.5, linewidths=0)
    ax.scatter(*y[::4].T, c=ORANGE, s=2.5, linewidths=0)
    ax.add_collection(LineCollection(ends, colors=GREY, lw=0.7, alpha=0.5))
    return figure


def flows():
    """One cloud on its way down two losses."""
    x, y = man_and_horse(1_000)
    figure, *axes = panels(1.0, 1.0)
    for ax, name in zip(axes, ("sinkhorn", "energy"), strict=True):
        loss = so.SamplesLoss(name, blur=0.05)
        z = gradient_flow(loss, x, y, [0.0, 1.0], step=0.05).clouds[1.0]
        ax.scatter(*y.T, c=GREY, s=5, linewidths=0, alpha=0.45)
        ax.scatter(*z.T, c=COLOURS(place(x)), s=8, linewidths=0)
    return figure


def hessian():
    """The Hessian of a Sinkhorn divergence: two colours for its signs."""
    x, y = (so.datasets.spiral(40, seed=seed).double() for seed in (0, 1))
    x = x[x[:, 0].argsort()]
    found = so.solve_sample(x, y, blur=0.1, debias=True, tol=1e-9)
    H = so.hessian(found, "x").to_dense().permute(1, 0, 3, 2).reshape(80, 80).numpy()
    top = np.quantile(np.abs(H), 0.985)
    figure, ax = panels(1.0)
    ink(ax, H, BLUE, top=top, power=0.6)
    ink(ax, -H, ORANGE, top=top, power=0.6)
    return figure


def viewers():
    """One plan at three values of a slider."""
    x, y = man_and_horse(300)
    figure, *axes = panels(1.0, 1.0, 1.0)
    for ax, blur, at in zip(axes, (0.02, 0.06, 0.18), (0.1, 0.5, 0.9), strict=True):
        P = so.solve_sample(x, y, blur=blur).plan
        P = P[place(x).argsort()][:, place(y).argsort()].numpy()
        ink(ax, P, BLUE, top=np.quantile(P, 0.995), power=0.5)
        ax.plot([10, 290], [340, 340], color=GREY, lw=3, solid_capstyle="round", alpha=0.6)
        ax.plot([10, 10 + 280 * at], [340, 340], color=ORANGE, lw=3, solid_capstyle="round")
        ax.plot(10 + 280 * at, 340, "o", color=ORANGE, ms=11)
        ax.set(xlim=(-4, 304), ylim=(365, -4))
    return figure


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for draw in (kernels, graph, transport, flows, hessian, viewers):
        if sys.argv[1:] and draw.__name__ not in sys.argv:
            continue
        file = OUT / f"{draw.__name__}.png"
        draw().savefig(file, dpi=125, transparent=True)
        Image.open(file).quantize(255, method=Image.Quantize.FASTOCTREE).save(file, optimize=True)
        print(file, f"{file.stat().st_size / 1e3:.0f} kB")
