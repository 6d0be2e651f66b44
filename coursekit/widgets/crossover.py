"""The panel that shows from which layer width on INT8 pays off, on measured speed-ups."""

from collections.abc import Callable
from typing import Any

import ipywidgets
import matplotlib as mpl

from coursekit._core.display import significant
from coursekit.plots import style
from coursekit.plots.crossover import emphasise, speedups
from coursekit.timing import CrossoverGrid
from coursekit.widgets.panel import Panel, View

__all__ = ["CrossoverView", "Measure", "crossover"]

Measure = Callable[[Callable[[float], None]], CrossoverGrid]
SAID = {"faster": "INT8 is faster", "slower": "INT8 is slower", "same": "no difference shown"}


def crossover(results: CrossoverGrid, measure: Measure | None = None) -> Panel:
    """Return a panel over measured speed-ups; it starts at the smallest batch, where INT8 begins to pay.

    A thick line at 1× runs over the widths where INT8 pays.

    Parameters
    ----------
    results : timing.CrossoverGrid
        What was measured.
    measure : callable, optional
        ``measure(progress)`` measures the same widths and batches anew, behind a button: it calls
        ``progress`` with the part done (0 to 1) and returns a CrossoverGrid.

    Returns
    -------
    Panel
        Controls: width, batch.

    Raises
    ------
    TypeError
        If ``results`` is not a CrossoverGrid.
    """
    view = CrossoverView(_grid("results", results))
    batch = results.batches[0]
    width = results.crossover(batch) or results.widths[len(results.widths) // 2]
    controls = {
        "width": ipywidgets.SelectionSlider(options=results.widths, value=width, description="width"),
        "batch": ipywidgets.SelectionSlider(options=results.batches, value=batch, description="batch"),
    }
    actions = {} if measure is None else {"Measure again": lambda progress: view.adopt(measure(progress))}
    return Panel(view, controls, actions=actions)


class CrossoverView(View):
    """Speed-up against width, a line per batch, with one width and batch in the foreground.

    Parameters
    ----------
    results : CrossoverGrid
        The measured speed-ups.
    """

    alt = (
        "The speed-up of INT8 over FP32 against the width of a layer, one line with interval bars per batch; "
        "below the line at one times the ground is shaded, because INT8 is slower there."
    )

    def __init__(self, results: CrossoverGrid) -> None:
        super().__init__()
        self.results = results
        self.shown = {"width": results.widths[0], "batch": results.batches[0]}
        self._draw()

    @style.look()
    def _draw(self) -> None:
        ax = self.figure.add_subplot()
        self.drawn = speedups(ax, self.results)
        self.title = ax.set_title(" ", pad=1.9 * mpl.rcParams["font.size"], zorder=6)
        self.reading = ax.text(0, 1.02, "", va="bottom", transform=ax.transAxes, zorder=6)
        look: dict[str, Any] = {"color": style.BLUE, "linewidth": 6, "solid_capstyle": "butt", "zorder": 3}
        (self.from_here,) = ax.plot([], [], **look)
        ring: dict[str, Any] = {
            "markersize": 15,
            "markerfacecolor": "none",
            "markeredgecolor": style.INK,
            "markeredgewidth": 1.8,
        }
        (self.ring,) = ax.plot([], [], "o", zorder=5, **ring)
        lines, intervals, labels = self.drawn
        self.moving = [self.title, self.reading, self.from_here, self.ring, *lines, *intervals, *labels]

    def adopt(self, results: CrossoverGrid) -> None:
        """Draw new measurements of the same widths and batches, on axes that fit them.

        Parameters
        ----------
        results : CrossoverGrid
            The new measurements.

        Raises
        ------
        TypeError, ValueError
            If it is not a CrossoverGrid, ValueError for other widths or batches.
        """
        old, new = self.results, _grid("what measure returns", results)
        if (new.widths, new.batches) != (old.widths, old.batches):
            raise ValueError(
                f"measure must return widths {old.widths} and batches {old.batches}; "
                f"got {new.widths} and {new.batches}"
            )
        self.results = new
        self.figure.clear()
        self.figure.set_layout_engine("constrained")
        self._draw()
        self.update(**self.shown)
        self.settle()

    def update(self, width: int, batch: int) -> dict[str, Any]:
        """Bring one width and batch to the foreground.

        Parameters
        ----------
        width : int
            One of the grid's.
        batch : int
            One of the grid's.

        Returns
        -------
        dict of str to object
            By name; ``crossover`` is the width from which on INT8 pays.
        """
        self.shown = {"width": width, "batch": batch}
        ratio, low, high = self.results.at(width, batch)
        verdict, start = self.results.verdict(width, batch), self.results.crossover(batch)
        emphasise(self.drawn, self.results.batches.index(batch))
        self.ring.set_data([width], [ratio])
        pays = [] if start is None else [start, 2 * self.results.widths[-1]]
        self.from_here.set_data(pays, [1.0] * len(pays))
        self.title.set_text(self.results.sentence(batch))
        interval = f"interval {significant(low)} to {significant(high)}"
        self.reading.set_text(f"Width {width}: {SAID[verdict]}, {significant(ratio)}× ({interval})")
        return {
            **self.shown,
            "ratio": ratio,
            "low": low,
            "high": high,
            "verdict": verdict,
            "crossover": start,
        }


def _grid(name: str, given: Any) -> CrossoverGrid:
    if not isinstance(given, CrossoverGrid):
        raise TypeError(f"{name} must be a CrossoverGrid; got {type(given).__name__}")
    return given
