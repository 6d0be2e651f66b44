"""Pictures of memory: predictions beside measurements, growth with the input, a program step by step."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments, display
from coursekit.plots import style
from coursekit.plots.comparison import describe

__all__ = ["on_formula", "round_size", "shared_heads", "steps", "weighed"]

BAR = 0.6  # of a row's height
DROP = 1.5  # from the heads that ask to those that are asked
APART = 3.2  # from one row of heads to the next


@style.look()
def weighed(
    ax: Axes, names: Sequence[str], predicted: ArrayLike, measured: dict[str, ArrayLike], *, title: str = ""
) -> list[Artist]:
    """Draw a row per name: a pale bar for the predicted size, a mark for each way it was measured.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    names : sequence of str
        The rows' names, from the top.
    predicted : array_like
        Bytes, [names].
    measured : dict of str to array_like
        One to three ways of measuring by name, bytes [names] each.
    title : str, optional
        The title; by default how far a measurement lies off its prediction at most.

    Returns
    -------
    list of Artist
        The bars and the marks.

    Raises
    ------
    ValueError
        Where lengths differ or more than three ways are given.
    """
    if not 1 <= len(measured) <= 3:
        raise ValueError(f"measured must hold 1 to 3 ways of measuring; got {len(measured)}")
    rows = np.arange(len(names))[::-1]
    lengths = _sizes("predicted", predicted, len(names))
    bars = ax.barh(rows, lengths / 1e6, height=BAR, color=style.PALE, label="predicted")
    marks: list[Artist] = []
    lifts = np.linspace(BAR / 4, -BAR / 4, len(measured)) if len(measured) > 1 else [0.0]
    for number, (name, values) in enumerate(measured.items()):
        look: dict[str, Any] = {"color": style.SERIES[number], "markersize": 9, "zorder": 3, "label": name}
        sizes = _sizes(name, values, len(names)) / 1e6
        marks += ax.plot(sizes, rows + lifts[number], style.MARKERS[number], **look)
    ax.set_yticks(rows, names)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(left=0)
    ax.legend(handles=[bars, *marks], loc="lower right")
    describe(ax, "size (MB)", "", title or _miss_title(lengths, measured))
    return [*bars, *marks]


@style.look()
def shared_heads(ax: Axes, heads: int, kept: Mapping[int, float], *, title: str = "") -> list[Artist]:
    """Draw which heads that ask share which keys and values, a row per number of the latter.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    heads : int
        How many heads ask.
    kept : mapping of int to float
        The bytes that one token keeps, by the number of heads that are asked.
    title : str, optional
        The title; by default how many times smaller the last cache is than the first.

    Returns
    -------
    list of Artist
        The boxes, the lines between them and the texts.

    Raises
    ------
    ValueError
        For no row, or a number that does not divide ``heads``.
    """
    count = arguments.integer("heads", heads, 1)
    if not kept or any(count % arguments.integer("kept", shared, 1, count) for shared in kept):
        raise ValueError(f"kept must map numbers that divide {count} to bytes; got {list(kept)}")
    made: list[Artist] = []
    for row, (shared, nbytes) in enumerate(kept.items()):
        top = -APART * row
        made += _row_of_heads(ax, top, count, shared)
        made.append(ax.text(-1, top, f"queries: {count}", ha="right", va="center"))
        made.append(ax.text(-1, top - DROP, f"keys, values: {shared}", ha="right", va="center"))
        size = f"{nbytes:,.0f} bytes per token"
        made.append(ax.text(count - 0.2, top - DROP, size, ha="left", va="center", fontweight="bold"))
    ax.set(xlim=(-3, 1.6 * count), ylim=(top - DROP - 0.6, 0.6), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    first, *_, (last, least) = [*kept.items(), *list(kept.items())[-1:]]
    said = f"{count // last} heads share keys and values: the cache is {first[1] / least:.3g} times smaller"
    describe(ax, "", "", title or (said if len(kept) > 1 else f"{count} heads ask {last}"))
    return made


def _row_of_heads(ax: Axes, top: float, heads: int, shared: int) -> list[Artist]:
    """Draw the heads that ask, below them those that are asked, and who asks whom."""
    size = heads // shared
    asked = [size * number + (size - 1) / 2 for number in range(shared)]
    links = [
        ax.plot([n, asked[n // size]], [top, top - DROP], color=style.GREY, zorder=1)[0] for n in range(heads)
    ]
    look: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 13, "zorder": 3}
    (queries,) = ax.plot(range(heads), [top] * heads, color=style.BLUE, **look)
    (pairs,) = ax.plot(asked, [top - DROP] * shared, color=style.ORANGE, **look)
    return [*links, queries, pairs]


@style.look()
def on_formula(
    ax: Axes, x: ArrayLike, predicted: ArrayLike, measured: ArrayLike, *, x_label: str, title: str = ""
) -> list[Artist]:
    """Draw measured bytes as dots on the line that a formula predicts, both axes logarithmic.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : array_like
        What the size depends on, [points].
    predicted : array_like
        What the formula says, in bytes [points].
    measured : array_like
        What was measured, in bytes [points].
    x_label : str
        What the x-axis shows.
    title : str, optional
        The title; by default how many times as many bytes the last point takes as the first.

    Returns
    -------
    list of Artist
        The line and the dots.

    Raises
    ------
    ValueError
        Where lengths differ.
    """
    xs = arguments.array("x", x, np.float64, ndim=1)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=10)
    (line,) = ax.plot(xs, _sizes("predicted", predicted, len(xs)), color=style.ORANGE, label="formula")
    (dots,) = ax.plot(xs, _sizes("measured", measured, len(xs)), "o", color=style.BLUE, label="measured")
    ax.set_xticks(xs)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: round_size(value)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper left")
    describe(ax, x_label, "", title or _growth_title(xs, dots.get_ydata()))
    return [line, dots]


@style.look()
def steps(
    ax: Axes, names: Sequence[str], kept: ArrayLike, peaks: ArrayLike, *, title: str = ""
) -> list[Artist]:
    """Draw a program's memory step by step: a bar for what is held after it, a mark for its worst moment.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    names : sequence of str
        The rows' names, from the top.
    kept : array_like
        What is held after each step, in bytes since the start of the program, [names].
    peaks : array_like
        Its worst moment, in the same unit, [names].
    title : str, optional
        The title; by default what is held at the end and at the worst moment.

    Returns
    -------
    list of Artist
        The bars, the marks and the texts.

    Raises
    ------
    ValueError
        Where lengths differ.
    """
    rows = np.arange(len(names))[::-1]
    held, worst = _sizes("kept", kept, len(names)), _sizes("peaks", peaks, len(names))
    bars = ax.barh(rows, held / 1e6, height=BAR, color=style.BLUE, label="held afterwards")
    (marks,) = ax.plot(worst / 1e6, rows, "D", color=style.VERMILLION, markersize=9, label="worst moment")
    look: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
    points = 0.8 * mpl.rcParams["font.size"]
    texts = [
        ax.annotate(display.size(value), (value / 1e6, row), (points, 0), **look)
        for value, row in zip(np.maximum(held, worst), rows, strict=True)
    ]
    ax.set_yticks(rows, names)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.22 * max(held.max(), worst.max()) / 1e6)
    ax.legend(loc="upper right")
    describe(ax, "memory since the start (MB)", "", title or _steps_title(held, worst))
    return [*bars, marks, *texts]


def round_size(nbytes: float) -> str:
    """Return a size without the zeros behind the point: for the ticks of an axis.

    Parameters
    ----------
    nbytes : float
        A size in bytes.

    Returns
    -------
    str
        The size with its unit.
    """
    return re.sub(r"\.0+ ", " ", display.size(nbytes))


def _miss_title(predicted: NDArray[np.float64], measured: Mapping[str, ArrayLike]) -> str:
    off = {name: np.abs(np.asarray(sizes) / predicted - 1).max() for name, sizes in measured.items()}
    worst = max(off, key=lambda name: off[name])
    return f"Off the prediction by up to {100 * off[worst]:.1f} % ({worst})"


def _growth_title(xs: NDArray[np.float64], sizes: ArrayLike) -> str:
    values = np.asarray(sizes)
    return f"{xs[-1] / xs[0]:.3g} times as many, {values[-1] / values[0]:.3g} times the bytes"


def _steps_title(held: NDArray[np.float64], worst: NDArray[np.float64]) -> str:
    end, most = (display.size(value) for value in (held[-1], max(worst.max(), held.max())))
    return f"{end} held at the end, {most} at the worst moment"


def _sizes(name: str, values: ArrayLike, count: int) -> NDArray[np.float64]:
    sizes = arguments.array(name, values, np.float64, ndim=1)
    if len(sizes) != count:
        raise ValueError(f"{name} must hold {count} sizes, one for each; got {len(sizes)}")
    return sizes
