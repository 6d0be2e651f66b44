"""Pictures that compare: dots with intervals, lines with bands, bars, each labelled where it stands."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit._core.display import significant
from coursekit.plots import style

__all__ = [
    "BAND_ALPHA",
    "bars",
    "describe",
    "dots_with_interval",
    "end_labels",
    "line_with_band",
    "lines",
    "spread",
]

LABEL_GAP = 1.3  # lines of text between the middles of two labels
BAND_ALPHA = 0.18


@style.look()
def dots_with_interval(
    ax: Axes,
    names: Sequence[str],
    values: ArrayLike,
    lows: ArrayLike,
    highs: ArrayLike,
    *,
    unit: str,
    title: str = "",
    reference: float | None = None,
    show: Callable[[float], str] = significant,
) -> list[Artist]:
    """Draw one row per name: a dot at its value, a bar over its interval, the numbers beside it.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    names : sequence of str
        The rows' names, from the top.
    values : array_like
        The dots, [names].
    lows : array_like
        The intervals' lower ends, [names].
    highs : array_like
        Their upper ends, [names].
    unit : str
        What labels the axis ("accuracy (%)").
    title : str, optional
        The title, a sentence.
    reference : float, optional
        Where a dashed line stands, to compare with.
    show : callable, optional
        Writes a number.

    Returns
    -------
    list of Artist
        The dots, the bars, the texts and the dashed line.

    Raises
    ------
    ValueError
        Where the lengths differ or an interval does not hold its value.
    """
    centers, lows, highs = _intervals(values, lows, highs, len(names))
    rows = np.arange(len(names))[::-1]
    bars = ax.hlines(rows, lows, highs, color=style.BLUE, linewidth=3, alpha=0.55, capstyle="round")
    (dots,) = ax.plot(centers, rows, "o", color=style.BLUE, markersize=8)
    texts = [
        _beside(ax, row, f"{show(center)}  ({show(low)} to {show(high)})")
        for row, center, low, high in zip(rows, centers, lows, highs, strict=True)
    ]
    lines = [] if reference is None else [ax.axvline(reference, color=style.INK, dashes=(4, 3), linewidth=1)]
    _rows_of_names(ax, names, unit, title)
    return [dots, bars, *texts, *lines]


@style.look()
def bars(
    ax: Axes,
    names: Sequence[str],
    values: ArrayLike,
    *,
    unit: str,
    title: str = "",
    highlight: Sequence[str] = (),
    show: Callable[[float], str] = significant,
) -> list[Artist]:
    """Draw one horizontal bar per name from zero on, its number at its end.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    names : sequence of str
        The rows' names, from the top.
    values : array_like
        The lengths of the bars, [names], 0 or more.
    unit : str
        What labels the axis.
    title : str, optional
        The title, a sentence.
    highlight : sequence of str, optional
        The names whose bars stand out.
    show : callable, optional
        Writes a number.

    Returns
    -------
    list of Artist
        The bars and their numbers.

    Raises
    ------
    ValueError
        Where the lengths differ, a value is negative, or a highlight is not a name.
    """
    lengths = _numbers("values", values, len(names))
    if (lengths < 0).any():
        raise ValueError(f"values must be at least 0, or a bar's length says nothing; got {lengths.min()}")
    for name in highlight:
        arguments.choice("highlight", name, names)
    rows = np.arange(len(names))[::-1]
    colours = [style.ORANGE if name in highlight else style.BLUE for name in names]
    drawn = ax.barh(rows, lengths, color=colours, height=0.62)
    texts = [
        ax.annotate(show(v), (v, r), (5, 0), textcoords="offset points", va="center", annotation_clip=False)
        for v, r in zip(lengths, rows, strict=True)
    ]
    ax.set_xlim(0, 1.15 * lengths.max() or 1)
    _rows_of_names(ax, names, unit, title)
    return [*drawn, *texts]


@style.look()
def line_with_band(
    ax: Axes,
    x: ArrayLike,
    center: ArrayLike,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    *,
    series: int = 0,
    label: str = "",
) -> list[Artist]:
    """Draw one line with markers and, where ``low`` and ``high`` are given, a pale band around it.

    For several labelled lines at once take ``lines``.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : array_like
        Where the points stand, [points].
    center : array_like
        The points' heights, [points].
    low : array_like, optional
        The band's lower edge, [points]; without it or ``high`` no band is drawn.
    high : array_like, optional
        Its upper edge, [points].
    series : int, optional
        0 to 3: chooses colour, marker and dash.
    label : str, optional
        The line's name.

    Returns
    -------
    list of Artist
        The line and, if drawn, the band.

    Raises
    ------
    ValueError
        Where the lengths differ or ``series`` is not 0 to 3.
    """
    number = arguments.integer("series", series, 0, len(style.SERIES) - 1)
    xs = _numbers("x", x)
    centers = _numbers("center", center, len(xs))
    look: dict[str, Any] = {
        "color": style.SERIES[number],
        "marker": style.MARKERS[number],
        "linestyle": style.DASHES[number],
    }
    (line,) = ax.plot(xs, centers, label=label, **look)
    if low is None or high is None:
        return [line]
    lows, highs = _numbers("low", low, len(xs)), _numbers("high", high, len(xs))
    band = ax.fill_between(xs, lows, highs, color=look["color"], alpha=BAND_ALPHA, linewidth=0)
    return [line, band]


@style.look()
def lines(
    ax: Axes,
    x: ArrayLike,
    centers: Mapping[str, ArrayLike],
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    *,
    x_label: str,
    y_label: str,
    title: str = "",
) -> list[Artist]:
    """Draw up to four lines over the same ``x``, each with its name at its end and a band of (low, high).

    Set the axes' scales before the call: the labels stand where the lines end.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : array_like
        Where the points stand, [points].
    centers : mapping of str to array_like
        Up to four lines by name, [points] each.
    bands : mapping of str to tuple of 2 array_like, optional
        The (low, high) of a line's band by the line's name, [points] each.
    x_label : str
        What the x-axis shows, with its unit.
    y_label : str
        What the y-axis shows, with its unit.
    title : str, optional
        The title, a sentence.

    Returns
    -------
    list of Artist
        The lines, their bands and the names at their ends.

    Raises
    ------
    ValueError
        For more than four lines, lengths that differ, or a band without a line.
    """
    if not 1 <= len(centers) <= len(style.SERIES):
        raise ValueError(f"centers must hold 1 to {len(style.SERIES)} lines; got {len(centers)}")
    bands = dict(bands or {})
    for name in bands:
        arguments.choice("bands", name, centers)
    made: list[Artist] = []
    for number, (name, center) in enumerate(centers.items()):
        made += line_with_band(ax, x, center, *bands.get(name, ()), series=number, label=name)
    describe(ax, x_label, y_label, title)
    return [*made, *end_labels(ax, [artist for artist in made if isinstance(artist, Line2D)])]


@style.look()
def end_labels(ax: Axes, drawn: Sequence[Line2D]) -> list[Text]:
    """Write each line's label right of the axes, level with its last point, but apart from each other.

    Fixes the y-limits: the labels would not follow.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    drawn : sequence of Line2D
        The lines, with their labels set.

    Returns
    -------
    list of Text
        One text per line.
    """
    ax.set_ylim(ax.get_ylim())
    ends = np.array([[np.asarray(part)[-1] for part in line.get_data()] for line in drawn])
    heights = ax.transAxes.inverted().transform(ax.transData.transform(ends))[:, 1]
    colours = [style.legible(str(line.get_color())) for line in drawn]
    texts = [
        ax.text(1.02, 0, str(line.get_label()), color=colour, transform=ax.transAxes, va="center")
        for line, colour in zip(drawn, colours, strict=True)
    ]
    gap = LABEL_GAP * float(texts[0].get_fontsize()) * ax.figure.dpi / 72 / ax.bbox.height
    for text, height in zip(texts, spread(heights, gap), strict=True):
        text.set_y(height)
    return texts


def spread(positions: ArrayLike, gap: float) -> NDArray[np.float64]:
    """Return positions at least ``gap`` apart, in the same order, moved as little as possible.

    Parameters
    ----------
    positions : array_like
        Where each would stand, [n].
    gap : float
        The least distance between two.

    Returns
    -------
    ndarray of float64
        Where each stands, [n].

    Notes
    -----
    Least squares by pooling adjacent violators (Ayer et al. 1955): what would touch moves as one block.
    """
    wanted = _numbers("positions", positions)
    order = np.argsort(wanted, kind="stable")
    blocks: list[tuple[float, int]] = []
    for rank, value in enumerate(wanted[order]):
        blocks.append((value - rank * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (low, many), (high, more) = blocks[-2:]
            blocks[-2:] = [((low * many + high * more) / (many + more), many + more)]
    result = np.empty_like(wanted)
    result[order] = np.repeat(*map(np.array, zip(*blocks, strict=True))) + gap * np.arange(len(wanted))
    return result


@style.look()
def describe(ax: Axes, x_label: str, y_label: str, title: str = "") -> None:
    """Label both axes (with units) and set the title, a sentence.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x_label : str
        What the x-axis shows, with its unit.
    y_label : str
        What the y-axis shows, with its unit.
    title : str, optional
        The title, a sentence.
    """
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.set_title(title)


def _rows_of_names(ax: Axes, names: Sequence[str], unit: str, title: str) -> None:
    ax.set_yticks(range(len(names))[::-1], names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    describe(ax, unit, "", title)


def _beside(ax: Axes, row: float, text: str) -> Text:
    text = text.replace("-", "−")  # a true minus, as the axis has
    return ax.text(1.02, row, text, transform=ax.get_yaxis_transform(), va="center")


def _intervals(values: Any, lows: Any, highs: Any, count: int) -> tuple[NDArray[np.float64], ...]:
    named = (("values", values), ("lows", lows), ("highs", highs))
    centers, below, above = (_numbers(name, given, count) for name, given in named)
    if not ((below <= centers) & (centers <= above)).all():
        raise ValueError("lows and highs must enclose values: low <= value <= high in every row")
    return centers, below, above


def _numbers(name: str, given: Any, count: int | None = None) -> NDArray[np.float64]:
    numbers = arguments.array(name, given, np.float64, ndim=1)
    if count is not None and len(numbers) != count:
        raise ValueError(f"{name} must hold {count} numbers, one for each; got {len(numbers)}")
    return numbers
