r"""
Two processes, one plan
=======================

On a cluster the same program runs in many processes, and each has some of the points. Here two processes on this
machine solve one problem of transport. After this page you know the ten lines that they run, what each
gives and gets, what travels between them, and how to do the same without a program. Colours say whose a point is.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "torch.distributed", "2D"]

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import sparseot as so
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import scatter, use_style

use_style()
random = np.random.default_rng(0)
n = 12_000

angle, radius = 2 * np.pi * random.random(n), np.sqrt(random.random(n))
x = 0.5 + 0.4 * radius[:, None] * np.stack((np.cos(angle), np.sin(angle)), 1)
x = x[np.argsort(x[:, 0])].astype(np.float32)  # the first half of the rows is the left one
turn = 2 * np.pi * random.random(n)
y = (0.3 + 0.13 * np.cos(5 * turn)) * (1 + 0.05 * random.standard_normal(n))
y = (0.5 + y[:, None] * np.stack((np.sin(turn), np.cos(turn)), 1)).astype(np.float32)

PROGRAM = """
import numpy as np, torch, torch.distributed as dist, sparseot as so

dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
x, y = (np.load(name, mmap_mode="r") for name in ("x.npy", "y.npy"))
x, y = (torch.tensor(np.array_split(z, size)[rank]) for z in (x, y))  # its rows
found = so.solve_sample(x, y, blur=0.02, group=dist.group.WORLD)
np.save(f"map{rank}.npy", found.map())  # of its rows
if rank == 0:
    print(found)
dist.destroy_process_group()
"""

folder = Path(tempfile.mkdtemp())
np.save(folder / "x.npy", x)
np.save(folder / "y.npy", y)
(folder / "solve.py").write_text(PROGRAM)
torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
run = subprocess.run(
    [*torchrun, "solve.py"], cwd=folder, env=one_thread, capture_output=True, text=True, check=True
)
maps = [np.load(folder / f"map{rank}.npy") for rank in range(2)]

fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharex=True, sharey=True)
halves = np.array_split(x, 2)
for rank in range(2):
    for ax, points in zip(
        axes, (halves[rank], 0.5 * (halves[rank] + maps[rank]), maps[rank]), strict=True
    ):
        scatter(ax, points, size=2, alpha=0.7, color=f"C{rank}")
for ax, title in zip(
    axes, ("what each process read", "halfway", "where its points go"), strict=True
):
    ax.set(title=title, aspect="equal", xlabel="$x_1$")
axes[0].set_ylabel("$x_2$")
plt.show()

# %%
# The left process gave the left half of the disc and got the images of it, in its order. The star was split by rows,
# which lie anywhere on it: half of every arm belongs to each process. The plan knows nothing of that. The
# report is the same on both, in every bit, so only the first one printed it.

print(run.stdout)

# %%
# As if there were one
# --------------------
# One process that has all points finds the same plan. The two hold all points, too, and share the pairs: each chose,
# held and visited its own tiles, pairs of blocks of 32 points, and after each half of a sweep it sent the
# potentials of its rows to the other. That is 96 kB a sweep here. Of a million points in space it would be 8 MB, and
# each byte of them stands for hundreds of exponentials.

alone = so.solve_sample(x, y, blur=0.02)
gap = np.abs(np.concatenate(maps) - alone.map()).max()
print(f"value {alone.value:.8f}; maps differ by {gap:.1e} at most")

# %%
# Without a program
# -----------------
# The same from a shell. ``plan/plan.json`` tells the value, its bounds, and which rows of potentials and maps
# are in which file. If the machine goes down, the command with ``--resume`` goes on from the last minute, with
# as many processes as you like.
#
# .. code-block:: sh
#
#     torchrun --nproc-per-node 2 -m sparseot.command solve x.npy y.npy --blur 0.02 --out plan/
#
# Try it
# ------
# A thinned copy of both clouds: the lines are the plan, and each end of them may lie in another process.

PlanViewer(so.solve_sample(x[::30], y[::30], blur=0.02))
