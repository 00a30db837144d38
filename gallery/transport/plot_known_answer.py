r"""
The answer is known
===================

A thousand pictures of digits, each copied once; the copies are buried in noise and shuffled. Which copy belongs to
which picture? Transport between the two clouds gives an answer, and here, for once, the true one is known. After this page you
know what a small and a large blur get wrong, and what the certificate of a solver promises and what it cannot.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "blur", "certificate", "images"]

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

import sparseot as so
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import BLUE, GREEN, ORANGE, use_style

use_style()
x = torch.tensor(load_digits().data[:1000] / 16).float()  # 8 x 8 pixels, ink is 1
n, generator = len(x), torch.Generator().manual_seed(0)
true = torch.randperm(n, generator=generator)  # the copy of x[i] is y[true[i]]


def copies(noise):
    noisy = x + noise * torch.randn(x.shape, generator=generator)
    return noisy[true.argsort()]


y = copies(0.4)
solved = {blur: so.solve_sample(x, y, blur=blur) for blur in (0.1, 0.35, 0.9)}

all_right = torch.ones(n, dtype=torch.bool)
rows = {"picture": (x, all_right), "its copy": (y[true], all_right)}
for blur, found in solved.items():
    partner = found.plan.argmax(0)[true]  # the picture that gives most to the copy
    rows[f"blur {blur}"] = found.map(inverse=True)[true], partner == torch.arange(n)
fig, axes = plt.subplots(len(rows), 14, figsize=(9.4, 3.6))
for (name, (images, right)), line in zip(rows.items(), axes, strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for k, ax in enumerate(line, start=30):
        colours = "gray_r" if right[k] else "Oranges"
        ax.imshow(images[k].view(8, 8), cmap=colours, vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
plt.show()

# %%
# **What to see.** Each copy, a point with 64 coordinates, is replaced by the mean of its partners under the plan; it is
# orange where another picture than the true one gives most. At a blur of 0.1 that mean is one sharp picture, right or
# wrong; at 0.9 so many share that all look alike. In between, a copy that could belong to several pictures gets a
# mixture of them.
#
# Right, and how sure?
# --------------------
# The share of the mass that goes to the true partner is one judge. It does not see whether a plan knows what
# it does not know; a stricter judge asks how *surprised* the plan is by the truth. The number
#
# .. math:: \exp\Big(-\frac1n \sum_i \log \frac{P_{i \tau(i)}}{a_i}\Big), \qquad P_{ij} = a_i\, b_j\, e^{(f_i + g_j - C_{ij}) / \varepsilon},
#
# says among how many copies it leaves the choice: 1 if it is sure and right, n if it knows nothing,
# and more than n if it is sure and wrong. Only potentials are needed, no plan.

blurs = [0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8]


def judged(y, blur):
    """The share of the mass on true pairs, and the number of copies that are left to choose from."""
    found = so.solve_sample(x, y, blur=blur, tol=1e-2)
    cost = (x - y[true]).square().sum(1) / 2
    exponent = (found.potential_a + found.potential_b[true] - cost) / blur**2
    return (exponent.exp() / n).mean(), n * (-exponent.mean()).exp()


fig, axes = plt.subplots(1, 2, figsize=(10, 3.6))
for noise, colour in ((0.2, BLUE), (0.3, GREEN), (0.4, ORANGE)):
    noisy = y if noise == 0.4 else copies(noise)
    right, left = zip(*(judged(noisy, blur) for blur in blurs), strict=True)
    nearest = (torch.cdist(x, noisy).argmin(1) == true).float().mean()
    axes[0].semilogx(blurs, right, "o-", color=colour, label=f"noise {noise}")
    axes[0].axhline(nearest, color=colour, ls=":", lw=1.5)
    axes[1].loglog(blurs, left, "o-", color=colour)
    axes[1].axvline(noise, color=colour, ls="--", lw=1)
axes[0].set(ylim=(0, 1.05), xlabel="blur", title="mass on true pairs (dots: nearest copy)")
axes[1].set(ylim=(0.8, 300), xlabel="blur", title="copies left to choose from (dashes: noise)")
axes[0].legend(loc="lower left")
for ax in axes:
    ax.set_xticks(blurs[::2], blurs[::2])
    ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
plt.show()

# %%
# **What to see.** Who takes the *nearest* copy of each picture is soon lost: at a noise of 0.4 some copies are near to
# many pictures. A plan uses each copy once, and finds four times as many. And the judge on the right has its
# minimum where **the blur is about the noise**: for Gaussian noise, entropic transport at that blur is the method of
# maximum likelihood (Rigollet and Weed, 2018). Below it the plan is too sure of itself, above it too modest. Where the
# noise is small nothing can be confused, and any small blur will do.
#
# What a certificate promises
# ---------------------------
# A solver cannot know the truth. It certifies that *its problem* is solved: the value lies in an interval, whatever the clouds,
# and with it the least cost of all one-to-one pairings. The truth is one of those pairings, so it cannot cost less.

best = solved[0.1]
low, high = best.unregularised
truth = (x - y[true]).square().sum(1).mean() / 2
print(f"entropic value   {best.value:.4f}   in [{best.lower:.4f}, {best.upper:.4f}]")
print(f"least cost       in [{low:.4f}, {high:.4f}]")
print(f"cost of truth    {truth:.4f}")

# %%
# The truth costs *more* than the best pairing: it is not optimal, and solving still more exactly would not come any
# nearer. A narrow interval says that what remains is the fault of the question, here of the noise.
#
# Try it
# ------
# Both clouds in the plane that shows most of them. Move the blur through 0.4, and see the pairs let go of each other.

PlanViewer(x[:300], y[true[:300]], blur=0.2, title="Digits and their copies")

# %%
# **What to try next.** Noise that is no Gaussian, ``torch.rand``. Or leave out some copies, and let those
# without a partner go: ``reach=2``.
#
# References
# ----------
# - Rigollet, Weed (2018). Entropic optimal transport is maximum-likelihood deconvolution. *Comptes
#   Rendus Mathématique* 356.
# - Cuturi, Meng-Papaxanthos, Tian, Bunne, Davis, Teboul (2022). Optimal transport tools (OTT): a JAX
#   toolbox for all things Wasserstein. Its documentation matches images to blurred copies.
