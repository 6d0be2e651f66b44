"""Every order of the steps that make a network smaller: the size of the file, the accuracy over the seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection

from coursekit._core import display
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.variants.orders import Pipeline, Pipelines

__all__ = ["CHOSEN", "REST", "SAME", "Rows", "colour", "in_groups", "orders"]

CHOSEN, SAME, REST = style.BLUE, style.ORANGE, style.MUTED


@dataclass(frozen=True)
class _Layout:
    """Measures of ``orders``; each says its unit."""

    thick: float = 9.0  # points: a bar
    thin: float = 3.0  # points: a range
    room: float = 1.3  # the axis over the longest bar, whose number stands on its right
    margin: float = 1.0  # points of accuracy left of the worst seed
    beside: float = 0.22  # of the accuracies' span, right of the best seed, for the means


LAYOUT = _Layout()


@dataclass(frozen=True)
class Rows:
    """The artists of ``orders``: a bar, a range and a dot per row, for the ``steps`` in this order."""

    steps: tuple[tuple[str, ...], ...]
    bars: LineCollection
    ranges: LineCollection
    dots: PathCollection


@style.look()
def orders(sizes: Axes, accuracies: Axes, results: Pipelines) -> Rows:
    """Draw a row per order: a bar for the size (kB), a dot and a range for the seeds' accuracies (%).

    The size stands beside the bar, the mean beside the range: one bad order leaves the good ones few pixels.
    Orders of the same steps stand together, between thin lines.

    Parameters
    ----------
    sizes : Axes
        Where the sizes stand.
    accuracies : Axes
        Where the accuracies stand.
    results : Pipelines
        The measured orders.

    Returns
    -------
    Rows
        The steps of each row and its bars, ranges and dots.
    """
    found = in_groups(results)
    rows = np.arange(len(found))[::-1]
    kilobytes = np.array([pipeline.size_bytes for pipeline in found]) / 1000
    low, mean, high = (100 * np.array([getattr(p, part) for p in found]) for part in ("low", "mean", "high"))
    bars = sizes.hlines(rows, 0, kilobytes, linewidth=LAYOUT.thick, zorder=3)
    bars.set_capstyle("butt")
    for row, pipeline, end in zip(rows, found, kilobytes, strict=True):
        sizes.annotate(_kilobytes(pipeline), (end, row), (4, -0.5), textcoords="offset points", **_NUMBER)
    ranges = accuracies.hlines(rows, low, high, linewidth=LAYOUT.thin, zorder=3)
    dots = accuracies.scatter(mean, rows, s=36, zorder=4)
    for row, value, end in zip(rows, mean, high, strict=True):
        text = f"{value:.1f}"
        accuracies.annotate(text, (end, row), (7, -0.5), textcoords="offset points", **_NUMBER)
    sizes.set_xlim(0, kilobytes.max() * LAYOUT.room)
    _span(accuracies, max(0.0, low.min() - LAYOUT.margin), high.max())
    sizes.set_yticks(rows, [pipeline.name for pipeline in found])
    accuracies.set_yticks([])
    describe(sizes, "size of the file (kB)", "")
    describe(accuracies, f"right answers (%), mean of {results.seeds} seeds", "")
    for ax in (sizes, accuracies):
        _frame(ax, found)
    return Rows(tuple(pipeline.steps for pipeline in found), bars, ranges, dots)


def colour(rows: Rows, chosen: Iterable[str]) -> None:
    """Let the chosen order stand out, and the other orders of the same steps.

    Parameters
    ----------
    rows : Rows
        What ``orders`` returned.
    chosen : iterable of str
        The steps of the order, first to last.
    """
    steps = tuple(chosen)
    colours = [CHOSEN if s == steps else SAME if set(s) == set(steps) else REST for s in rows.steps]
    for artist in (rows.bars, rows.ranges, rows.dots):
        artist.set_color(colours)


def in_groups(results: Pipelines) -> list[Pipeline]:
    """Return the results with orders of the same steps together, few steps first.

    Parameters
    ----------
    results : Pipelines
        The measured orders.

    Returns
    -------
    list of Pipeline
        The orders, from the top row down.
    """
    return sorted(results, key=lambda pipeline: (len(pipeline.steps), sorted(pipeline.steps)))


_NUMBER: dict[str, Any] = {"va": "center", "fontsize": "small", "zorder": 4}


def _span(ax: Axes, low: float, high: float) -> None:
    """Let the axis reach far enough for the numbers, with ticks up to 100 only."""
    ax.set_xlim(low, high + LAYOUT.beside * max(high - low, LAYOUT.margin))
    ax.set_xticks([tick for tick in ax.get_xticks() if low <= tick <= 100])


def _frame(ax: Axes, found: list[Pipeline]) -> None:
    ax.set_ylim(-0.7, len(found) - 0.3)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    groups = [frozenset(pipeline.steps) for pipeline in found]
    for row, (one, other) in enumerate(zip(groups, groups[1:], strict=False), 1):
        if one != other:
            ax.axhline(len(found) - row - 0.5, color=style.PALE, linewidth=0.8, zorder=1)


def _kilobytes(pipeline: Pipeline) -> str:
    return display.significant(pipeline.size_bytes / 1000)
