"""Pictures of memory: predictions beside measurements, growth with the input, a program step by step."""

import re
from collections.abc import Sequence
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

__all__ = ["on_formula", "round_size", "steps", "weighed"]

BAR = 0.6  # of a row's height


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
        The title, a sentence.

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
    describe(ax, "size (MB)", "", title)
    return [*bars, *marks]


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
        The title, a sentence.

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
    describe(ax, x_label, "", title)
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
        The title, a sentence.

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
    describe(ax, "memory since the start (MB)", "", title)
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


def _sizes(name: str, values: ArrayLike, count: int) -> NDArray[np.float64]:
    sizes = arguments.array(name, values, np.float64, ndim=1)
    if len(sizes) != count:
        raise ValueError(f"{name} must hold {count} sizes, one for each; got {len(sizes)}")
    return sizes
