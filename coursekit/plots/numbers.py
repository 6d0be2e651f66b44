"""Pictures of numbers: where a format's values lie, how far apart they are, how often values occur."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit import floats
from coursekit._core import arguments
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels, lines

__all__ = ["CELLS", "clip_by_group", "histogram", "spacing", "sum_on_grid", "value_density"]

CELLS = 2000  # more ticks than that on a line cannot be told apart
LABEL_SHARE = 0.09  # an octave narrower than this part of the axis has no room for a label
HEADROOM = 0.11  # of the highest bar, for each labelled mark
MIDDLE = (0.05, 0.95)  # the quantiles that a band reaches to
_BELOW: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
STEPS_SHOWN = 2  # stored numbers on either side of the one in the middle


@style.look()
def value_density(
    ax: Axes,
    format: str = "fp8_e4m3",
    low: float | None = None,
    high: float | None = None,
    *,
    title: str = "",
) -> list[Artist]:
    """Draw every value of a format (at most 16 bits) from ``low`` to ``high`` as a tick on one line.

    A float format's powers of two stand taller; above each stretch of equal steps that has room for it stands
    the step.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    format : str, optional
        A format's name, of at most 16 bits.
    low : float, optional
        Where the line starts; by default the format's lowest value.
    high : float, optional
        Where it ends; by default the format's largest value.
    title : str, optional
        The title; by default a sentence that says what the formats decide.

    Returns
    -------
    list of Artist
        The ticks, the taller ones and the texts.

    Raises
    ------
    ValueError
        For an unknown or wider format, or a span without values.
    """
    kind = floats.FORMATS[arguments.choice("format", format, floats.FORMATS)]
    values = np.unique(floats.all_values(kind))
    low = kind.lowest if low is None else arguments.real("low", low)
    high = kind.max if high is None else arguments.real("high", high)
    values = values[(values >= low) & (values <= high)]
    if len(values) < 2:
        raise ValueError(f"low and high must span at least 2 values of {format}; got {low} to {high}")
    ticks = ax.vlines(_thinned(values), 0, 0.45, color=style.BLUE, linewidth=1)
    powers: Any = _powers_of_two(values) if kind.kind == "float" else []
    tall = ax.vlines(powers, 0, 0.75, color=style.VERMILLION, linewidth=1.5)
    ax.set_ylim(0, 1.15)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    describe(ax, "value", "", title or _density_title(kind))
    return [ticks, tall, *_step_labels(ax, values, kind)]


@style.look()
def spacing(
    ax: Axes,
    formats: Sequence[str] = ("fp32", "fp16", "bf16", "fp8_e4m3"),
    low: float = 2.0**-12,
    high: float = 2.0**18,
    *,
    title: str = "",
) -> list[Artist]:
    """Draw the distance to the next number against the number's size, a line per format, axes in octaves.

    A line ends where its format does.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    formats : sequence of str, optional
        One to four formats' names.
    low : float, optional
        The smallest size, above 0.
    high : float, optional
        The largest size, at least twice ``low``.
    title : str, optional
        The title; by default a sentence that says what the formats decide.

    Returns
    -------
    list of Artist
        The lines and the names at their ends.

    Raises
    ------
    ValueError
        For an unknown format, more than four of them, or unless 0 < low < high / 2.
    """
    if not 1 <= len(formats) <= len(style.SERIES):
        raise ValueError(f"formats must be 1 to {len(style.SERIES)} names; got {len(formats)}")
    first = arguments.real("low", low, floats.FORMATS["fp64"].min_normal)
    exponents = np.arange(
        np.floor(np.log2(first)), np.ceil(np.log2(arguments.real("high", high, 2 * first))) + 1
    )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    made = [_spacing_line(ax, name, number, 2.0**exponents) for number, name in enumerate(formats)]
    describe(ax, "size of the number", "distance to the next one", title or _spacing_title(formats))
    return [*made, *end_labels(ax, made)]


@style.look()
def sum_on_grid(
    ax: Axes,
    terms: Sequence[str] = ("0.1", "0.2"),
    total: str = "0.3",
    formats: Sequence[str] = ("fp64", "fp32"),
    *,
    title: str = "",
) -> list[Artist]:
    """Draw where a sum falls among a format's numbers, a row per format, in steps from the stored total.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    terms : sequence of str, optional
        What is added up, as it is written.
    total : str, optional
        What the sum is compared with, as it is written.
    formats : sequence of str, optional
        One or more formats' names.
    title : str, optional
        The title; by default how many steps the stored sum lies from the stored total, in each format.

    Returns
    -------
    list of Artist
        The ticks, the marks and the texts.

    Raises
    ------
    ValueError
        For an unknown format or a number that a format does not hold.

    Notes
    -----
    The terms are stored, then added without rounding (the open mark), then rounded to the format (the full
    one).
    """
    made: list[Artist] = []
    rows, off = [], []
    for row, name in enumerate(formats):
        kind = floats.FORMATS[arguments.choice("formats", name, floats.FORMATS)]
        steps = _steps_of_sum(kind, terms, total)
        rows.append(kind.title)
        off.append(steps[-1])
        made += _grid_row(ax, -row, steps)
    places = range(-STEPS_SHOWN, STEPS_SHOWN + 1)
    ax.set(xlim=(-STEPS_SHOWN - 0.3, STEPS_SHOWN + 0.3), ylim=(0.6 - len(rows), 0.65), xticks=places)
    ax.set_yticks([-row for row in range(len(rows))], rows)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.legend(handles=made[1:4], loc="upper left", bbox_to_anchor=(1.01, 1.0))
    said = ", ".join(f"{abs(float(steps)):g} in {name}" for steps, name in zip(off, rows, strict=True))
    describe(
        ax,
        f"steps of the format from the stored {total}",
        "",
        title or f"Steps from {' + '.join(terms)} to {total}: {said}",
    )
    return made


@style.look()
def clip_by_group(
    ax: Axes,
    sizes: ArrayLike,
    best: Mapping[str, Sequence[ArrayLike]],
    searched: tuple[float, float] | None = None,
    *,
    title: str = "",
) -> list[Artist]:
    """Draw the best clip against how many weights share a scale: mean and middle 90 % of the groups.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sizes : array_like
        How many weights share a scale, ascending, [sizes].
    best : mapping of str to sequence of array_like
        Up to four series by name: for each size the groups' best clips, as parts of their largest magnitude.
    searched : tuple of 2 float, optional
        A range that is shown behind them.
    title : str, optional
        The title; by default how far the mean of the series moves that moves most.

    Returns
    -------
    list of Artist
        The lines, their bands and names, and the range.

    Raises
    ------
    ValueError
        For more than four series, or where lengths differ.
    """
    if not best:
        raise ValueError("best must hold 1 to 4 series; got none")
    groups = {name: [np.asarray(each, np.float64) for each in found] for name, found in best.items()}
    means = {name: [float(each.mean()) for each in found] for name, found in groups.items()}
    bands = {
        name: tuple(np.array([np.quantile(each, MIDDLE) for each in found]).T)
        for name, found in groups.items()
    }
    ax.set_xscale("log")
    ax.set_ylim(0, 1.04)
    made: list[Artist] = []
    if searched is not None:
        made.append(ax.axhspan(*searched, color=style.PALE, alpha=0.6, zorder=0))
        made.append(ax.annotate("searched", (0.99, searched[0]), **_BELOW, color=style.INK))
    made += lines(
        ax,
        sizes,
        means,
        bands,
        x_label="weights that share a scale",
        y_label="best clip (of the largest)",
        title=title or _clip_title(sizes, means),
    )
    ax.set_xticks(np.asarray(sizes))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    return made


def _clip_title(sizes: ArrayLike, means: Mapping[str, Sequence[float]]) -> str:
    name, found = max(means.items(), key=lambda item: abs(item[1][0] - item[1][-1]))
    few, many = np.asarray(sizes)[[0, -1]]
    return f"{name}: best clip {found[0]:.2f} for {few:,} weights, {found[-1]:.2f} for {many:,}"


def _steps_of_sum(
    kind: floats.Format, terms: Sequence[str], total: str
) -> tuple[Fraction, Fraction, Fraction]:
    """Return how many steps the written total, the exact sum of stored terms and its rounding lie off."""
    stored = Fraction(floats.fields(total, kind).value)
    step = Fraction(floats.spacing(total, kind))
    exact = sum((Fraction(floats.fields(term, kind).value) for term in terms), Fraction(0))
    rounded = Fraction(floats.fields(exact, kind).value)
    return (Fraction(total) - stored) / step, (exact - stored) / step, (rounded - stored) / step


def _grid_row(ax: Axes, row: float, steps: Sequence[Fraction]) -> list[Artist]:
    """Draw a format's numbers as ticks, with the written total, the exact sum and the stored sum."""
    written, exact, rounded = map(float, steps)
    places = np.arange(-STEPS_SHOWN, STEPS_SHOWN + 1)
    ticks = ax.vlines(places, row - 0.16, row + 0.16, color=style.BLUE, linewidth=2)
    look: dict[str, Any] = {"linestyle": "none", "zorder": 4, "markersize": 9}
    (asked,) = ax.plot(written, row + 0.3, "v", color=style.GREEN, label="the total as written", **look)
    open_mark = {
        **look,
        "markerfacecolor": "white",
        "markeredgecolor": style.VERMILLION,
        "markeredgewidth": 2,
    }
    (between,) = ax.plot(exact, row, "D", label="the sum before rounding", **open_mark)
    (stored,) = ax.plot(rounded, row, "o", color=style.VERMILLION, label="the sum as stored", **look)
    return [ticks, asked, between, stored]


@style.look()
def histogram(
    ax: Axes,
    values: ArrayLike,
    *,
    bins: int = 60,
    marks: Mapping[str, float] | None = None,
    unit: str = "value",
    title: str = "",
) -> list[Artist]:
    """Draw how often values occur, with labelled vertical marks above the bars.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    values : array_like
        Numbers of any shape.
    bins : int, optional
        How many bars.
    marks : mapping of str to float, optional
        Where a mark stands, by its label.
    unit : str, optional
        What labels the axis.
    title : str, optional
        The title, a sentence.

    Returns
    -------
    list of Artist
        The bars, the marks and their labels.

    Raises
    ------
    TypeError, ValueError
        For values that are empty or not finite.
    """
    numbers = arguments.array("values", values, np.float64).ravel()
    counts, edges = np.histogram(numbers, bins=arguments.integer("bins", bins, 1))
    filled = ax.stairs(counts, edges, fill=True, color=style.BLUE)
    marks = dict(marks or {})
    ax.set_ylim(0, counts.max() * (1.05 + HEADROOM * len(marks)))
    describe(ax, unit, "how many", title)
    return [filled, *_marks(ax, marks, counts.max())]


def _marks(ax: Axes, marks: Mapping[str, float], top: float) -> list[Artist]:
    """Draw dashed lines that rise towards the middle and are labelled outwards: no label meets a line."""
    middle = sum(ax.get_xlim()) / 2
    _make_room(ax, marks, middle)
    made: list[Artist] = []
    for number, label in enumerate(sorted(marks, key=lambda label: -abs(marks[label] - middle))):
        place, height = marks[label], top * (1.02 + HEADROOM * (number + 0.5))
        made.append(ax.vlines(place, 0, height, color=style.INK, linestyle="--", linewidth=1.2))
        made.append(_mark_label(ax, label, place, height, place < middle))
    return made


def _make_room(ax: Axes, marks: Mapping[str, float], middle: float) -> None:
    """Widen the x-limits so that every label fits on the outer side of its mark."""
    low, high = ax.get_xlim()
    letter = style.letter_width(ax) / ax.bbox.width
    for label, place in marks.items():
        free = 1 - min(0.8, letter * (len(label) + 2))  # the part of the axis that the label leaves
        if place < middle:
            low = min(low, high - (high - place) / free)
        else:
            high = max(high, low + (place - low) / free)
    ax.set_xlim(low, high)


def _mark_label(ax: Axes, label: str, place: float, height: float, left: bool) -> Text:
    side: dict[str, Any] = {"ha": "right" if left else "left", "va": "center"}
    return ax.annotate(label, (place, height), (-5 if left else 5, 0), textcoords="offset points", **side)


def _spacing_line(ax: Axes, name: str, number: int, sizes: NDArray[np.float64]) -> Line2D:
    kind = floats.FORMATS[arguments.choice("formats", name, floats.FORMATS)]
    reached = sizes[sizes <= kind.max]
    steps = [floats.spacing(size, kind) for size in reached]
    look: dict[str, Any] = {"color": style.SERIES[number], "linestyle": style.DASHES[number]}
    (line,) = ax.plot(reached, steps, drawstyle="steps-post", label=kind.title, **look)
    return line


def _spacing_title(formats: Sequence[str]) -> str:
    if all(floats.FORMATS[name].kind == "float" for name in formats):
        return "Twice the size, twice the distance to the next number"
    return "How far it is to the next number"


def _density_title(kind: floats.Format) -> str:
    if kind.kind == "integer":
        return f"{kind.title}: the same step everywhere"
    return f"{kind.title}: the step doubles at each power of two"


def _powers_of_two(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.frexp(np.abs(values))[0] == 0.5]


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    cells = np.floor((values - values[0]) / (values[-1] - values[0]) * CELLS)
    return values[np.unique(cells, return_index=True)[1]]


def _step_labels(ax: Axes, values: NDArray[np.float64], kind: floats.Format) -> list[Artist]:
    """Write the step over each stretch of equal steps that is wide enough for it."""
    ends = values[[0, -1]]
    if kind.kind == "float":
        ends = np.unique([*ends, *_powers_of_two(values)])
    made: list[Artist] = []
    gap = (values[-1] - values[0]) / 200
    for start, stop in pairwise(ends):
        if stop - start >= LABEL_SHARE * (values[-1] - values[0]):
            step = floats.spacing(min(abs(start), abs(stop)), kind)
            made.append(ax.hlines(0.86, start + gap, stop - gap, color=style.INK, linewidth=1))
            made.append(
                ax.text((start + stop) / 2, 0.92, f"step {_fraction(step)}", ha="center", va="bottom")
            )
    return made


def _fraction(power: float) -> str:
    """Return a power of two as people write it: 1/16, not 0.0625."""
    return f"{power:g}" if power >= 1 else f"1/{1 / power:g}"
