"""Figures and viewers for sparseot, in Jupyter and in static pages."""

from .base import BaseViewer
from .plan import PlanViewer

__all__ = ["BaseViewer", "PlanViewer"]
