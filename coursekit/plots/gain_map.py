"""What a teacher adds over labels alone: a map of the gains in a ``distillation.GainGrid``."""

from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import NDArray

from coursekit.distillation.gain_grid import GainGrid, sentence, signed
from coursekit.plots import style
from coursekit.plots.page import tint

__all__ = ["GainGrid", "GainMap", "gain_map", "sentence", "signed"]

# White where nothing changed and a colour for either sign; in grey the cells' numbers still tell. The ends
# are pale enough for black numbers, which stay legible when a dark page turns the picture round.
_ENDS: list[Any] = [tint(style.VERMILLION, 0.6), "#FFFFFF", tint(style.BLUE, 0.6)]
SIGNED = LinearSegmentedColormap.from_list("loss to gain", _ENDS)
LEAST_RANGE = 1.0  # points: below it the colours would make mountains of noise


class GainMap:
    """The artists of ``gain_map``: the image and the number in each of its cells.

    Parameters
    ----------
    image : AxesImage
        The cells, [temperatures, alphas].
    texts : list of Text
        Their numbers, row by row.
    """

    def __init__(self, image: AxesImage, texts: list[Text]) -> None:
        self.image, self.texts = image, texts

    def show(self, means: NDArray[np.float64]) -> None:
        """Show other mean gains.

        Parameters
        ----------
        means : ndarray of float64
            In points, [temperatures, alphas].
        """
        self.image.set_data(means)
        for text, value in zip(self.texts, means.flat, strict=True):
            text.set(text=signed(value), color=style.ink_on(self.image.to_rgba(np.array(value))))


@style.look()
def gain_map(ax: Axes, grid: GainGrid, epochs: int | None = None) -> GainMap:
    """Draw the mean gains over temperature (rows) and alpha (columns) after a number of epochs.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    grid : GainGrid
        The gains in points.
    epochs : int, optional
        One of the grid's numbers of epochs; by default the most.

    Returns
    -------
    GainMap
        The image and the number in each cell.
    """
    limit = max(LEAST_RANGE, *(float(np.abs(grid.means(length)).max()) for length in grid.epochs))
    look: dict[str, Any] = {
        "cmap": SIGNED,
        "vmin": -limit,
        "vmax": limit,
        "aspect": "auto",
        "interpolation": "nearest",
    }
    image = ax.imshow(np.zeros((len(grid.temperatures), len(grid.alphas))), **look)
    cells = product(range(len(grid.temperatures)), range(len(grid.alphas)))
    texts = [ax.text(column, row, "", ha="center", va="center", zorder=4) for row, column in cells]
    ax.set_xticks(range(len(grid.alphas)), [f"{alpha:g}" for alpha in grid.alphas])
    ax.set_yticks(range(len(grid.temperatures)), [f"{t:g}" for t in grid.temperatures])
    ax.tick_params(length=0)
    ax.set_xlabel("alpha, the weight of the teacher")
    ax.set_ylabel("temperature")
    made = GainMap(image, texts)
    made.show(grid.means(grid.epochs[-1] if epochs is None else epochs))
    return made
