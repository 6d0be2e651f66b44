"""Pictures of profiles: single runs as dots, a tree of calls as an icicle, what Amdahl's law leaves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments, display
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels
from coursekit.plots.page import tint
from coursekit.timing.profiles import Call, amdahl

__all__ = [
    "LARGEST_FACTOR",
    "AmdahlCurve",
    "Icicle",
    "amdahl_curve",
    "amdahl_points",
    "icicle",
    "repair",
    "run_times",
    "runs",
    "time_unit",
]

DEEPEST = 9  # levels of an icicle that can still be read
SHALLOW = 5  # levels where two stand below each other
FEWEST_CHARACTERS = 4
GAP = 0.06  # between two levels, as a share of a level
LARGEST_FACTOR = 1000.0
TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


class Icicle(NamedTuple):
    """The artists of ``icicle``: a box per call, and a label in each box that has room for one."""

    boxes: PatchCollection
    labels: list[Text]


@style.look()
def icicle(ax: Axes, call: Call, *, deepest: int = DEEPEST, title: str = "") -> Icicle:
    """Draw a tree of calls from the top down: each box is as wide as its share of the time.

    A function stands below the one that calls it. The part of a box with nothing below is the function's own
    work: the darker the box, the larger that part.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    call : Call
        The outermost call, as ``profiles.tree`` returns it.
    deepest : int, optional
        The most levels that are drawn, 1 or more.
    title : str, optional
        The title; by default a sentence with the call's name.

    Returns
    -------
    Icicle
        The boxes and their labels.

    Raises
    ------
    TypeError
        If ``call`` is not a Call.
    ValueError
        If ``deepest`` is less than 1.
    """
    if not isinstance(call, Call):
        raise TypeError(f"call must be a tree of calls (profiles.tree); got {type(call).__name__}")
    deepest = arguments.integer("deepest", deepest, 1)
    placed = [found for found in _places(call, 0, 0.0) if found[0] < deepest]
    boxes = [Rectangle((left, depth + GAP), one.seconds, 1 - GAP) for depth, left, one in placed]
    shades = [tint(style.BLUE, 0.12 + 0.36 * _own(one)) for _, _, one in placed]
    drawn = PatchCollection(boxes, facecolors=shades, edgecolors="white", linewidths=1.5)
    ax.add_collection(drawn)
    factor, unit = time_unit(call.seconds)
    ax.set(xlim=(0, call.seconds), ylim=(max(depth for depth, _, _ in placed) + 1, 0), yticks=[])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds / factor:g}"))
    ax.spines["left"].set_visible(False)
    describe(ax, f"time ({unit})", "", title or f"Where {call.name} spends its time")
    labels = [label for depth, left, one in placed if (label := _label(ax, depth, left, one, call.seconds))]
    return Icicle(drawn, labels)


@style.look()
def repair(
    axes: Sequence[Axes], before: Call, after: Call, *, deepest: int = SHALLOW
) -> tuple[Icicle, Icicle]:
    """Draw two trees of calls, before and after a repair, each on a time axis of its own.

    The titles say how long each took and which call takes the largest part of it.

    Parameters
    ----------
    axes : sequence of 2 Axes
        Where to draw.
    before : Call
        The outermost call before the repair, as ``profiles.tree`` returns it.
    after : Call
        The outermost call after it.
    deepest : int, optional
        The most levels that are drawn, 1 or more.

    Returns
    -------
    tuple of 2 Icicle
        The boxes and labels of both.

    Raises
    ------
    TypeError, ValueError
        As for ``icicle``, and for another number of axes.
    """
    if len(axes) != 2:
        raise ValueError(f"axes must be 2, for before and after; got {len(axes)}")
    shown = {"Before": before, "After": after}
    first, second = (
        icicle(ax, call, deepest=deepest, title=f"{when}: {_receipt(call)}")
        for ax, (when, call) in zip(axes, shown.items(), strict=True)
    )
    return first, second


@style.look()
def runs(ax: Axes, seconds: ArrayLike, *, title: str = "") -> list[Artist]:
    """Draw one dot per run, in the order of the runs, with lines at their median and at their mean.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    seconds : array_like
        The times in the order of the runs, [runs].
    title : str, optional
        The title; by default how many runs there are and their span.

    Returns
    -------
    list of Artist
        The dots, the two lines and their labels.

    Raises
    ------
    ValueError
        For fewer than two runs or a time that is not above zero.
    """
    times = run_times("seconds", seconds)
    factor, unit = time_unit(float(times.max()))
    numbers = np.arange(1, len(times) + 1)
    (dots,) = ax.plot(numbers, times / factor, "o", color=style.BLUE, markersize=6, zorder=3)
    ax.set_xlim(0, len(times) + 1)
    ax.set_ylim(0, 1.12 * times.max() / factor)
    middles = {"median": np.median(times), "mean": np.mean(times)}
    looks = {"median": (style.VERMILLION, "-"), "mean": (style.INK, "--")}
    lines = [
        *(
            ax.plot([0, len(times) + 1], [value / factor] * 2, dash, color=colour, linewidth=1.6, label=name)[
                0
            ]
            for (name, value), (colour, dash) in zip(middles.items(), looks.values(), strict=True)
        )
    ]
    span = " to ".join(display.seconds(value) for value in (times.min(), times.max()))
    describe(ax, "run", f"time ({unit})", title or f"{len(times)} runs of the same call: {span}")
    return [dots, *lines, *end_labels(ax, lines)]


class AmdahlCurve(NamedTuple):
    """The artists of ``amdahl_curve``: the curve and the line that it never crosses."""

    curve: Line2D
    limit: Line2D


@style.look()
def amdahl_curve(ax: Axes, share: float) -> AmdahlCurve:
    """Draw how fast the whole gets against how fast a part of it gets, on logarithmic axes.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    share : float
        The part's share of the time, 0 to 1.

    Returns
    -------
    AmdahlCurve
        The curve and its limit.

    Raises
    ------
    ValueError
        If ``share`` is not within 0 to 1.
    """
    share = arguments.real("share", share, 0, 1)
    ax.set(xscale="log", yscale="log", xlim=(1, LARGEST_FACTOR), ylim=(0.9, LARGEST_FACTOR))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator([1, 10, 100, 1000]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}×"))
    ax.plot([1, LARGEST_FACTOR], [1, LARGEST_FACTOR], color=style.PALE, linewidth=1.2, zorder=1)
    factors, speedups, limit = amdahl_points(share)
    (curve,) = ax.plot(factors, speedups, color=style.BLUE, linewidth=2.5, zorder=3)
    (line,) = ax.plot(
        [1, LARGEST_FACTOR], [limit, limit], "--", color=style.VERMILLION, linewidth=1.6, zorder=2.8
    )
    describe(ax, "the part: how many times as fast", "the whole: how many times")
    return AmdahlCurve(curve, line)


def amdahl_points(share: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return factors, the whole's speed-up at each of them, and its limit, kept within the picture.

    Parameters
    ----------
    share : float
        The part's share of the time, 0 to 1.

    Returns
    -------
    tuple of (ndarray, ndarray, float)
        Factors [121], speed-ups [121] and the limit.
    """
    factors = np.geomspace(1, LARGEST_FACTOR, 121)
    speedups = np.array([amdahl(share, float(factor)) for factor in factors])
    return factors, speedups, min(amdahl(share, np.inf), 10 * LARGEST_FACTOR)


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit in which a time reads well.

    Parameters
    ----------
    seconds : float
        The longest of the times.

    Returns
    -------
    tuple of (float, str)
        Seconds per unit, and the unit's name.
    """
    return next(((factor, name) for factor, name in TIME_UNITS if seconds >= factor), TIME_UNITS[-1])


def run_times(name: str, seconds: ArrayLike, fewest: int = 2) -> NDArray[np.float64]:
    """Return the times of single runs as an array.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    seconds : array_like
        The times, [runs].
    fewest : int, optional
        The fewest runs that are allowed.

    Returns
    -------
    ndarray of float64
        The times in seconds, [runs].

    Raises
    ------
    ValueError
        For fewer runs or a time that is not above 0.
    """
    times = arguments.array(name, seconds, np.float64, ndim=1)
    if len(times) < fewest:
        raise ValueError(f"{name} must hold at least {fewest} runs; got {len(times)}")
    if (times <= 0).any():
        raise ValueError(f"{name} must be above zero: durations in seconds; got {times.min()}")
    return times


def _places(call: Call, depth: int, left: float) -> list[tuple[int, float, Call]]:
    """Return (depth, left end in seconds, call) of every box: children stand side by side from the left."""
    found = [(depth, left, call)]
    for child in call.children:
        found += _places(child, depth + 1, left)
        left += child.seconds
    return found


def _receipt(call: Call) -> str:
    if not isinstance(call, Call):
        raise TypeError(f"call must be a tree of calls (profiles.tree); got {type(call).__name__}")
    took = display.seconds(call.seconds)
    if not call.children:
        return f"{took} in {call.name} itself"
    largest = call.children[0]
    return f"{took}, {100 * largest.seconds / call.seconds:.0f} % of it in {largest.name}"


def _own(call: Call) -> float:
    return max(0.0, 1 - sum(child.seconds for child in call.children) / call.seconds)


def _label(ax: Axes, depth: int, left: float, call: Call, whole: float) -> Text | None:
    room = call.seconds / whole * ax.bbox.width
    characters = int(room / style.letter_width(ax))
    if characters < FEWEST_CHARACTERS:
        return None
    full = f"{call.name}  {display.seconds(call.seconds)}"
    short = call.name if len(call.name) <= characters else f"{call.name[: characters - 1]}…"
    text = full if len(full) <= characters else short
    return ax.text(
        left + call.seconds / 2, depth + (1 + GAP) / 2, text, ha="center", va="center", clip_on=True
    )
