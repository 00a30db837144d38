"""What solves over kept pairs would take on many machines: a model, calibrated by solves that were measured.

python benchmarks/distributed_model.py

It takes no time and no machines. Two clouds of n points fill the unit cube, D = 3, tol 1e-3, single precision loops.
The blur falls with the spacing of the points, as 0.0046 at a million. Each node has 64 cores and one rank, whose
threads share its rows. Of both clouds it has its own blocks, and of others those that its tiles meet; clouds as they came, their order
and potentials are whole on all. "Owned" is a design that is not built, in which nothing is. What it takes to turn lists of tiles, three
numbers a block of columns each time, is left out: less than a sixteenth of what one sweep sends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Measured on one core of a machine of two (see docs/performance.md, "Many machines"):
RATE = 3.5e9  # pairs a second and core, in sweeps and their overhead
SERIAL = 4e-6  # seconds a point that each rank takes for itself, on one thread: trees, cells
VECTOR = 1.2e-8  # seconds a point and sweep, on one thread, of those that it has: potentials, errors, biases
WHOLE, OWN, TILE = 150, 350, 16  # bytes of a point of each cloud, whole or its own, and of a tile
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

    def on_one_thread(self, ranks: int, owned: bool = False) -> float:
        """Seconds of each rank, beside its pairs."""
        share = (1 + self.halo(ranks)) / ranks
        return self.points * (SERIAL * (share if owned else 1) + VECTOR * self.sweeps * share)

    def on(self, nodes: int, speed: float, owned: bool = False) -> tuple[float, float, float]:
        """Seconds, the share of them that is communication, and GB of memory of a node."""
        work = self.pairs / (RATE * CORES * THREADED * nodes) * (UNEVEN if nodes > 1 else 1)
        share = (1 + self.halo(nodes)) / nodes
        sent = self.points * 8 * self.halo(nodes) / nodes
        network = self.sweeps * (sent / (speed * 1e9 / 8) + EXCHANGES * HOP * math.log2(nodes))
        total = work + self.on_one_thread(nodes, owned) + network
        held = self.points * (OWN * share + WHOLE * (share if owned else 1))
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
    print(
        "\n| points (blur) | nodes | s at 10 / 100 Gb/s | communication | GB a node | owned: s | GB a node |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for points in SIZES:
        solve = Solve(points, 0.0046 * (1e6 / points) ** (1 / 3))
        for nodes in NODES:
            (slow, most, held), (fast, least, _) = (solve.on(nodes, speed) for speed in SPEEDS)
            later, _, less = solve.on(nodes, SPEEDS[0], owned=True)
            told = f"| {points:.0e} ({solve.blur:.2g}) | {nodes} | {slow:,.0f} / {fast:,.0f} "
            print(f"{told}| {most:.0%} / {least:.0%} | {held:,.0f} | {later:,.0f} | {less:,.1f} |")


if __name__ == "__main__":
    main()
