"""The roofline: attainable arithmetic against intensity, and a layer's points below it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels
from coursekit.timing.roofline import CACHE, MEMORY, Point, Roof, rate

__all__ = ["GIGA", "Roofline", "bounds", "limits", "of", "roofline", "show"]

GIGA = 1e9
ROOM = 2.5  # the factor by which the axes reach beyond what is drawn
_BESIDE: dict[str, Any] = {
    "xytext": (12, -6),
    "textcoords": "offset points",
    "ha": "left",
    "va": "top",
}
ABOVE = 0.24  # of the height stays free above the highest roof, for words


class Roofline(NamedTuple):
    """The artists of ``roofline``: the roof, the other source's slope, flat parts with labels, points."""

    roof: Line2D
    other: Line2D
    flats: dict[str, Line2D]
    labels: dict[str, Text]
    points: Line2D


@style.look()
def roofline(
    ax: Axes, roof: Roof, points: Sequence[Point], precision: str | None = None, source: str = MEMORY
) -> Roofline:
    """Draw the roof for one precision and source, the flat parts of the others, and the layer's points.

    Both axes are logarithmic; above the roof nothing can be.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    roof : Roof
        The machine's peaks and bandwidths.
    points : sequence of Point
        The layer's measured points.
    precision : str, optional
        One of the roof's; by default its first.
    source : str, optional
        Where the operands come from: "memory" or "cache".

    Returns
    -------
    Roofline
        The artists, which ``show`` changes.
    """
    _frame(ax, roof, points)
    ends = np.array(ax.get_xlim())
    flats = {
        name: ax.plot(ends, [peak / GIGA] * 2, color=style.PALE, linewidth=1.2, zorder=1)[0]
        for name, peak in roof.peaks.items()
    }
    for name, line in flats.items():
        line.set_label(f"{name.upper()} {rate(roof.peaks[name], 'FLOP/s')}")
    made = Roofline(
        roof=ax.plot([], [], color=style.INK, linewidth=2.4, zorder=3)[0],
        other=ax.plot([], [], "--", color=style.GREY, linewidth=1.4, zorder=2.6)[0],
        flats=flats,
        labels=dict(zip(flats, end_labels(ax, list(flats.values())), strict=True)),
        points=ax.plot([], [], "o-", color=style.BLUE, linewidth=1, markersize=7, zorder=4)[0],
    )
    show(made, roof, points, precision or next(iter(roof.peaks)), source)
    describe(ax, "arithmetic intensity (FLOP per byte)", "GFLOP per second")
    return made


@style.look()
def limits(
    ax: Axes, roof: Roof, intensities: Mapping[str, float], precision: str | None = None, *, title: str = ""
) -> list[Artist]:
    """Draw what a roof allows at some intensities: open marks, because nothing was measured there.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    roof : Roof
        A machine's peaks and bandwidth, such as those of a data sheet.
    intensities : mapping of str to float
        FLOP per byte, by what has that intensity.
    precision : str, optional
        One of the roof's; by default its first.
    title : str, optional
        The title; by default which part of the peak the first and the last can reach at most.

    Returns
    -------
    list of Artist
        The roof, the marks and the texts.

    Raises
    ------
    ValueError
        For no intensity, or an unknown precision.
    """
    if not intensities:
        raise ValueError("intensities must hold at least one")
    name = precision or next(iter(roof.peaks))
    ridge, peak = roof.ridge(name), roof.peaks[arguments.choice("precision", name, roof.peaks)]
    low, high = min([*intensities.values(), ridge]) / ROOM**2, max([*intensities.values(), ridge]) * ROOM**3
    reach = np.geomspace(low, high, 200)
    ax.set(xscale="log", yscale="log", xlim=(low, high))
    slope = ax.plot(reach, bounds(roof, reach, name, MEMORY), color=style.INK, linewidth=2.4)
    made: list[Artist] = [*slope]
    ax.set_ylim(top=ROOM * peak / GIGA)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    shares = {}
    for what, intensity in intensities.items():
        bound = roof.bound(intensity, name)
        shares[what] = bound / peak
        look: dict[str, Any] = {
            "markerfacecolor": "white",
            "markeredgecolor": style.BLUE,
            "markeredgewidth": 2,
        }
        made += ax.plot(intensity, bound / GIGA, "o", markersize=10, zorder=4, **look)
        words = f"{what}: at most {_percent(shares[what])}"
        made.append(ax.annotate(words, (intensity, bound / GIGA), **_BESIDE))
    (first, least), *_, (last, most) = [*shares.items()] * 2
    said = f"At most {_percent(least)} of the peak for {first}, {_percent(most)} for {last}"
    describe(ax, "arithmetic intensity (FLOP per byte)", "GFLOP per second", title or said)
    return made


def show(made: Roofline, roof: Roof, points: Sequence[Point], precision: str, source: str) -> None:
    """Let the artists show another precision and source.

    Parameters
    ----------
    made : Roofline
        What ``roofline`` returned.
    roof : Roof
        The machine's peaks and bandwidths.
    points : sequence of Point
        The layer's measured points.
    precision : str
        One of the roof's.
    source : str
        Where the operands come from: "memory" or "cache".
    """
    ax: Any = made.roof.axes
    low, high = ax.get_xlim()
    intensities = np.geomspace(low, high, 200)
    made.roof.set_data(intensities, bounds(roof, intensities, precision, source))
    other = {MEMORY: CACHE, CACHE: MEMORY}[source]
    has_other = roof.cache_bandwidth is not None
    made.other.set_data(intensities, bounds(roof, intensities, precision, other if has_other else source))
    chosen = of(points, precision, source)
    made.points.set_data([point.work.intensity for point in chosen], [point.rate / GIGA for point in chosen])
    for name, text in made.labels.items():
        text.set(color=style.INK if name == precision else style.GREY)


def bounds(roof: Roof, intensities: NDArray[np.float64], precision: str, source: str) -> NDArray[np.float64]:
    """Return the attainable GFLOP/s at each intensity.

    Parameters
    ----------
    roof : Roof
        The machine's peaks and bandwidths.
    intensities : ndarray of float64
        FLOP per byte, [n].
    precision : str
        One of the roof's.
    source : str
        Where the operands come from: "memory" or "cache".

    Returns
    -------
    ndarray of float64
        GFLOP/s, [n].
    """
    return np.array([roof.bound(each, precision, source) for each in intensities]) / GIGA


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f} %"


def of(points: Sequence[Point], precision: str, source: str) -> list[Point]:
    """Return the points of one precision and source, by batch.

    Parameters
    ----------
    points : sequence of Point
        The layer's measured points.
    precision : str
        The precision's name.
    source : str
        Where the operands come from: "memory" or "cache".

    Returns
    -------
    list of Point
        The points, by ascending batch.
    """
    chosen = [point for point in points if (point.precision, point.source) == (precision, source)]
    return sorted(chosen, key=lambda point: point.batch)


def _frame(ax: Axes, roof: Roof, points: Sequence[Point]) -> None:
    """Set logarithmic axes that hold every ridge, peak and point."""
    reach = [point.work.intensity for point in points] + [roof.ridge(name) for name in roof.peaks]
    low, high = min(reach) / ROOM, max(reach) * ROOM
    bottom = min([roof.bandwidth * low, *(point.rate for point in points)]) / ROOM / GIGA
    top = bottom * (max(roof.peaks.values()) / GIGA / bottom) ** (1 / (1 - ABOVE))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(bottom, top)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
