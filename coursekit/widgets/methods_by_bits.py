"""The panel that compares methods of rounding at all numbers of bits, on two models side by side."""

import math
from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from coursekit._core import arguments
from coursekit.plots import style
from coursekit.quantization.by_method import Measure, MethodTable
from coursekit.widgets.panel import Panel, View

__all__ = ["MethodsByBitsView", "methods_by_bits"]

NAMES: dict[Measure, str] = {"kl": "KL", "loss_added": "loss added", "same": "same choice"}
UNITS: dict[Measure, str] = {"kl": "KL (nats)", "loss_added": "loss added (nats)", "same": "same choice (%)"}
BEST: dict[Measure, str] = {"kl": "least KL", "loss_added": "least loss", "same": "most equal choices"}
LEAST = 1e-7  # nats: what is below is drawn there
ROOM = 1.35  # on a logarithmic axis, beyond the outermost value
RESTING = 3  # bits
TICKS = 4
KEY = 9  # points from the axes to a method's mark, and on to its name
SMALL = 0.9e-3  # below it ticks are powers of ten
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Round and square marks in four colours, then open ones: six that differ without colour too.
LOOKS: tuple[tuple[str, str, str, bool], ...] = (
    (style.BLUE, "o", "-", True),
    (style.BLUE, "s", "--", False),
    (style.BLUE, "^", "-.", True),
    (style.VERMILLION, "D", "-", False),
    (style.GREEN, "v", "--", True),
    (style.ORANGE, "P", ":", True),
)


def methods_by_bits(table: MethodTable) -> Panel:
    """Return a panel that shows how far rounded models are from their originals, by method and bits.

    Parameters
    ----------
    table : quantization.MethodTable
        What was measured, of one or two models.

    Returns
    -------
    Panel
        Controls: measure, bits.

    Raises
    ------
    TypeError
        If ``table`` is something else.
    """
    found = arguments.instance("table", table, MethodTable)
    controls = {
        "measure": ipywidgets.ToggleButtons(
            options=[(name, measure) for measure, name in NAMES.items()],
            value="kl",
            description="measure",
            style={"button_width": "auto"},
        ),
        "bits": ipywidgets.SelectionSlider(
            options=found.bits,
            value=RESTING if RESTING in found.bits else found.bits[-1],
            description="bits",
        ),
    }
    return Panel(MethodsByBitsView(found), controls)


class MethodsByBitsView(View):
    """For each model the measure against the bits, and below the methods at the chosen bits with intervals.

    Parameters
    ----------
    table : MethodTable
        What was measured.
    """

    alt = (
        "For each model, side by side: above, the distance of the rounded model from its original against "
        "the bits, a line for each method; below, all methods at the chosen bits, with their intervals."
    )

    def __init__(self, table: MethodTable) -> None:
        super().__init__(height=5.0)
        self.table = table
        self.measure: Measure | None = None
        self._stills: dict[Measure | None, Any] = {}
        count = len(table.models)
        self.lines: dict[tuple[str, str], Any] = {}
        self.dots: dict[tuple[str, str], Any] = {}
        self.keys: list[Any] = []
        with style.look():
            grid = self.figure.subplots(
                2, count, squeeze=False, sharex="row", sharey="row", height_ratios=(1.25, 1)
            )
            for ax in grid.flat:
                style.keep_type_size(ax)
            self.above, self.below = grid
            for model, above, below in zip(table.models, self.above, self.below, strict=True):
                self._curves(above, model)
                self._rows(below, model)
            self.leaders = [ax.set_title(" ", fontweight="normal", zorder=6) for ax in self.below]
            self.unit_above = self.above[0].set_ylabel(UNITS["kl"])
            self.units_below = [ax.set_xlabel(UNITS["kl"]) for ax in self.below]
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving += [self.title, *self.leaders]

    def _curves(self, ax: Axes, model: str) -> None:
        bits = self.table.bits
        ax.set_title(model, fontweight="normal")
        ax.tick_params(axis="y", left=ax is self.above[0])
        ax.set_xlim(-0.4, len(bits) - 0.6)
        ax.set_xticks(range(len(bits)), [str(each) for each in bits])
        ax.set_xlabel("bits")
        for method, (colour, marker, dash, filled) in zip(self.table.methods, LOOKS, strict=False):
            look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "zorder": 3}
            (line,) = ax.plot([], [], markerfacecolor=colour if filled else "white", markersize=6, **look)
            self.lines[model, method] = line
        (here,) = ax.plot(
            [0],
            [0.03],
            "^",
            color=style.INK,
            markersize=9,
            clip_on=False,
            zorder=5,
            transform=ax.get_xaxis_transform(),
        )
        self.lines[model, ""] = here
        self.moving.append(here)

    def _rows(self, ax: Axes, model: str) -> None:
        methods = self.table.methods
        ax.set_ylim(len(methods) - 0.4, -0.6)
        ax.set_yticks(range(len(methods)), methods)
        ax.tick_params(axis="y", length=0, pad=2 * KEY)
        beside = ScaledTranslation(-KEY / 72, 0, ax.figure.dpi_scale_trans)  # whatever the width of the axes
        ax.spines["left"].set_visible(False)
        ax.xaxis.set_minor_locator(NullLocator())
        for row, (method, look) in enumerate(zip(methods, LOOKS, strict=False)):
            colour, marker, _, filled = look
            (bar,) = ax.plot([], [], color=style.GREY, linewidth=3, alpha=0.7, zorder=3)
            (dot,) = ax.plot(
                [],
                [],
                marker,
                color=colour,
                markerfacecolor=colour if filled else "white",
                markersize=8,
                zorder=4,
            )
            if ax is self.below[0]:  # the names' key, also where nothing was measured
                key: dict[str, Any] = {"color": colour, "markerfacecolor": dot.get_markerfacecolor()}
                self.keys += ax.plot(
                    [0], [row], marker, transform=ax.get_yaxis_transform() + beside, clip_on=False, **key
                )
            self.dots[model, method] = row, bar, dot
            self.moving += [bar, dot]

    def update(self, measure: Measure, bits: int) -> dict[str, Any]:
        """Show one measure, and all methods at so many bits.

        Parameters
        ----------
        measure : str
            "kl", "loss_added" or "same".
        bits : int
            One of the table's.

        Returns
        -------
        dict of str to object
            By name; ``values`` holds (mean, low, high) by model and method.
        """
        if measure != self.measure:
            self._show_measure(measure)
        values: dict[str, Any] = {}
        for model in self.table.models:
            self.lines[model, ""].set_xdata([self.table.bits.index(bits)])
            for method in self.table.methods:
                found = self._draw_row(model, method, measure, bits)
                if found is not None:
                    values[f"{model}: {method}"] = found
        best = {model: list(self.table.best(model, bits, measure)) for model in self.table.models}
        for said, found in zip(self.leaders, best.values(), strict=True):
            more = f" (or {len(found) - 1} more)" if len(found) > 1 else ""
            said.set_text(f"best: {found[0]}{more}" if found else "not measured")
        self.title.set_text(_sentence(bits, measure, list(best.values())))
        return {"measure": measure, "bits": bits, "values": values, "best": best}

    def png(self) -> bytes:
        """Return the picture as it stands; what does not move is drawn once for each measure.

        Returns
        -------
        bytes
            The PNG.
        """
        if self._still is not None:
            if self.measure not in self._stills:
                with style.look():
                    self.figure.canvas.draw()
                self._stills[self.measure] = self.figure.canvas.copy_from_bbox(self.figure.bbox)
            self._still = self._stills[self.measure]
        return super().png()

    def _show_measure(self, measure: Measure) -> None:
        """Draw the lines of a measure on axes that fit it."""
        self.measure = measure
        self._scale(measure)
        for model in self.table.models:
            for method in self.table.methods:
                self._draw_line(model, method, measure)

    def _scale(self, measure: Measure) -> None:
        """Fit both axes to a measure; the distances need a logarithmic one."""
        found = np.array([self._shown(getattr(row, measure), measure) for row in self.table.rows])
        kind = "log" if measure == "kl" else "linear"
        low, high = float(found.min()), float(found.max())
        free = 0.06 * (high - low) or 0.5
        ends = (low / ROOM, high * ROOM) if kind == "log" else (low - free, high + free)
        for axis, limits in (
            (self.above[0].yaxis, self.above[0].set_ylim),
            (self.below[0].xaxis, self.below[0].set_xlim),
        ):
            axis.axes.set(**{f"{axis.axis_name}scale": kind})
            limits(*ends)
        for axis in (self.above[0].yaxis, *(ax.xaxis for ax in self.below)):
            axis.set_minor_locator(NullLocator())
            axis.set_major_locator(FixedLocator(_decades(*ends)) if kind == "log" else MaxNLocator(TICKS))
            axis.set_major_formatter(FuncFormatter(lambda value, _: _written(value)))
        for label in (self.unit_above, *self.units_below):
            label.set_text(UNITS[measure])

    def _shown(self, reading: Any, measure: Measure) -> tuple[float, float, float]:
        """Return a reading as it is drawn: shares in percent, distances not below what an axis can show."""
        factor = 100.0 if measure == "same" else 1.0
        mean, low, high = (factor * part for part in reading)
        return (mean, max(low, LEAST), high) if measure == "kl" else (mean, low, high)

    def _draw_line(self, model: str, method: str, measure: Measure) -> None:
        rows = [self.table.row(model, method, bits) for bits in self.table.bits]
        points = [
            (place, self._shown(getattr(row, measure), measure)[0]) for place, row in enumerate(rows) if row
        ]
        self.lines[model, method].set_data(*zip(*points, strict=True) if points else ([], []))

    def _draw_row(self, model: str, method: str, measure: Measure, bits: int) -> Any:
        place, bar, dot = self.dots[model, method]
        row = self.table.row(model, method, bits)
        if row is None:
            bar.set_data([], [])
            dot.set_data([], [])
            return None
        mean, low, high = self._shown(getattr(row, measure), measure)
        bar.set_data([low, high], [place, place])
        dot.set_data([mean], [place])
        return mean, low, high


def _sentence(bits: int, measure: Measure, best: Sequence[Sequence[str]]) -> str:
    """Return whether the models agree on the best method at so many bits.

    Parameters
    ----------
    bits : int
        Per weight.
    measure : str
        What judges.
    best : sequence of sequence of str
        The methods that may be the best, for each model.

    Returns
    -------
    str
        A title.
    """
    where = "1 bit" if bits == 1 else f"{bits} bits"
    if not all(best):
        return f"{where}: not all models were measured"
    if all(len(found) == 1 for found in best) and len({found[0] for found in best}) == 1:
        on = " on both models" if len(best) > 1 else ""
        return f"{where}: {best[0][0]} has the {BEST[measure]}{on}"
    if set.intersection(*map(set, best)):
        return f"{where}: no clear leader{' on both models' if len(best) > 1 else ''}"
    return f"{where}: the two models have different leaders"


def _decades(low: float, high: float) -> list[float]:
    """Return round numbers for the ticks of a logarithmic axis, few enough for a narrow one.

    Parameters
    ----------
    low, high : float
        The axis' ends, above 0.

    Returns
    -------
    list of float
        Powers of ten, or, where the ends lie close together, 2 and 5 times them too.
    """
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    if last - first >= 1:
        return [10.0**power for power in range(first, last + 1, 1 + (last - first) // TICKS)]
    tried = [float(f"{digit}e{power}") for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    return [value for value in tried if low <= value <= high]


def _written(value: float) -> str:
    """Return an axis' number, short and with a true minus.

    Parameters
    ----------
    value : float
        The number; below a thousandth, a power of ten.

    Returns
    -------
    str
        Such as "0.01", "−2" or "10⁻⁶".
    """
    if 0 < value < SMALL:
        return f"10{str(round(math.log10(value))).translate(RAISED)}"
    return f"{value:g}".replace("-", "−")
