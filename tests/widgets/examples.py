"""One small viewer of each kind; every test that all viewers must pass runs on these."""

import torch

from sparseot_widgets import (
    BaseViewer,
    CloudViewer,
    FlowViewer,
    GraphViewer,
    HessianViewer,
    KernelViewer,
    PlanViewer,
)


def _cloud(count: int, dim: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, dim, generator=torch.Generator().manual_seed(seed))


def cloud() -> BaseViewer:
    x = _cloud(400, 3)
    return CloudViewer(x, values=x[:, 2], labels=(x[:, 0] > 0.5).int(), unit="m")


def plan() -> BaseViewer:
    viewer = PlanViewer(_cloud(40), _cloud(50, seed=1) + 0.5, blur=0.1, unit="m")
    return viewer.record(blur=[0.05, 0.1, 0.3], reach=2)


def flow() -> BaseViewer:
    viewer = FlowViewer(_cloud(60), 0.5 * _cloud(50, seed=1) + 0.6, frames=9, unit="m")
    return viewer.record(loss=2, blur=[0.02, 0.1, 0.5])


def hessian() -> BaseViewer:
    viewer = HessianViewer(_cloud(12), 0.5 * _cloud(15, seed=1) + 0.4, blur=0.2, unit="m")
    return viewer.record(blur=[0.1, 0.2, 0.4])


def kernel() -> BaseViewer:
    viewer = KernelViewer(_cloud(2_500, 3), sigma=0.2, k=5)
    return viewer.record(sigma=[0.1, 0.2, 0.4])


def graph() -> BaseViewer:
    x = _cloud(300)
    viewer = GraphViewer(x, k=5, labels=(x[:, 0] > 0.5).int(), unit="m")
    return viewer.record(method=["brute", "kdtree", "forest, one small tree"])


# What each has recorded; the first slider that asks, if one does, has at least three stops.
EXAMPLES = {
    "cloud": cloud, "plan": plan, "flow": flow, "kernel": kernel, "graph": graph, "hessian": hessian
}  # fmt: skip

# Kinds whose first argument is all that they look at.
ALONE = {"CloudViewer", "KernelViewer"}
