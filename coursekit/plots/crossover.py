"""Where INT8 pays off: a picture of the speed-ups in a ``timing.CrossoverGrid``."""

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments, grids
from coursekit._core.display import significant
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels
from coursekit.timing.crossover import CrossoverGrid, Interval

__all__ = ["CrossoverGrid", "Interval", "Speedups", "emphasise", "fixed_and_product", "speedups"]

MARGIN = 0.12  # of the data's height, free above and below it for what stands in the corners
LEAST_MARGIN = 0.7  # in octaves
BAR = 0.4  # of the room for a width
ROOM_FOR_NAMES = 1.35  # above the highest bar
MOST_WIDTH_LABELS = 9
MOST_OF_A_NAME = 60  # characters of the machine's name that fit under the axis


class Speedups(NamedTuple):
    """The artists of ``speedups``: a line, interval bars and a label per batch."""

    lines: list[Line2D]
    intervals: list[LineCollection]
    labels: list[Text]


@style.look()
def speedups(ax: Axes, grid: CrossoverGrid, batch: int | None = None) -> Speedups:
    """Draw the speed-up against the layer's width, a line per batch, of which one stands out.

    Both axes count in octaves; below 1×, where INT8 is slower, the ground is shaded.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    grid : CrossoverGrid
        The measured speed-ups.
    batch : int, optional
        The batch that stands out; by default the first.

    Returns
    -------
    Speedups
        The lines, their intervals and their labels, a list of each.

    Raises
    ------
    ValueError
        For a batch that the grid does not have.
    """
    chosen = grid.batches[0] if batch is None else grid.batches[grids.position("batch", batch, grid.batches)]
    _frame(ax, grid)
    made = Speedups([], [], [])
    for column, size in enumerate(grid.batches):
        low, high, ratio = grid.low[:, column], grid.high[:, column], grid.ratio[:, column]
        made.intervals.append(ax.vlines(grid.widths, low, high, linewidth=3, alpha=0.6))
        marker = style.MARKERS[column % len(style.MARKERS)]
        made.lines.extend(ax.plot(grid.widths, ratio, marker=marker, label=f"batch {size}"))
    made.labels.extend(end_labels(ax, made.lines))
    emphasise(made, grid.batches.index(chosen))
    place = f"\nmeasured on {shorten(grid.machine, MOST_OF_A_NAME, placeholder=' …')}" if grid.machine else ""
    describe(ax, f"width of the layer (neurons){place}", "speed-up of INT8 over FP32", grid.sentence(chosen))
    return made


@style.look()
def fixed_and_product(
    ax: Axes, widths: Sequence[int], seconds: Mapping[str, ArrayLike], *, title: str = ""
) -> list[Artist]:
    """Draw the time of a call as stacked bars, two series beside each other for every width.

    The lower part is what a call takes at the first width, where the product is next to nothing; the upper
    part is what the width adds.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    widths : sequence of int
        Ascending; the first is so small that its call is overhead only.
    seconds : mapping of str to array_like
        Times of a call, [widths], of two series: the baseline, then the one to judge.
    title : str, optional
        The title; by default a sentence that the times decide.

    Returns
    -------
    list of Artist
        The bars and their numbers.

    Raises
    ------
    ValueError
        Unless there are two series with a time above 0 for each width.
    """
    times = {name: 1e6 * arguments.array(name, given, np.float64, ndim=1) for name, given in seconds.items()}
    if len(times) != 2 or any(len(each) != len(widths) or (each <= 0).any() for each in times.values()):
        raise ValueError(f"seconds must hold two series with a time above 0 for each of {len(widths)} widths")
    made: list[Artist] = []
    for number, (name, total) in enumerate(times.items()):
        fixed, x = np.minimum(total[0], total), np.arange(len(widths)) + (number - 0.5) * BAR
        look: dict[str, Any] = {"width": 0.92 * BAR, "edgecolor": "white", "color": style.SERIES[number]}
        made += ax.bar(x, fixed, hatch=style.HATCHES[1], label=f"{name}, in every call", **look)
        made += ax.bar(x, total - fixed, bottom=fixed, label=f"{name}, by its width", **look)
        made += [
            ax.annotate(f"{t:.0f}", (at, t), (0, 2), textcoords="offset points", ha="center")
            for at, t in zip(x, total, strict=True)
        ]
    ax.set_xticks(range(len(widths)), [str(width) for width in widths])
    ax.set_ylim(0, ROOM_FOR_NAMES * max(float(each.max()) for each in times.values()))
    ax.legend(loc="upper left", ncols=2)
    describe(ax, "width of the layer (neurons)", "time of a call (µs)", title or _fixed_title(times))
    return made


def _fixed_title(times: Mapping[str, NDArray[np.float64]]) -> str:
    (baseline, before), (name, after) = times.items()
    more = float(after[0] - before[0])
    if more <= 0:
        return f"{name} has no higher fixed cost than {baseline} here"
    return f"{name} pays {significant(more, 2)} µs more per call before the width counts"


def emphasise(artists: Speedups, chosen: int) -> None:
    """Let the batch at position ``chosen`` stand out in front of the others, which turn grey.

    Parameters
    ----------
    artists : Speedups
        What ``speedups`` returned.
    chosen : int
        The batch's position in the grid, from 0.
    """
    for number, (line, interval, label) in enumerate(zip(*artists, strict=True)):
        stands_out = number == chosen
        colour = style.BLUE if stands_out else style.GREY
        line.set(color=colour, linewidth=2.5 if stands_out else 1.2, markersize=7 if stands_out else 5)
        line.set_zorder(4.2 if stands_out else 3.2)
        interval.set(color=colour, linewidth=4.5 if stands_out else 3, zorder=4.1 if stands_out else 3.1)
        label.set(color=style.BLUE if stands_out else style.INK, zorder=4.2)


def _frame(ax: Axes, grid: CrossoverGrid) -> None:
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    _fit_axes(ax, grid)
    ax.set_xticks(grid.widths[:: -(-len(grid.widths) // MOST_WIDTH_LABELS)])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda width, _: f"{width:.0f}"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.axhspan(0.0, 1.0, color=style.PALE, alpha=0.5, linewidth=0, zorder=0)
    ax.axhline(1.0, color=style.INK, linewidth=1.2, zorder=1)
    ax.text(0.015, 0.98, "above 1×: INT8 is faster", transform=ax.transAxes, va="top")
    ax.text(0.985, 0.02, "below 1×: INT8 is slower", transform=ax.transAxes, ha="right")


def _fit_axes(ax: Axes, grid: CrossoverGrid) -> None:
    """Set the limits of both axes so that the data, the 1× line and the two corners have room."""
    low, high = np.log2(min(1.0, grid.low.min())), np.log2(max(1.0, grid.high.max()))
    free = max(LEAST_MARGIN, MARGIN * (high - low))
    ax.set_ylim(2 ** (low - free), 2 ** (high + free))
    ax.set_xlim(grid.widths[0] / 2**0.3, grid.widths[-1] * 2**0.3)
