"""The panel that lets requests arrive one by one and leave in batches: a simulation on a measured curve."""

import functools
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from coursekit._core import arguments
from coursekit._core.display import seconds, significant
from coursekit.batching import Curve, Served, arrivals, capacity, simulate
from coursekit.plots import style
from coursekit.plots.batching import HALF, MOST, share_within
from coursekit.plots.comparison import describe
from coursekit.widgets.panel import Panel, View
from coursekit.widgets.stops import round_slider

__all__ = ["REQUESTS", "DynamicBatchingView", "dynamic_batching", "in_flight"]

REQUESTS = 2000
MOST_WAIT = 100  # ms
RESTING_RATE = 2  # times what one by one could answer
RESTING_BATCH, RESTING_WAIT = 32, 10  # ms
MILLI = 1e-3


def dynamic_batching(curve: Curve, rate: float | None = None) -> Panel:
    """Return a panel that simulates REQUESTS requests on a measured ``curve`` of times per batch.

    Parameters
    ----------
    curve : batching.Curve
        Times from batch 1 on.
    rate : float, optional
        Arrivals per second. Default: twice what the machine could answer one by one.

    Returns
    -------
    Panel
        Controls: rate (arrivals per second), max batch, max wait (ms).

    Raises
    ------
    TypeError
        If ``curve`` is not a Curve.
    ValueError
        If it does not begin at batch 1, or the rate is beyond the slider's range.
    """
    if not isinstance(curve, Curve):
        raise TypeError(f"curve must be a Curve, as batching.sweep returns; got {type(curve).__name__}")
    if curve.batches[0] != 1:
        raise ValueError(f"curve must begin at batch 1; got {curve.batches[0]}")
    low, high = capacity(curve, 1) / 10, 2 * capacity(curve, curve.batches[-1])
    chosen = min(high, RESTING_RATE * 10 * low) if rate is None else arguments.real("rate", rate, low, high)
    controls = {
        "rate": round_slider(chosen, low, high, "arrivals/s"),
        "max_batch": ipywidgets.SelectionSlider(
            options=curve.batches,
            value=max(b for b in curve.batches if b <= RESTING_BATCH),
            description="max batch",
        ),
        "max_wait": ipywidgets.IntSlider(RESTING_WAIT, 0, MOST_WAIT, description="max wait (ms)"),
    }
    return Panel(DynamicBatchingView(curve), controls)


class DynamicBatchingView(View):
    """How long requests take on the left, how many are in flight on the right, one by one in grey.

    Parameters
    ----------
    curve : Curve
        Seconds per batch.
    """

    alt = (
        "Left: the share of requests that are answered within a time, in batches and one by one. Right: how "
        "many requests are in flight as they arrive; where the line climbs, more arrive than can be answered."
    )

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self.curve = curve
        with style.look():
            left, right = self.figure.subplots(1, 2)
            self._latencies(left)
            self._in_flight(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold")
        self.moving = [self.title, self.reading, self.alone, self.shares, self.marks]
        self.moving += [self.queue_alone, self.queue]

    def _latencies(self, ax: Axes) -> None:
        fastest, slowest = self.curve.median.min(), self.curve.median.max() + MOST_WAIT * MILLI
        ax.set_xscale("log")
        ax.set_xlim(fastest / 2 / MILLI, max(slowest, REQUESTS * self.curve.median[0]) * 1.5 / MILLI)
        ax.set_ylim(0, 104)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        describe(ax, "latency (ms)", "requests answered (%)")
        (self.alone,) = ax.plot([], [], "--", color=style.GREY, linewidth=1.4, zorder=3)
        (self.shares,) = ax.plot([], [], color=style.BLUE, zorder=4)
        look: dict[str, Any] = {
            "color": style.ORANGE,
            "markeredgecolor": style.INK,
            "markersize": 9,
            "zorder": 5,
        }
        (self.marks,) = ax.plot([], [], "o", **look)

    def _in_flight(self, ax: Axes) -> None:
        ax.set_xlim(0, REQUESTS)
        ax.set_yscale("log")
        ax.set_ylim(0.8, 60 * REQUESTS)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        ax.set_yticks([1, 10, 100, 1000])
        ax.yaxis.set_minor_formatter(NullFormatter())
        describe(ax, "requests so far", "requests in flight")
        (self.queue_alone,) = ax.plot([], [], "--", color=style.GREY, linewidth=1.4, zorder=3)
        (self.queue,) = ax.plot([], [], color=style.BLUE, linewidth=1.4, zorder=4)
        self.reading = ax.text(0.02, 0.98, "", va="top", linespacing=1.45, transform=ax.transAxes, zorder=5)

    def update(self, rate: float, max_batch: int, max_wait: int) -> dict[str, Any]:
        """Simulate and show.

        Parameters
        ----------
        rate : float
            Requests per second.
        max_batch : int
            The most requests per batch.
        max_wait : int
            In milliseconds.

        Returns
        -------
        dict of str to object
            By name, in seconds and per second; ``alone_p99`` is one by one's, ``capacity`` the most that
            could be answered.
        """
        served = _simulated(self.curve, rate, max_batch, max_wait)
        alone = _simulated(self.curve, rate, 1, 0)
        self.shares.set_data(*share_within(served))
        self.alone.set_data(*share_within(alone))
        self.marks.set_data([served.p50 / MILLI, served.p99 / MILLI], [HALF, MOST])
        for line, each in ((self.queue, served), (self.queue_alone, alone)):
            line.set_data(np.arange(1, REQUESTS + 1), in_flight(each))
        shown = {
            "rate": rate,
            "max_batch": max_batch,
            "max_wait": max_wait * MILLI,
            "p50": served.p50,
            "p99": served.p99,
            "throughput": served.throughput,
            "mean_batch": served.mean_batch,
            "capacity": capacity(self.curve, max_batch),
            "alone_p99": alone.p99,
        }
        self._say(shown)
        return shown

    def _say(self, shown: dict[str, Any]) -> None:
        overloaded = shown["rate"] > shown["capacity"]
        self.title.set_text(
            f"Overloaded: {_per_second(shown['rate'])} arrive, at most {_per_second(shown['capacity'])} leave"
            if overloaded
            else f"Half are answered within {seconds(shown['p50'])}, 99 % within {seconds(shown['p99'])}"
        )
        lines = [
            f"blue: batches of {significant(shown['mean_batch'], 2)} on average",
            f"p50 {seconds(shown['p50'])}, p99 {seconds(shown['p99'])}",
            f"{_per_second(shown['throughput'])} answered",
            f"dashed: one by one, p99 {seconds(shown['alone_p99'])}",
        ]
        self.reading.set_text("\n".join(lines))


def in_flight(served: Served) -> Any:
    """Return how many requests are in flight right after each arrival, itself included.

    Parameters
    ----------
    served : Served
        The requests.

    Returns
    -------
    ndarray
        [requests].
    """
    finished = np.sort(served.arrivals + served.latencies)
    arrived = np.arange(1, len(served.arrivals) + 1)
    return np.maximum(1, arrived - np.searchsorted(finished, served.arrivals, side="right"))


@functools.lru_cache(maxsize=32)
def _simulated(curve: Curve, rate: float, max_batch: int, max_wait: int) -> Served:
    return simulate(arrivals(rate, REQUESTS), curve, max_batch=max_batch, max_wait=max_wait * MILLI)


def _per_second(rate: float) -> str:
    return f"{significant(rate)}/s"
