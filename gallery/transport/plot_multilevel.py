r"""
Few pairs matter: what multilevel transport does
================================================

Twenty thousand points on either side have four hundred million pairs, and a plan at small blur
lives on few of them. After this page you know how they are found before the plan is known, what the
solver does at each temperature, and why nothing is lost by it.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "multilevel", "blur", "2D"]

import matplotlib.pyplot as plt
import torch

import sparseot as so
from sparseot_widgets import PlanViewer
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
    sizes, kept = "{:,} x {:,}".format(*level.points), 100 * level.kept
    print(f"{level.blur:8.3f} {sizes:>17} {level.sweeps:8.1f} {kept:10.1f} % {level.error:12.1e}")

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
# The bound is checked: at the end the tiles are chosen anew from the last potentials, and
# whatever is not in them is added, at its bound, to the error and to the interval.

print(f"other pairs hold at most {found.omitted:.1e} of the mass")
print(f"value {found.value:.8f} in [{found.lower:.8f}, {found.upper:.8f}]")

# %%
# So few pairs are no approximation that you have to trust: the interval is that of the whole problem. How the time
# compares with that of solvers which visit all pairs, :ref:`sphx_glr_auto_gallery_transport_plot_every_solver.py` draws.
#
# Try it
# ------
# The same shapes with fewer points. Make the blur small, and see how few pairs are left.

PlanViewer(x[:1000], y[:1000], blur=0.03, title="A ring and three clouds")

# %%
# **What to try next.** Ask for ten times the points: the time grows nearly like their number, not like that of the
# pairs. :ref:`sphx_glr_auto_gallery_transport_plot_choose_blur.py` shows what a blur does to the value and the map.
#
# References
# ----------
# - Schmitzer (2019). Stabilized sparse scaling algorithms for entropy regularized transport problems.
#   *SIAM Journal on Scientific Computing* 41.
# - Feydy (2020). *Geometric data analysis, beyond convolutions*. PhD thesis, section 3.3.
