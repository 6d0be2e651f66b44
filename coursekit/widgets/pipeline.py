"""The panel that puts distil, prune and quantize in any order and shows what was measured for it."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from coursekit._core.display import size
from coursekit.plots import pipeline as drawn
from coursekit.plots import style
from coursekit.variants.orders import Pipeline, Pipelines, checked
from coursekit.variants.shrinking import STEPS
from coursekit.widgets.panel import Panel, View

__all__ = ["NOTHING", "PLACES", "Measure", "PipelinePanel", "PipelineView", "pipeline"]

NOTHING = "–"
PLACES = ("first", "second", "third")
Measure = Callable[[Callable[[float], None]], Pipelines]


def pipeline(
    results: Pipelines,
    steps: Sequence[str] = ("distil", "quantize", "prune"),
    measure: Measure | None = None,
) -> Panel:
    """Return a panel over measured pipelines: choose the first, second and third step, see size and accuracy.

    Parameters
    ----------
    results : variants.Pipelines
        Every order of the steps, measured.
    steps : sequence of str
        The steps to start with, in order.
    measure : callable, optional
        ``measure(progress)`` measures all orders anew, behind a button, and returns Pipelines.

    Returns
    -------
    Panel
        Controls: first, second, third (a step or nothing; a step chosen twice moves).

    Raises
    ------
    TypeError, ValueError
        If ``results`` are not Pipelines, or for unknown steps.
    """
    view, start = PipelineView(_pipelines("results", results)), checked(steps)
    filled = [*start, *[NOTHING] * (len(PLACES) - len(start))]
    controls = {
        place: ipywidgets.Dropdown(options=[NOTHING, *STEPS], value=step, description=place)
        for place, step in zip(PLACES, filled, strict=True)
    }
    actions = {} if measure is None else {"Measure with other seeds": lambda p: view.adopt(measure(p))}
    return PipelinePanel(view, controls, actions=actions)


class PipelineView(View):
    """A row per order, sizes on the left, accuracies on the right.

    Parameters
    ----------
    results : Pipelines
        The measured orders.
    """

    alt = (
        "A row for every order of distil, prune and quantize: the size of the file as a bar, the accuracy as "
        "a dot with the range of the seeds. The chosen order is blue, other orders of the same steps are "
        "orange."
    )

    def __init__(self, results: Pipelines) -> None:
        super().__init__(7.0, 4.8)
        self.results, self.steps = results, dict.fromkeys(PLACES, NOTHING)
        self._draw()

    @style.look()
    def _draw(self) -> None:
        left, right = self.figure.subplots(1, 2, width_ratios=(1, 1.3))
        self.rows = drawn.orders(left, right, self.results)
        self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", fontsize="medium")
        left.set_title(" ")  # keeps the line free that the reading stands in
        place = {"xycoords": ("figure fraction", "axes fraction"), "textcoords": "offset points"}
        self.reading = left.annotate(" ", (0.01, 1.0), (0, 7), in_layout=False, **place)
        self.moving = [self.title, self.reading, self.rows.bars, self.rows.ranges, self.rows.dots]

    def adopt(self, results: Pipelines) -> None:
        """Draw new results.

        Parameters
        ----------
        results : Pipelines
            The measured orders.

        Raises
        ------
        TypeError
            If they are not a Pipelines.
        """
        self.results = _pipelines("what measure returns", results)
        self.figure.clear()
        self.figure.set_layout_engine("constrained")
        self._draw()
        self.update(**self.steps)
        self.settle()

    def update(self, first: str, second: str, third: str) -> dict[str, Any]:
        """Light up one order.

        Parameters
        ----------
        first : str
            A step, or NOTHING.
        second : str
            A step, or NOTHING.
        third : str
            A step, or NOTHING.

        Returns
        -------
        dict of str to object
            By name; ``others`` are the other orders of the same steps.
        """
        self.steps = {"first": first, "second": second, "third": third}
        chosen = tuple(step for step in self.steps.values() if step != NOTHING)
        result, *others = self.results.same_steps(chosen)
        drawn.colour(self.rows, chosen)
        smaller = self.results[()].size_bytes / result.size_bytes
        self.title.set_text(f"{result.name}: {size(result.size_bytes)}, {100 * result.mean:.1f} % right")
        self.reading.set_text(_reading(result, others, smaller))
        return {
            "steps": chosen,
            "size_bytes": result.size_bytes,
            "smaller": smaller,
            "mean": result.mean,
            "low": result.low,
            "high": result.high,
            "others": tuple(other.name for other in others),
        }


class PipelinePanel(Panel):
    """The panel; a step stands in one place only, and places fill from the first on."""

    def rows(self) -> list[ipywidgets.Widget]:
        """Return the three places in one row, and the button below.

        Returns
        -------
        list of Widget
            From the top.
        """
        places = ipywidgets.HBox([self.controls[place] for place in PLACES])
        for control in self.controls.values():
            control.layout.width = "13em"
        return [places, *super().rows()[len(PLACES) :]]

    def arrange(self, moved: str) -> None:
        """Take a step that was chosen twice from its old place, and close the gap that it leaves.

        Parameters
        ----------
        moved : str
            The name of the control that moved.
        """
        wanted = self.controls[moved].value
        for place, control in self.controls.items():
            if place != moved and wanted != NOTHING and control.value == wanted:
                control.value = NOTHING
        left = [control.value for control in self.controls.values() if control.value != NOTHING]
        filled = [*left, *[NOTHING] * (len(PLACES) - len(left))]
        for control, step in zip(self.controls.values(), filled, strict=True):
            control.value = step


def _reading(result: Pipeline, others: Sequence[Pipeline], smaller: float) -> str:
    if not result.steps:
        return "The network as it was trained"
    if not others:
        return f"{smaller:.1f} times smaller than the network it began with"
    sizes, means = zip(*((other.size_bytes, 100 * other.mean) for other in others), strict=True)
    named = "The other order" if len(others) == 1 else f"The other {len(others)} orders"
    span = _span(f"{min(sizes) / 1000:.1f}", f"{max(sizes) / 1000:.1f}")
    return f"{named} of the same steps: {span} kB, {_span(f'{min(means):.1f}', f'{max(means):.1f}')} %"


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _pipelines(name: str, given: Any) -> Pipelines:
    if not isinstance(given, Pipelines):
        raise TypeError(
            f"{name} must be Pipelines, as variants.pipelines returns; got {type(given).__name__}"
        )
    return given
