"""The pictures of the tutorials: point clouds, gradient flows and densities, drawn by matplotlib.

Every helper draws one thing on the axes that it is given, or lays out one figure; none of them
computes a transport. Classes are told apart by the colours of Okabe and Ito (2008), values by
viridis, and both survive the common forms of colour blindness and a grey printer.
"""

from .clouds import arrows, place, scatter
from .densities import density, density_1d
from .flows import flow_panels
from .images import pictures
from .series import curves
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, use_style

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "arrows",
    "curves",
    "density",
    "density_1d",
    "flow_panels",
    "pictures",
    "place",
    "scatter",
    "use_style",
]
