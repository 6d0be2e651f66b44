"""The panel that picks a batch for a latency budget, on a measured curve."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from coursekit._core import arguments
from coursekit._core.display import seconds
from coursekit.batching import JUDGES, Curve, Judge
from coursekit.batching.curves import REMEDY, TOO_WIDE
from coursekit.plots import batching, style
from coursekit.widgets.panel import Panel, View
from coursekit.widgets.stops import round_slider

__all__ = ["SloView", "slo"]

ROOM = 1.5  # the budget runs from and to so many times the curve's ends
MILLI = 1e-3
MOST_NAMED = 6  # batches; more are counted


def slo(curve: Curve, budget: float | None = None) -> Panel:
    """Return a panel on a measured ``curve``: slide the latency budget, see the best batch.

    The best batch is the one with the highest throughput of those that fit.

    Parameters
    ----------
    curve : batching.Curve
        Times per batch.
    budget : float, optional
        The latency allowed, in seconds. Default: the middle of the curve.

    Returns
    -------
    Panel
        Controls: budget (ms), judge (whether the median or the upper quartile must fit).

    Raises
    ------
    TypeError
        If ``curve`` is not a Curve.
    ValueError
        For a budget beyond the slider's range.
    """
    if not isinstance(curve, Curve):
        raise TypeError(f"curve must be a Curve, as batching.sweep returns; got {type(curve).__name__}")
    low, high = curve.low.min() / ROOM, curve.high.max() * ROOM
    chosen = np.sqrt(low * high) if budget is None else arguments.real("budget", budget, low, high)
    slider = round_slider(chosen / MILLI, low / MILLI, high / MILLI, "budget (ms)")
    judge = ipywidgets.Dropdown(options=JUDGES, description="judge by")
    return Panel(SloView(curve), {"budget": slider, "judge": judge})


class SloView(View):
    """Latency with the budget on the left, throughput on the right, the best batch lit up in both.

    Parameters
    ----------
    curve : Curve
        Seconds per batch.
    """

    alt = (
        "Left: the time of a call against the batch, with a line for the latency budget. Right: the examples "
        "per second. The best batch that fits the budget is lit up in both, larger ones are grey; "
        "what is too noisy to trust is crossed out."
    )

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self.curve, self.trusted = curve, ~np.isin(curve.batches, curve.doubtful)
        self.fitting: list[Line2D] = []
        self.best: list[Line2D] = []
        with style.look():
            left, right = self.figure.subplots(1, 2)
            self._latency(left)
            self._throughput(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold")
            if curve.doubtful:
                self.figure.supxlabel(_doubted(curve), x=0.01, ha="left", fontsize=style.TYPE)
        self.moving = [self.budget, self.over, self.title, *self.fitting, *self.best]
        self.moving += [*self.under, *left.spines.values()]  # the shade lies below them

    def _latency(self, ax: Axes) -> None:
        self.under = batching.latency(ax, {"": self.curve})
        line, band = self.under
        line.set(color=style.GREY, linewidth=1.2, markersize=5)
        band.set(color=style.GREY)
        low, high = self.curve.low.min() / ROOM, self.curve.high.max() * ROOM
        ax.set_ylim(low / 1.2, high * 1.2)
        self.over = ax.axhspan(low, high * 2, color=style.VERMILLION, alpha=0.10, linewidth=0, zorder=0)
        self.budget = ax.axhline(low, color=style.VERMILLION, linewidth=1.8, zorder=3)
        self._lit(ax)

    def _throughput(self, ax: Axes) -> None:
        line, band = batching.throughput(ax, {"": self.curve})
        line.set(color=style.GREY, linewidth=1.2, markersize=5)
        band.set(color=style.GREY)
        ax.yaxis.set_major_formatter(FuncFormatter(_thousands))
        self._lit(ax)

    def _lit(self, ax: Axes) -> None:
        """Add the dots of the batches that fit and the large one of the best."""
        look: dict[str, Any] = {"marker": "o", "linestyle": "", "zorder": 5}
        self.fitting += ax.plot([], [], color=style.BLUE, markersize=7, **look)
        crossed = np.flatnonzero(~self.trusted)
        values = (self.curve.median, self.curve.throughput)[len(self.fitting) - 1]
        cross: dict[str, Any] = {
            "color": style.VERMILLION,
            "marker": "x",
            "linestyle": "",
            "markersize": 11,
            "zorder": 6,
        }
        ax.plot(np.array(self.curve.batches)[crossed], values[crossed], markeredgewidth=2.5, **cross)
        big: dict[str, Any] = {
            "color": style.ORANGE,
            "markeredgecolor": style.INK,
            "markeredgewidth": 1.5,
            "markersize": 14,
        }
        self.best += ax.plot([], [], **big, **look)

    def update(self, budget: float, judge: Judge) -> dict[str, Any]:
        """Light up what fits the budget.

        Parameters
        ----------
        budget : float
            In milliseconds.
        judge : Judge
            "median" or "upper quartile".

        Returns
        -------
        dict of str to object
            By name, times in seconds; ``share`` is the best batch's throughput as part of the highest
            measured. A batch that is too noisy to trust (``doubtful``) is neither lit nor counted.
        """
        curve, limit = self.curve, budget * MILLI
        taken = curve.median if judge == "median" else curve.high
        fits = (taken <= limit) & self.trusted
        batch = curve.best_batch(limit, judge)
        batches = np.array(curve.batches)
        heights = (curve.median, curve.throughput)
        for dots, best, values in zip(self.fitting, self.best, heights, strict=True):
            dots.set_data(batches[fits], values[fits])
            best.set_data(batches[batches == batch], values[batches == batch])
        self.budget.set_ydata([limit, limit])
        self.over.set_y(limit)
        self.over.set_height(2 * ROOM * curve.high.max())
        shown: dict[str, Any] = {
            "budget": limit,
            "judge": judge,
            "fitting": tuple(batches[fits].tolist()),
            "batch": batch,
        }
        shown["doubtful"] = curve.doubtful
        if batch is None:
            more = " and can be trusted" if curve.doubtful else ""
            self.title.set_text(f"No measured batch fits into {seconds(limit)}{more}")
            return {**shown, "latency": np.nan, "throughput": np.nan, "share": np.nan}
        row = curve.batches.index(batch)
        rate = float(curve.throughput[row])
        self.title.set_text(f"Within {seconds(limit)}: batch {batch:,}, {_rounded(rate)} examples per second")
        best_rate = float(curve.throughput[self.trusted].max())
        return {**shown, "latency": float(curve.median[row]), "throughput": rate, "share": rate / best_rate}


def _doubted(curve: Curve) -> str:
    """Return why some batches are not offered, and what helps."""
    batches = [f"{batch:,}" for batch in curve.doubtful]
    named = (
        ", ".join(batches)
        if len(batches) <= MOST_NAMED
        else f"{len(batches)} of {len(curve.batches)} batches"
    )
    return f"× not offered, too noisy (IQR over {TOO_WIDE:.0%} of the median): {named}.\nFor these, {REMEDY}."


def _thousands(value: float, _: Any) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _rounded(rate: float) -> str:
    digits = max(0, len(str(int(rate))) - 3)
    return f"{round(rate, -digits):,.0f}"
