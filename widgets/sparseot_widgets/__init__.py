"""Figures and viewers for sparseot, in Jupyter and in static pages."""
