"""Pictures of quantization: the search for the best scale, weights on their levels, errors in a matrix."""

from collections.abc import Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from coursekit._core import arguments
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels
from coursekit.quantization import ScaleSearch

__all__ = ["error_map", "mse_against_scale"]


@style.look()
def mse_against_scale(ax: Axes, searches: Mapping[str, ScaleSearch], *, title: str = "") -> list[Artist]:
    """Draw the mean squared error against the scale for up to four searches, each best scale marked.

    The scale is a share of max|x| / Q, where nothing is clipped.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    searches : mapping of str to ScaleSearch
        One to four searches by name.
    title : str, optional
        The title; by default a sentence that the searches decide.

    Returns
    -------
    list of Artist
        The curves, the marks and the names at their ends.

    Raises
    ------
    ValueError
        For no search or more than four.
    """
    if not 1 <= len(searches) <= len(style.SERIES):
        raise ValueError(f"searches must hold 1 to {len(style.SERIES)} searches; got {len(searches)}")
    ax.set_yscale("log")
    curves, marks = [], []
    for number, (name, search) in enumerate(searches.items()):
        colour, label = style.SERIES[number], f"{name}: best at {search.ratio:.2f}"
        dash, marker = style.DASHES[number], style.MARKERS[number]
        curves += ax.plot(search.ratios, search.curve, dash, color=colour, label=label)
        marks += ax.plot(
            search.ratio, search.mse, marker, color=colour, markersize=9, markeredgecolor="white"
        )
    describe(ax, "scale, as a share of max|x| / Q", "mean squared error", title or _search_title(searches))
    return [*curves, *marks, *end_labels(ax, curves)]


@style.look()
def error_map(ax: Axes, errors: ArrayLike, *, limit: float, title: str = "") -> AxesImage:
    """Draw a matrix of errors, one cell per value, dark for zero, brightest from ``limit`` on.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    errors : array_like
        Magnitudes, [rows, columns].
    limit : float
        The error that has the brightest colour.
    title : str, optional
        The title.

    Returns
    -------
    AxesImage
        The image.
    """
    cells = arguments.array("errors", errors, np.float64, ndim=2)
    image = ax.imshow(cells, cmap=style.HEAT, vmin=0, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontweight="normal")
    return image


def _search_title(searches: Mapping[str, ScaleSearch]) -> str:
    if all(search.ratio < 1 for search in searches.values()):
        return "Clipping the largest values lowers the error"
    return "The scale with the least error, for each search"
