"""Where INT8 pays off: measured speed-ups over layer widths and batches, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from textwrap import shorten
from typing import Any, NamedTuple, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from coursekit._core import arguments, display
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels

MARGIN = 0.12  # of the data's height, free above and below it for what stands in the corners
LEAST_MARGIN = 0.7  # in octaves
MOST_WIDTH_LABELS = 9
MOST_OF_A_NAME = 60  # characters of the machine's name that fit under the axis


class Interval(Protocol):
    """A measured ratio with the ends of its interval, such as ``timing.Comparison.ratio`` returns."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, repr=False, eq=False)
class CrossoverGrid:
    """Measured speed-ups of INT8 over FP32 with their intervals: arrays of shape [widths, batches].

    ``widths`` and ``batches`` ascend; ``machine`` says where it was measured. 2 means half the time.
    Errors: ValueError for shapes that do not fit, ratios that are not positive or outside their interval.
    """

    widths: tuple[int, ...]
    batches: tuple[int, ...]
    ratio: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    machine: str = ""

    def __post_init__(self) -> None:
        for name in ("widths", "batches"):
            object.__setattr__(self, name, _ascending(name, getattr(self, name)))
        for name in ("ratio", "low", "high"):
            object.__setattr__(self, name, self._checked(name))
        if not ((self.low <= self.ratio) & (self.ratio <= self.high)).all():
            raise ValueError("low and high must enclose ratio: low <= ratio <= high everywhere")

    @classmethod
    def of(cls, ratios: Mapping[tuple[int, int], Interval], machine: str = "") -> "CrossoverGrid":
        """Return the grid of ratios given by (width, batch), with ``value``, ``low`` and ``high`` each.

        Errors: ValueError where a combination of width and batch is missing.
        """
        widths, batches = (tuple(sorted({key[i] for key in ratios})) for i in (0, 1))
        missing = [key for key in product(widths, batches) if key not in ratios]
        if missing or not ratios:
            raise ValueError(
                f"ratios must hold every combination of width and batch; missing: {missing or 'all'}"
            )
        columns = (
            [[getattr(ratios[w, b], name) for b in batches] for w in widths]
            for name in ("value", "low", "high")
        )
        return cls(widths, batches, *map(np.array, columns), machine)

    def at(self, width: int, batch: int) -> tuple[float, float, float]:
        """Return (ratio, low, high) at a measured width and batch; ValueError for another one."""
        row, column = _index("width", width, self.widths), _index("batch", batch, self.batches)
        return tuple(float(part[row, column]) for part in (self.ratio, self.low, self.high))

    def verdict(self, width: int, batch: int) -> str:
        """Return "faster" or "slower" where the interval leaves out 1×, else "same"."""
        _, low, high = self.at(width, batch)
        return "faster" if low > 1 else "slower" if high < 1 else "same"

    def crossover(self, batch: int) -> int | None:
        """Return the first width from which on INT8 is faster at every measured width, or None."""
        faster = self._faster(batch)
        tail = int(np.logical_and.accumulate(faster[::-1]).sum())
        return self.widths[-tail] if tail else None

    def sentence(self, batch: int) -> str:
        """Return in one sentence, true of these measurements, where INT8 pays off at this batch."""
        faster, width = self._faster(batch), self.crossover(batch)
        if faster.all():
            return f"At batch {batch}, INT8 pays off at every measured width"
        if width is not None:
            return f"At batch {batch}, INT8 pays off from width {width} on"
        if faster.any():
            return f"At batch {batch}, INT8 pays off at {faster.sum()} of {len(faster)} widths"
        if all(self.verdict(measured, batch) == "slower" for measured in self.widths):
            return f"At batch {batch}, INT8 is slower at every measured width"
        return f"At batch {batch}, INT8 pays off at no measured width"

    def _faster(self, batch: int) -> NDArray[np.bool_]:
        return self.low[:, _index("batch", batch, self.batches)] > 1

    def _checked(self, name: str) -> NDArray[np.float64]:
        numbers = arguments.array(name, getattr(self, name), np.float64, ndim=2)
        shape = len(self.widths), len(self.batches)
        if numbers.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape}, a row per width, a column per batch; got {numbers.shape}"
            )
        if (numbers <= 0).any():
            raise ValueError(f"{name} must be above zero: a ratio of two durations; got {numbers.min()}")
        return numbers

    def _table(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [str(w), *(f"{display.significant(self.at(w, b)[0], 2)}×" for b in self.batches)]
            for w in self.widths
        ]
        return ["width", *(f"batch {b}" for b in self.batches)], rows

    def __str__(self) -> str:
        return display.table_text(*self._table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return display.table_html(
            *self._table(), caption=f"speed-up of INT8 over FP32, {self.machine}".rstrip(", ")
        )


class Speedups(NamedTuple):
    """The artists of ``speedups``: a line, interval bars and a label per batch."""

    lines: list[Line2D]
    intervals: list[LineCollection]
    labels: list[Text]


@style.look()
def speedups(ax: Axes, grid: CrossoverGrid, batch: int | None = None) -> Speedups:
    """Draw the speed-up against the layer's width, a line per batch; ``batch`` (or the first) stands out.

    Both axes count in octaves; below 1×, where INT8 is slower, the ground is shaded.
    """
    chosen = grid.batches[0] if batch is None else grid.batches[_index("batch", batch, grid.batches)]
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


def emphasise(artists: Speedups, chosen: int) -> None:
    """Let the batch at position ``chosen`` stand out in front of the others, which turn grey."""
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


def _ascending(name: str, given: Any) -> tuple[int, ...]:
    numbers = tuple(arguments.integer(f"an entry of {name}", value, 1) for value in given)
    if not numbers or list(numbers) != sorted(set(numbers)):
        raise ValueError(f"{name} must ascend and hold at least one number; got {numbers}")
    return numbers


def _index(name: str, value: Any, measured: tuple[int, ...]) -> int:
    number = arguments.integer(name, value)
    if number not in measured:
        raise ValueError(f"{name} must be one of {', '.join(map(str, measured))}; got {number}")
    return measured.index(number)
