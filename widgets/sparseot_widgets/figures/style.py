"""The look of all figures: fonts, lines and colours."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#9A9A9A"
CLASSES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "black")

# viridis without its palest tenth, which does not show on white
PLACE_MAP = LinearSegmentedColormap.from_list(
    "place", plt.get_cmap("viridis")(np.linspace(0.0, 0.9, 256))
)

STYLE: Any = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "figure.titlesize": 13.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "mathtext.fontset": "cm",
}


def use_style() -> None:
    """Set the look of the tutorials (fonts, lines, margins) for every later figure of the script.

    Example:
        >>> use_style()
    """
    plt.rcParams.update(STYLE)
