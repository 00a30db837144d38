r"""
Few pairs matter: how multilevel transport works, and how to choose a blur
==========================================================================

Twenty thousand points on either side have four hundred million pairs, and a plan at small blur
lives on few of them. After this page you know how they are found before the plan is known, what the
solver does at each temperature, and what a smaller blur costs and gains (Schmitzer, 2019; Feydy,
2020, section 3.3).
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "multilevel", "blur", "2D"]

import matplotlib.pyplot as plt
import numpy as np
import torch

import sparseot as so
from sparseot_widgets.figures import scatter, use_style

use_style()
generator = torch.Generator().manual_seed(0)
n = 20_000
angle, radius = 2 * torch.pi * torch.rand(2, n, generator=generator)
radius = 0.25 + 0.04 * torch.randn(n, generator=generator)
x = torch.stack((0.5 + radius * angle.cos(), 0.5 + radius * angle.sin()), 1)
centres = torch.tensor([[0.2, 0.25], [0.85, 0.3], [0.55, 0.9]])
pick = torch.randint(3, (n,), generator=generator)
y = centres[pick] + 0.05 * torch.randn(n, 2, generator=generator)

found = so.solve_sample(x, y, blur=0.01, tol=1e-3)
print(found)

fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharex=True, sharey=True)
shown = slice(0, 3000)
for ax, share in zip(axes, (0.0, 0.5, 1.0), strict=True):
    moved = (1 - share) * x + share * found.map()
    scatter(ax, y[shown], size=2, alpha=0.25)
    dots = scatter(ax, moved[shown], size=3, alpha=1)
    dots.set(array=angle[shown].numpy(), cmap="twilight", facecolor=None)
    ax.set(title=f"$(1-t)\\,x + t\\,T(x)$, t = {share:g}", aspect="equal", xlabel="$x_1$")
axes[0].set_ylabel("$x_2$")
plt.show()

# %%
# From coarse to fine
# -------------------
# The temperature :math:`\varepsilon = \text{blur}^2` falls from the square of the diameter. At each
# one, points closer than the blur look alike, so the centroids of cells stand for them; only the last
# temperatures see the points. A tile is a pair of blocks of 32 points, and it is visited if a bound
# on its boxes says that the plan may be there: potentials are affine in a block up to a remainder,
# so that the largest exponent of a tile has a closed form.

levels = found.levels
print("    blur       points       sweeps   pairs kept   error of the marginals")
for level in levels[-7:]:
    sizes = f"{level.points[0]:,} x {level.points[1]:,}"
    print(
        f"{level.blur:8.3f} {sizes:>17} {level.sweeps:8.1f} {100 * level.kept:10.1f} % {level.error:12.1e}"
    )

blurs = [level.blur for level in levels]
pairs = [level.points[0] * level.points[1] for level in levels]
kept = [level.kept * count for level, count in zip(levels, pairs, strict=True)]
fig, ax = plt.subplots(figsize=(6, 3.4))
ax.loglog(blurs, pairs, "o--", label="all pairs of the level")
ax.loglog(blurs, kept, "o-", label="pairs visited")
ax.axhline(n**2, color="grey", lw=1)
ax.text(max(blurs), 1.3 * n**2, "all pairs of points", ha="left", va="bottom")
ax.set(xlabel="blur (units of the points)", ylabel="pairs")
ax.set_ylim(top=1e10)
ax.invert_xaxis()
ax.legend()
plt.show()

# %%
# The bound is not a hope: at the end the tiles are chosen anew from the last potentials, and
# whatever is not in them is added, at its bound, to the error and to the interval.

print(f"other pairs hold at most {found.omitted:.1e} of the mass")
print(f"value {found.value:.8f} in [{found.lower:.8f}, {found.upper:.8f}]")

# %%
# How to choose a blur
# --------------------
# :func:`sparseot.suggest_blur` measures the clouds: the spacing of the points, the diameter, and for a few
# blurs what they would cost.

report = so.suggest_blur(x, y)
print(report)

# %%
# What a blur *does* can be seen on the values. The entropic cost differs from the transport cost by
# its entropy and by the spread of the plan; the divergence, where the cost of each cloud to itself is
# subtracted, hardly changes until the blur reaches the size of the clusters. The cost of the plan
# alone, without entropy, lies above by about :math:`D\, \text{blur}^2 / 2`, two dimensions here.

table = []
for blur in (0.01, 0.02, 0.04, 0.08, 0.16):
    solved = so.solve_sample(x[::2], y[::2], blur=blur, tol=1e-2, debias=True)
    raw = solved.value_linear.item()
    spent = sum(r.seconds for part in solved.solved for r in part.solution.reports)
    table.append((blur, solved.value.item(), raw, solved.levels[-1].kept, spent))
blur, debiased, linear, share, seconds = np.array(table).T
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].semilogx(blur, debiased, "o-", label="divergence")
axes[0].semilogx(blur, linear, "s--", label=r"cost of the plan $\langle P, C \rangle$")
axes[0].set(xlabel="blur", ylabel="value")
axes[0].legend()
axes[1].loglog(blur, 100 * share, "o-", label="pairs visited (%)")
axes[1].loglog(blur, seconds, "s--", label="seconds, three problems")
axes[1].set(xlabel="blur")
axes[1].legend()
plt.show()

# %%
# So take the largest blur whose value you would accept, not the smallest that runs: between twice the
# spacing and the size of the details that matter. Below the spacing, the plan is a matching of single
# points, and both the noise of the sample and the number of sweeps grow.
