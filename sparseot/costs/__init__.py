"""Ground costs as objects: ``costs.Cosine()`` and its like, for ``cost=`` of transport and its losses."""

from .base import Cost
from .labels import Labels
from .linear import Features, Mahalanobis, Scaled
from .powers import Power
from .sphere import Cosine, Geodesic

__all__ = ["Cosine", "Cost", "Features", "Geodesic", "Labels", "Mahalanobis", "Power", "Scaled"]
