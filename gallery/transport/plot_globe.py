r"""
A cost on the globe
===================

The people of fifty large cities are invited to a meeting, held in twelve places with equally many seats. Who
goes where, if the ways are to be short? The way from :math:`x` to :math:`y` is an arc of a great circle, the angle of
both directions times the radius of the earth: a cost that :class:`sparseot.costs.Geodesic` knows. The plan is that of

.. math:: \min_P \; \sum_{ij} P_{ij} \, \theta(x_i, y_j) + \varepsilon\, KL(P \,|\, a \otimes b) .

Discs are cities, by their inhabitants, squares are hosts, and lines are the arcs along which most people travel.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "costs", "sphere", "gradients", "3D"]

import matplotlib.pyplot as plt
import numpy as np
import torch

import sparseot as so
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import use_style

use_style()
CITIES = """
Tokyo 36 140 37, Delhi 29 77 33, Shanghai 31 121 29, Dhaka 24 90 24, Sao_Paulo -24 -47 22, Cairo 30 31 22,
Mexico_City 19 -99 22, Beijing 40 116 22, Mumbai 19 73 21, Osaka 35 136 19, New_York 41 -74 19, Chongqing 30 107 18,
Karachi 25 67 17, Kinshasa -4 15 17, Lagos 7 3 16, Istanbul 41 29 16, Buenos_Aires -35 -58 16, Kolkata 23 88 15,
Manila 15 121 15, Guangzhou 23 113 14, Rio_de_Janeiro -23 -43 14, Lahore 32 74 14, Bangalore 13 78 14, Moscow 56 38 13,
Los_Angeles 34 -118 12, Bogota 5 -74 11, Paris 49 2 11, Jakarta -6 107 11, Lima -12 -77 11, Bangkok 14 101 11,
Seoul 38 127 10, London 52 0 10, Nagoya 35 137 9, Tehran 36 51 9, Chicago 42 -88 9, Ho_Chi_Minh_City 11 107 9,
Luanda -9 13 9, Riyadh 25 47 8, Dar_es_Salaam -7 39 8, Madrid 40 -4 7, Santiago -33 -71 7, Johannesburg -26 28 6,
Toronto 44 -79 6, Singapore 1 104 6, Nairobi -1 37 5, Sydney -34 151 5, Melbourne -38 145 5, San_Francisco 38 -122 3,
Vancouver 49 -123 3, Auckland -37 175 2
"""  # latitude, longitude (degrees) and inhabitants (millions), rounded
HOSTS = """
Honolulu 21 -158, Anchorage 61 -150, Los_Angeles 34 -118, New_York 41 -74, Sao_Paulo -24 -47, Reykjavik 64 -22,
Paris 49 2, Cairo 30 31, Johannesburg -26 28, Delhi 29 77, Tokyo 36 140, Auckland -37 175
"""
EARTH = 6371  # km, the radius
COLOURS = [*(f"C{k}" for k in (0, 1, 2, 3, 4, 5, 6, 8, 9)), "navy", "teal", "crimson"]


def read(table):
    """The numbers of each place, and its direction."""
    rows = [row.split()[1:] for row in table.replace("\n", " ").split(",")]
    numbers = torch.tensor([[float(v) for v in row] for row in rows]).double()
    lat, lon = torch.deg2rad(numbers[:, :2]).T
    return numbers, torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()), 1)


places, x = read(CITIES)
seats, y = read(HOSTS)
names = [row.split()[0].replace("_", " ") for row in HOSTS.split(",")]
people = places[:, 2] / places[:, 2].sum()
plan = so.solve_sample(x, y, people, p=1, blur=0.02, cost=so.costs.Geodesic())


def globe(ax, middle, plan, y, title, names=()):
    """The half of the earth around a place (longitude, latitude), seen from far away, and the arcs of a plan."""
    lon, lat = np.deg2rad(middle)
    toward = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0])
    view = np.stack((east, np.cross(toward, east)))

    def line(points, **style):
        seen = np.where((points @ toward > 0)[:, None], points @ view.T, np.nan)
        ax.plot(*seen.T, **style)

    turn = np.linspace(0, 2 * np.pi, 200)
    cos, sin = np.cos(turn), np.sin(turn)
    for a in np.arange(6) * np.pi / 6:  # meridians and parallels
        b = a - 5 * np.pi / 12
        line(np.stack((cos * np.cos(a), cos * np.sin(a), sin), 1), color="0.6", lw=0.4)
        line(np.stack((cos, sin, 0 * cos + np.tan(b)), 1) * np.cos(b), color="0.6", lw=0.4)
    ax.plot(cos, sin, color="0.6", lw=0.8)
    for i, j in np.argwhere(plan.numpy() > 1e-3):
        t = np.linspace(0, 1, 60)[:, None]
        way = (1 - t) * x[i].numpy() + t * y[j].numpy()
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        width = 0.5 + 60 * plan[i, j].item()
        line(way, color=COLOURS[j], lw=width, alpha=0.8, solid_capstyle="round")
    near = x.numpy() @ toward > 0
    size = {"s": 4e3 * people[near], "ec": "w", "lw": 0.5, "zorder": 3}
    ax.scatter(*(view @ x[near].T.numpy()), c="0.5", **size)
    for j in np.flatnonzero(y.numpy() @ toward > 0):
        ax.scatter(*(view @ y[j].numpy()), 45, COLOURS[j], marker="s", ec="w", zorder=4)
        if names:
            offset = {"xytext": (5, 4), "textcoords": "offset points", "fontsize": 7, "zorder": 5}
            ax.annotate(names[j], view @ y[j].numpy(), **offset)
    ax.set(title=title, aspect="equal", xlim=(-1.03, 1.03), ylim=(-1.03, 1.03))
    ax.set_axis_off()


fig, axes = plt.subplots(1, 3, figsize=(11, 4))
views = {"Americas": (-75, 15), "Africa, Europe, Asia": (40, 20), "Pacific": (170, 10)}
for ax, (title, middle) in zip(axes, views.items(), strict=True):
    globe(ax, middle, plan.plan, y, title, names)
plt.show()
print(f"{EARTH * plan.value_linear:.0f} km on average")

# %%
# A map has an edge
# -----------------
# For the distance in degrees, on the plane of longitudes and latitudes, Honolulu and Anchorage are at the end of the
# world: nobody in Asia would go there, for the way is across Africa. And a degree of longitude counts as much near the
# poles as on the equator. Below are the ways that such a plan takes on the globe, and their mean length.

flat = so.solve_sample(places[:, [1, 0]], seats[:, [1, 0]], people, p=1, blur=1.0)
arcs = so.costs.Geodesic()(x, y, p=1)
fig, axes = plt.subplots(1, 2, figsize=(8, 4.2))
for ax, (name, found) in zip(axes, {"on the globe": plan, "on a map": flat}.items(), strict=True):
    globe(ax, (175, 15), found.plan, y, f"{name}: {EARTH * (found.plan * arcs).sum():.0f} km")
plt.show()
moved = 1 - torch.minimum(plan.plan, flat.plan).sum()
print(f"{100 * moved:.0f} % of all people are sent to another place")

# %%
# Where should it be held?
# ------------------------
# The cost of a plan has gradients in the places, through the arcs. Only directions count, so that any vector is a
# place, and no constraint is needed; squared angles, ``p=2``, are smooth where points meet. So the hosts go to where
# the ways are short, each between the people that it seats.

hosts = y.clone().requires_grad_()
optimiser = torch.optim.Adam([hosts], lr=0.05)
kilometres = []
for _ in range(80):
    found = so.solve_sample(x, hosts, people, p=2, blur=0.05, cost=so.costs.Geodesic())
    kilometres.append(EARTH * (found.plan * so.costs.Geodesic()(x, hosts, p=1)).sum().item())
    optimiser.zero_grad()
    found.value.backward()
    optimiser.step()

best = torch.nn.functional.normalize(hosts.detach(), dim=-1)
fig, axes = plt.subplots(1, 3, figsize=(11, 4), width_ratios=(1, 1, 1.1))
globe(axes[0], (-75, 15), found.plan, best, "Americas")
globe(axes[1], (75, 20), found.plan, best, "Africa, Europe, Asia")
axes[2].plot(kilometres)
axes[2].set(title="km on average", xlabel="steps")
plt.show()

# %%
# Turn the globe, select some cities with the lasso, and move ``blur``, here an angle: the larger it is, the more hosts share a city.
#
# Where to go next: :doc:`the guide </guide/costs>` has the other costs. Of twenty thousand directions most pairs are never looked
# at, for arcs as for the cosine, which is half of a squared chord.

PlanViewer(plan, title="From the cities to their hosts")
