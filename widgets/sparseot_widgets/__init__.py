"""Figures and viewers for sparseot, in Jupyter and in static pages."""

from importlib import import_module
from typing import Any

# Loaded at first use: the command `sparseot` needs neither torch nor anywidget, figures no widgets.
VIEWERS = {
    "BaseViewer": "base",
    "CloudViewer": "viewers.cloud",
    "FlowViewer": "viewers.flow",
    "GraphViewer": "viewers.graph",
    "HessianViewer": "viewers.hessian",
    "KernelViewer": "viewers.kernel",
    "PlanViewer": "viewers.plan",
}

NAMES = VIEWERS | {"gradient_flow": "euler"}

__all__ = list(NAMES)


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return getattr(import_module(f".{NAMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
