"""What solves over kept pairs would take on many machines: a model, calibrated by solves that were measured.

python benchmarks/distributed_model.py

It takes no time and no machines. Two clouds of n points fill the unit cube, D = 3, tol 1e-3, single precision loops.
The blur falls with the spacing of the points, as 0.0046 at a million. Each node has 64 cores and one rank, whose
threads share its rows. Of both clouds it has its own blocks, and of others those that its tiles meet; nothing but coarse clouds is whole on
all. What it takes to turn lists of tiles, three numbers a block of columns each time, is left out: less than a sixteenth of
what one sweep sends; and so is what points take to their ranks, as much as one to four sweeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Measured on one core of a machine of two (see docs/performance.md, "Many machines"):
RATE = 3.5e9  # pairs a second and core, in sweeps and their overhead
SERIAL = 4e-6  # seconds a point, on one thread, of those that a rank has: trees, cells
COARSE = 4e-6  # and a cell of a coarse level, which all ranks have
SIDE, RATIO = 1.4, 2.5**0.5  # of the cells at a level, in blurs, and of the blurs of two levels
VECTOR = 1.2e-8  # seconds a point and sweep, on one thread, of those that it has: potentials, errors, biases
CELL, OWN, TILE = (
    80,
    480,
    16,
)  # bytes of a cell of each cloud, of a point that a rank has, and of a tile
# Assumed:
CORES, THREADED = 64, 0.8  # of a node, and the share of their sum that threads reach
HOP, EXCHANGES = 50e-6, 10  # seconds from rank to rank, exchanges in a sweep
UNEVEN = 1.1  # tiles of the slowest rank, relative to the mean
BUILDS = 3  # times that tiles are chosen for the points, each followed by six half-sweeps over all that passed

SIZES, NODES, SPEEDS = (10**7, 10**8, 10**9), (1, 8, 64, 512), (10, 100)
SOLVES = [  # points, blur, side of the cube of y, ranks: processor seconds of each
    (10**6, 0.01, 0.5, 1, 100.6),
    (10**6, 0.01, 0.5, 2, 51.8),
    (400_000, 0.0136, 0.5, 1, 30.9),
    (400_000, 0.0136, 0.5, 2, 18.5),
]


@dataclass(frozen=True)
class Solve:
    """One solve between two clouds."""

    points: float
    blur: float
    side: float = 1.0  # of the cube that the target fills

    @property
    def width(self) -> float:
        """The blur, in sides of a block of 32 points of the target."""
        return self.blur / (self.side * (32 / self.points) ** (1 / 3))

    @property
    def sweeps(self) -> float:
        """At the last temperature, as a rule."""
        return 0.19 / self.blur + 5

    def tiles(self, least: float, slope: float) -> float:
        """Pairs of blocks, a cube of so many blocks around each."""
        return self.points / 32 * (least + slope * self.width) ** 3

    @property
    def checked(self) -> float:
        """Tiles of the last check, the most that are held."""
        return self.tiles(2.6, 5.85)

    @property
    def pairs(self) -> float:
        """Pairs of points that are visited."""
        young, last = 6 * BUILDS * self.tiles(2.0, 7.1), 2 * self.sweeps * self.tiles(1.74, 4.35)
        return 1024 * (young + last + 3 * self.checked)

    def halo(self, ranks: int) -> float:
        """Points of others that a rank needs, as a share of its own."""
        margin = 0.7 * (32 / self.points) ** (1 / 3) + 4 * self.blur
        return (1 + 2 * margin * (ranks ** (1 / 3) - 1)) ** 3 - 1

    @property
    def cells(self) -> list[float]:
        """Of the coarse levels; where there would be nearly as many as points, these are swept."""
        counts = [(SIDE * self.blur * RATIO**k) ** -3 for k in range(1, 40)]
        return [count for count in counts if count <= self.points / 2]

    def on_one_thread(self, ranks: int) -> float:
        """Seconds of each rank, beside its pairs."""
        share = (1 + self.halo(ranks)) / ranks
        own = self.points * (SERIAL / ranks + VECTOR * self.sweeps * share)
        return own + COARSE * sum(self.cells)

    def on(self, nodes: int, speed: float) -> tuple[float, float, float]:
        """Seconds, the share of them that is communication, and GB of memory of a node."""
        work = self.pairs / (RATE * CORES * THREADED * nodes) * (UNEVEN if nodes > 1 else 1)
        share = (1 + self.halo(nodes)) / nodes
        sent = self.points * 8 * self.halo(nodes) / nodes
        network = self.sweeps * (sent / (speed * 1e9 / 8) + EXCHANGES * HOP * math.log2(nodes))
        total = work + self.on_one_thread(nodes) + network
        held = self.points * OWN * share + CELL * max(self.cells)
        return total, network / total, (held + TILE * self.checked / nodes) / 1e9


def main() -> None:
    """What was measured beside what the model says of it; then the table."""
    print(
        "| points | blur | ranks | processor s, measured | model |\n| --- | --- | --- | --- | --- |"
    )
    for points, blur, side, ranks, seconds in SOLVES:
        solve = Solve(points, blur, side)
        model = solve.pairs / RATE / ranks + solve.on_one_thread(ranks)
        print(f"| {points:,} | {blur:g} | {ranks} | {seconds:.1f} | {model:.1f} |")
    print("\n| points (blur) | nodes | s at 10 / 100 Gb/s | communication | GB a node |")
    print("| --- | --- | --- | --- | --- |")
    for points in SIZES:
        solve = Solve(points, 0.0046 * (1e6 / points) ** (1 / 3))
        for nodes in NODES:
            (slow, most, held), (fast, least, _) = (solve.on(nodes, speed) for speed in SPEEDS)
            told = f"| {points:.0e} ({solve.blur:.2g}) | {nodes} | {slow:,.0f} / {fast:,.0f} "
            print(f"{told}| {most:.0%} / {least:.0%} | {held:,.1f} |")


if __name__ == "__main__":
    main()
