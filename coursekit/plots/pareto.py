"""Variants of a network in the plane of size and latency, and their accuracies, each with its interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import NDArray

from coursekit._core import display
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.variants.rows import FITS, OUT, UNSURE, Row, Sitting

__all__ = ["Points", "accuracies", "front_line", "place_names", "set_around", "tradeoff"]

COLOURS = {FITS: style.BLUE, UNSURE: style.ORANGE, OUT: style.GREY}
MARKERS = {FITS: "o", UNSURE: "D", OUT: "x"}
# Where a name may stand around its dot: eight directions, near ones first.
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True)
class _Layout:
    """Where the ticks and the names of ``tradeoff`` stand; distances in points, unless they say otherwise."""

    room: float = 1.7  # the axes reach so many times beyond the smallest and the largest
    steps: tuple[int, ...] = (1, 2, 5)  # of a decade, where ticks stand
    wide: float = 80.0  # from this ratio of the ends on, there is room for decades only
    near: float = 9.0  # from the dot to its name on the first ring
    further: float = 14.0  # from one ring to the next
    far: float = 20.0  # from here on, a line leads to the dot
    rings: int = 40
    behind: int = -1  # zorder: whatever moves is drawn over the names, which stand still
    edge: float = 4.0  # pixels that stay free around a name and at the axes' edges
    clear: float = 7.0  # around a dot
    nearer: float = 0.7  # so much nearer than to any other dot is a name to its own, or a line leads there


LAYOUT = _Layout()


@dataclass(frozen=True)
class Points:
    """The artists of ``tradeoff``: quartile bars and names in the rows' order, lines to names far away.

    ``boxes`` are the names' places in pixels, once ``place_names`` has found them.
    """

    bars: LineCollection
    names: list[Annotation]
    leaders: LineCollection
    front: Line2D
    boxes: list[Bbox]


@style.look()
def tradeoff(ax: Axes, sitting: Sitting) -> Points:
    """Draw time against size with the quartiles; ``place_names`` and ``front_line`` complete the picture.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sitting : Sitting
        The measured variants.

    Returns
    -------
    Points
        The bars, names and lines, to be filled in.
    """
    sizes = np.array([row.size_bytes for row in sitting], float)
    times = np.array([(row.latency_low, row.latency, row.latency_high) for row in sitting])
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(sizes.min() / LAYOUT.room, sizes.max() * LAYOUT.room)
    ax.set_ylim(times.min() / LAYOUT.room, times.max() * LAYOUT.room)
    for axis, show in ((ax.xaxis, display.size), (ax.yaxis, display.seconds)):
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=LAYOUT.steps if high / low < LAYOUT.wide else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _, show=show: _brief(show(value))))
        axis.set_minor_formatter(NullFormatter())
    (line,) = ax.plot([], [], color=style.INK, linewidth=1.4, dashes=(4, 2), zorder=3)
    bars = ax.vlines(sizes, times[:, 0], times[:, 2], linewidth=4, alpha=0.45, zorder=4)
    leaders = LineCollection(
        [], color=style.GREY, linewidth=0.8, zorder=LAYOUT.behind, transform=IdentityTransform()
    )
    ax.add_collection(leaders, autolim=False)
    describe(ax, "size of the file", f"time for one {sitting.unit} (quartiles)")
    names = [
        ax.annotate(row.name, (size, time), (0, 0), textcoords="offset points", zorder=LAYOUT.behind)
        for row, size, time in zip(sitting, sizes, times[:, 1], strict=True)
    ]
    for name in names:
        name.set_in_layout(False)
    return Points(bars, names, leaders, line, [])


@style.look()
def accuracies(ax: Axes, sitting: Sitting) -> LineCollection:
    """Draw a row per variant, its 95 % interval as a bar.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sitting : Sitting
        The measured variants.

    Returns
    -------
    LineCollection
        The bars.
    """
    right = [row.accuracy for row in sitting]
    rows = np.arange(len(right))[::-1]
    low, high = (100 * np.array([getattr(r, end) for r in right]) for end in ("low", "high"))
    ax.set_ylim(-0.6, len(right) - 0.4)
    ax.set_xlim(low.min() - 1, min(100.0, high.max() + 1))
    ax.set_yticks(rows, sitting.names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    describe(ax, "right answers (%)", "")
    return ax.hlines(rows, low, high, linewidth=4, alpha=0.45, zorder=4)


def front_line(rows: Sequence[Row], edge: tuple[float, float]) -> NDArray[np.float64]:
    """Return the corners of the staircase over the variants of the front, up to the axes' edge.

    Parameters
    ----------
    rows : sequence of Row
        The variants on the front, in any order.
    edge : tuple of 2 float
        The largest size in bytes and the longest time in seconds that the axes show.

    Returns
    -------
    ndarray of float64
        The corners (bytes, seconds), [n, 2].
    """
    ordered = sorted(rows, key=lambda row: row.size_bytes)
    if not ordered:
        return np.zeros((0, 2))
    corners = [(ordered[0].size_bytes, edge[1])]
    for row in ordered:
        corners += [(row.size_bytes, corners[-1][1]), (row.size_bytes, row.latency)]
    return np.array([*corners, (edge[0], corners[-1][1])])


def place_names(ax: Axes, points: Points, line: NDArray[np.float64]) -> None:
    """Move each name beside its dot, to the nearest place that covers no dot, no other name and no ``line``.

    The figure's layout must stand. A name that had to go far, or stands near another dot as well, gets a line
    to its own.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    points : Points
        What ``tradeoff`` returned.
    line : ndarray of float64
        The corners [n, 2] of a line whose pieces are level or upright.
    """
    canvas: Any = ax.figure.canvas
    renderer, scale = canvas.get_renderer(), ax.figure.dpi / 72
    dots = ax.transData.transform([name.xy for name in points.names])
    taken = [Bbox([dot - LAYOUT.clear * scale, dot + LAYOUT.clear * scale]) for dot in dots]
    corners = ax.transData.transform(line).reshape(-1, 2)
    taken += [Bbox([np.minimum(*ends) - 1, np.maximum(*ends) + 1]) for ends in pairwise(corners)]
    lines, frame = [], ax.bbox.padded(-LAYOUT.edge)
    points.boxes.clear()
    for number, (name, dot) in enumerate(zip(points.names, dots, strict=True)):
        for x, y in _offsets():
            _put(name, x, y)
            box = name.get_window_extent(renderer)
            free = _inside(box, frame) and not any(box.overlaps(other) for other in taken)
            if free and (max(abs(x), abs(y)) > LAYOUT.far or _is_nearest(box, dots, number)):
                break
        taken.append(box.padded(LAYOUT.edge))
        points.boxes.append(taken[-1])
        if max(abs(x), abs(y)) > LAYOUT.far or not _is_nearest(box, dots, number):
            lines.append([dot, np.clip(dot, box.min, box.max)])
    points.leaders.set_segments(lines)


def _is_nearest(box: Bbox, dots: NDArray[np.float64], number: int) -> bool:
    """Tell whether a name's box is clearly nearer to its own dot than to every other one."""
    gaps = np.linalg.norm(dots - np.clip(dots, box.min, box.max), axis=1)
    return bool(gaps[number] < LAYOUT.nearer * np.delete(gaps, number).min(initial=np.inf))


def set_around(line: Line2D, corners: NDArray[np.float64], boxes: Sequence[Bbox]) -> None:
    """Give a line its corners, with gaps where it would run through one of the names.

    What moves is drawn over the names, which stand still: a gap costs nothing, and drawing the names anew
    would cost half as much again as all the rest.

    Parameters
    ----------
    line : Line2D
        The line to set.
    corners : ndarray of float64
        In the data's units, [n, 2]; the pieces between them are level or upright.
    boxes : sequence of Bbox
        The names' places, in pixels.
    """
    transform = line.get_transform()
    found: list[NDArray[np.float64]] = []
    for start, end in pairwise(transform.transform(corners)):
        found += _piece(start, end, boxes)
    line.set_data(*transform.inverted().transform(np.reshape(found, (-1, 2))).T)


def _piece(start: Any, end: Any, boxes: Sequence[Bbox]) -> list[NDArray[np.float64]]:
    """Return the points of a level or upright piece, NaN in the middle of each gap."""
    along = int(np.abs(end - start).argmax())
    low, high = sorted((start[along], end[along]))
    crossed = [box for box in boxes if box.min[1 - along] < start[1 - along] < box.max[1 - along]]
    gaps = [(max(low, box.min[along]), min(high, box.max[along])) for box in crossed]
    points = [start]
    for gap in sorted(gap for gap in gaps if gap[0] < gap[1])[:: 1 if low == start[along] else -1]:
        for edge in gap if low == start[along] else gap[::-1]:
            points.append(start.copy())
            points[-1][along] = edge
        points.insert(-1, np.full(2, np.nan))
    return [*points, end]


def _offsets() -> Iterator[tuple[float, float]]:
    for ring, (x, y) in product(range(LAYOUT.rings), DIRECTIONS):
        yield (LAYOUT.near + LAYOUT.further * ring) * x, (LAYOUT.near + LAYOUT.further * ring) * y


def _put(name: Annotation, x: float, y: float) -> None:
    name.set_position((x, y))
    name.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
    name.set_verticalalignment("bottom" if y > 0 else "top" if y < 0 else "center")


def _inside(box: Bbox, frame: Bbox) -> bool:
    return frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def _brief(text: str) -> str:
    number, unit = text.split(" ")
    return f"{float(number):g} {unit}"
