"""Pictures of memory: a need against many devices, growth with the input, predictions beside measurements."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit import _arguments, _display
from coursekit.memory import Device, Need, fits
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.plots.page import tint

# Blue grows with the model, orange with what it is given.
PARTS = {
    "weights": style.BLUE,
    "gradients": tint(style.BLUE, 0.6),
    "optimizer": tint(style.BLUE, 0.28),
    "KV cache": style.ORANGE,
    "activations": tint(style.ORANGE, 0.45),
}
MOST_SHARE = 150.0  # percent of a device's memory; what needs more runs out of the picture
BAR = 0.6  # of a row's height
SLOTS = 4  # parts that one setting has at most
GB = 1e9


class Shares(NamedTuple):
    """The artists of ``device_shares``: bars per part, the limit, what runs out, verdicts."""

    parts: dict[str, PolyCollection]
    limit: Line2D
    beyond: Line2D
    verdicts: list[Text]


class Split(NamedTuple):
    """The artists of ``need_split``: a bar per part, and for each slot below a square and a text."""

    parts: dict[str, PolyCollection]
    squares: PolyCollection
    texts: list[Text]


@style.look()
def device_shares(ax: Axes, devices: Sequence[Device], need: Need | None = None) -> Shares:
    """Draw a row per device, the need as a stacked bar in percent of its memory, a verdict beside it.

    Without a ``need`` the bars are empty, to be filled by ``show_shares``.
    """
    rows = range(len(devices))
    ax.set_xlim(0, MOST_SHARE)
    ax.set_ylim(len(devices) - 0.5, -0.5)
    ax.set_yticks(rows, [str(device) for device in devices])
    ax.tick_params(axis="y", length=0)
    ax.set_xticks(range(0, 101, 25))
    ax.set_xlabel("share of the device's memory (%)")
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.axvspan(100, MOST_SHARE, color=style.PALE, alpha=0.5, linewidth=0, zorder=0)
    limit = ax.axvline(100, color=style.INK, linewidth=1.6, zorder=4)
    drawn = _empty_bars(ax)
    (beyond,) = ax.plot([], [], ">", color=style.VERMILLION, markersize=8, zorder=5, clip_on=False)
    verdicts = [ax.text(1.03, row, "", transform=ax.get_yaxis_transform(), va="center") for row in rows]
    made = Shares(drawn, limit, beyond, verdicts)
    if need is not None:
        show_shares(made, devices, need)
    return made


def show_shares(artists: Shares, devices: Sequence[Device], need: Need) -> None:
    """Move the bars and verdicts of ``device_shares`` to this ``need``."""
    capacity = np.array([device.memory for device in devices], float)
    rows, reached = np.arange(len(devices)), np.zeros(len(devices))
    for name, nbytes in need.parts:
        ends = np.minimum(reached + 100 * nbytes / capacity, MOST_SHARE)
        artists.parts[name].set_verts(boxes(reached, ends, rows - BAR / 2, rows + BAR / 2))
        reached = ends
    out = rows[100 * need.total / capacity > MOST_SHARE]
    artists.beyond.set_data(np.full(out.size, MOST_SHARE), out)
    for text, device in zip(artists.verdicts, devices, strict=True):
        fit = fits(need, device)
        here = fit.verdict == "fits"
        text.set_text(f"✓ {_display.size(fit.room)} left" if here else f"✗ {_excess(fit.share)}")
        text.set(color=style.GREEN if here else style.VERMILLION, fontweight="normal" if here else "bold")


@style.look()
def need_split(ax: Axes, need: Need | None = None) -> Split:
    """Draw the need as one stacked bar over the whole width, its parts named with their sizes below."""
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_axis_off()
    drawn = _empty_bars(ax)
    squares = ax.add_collection(PolyCollection([], linewidth=0, zorder=3))
    places = np.arange(SLOTS) / SLOTS
    texts = [ax.text(place + 0.027, 0.22, "", va="center", zorder=4) for place in places]
    made = Split(drawn, squares, texts)
    if need is not None:
        show_split(made, need)
    return made


def show_split(artists: Split, need: Need) -> None:
    """Move the bar and the names of ``need_split`` to this ``need``."""
    reached = 0.0
    for name, nbytes in need.parts:
        end = reached + nbytes / need.total
        artists.parts[name].set_verts(boxes(reached, end, 0.55, 1.0))
        reached = end
    there = [(name, nbytes) for name, nbytes in need.parts if nbytes]
    for number, text in enumerate(artists.texts):
        text.set_text(f"{there[number][0]} {_display.size(there[number][1])}" if number < len(there) else "")
    lefts = np.arange(len(there)) / SLOTS
    artists.squares.set_verts(boxes(lefts, lefts + 0.016, 0.08, 0.36))
    artists.squares.set_facecolor([PARTS[name] for name, _ in there])


@style.look()
def weighed(
    ax: Axes, names: Sequence[str], predicted: ArrayLike, measured: dict[str, ArrayLike], *, title: str = ""
) -> list[Artist]:
    """Draw a row per name: a pale bar as long as predicted (bytes), a mark for each way it was measured.

    Errors: ValueError where lengths differ or more than three ways are given.
    """
    if not 1 <= len(measured) <= 3:
        raise ValueError(f"measured must hold 1 to 3 ways of measuring; got {len(measured)}")
    rows = np.arange(len(names))[::-1]
    lengths = _sizes("predicted", predicted, len(names))
    bars = ax.barh(rows, lengths / 1e6, height=BAR, color=style.PALE, label="predicted")
    marks: list[Artist] = []
    lifts = np.linspace(BAR / 4, -BAR / 4, len(measured)) if len(measured) > 1 else [0.0]
    for number, (name, values) in enumerate(measured.items()):
        look = {"color": style.SERIES[number], "markersize": 9, "zorder": 3, "label": name}
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
    """Draw measured bytes as dots on the line that a formula predicts, both axes logarithmic."""
    xs = _arguments.array("x", x, np.float64, ndim=1)
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

    Both are bytes since the start of the program. Errors: ValueError where lengths differ.
    """
    rows = np.arange(len(names))[::-1]
    held, worst = _sizes("kept", kept, len(names)), _sizes("peaks", peaks, len(names))
    bars = ax.barh(rows, held / 1e6, height=BAR, color=style.BLUE, label="held afterwards")
    (marks,) = ax.plot(worst / 1e6, rows, "D", color=style.VERMILLION, markersize=9, label="worst moment")
    look = {"textcoords": "offset points", "va": "center"}
    points = 0.8 * mpl.rcParams["font.size"]
    texts = [
        ax.annotate(_display.size(value), (value / 1e6, row), (points, 0), **look)
        for value, row in zip(np.maximum(held, worst), rows, strict=True)
    ]
    ax.set_yticks(rows, names)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.22 * max(held.max(), worst.max()) / 1e6)
    ax.legend(loc="upper right")
    describe(ax, "memory since the start (MB)", "", title)
    return [*bars, marks, *texts]


def _excess(share: float) -> str:
    return f"{share:,.0f}×" if share >= 100 else f"{_display.significant(share, 2)}× too big"


def _empty_bars(ax: Axes) -> dict[str, PolyCollection]:
    look = {"edgecolor": "white", "linewidth": 0.6, "zorder": 3}
    parts = {name: PolyCollection([], facecolor=colour, **look) for name, colour in PARTS.items()}
    for bars in parts.values():
        ax.add_collection(bars)
    return parts


def boxes(left: ArrayLike, right: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Return rectangles as polygons, [n, 4, 2]; empty ones stay, as lines without width."""
    ends = np.broadcast_arrays(*map(np.atleast_1d, (left, right, low, high)))
    left, right, low, high = (end.astype(float) for end in ends)
    corners = [(left, low), (right, low), (right, high), (left, high)]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)


def round_size(nbytes: float) -> str:
    """Return a size without the zeros behind the point: for the ticks of an axis."""
    return re.sub(r"\.0+ ", " ", _display.size(nbytes))


def _sizes(name: str, values: ArrayLike, count: int) -> NDArray[np.float64]:
    sizes = _arguments.array(name, values, np.float64, ndim=1)
    if len(sizes) != count:
        raise ValueError(f"{name} must hold {count} sizes, one for each; got {len(sizes)}")
    return sizes
