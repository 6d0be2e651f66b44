"""Pictures of quantization: the best scale, errors in a matrix, fewer bits, and where answers differ."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels, lines
from coursekit.quantization import ScaleSearch

__all__ = ["accuracy_by_bits", "bit_budget", "disagreements", "error_map", "mse_against_scale"]

CLIFF = 5.0  # points lost
TELLING = 0.5  # points between two choices of bits, below which neither is called better


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


@style.look()
def accuracy_by_bits(
    ax: Axes,
    bits: Sequence[int],
    found: Mapping[str, ArrayLike],
    *,
    full: float,
    limit: float = CLIFF,
    title: str = "",
) -> list[Artist]:
    """Draw right answers against bits per weight: a line per scheme, its band from worst to best seed.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    bits : sequence of int
        From many to few.
    found : mapping of str to array_like
        Right answers in %, [bits, seeds], of up to four schemes.
    full : float
        Right answers in % without rounding, the dashed line.
    limit : float, optional
        The title names the bits from which on the first scheme loses more points than this.
    title : str, optional
        The title; by default a sentence that the numbers decide.

    Returns
    -------
    list of Artist
        The lines, their bands, their names and the dashed line.

    Raises
    ------
    ValueError
        For no scheme or more than four, or lengths that differ.
    """
    rows = {name: arguments.array(name, values, np.float64, ndim=2) for name, values in found.items()}
    means = {name: values.mean(1) for name, values in rows.items()}
    ax.invert_xaxis()
    level = ax.axhline(full, color=style.GREY, dashes=(4, 3), linewidth=1)
    made = lines(
        ax,
        bits,
        means,
        {name: (values.min(1), values.max(1)) for name, values in rows.items()},
        x_label="bits per weight (band: worst to best seed; dashed: no rounding)",
        y_label="right answers (%)",
    )
    ax.set_title(title or _cliff_title(bits, means, full, limit))
    return [*made, level]


def _cliff_title(
    bits: Sequence[int], means: Mapping[str, NDArray[np.float64]], full: float, limit: float
) -> str:
    name, mean = next(iter(means.items()))
    fallen = [width for width, value in zip(bits, mean, strict=True) if full - value > limit]
    if not fallen:
        return f"Down to {min(bits)} bits no cliff: {name} loses at most {limit:g} points"
    if len(fallen) == len(mean):
        return f"Over the cliff from the start: {name} loses more than {limit:g} points"
    return f"The cliff, {name}: more than {limit:g} points lost at {max(fallen)} bits"


@style.look()
def bit_budget(
    ax: Axes, points: Mapping[Sequence[int], tuple[float, float]], budget: float, *, title: str = ""
) -> list[Artist]:
    """Draw right answers against bytes for every choice of bits per layer, and the budget as a line.

    Equal bits in all layers are squares.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    points : mapping of tuple of int to tuple of 2 float
        By the bits of each layer: bytes, and right answers in %.
    budget : float
        Bytes.
    title : str, optional
        The title; by default a sentence that the points within the budget decide.

    Returns
    -------
    list of Artist
        The dots, the squares, the line and its name.

    Raises
    ------
    ValueError
        Without points.
    """
    if not points:
        raise ValueError("points must hold at least one choice of bits; it is empty")
    equal = {choice: place for choice, place in points.items() if len(set(choice)) == 1}
    dots = ax.plot(*np.transpose(list(points.values())), "o", color=style.BLUE)
    squares = ax.plot(*np.transpose(list(equal.values())), "s", color=style.VERMILLION) if equal else []
    line = ax.axvline(budget, color=style.INK, linestyle="--")
    name = ax.text(budget, 0.5, " the budget", transform=ax.get_xaxis_transform())
    best_equal, best = (_best_within(each, budget) for each in (equal, points))
    describe(
        ax,
        "bytes for all weights (squares: equal bits in all layers)",
        "right answers (%)",
        title or _budget_title(best_equal, best),
    )
    return [*dots, *squares, line, name]


def _best_within(points: Mapping[Sequence[int], tuple[float, float]], budget: float) -> float | None:
    return max((right for size, right in points.values() if size <= budget), default=None)


def _budget_title(equal: float | None, best: float | None) -> str:
    if best is None:
        return "No choice of bits fits into this budget"
    if equal is None:
        return "Equal bits do not fit into this budget"
    if best - equal > TELLING:
        return f"Within the budget, unequal bits are up to {best - equal:.1f} points better"
    return f"Within the budget, equal bits are the best choice, up to {TELLING:g} points"


@style.look()
def disagreements(
    axes: NDArray[np.object_],
    images: ArrayLike,
    answers: Mapping[str, ArrayLike],
    labels: ArrayLike,
) -> list[Artist]:
    """Draw pictures that only one of two models gets right, a row for each model, as many as fit.

    Parameters
    ----------
    axes : ndarray of Axes
        [2, columns].
    images : array_like
        [n, rows, columns].
    answers : mapping of str to array_like
        The labels that two models give, [n], by name.
    labels : array_like
        The right ones, [n].

    Returns
    -------
    list of Artist
        The images and the texts.

    Raises
    ------
    ValueError
        Unless there are two models and as many answers as images and labels.
    """
    if len(answers) != 2:
        raise ValueError(f"answers must hold those of 2 models; got {len(answers)}")
    truth, pictures = np.asarray(labels), arguments.array("images", images, ndim=3)
    given = [np.asarray(each) for each in answers.values()]
    if any(len(each) != len(truth) for each in (*given, pictures)):
        raise ValueError(
            f"images, answers and labels must be equally many; got {len(pictures)}, {len(truth)}"
        )
    made: list[Artist] = []
    for row, mine, others, name in zip(axes, given, given[::-1], answers, strict=True):
        only = np.flatnonzero((mine == truth) & (others != truth))
        for ax in row:
            ax.set_axis_off()
        made.append(row[0].set_title(f"only {name} right: {len(only)}", loc="left", fontweight="normal"))
        for ax, number in zip(row, only, strict=False):
            made.append(ax.imshow(pictures[number], cmap="gray_r"))
            note = f"{truth[number]}, not {others[number]}"
            made.append(ax.text(0.5, -0.12, note, transform=ax.transAxes, ha="center", va="top"))
    return made


def _search_title(searches: Mapping[str, ScaleSearch]) -> str:
    if all(search.ratio < 1 for search in searches.values()):
        return "Clipping the largest values lowers the error"
    return "The scale with the least error, for each search"
