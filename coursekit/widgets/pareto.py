"""The panel that lights up what fits into a budget, and draws the Pareto front."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from coursekit._core.display import significant
from coursekit.plots import pareto as drawn
from coursekit.plots import style
from coursekit.variants.rows import BUDGETS, FITS, UNSURE, Budget, Sitting, front
from coursekit.widgets.panel import Panel, View
from coursekit.widgets.stops import round_slider

__all__ = ["OWN", "Pareto", "ParetoView", "pareto"]

OWN = "own budget"
MOST_NAMED = 4  # more names would not fit into a line
ROOM = 1.3  # the sliders reach so many times beyond the smallest and the largest
HALF = 1.15  # times the median, so that its interval fits, too
KILO, MICRO, PER_CENT = 1e3, 1e-6, 1e-2


def pareto(sitting: Sitting, budget: str | Budget = OWN) -> Panel:
    """Return a panel on the variants of one sitting: choose a budget, see what fits and the front.

    Parameters
    ----------
    sitting : Sitting
        The measured variants.
    budget : str or Budget, optional
        A preset's name, OWN, or a budget of the reader's, which joins the presets.

    Returns
    -------
    Panel
        Controls: budget (a preset, or OWN, which frees the others), size (kB), time (µs), accuracy (%),
        portable (only files that run without Python).

    Raises
    ------
    TypeError
        If ``sitting`` is not a Sitting.
    ValueError
        For an unknown budget.
    """
    if not isinstance(sitting, Sitting):
        raise TypeError(
            f"sitting must be a Sitting, as variants.measure returns; got {type(sitting).__name__}"
        )
    presets = {**BUDGETS, budget.name: budget} if isinstance(budget, Budget) else BUDGETS
    chosen = budget.name if isinstance(budget, Budget) else budget
    options = [OWN, *presets]
    if chosen not in options or OWN in presets:
        raise ValueError(
            f"budget must be a Budget of another name, or one of {', '.join(options)}; got {budget!r}"
        )
    return Pareto(ParetoView(sitting, presets), _controls(sitting, chosen, options))


class ParetoView(View):
    """Left, time against size with the budget's corner and the front; right, the accuracies.

    Parameters
    ----------
    sitting : Sitting
        The measured variants.
    presets : mapping of str to Budget, optional
        Budgets by name.
    """

    alt = (
        "Left: the variants as dots, the time for one picture against the size of the file, the limits of "
        "the budget as lines, the Pareto front as a staircase. Right: their accuracies with intervals. What "
        "fits is a blue dot, what may fit an orange diamond, the rest a grey cross."
    )

    def __init__(self, sitting: Sitting, presets: Mapping[str, Budget] = BUDGETS) -> None:
        self.alt = self.alt.replace("picture", sitting.unit)
        super().__init__(7.0, 4.4)
        self.sitting, self.presets = sitting, presets
        with style.look():
            self.left, self.right = self.figure.subplots(1, 2, width_ratios=(2.1, 1))
            self.points = drawn.tradeoff(self.left, sitting)
            self.intervals = drawn.accuracies(self.right, sitting)
            self.dots = {v: (_dots(self.left, v), _dots(self.right, v)) for v in drawn.COLOURS}
            boxes = self.points.boxes
            limits = [(self.left, True, boxes), (self.left, False, boxes), (self.right, True, [])]
            self.limits = [_Limit(*limit) for limit in limits]
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", fontsize="medium")
            self.reading = self.left.set_title(" ", fontweight="normal", fontsize="medium")
        self.moving = [self.title, self.reading, self.points.front, self.points.bars, self.intervals]
        self.moving += [dots for pair in self.dots.values() for dots in pair]
        self.moving += [part for limit in self.limits for part in (limit.shade, limit.line)]
        # The shades lie below the axes' lines.
        self.moving += [*self.left.spines.values(), *self.right.spines.values()]

    def settle(self) -> None:
        """Solve the layout, then put the names where they cover nothing."""
        with style.look():
            self.figure.draw_without_rendering()
            drawn.place_names(self.left, self.points, self._staircase(front(self.sitting)))
        self.update(*self.wanted)  # now that the names have their places, the lines leave them out
        super().settle()

    def update(
        self, budget: str, size: float, time: float, accuracy: float, portable: bool
    ) -> dict[str, Any]:
        """Judge every variant by the budget.

        Parameters
        ----------
        budget : str
            A preset's name, or OWN, for which the others count.
        size : float
            The largest file, in kB.
        time : float
            The longest time, in µs.
        accuracy : float
            The lowest accuracy, in per cent.
        portable : bool
            Whether only files count that run without Python.

        Returns
        -------
        dict of str to object
            By name; ``front`` names the variants that none beats in size and time, ``choice`` those of them
            that fit.
        """
        self.wanted = budget, size, time, accuracy, portable
        own = Budget(OWN, size * KILO, time * MICRO, accuracy * PER_CENT, portable)
        limits = self.presets.get(budget, own)
        verdicts = {row.name: limits.verdict(row) for row in self.sitting}
        best = front(self.sitting, limits.accuracy)
        self._colour(list(verdicts.values()))
        drawn.set_around(self.points.front, self._staircase(best), self.points.boxes)
        self.limits[0].show(limits.size_bytes)
        self.limits[1].show(limits.seconds)
        self.limits[2].show(100 * limits.accuracy, below=True)
        self.title.set_text(_title(limits, verdicts))
        chosen = {verdict: tuple(n for n in best if verdicts[n] == verdict) for verdict in (FITS, UNSURE)}
        self.reading.set_text(_reading(limits, self.sitting, best, chosen))
        found = {"limits": limits, "verdicts": verdicts, "front": best, "fitting": _named(verdicts, FITS)}
        return {**found, "choice": chosen[FITS]}

    def _colour(self, verdicts: list[str]) -> None:
        rows = list(self.sitting)
        colours = [drawn.COLOURS[verdict] for verdict in verdicts]
        for bars in (self.points.bars, self.intervals):
            bars.set_color(colours)
        for verdict, (left, right) in self.dots.items():
            chosen = [i for i, found in enumerate(verdicts) if found == verdict]
            left.set_data([rows[i].size_bytes for i in chosen], [rows[i].latency for i in chosen])
            heights = [len(rows) - 1 - i for i in chosen]
            right.set_data([100 * rows[i].accuracy.value for i in chosen], heights)

    def _staircase(self, names: Iterable[str]) -> NDArray[np.float64]:
        edge = self.left.get_xlim()[1], self.left.get_ylim()[1]
        return drawn.front_line([self.sitting[name] for name in names], edge)


class _Limit:
    """A line at a budget's limit, which leaves the names' ``boxes`` out, and the shade beyond it."""

    def __init__(self, ax: Axes, upright: bool, boxes: list[Bbox]) -> None:
        transform = ax.get_xaxis_transform() if upright else ax.get_yaxis_transform()
        self.boxes, self.upright, self.ends = boxes, upright, ax.get_xlim() if upright else ax.get_ylim()
        self.shade = Rectangle(
            (0, 0), 1, 1, transform=transform, color=style.VERMILLION, alpha=0.1, linewidth=0, zorder=0
        )
        ax.add_patch(self.shade)
        look: dict[str, Any] = {
            "color": style.VERMILLION,
            "linewidth": 1.8,
            "zorder": 2,
            "transform": transform,
        }
        (self.line,) = ax.plot([], [], scalex=False, scaley=False, **look)

    def show(self, limit: float, below: bool = False) -> None:
        """Move to ``limit``, with the shade above it, or below; beyond the axes nothing is seen."""
        low, high = self.ends
        whole = np.array([(limit, 0.0), (limit, 1.0)] if low < limit < high else []).reshape(-1, 2)
        drawn.set_around(self.line, whole if self.upright else whole[:, ::-1], self.boxes)
        start, end = (low, max(low, min(limit, high))) if below else (min(max(limit, low), high), high)
        self.shade.set_bounds(*((start, 0, end - start, 1) if self.upright else (0, start, 1, end - start)))


class Pareto(Panel):
    """The panel; a preset switches the sliders off."""

    def rows(self) -> list[ipywidgets.Widget]:
        """Return three rows: the budgets, the limits of size and time, those of accuracy and place.

        Returns
        -------
        list of Widget
            From the top.
        """
        self.arrange("budget")
        groups = (("budget",), ("size", "time"), ("accuracy", "portable"))
        return [ipywidgets.HBox([self.controls[name] for name in group]) for group in groups]

    def arrange(self, moved: str) -> None:
        """Free the sliders for an own budget.

        Parameters
        ----------
        moved : str
            The name of the control that moved.
        """
        preset = self.controls["budget"].value != OWN
        for name in ("size", "time", "accuracy", "portable"):
            self.controls[name].disabled = preset


def _controls(sitting: Sitting, budget: str, options: list[str]) -> dict[str, ipywidgets.Widget]:
    sizes = np.array([row.size_bytes for row in sitting]) / KILO
    times = np.array([(row.latency_low, row.latency, row.latency_high) for row in sitting]).ravel() / MICRO
    lowest = min(row.accuracy.low for row in sitting)
    highest = max(row.accuracy.high for row in sitting)
    toggle = ipywidgets.ToggleButtons(options=options, value=budget, description="budget")
    toggle.style.button_width = "auto"
    floor = math.floor(100 * lowest)
    return {
        "budget": toggle,
        "size": _slider("size (kB)", sizes),
        "time": _slider("time (µs)", times),
        "accuracy": ipywidgets.FloatSlider(
            floor,
            min=floor,
            max=math.ceil(100 * highest),
            step=0.1,
            readout_format=".1f",
            description="right (%)",
        ),
        "portable": ipywidgets.Checkbox(False, description="must run without Python"),
    }


def _slider(title: str, values: NDArray[np.float64]) -> ipywidgets.SelectionSlider:
    """Return a slider over all values that starts where half of them fit."""
    low, high = values.min() / ROOM, values.max() * ROOM
    return round_slider(min(high, np.median(values) * HALF), low, high, title)


def _dots(ax: Axes, verdict: str) -> Line2D:
    look: dict[str, Any] = {
        "color": drawn.COLOURS[verdict],
        "marker": drawn.MARKERS[verdict],
        "linestyle": "",
        "zorder": 5,
    }
    (dots,) = ax.plot([], [], markersize=8, markeredgewidth=2, scalex=False, scaley=False, **look)
    return dots


def _named(verdicts: dict[str, str], wanted: str) -> tuple[str, ...]:
    return tuple(name for name, verdict in verdicts.items() if verdict == wanted)


def _title(limits: Budget, verdicts: dict[str, str]) -> str:
    fits, unsure = len(_named(verdicts, FITS)), len(_named(verdicts, UNSURE))
    many = {0: "None", len(verdicts): f"All {len(verdicts)}"}.get(fits, f"{fits} of {len(verdicts)}")
    more = f", {unsure} more may" if unsure else ""
    name, _, bounds = str(limits).partition(": ")
    return f"{many} fit{'s' if fits == 1 else ''}{more}{'' if name == OWN else f' the {name}'} ({bounds})"


def _reading(
    limits: Budget, sitting: Sitting, best: tuple[str, ...], chosen: Mapping[str, tuple[str, ...]]
) -> str:
    size = limits.size_bytes / max(row.size_bytes for row in sitting)
    spare = min(size, limits.seconds / max(row.latency_high for row in sitting))
    if limits.name != OWN and spare > 1:
        return f"At least {significant(spare, 2)} times more room than any variant here needs"
    if not best:
        return "On the front: nothing is accurate enough"
    fits, may = (_listed(chosen[verdict], len(sitting)) for verdict in (FITS, UNSURE))
    found = [f"fits: {fits}" if fits else "", f"may fit: {may}" if may else ""]
    return f"On the front, {'; '.join(filter(None, found)) or 'nothing fits'}"


def _listed(names: tuple[str, ...], count: int) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} of {count} variants"
