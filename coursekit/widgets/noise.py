"""The panel that asks how many runs it takes until the median stops moving."""

import functools
import time
from collections.abc import Callable
from typing import Any

import ipywidgets
import matplotlib as mpl
import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments, display
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.plots.profiles import run_times, time_unit
from coursekit.timing.medians import RunningMedians, running_medians, settled
from coursekit.widgets.panel import Panel, View

__all__ = ["Measure", "NoiseView", "noise", "shuffled"]

Measure = Callable[[Callable[[float], None]], ArrayLike]
FEWEST = 10  # runs
OWN_RUNS = 200
TOLERANCES = (1, 2, 5, 10, 20)  # per cent
ORDERS = 9  # shuffles of the runs, besides the order in which they were measured
# The picture ends above the quickest nine tenths of the runs: the slowest would flatten all the others.
SHOWN = 0.9
ROOM = 0.6  # free above them, as a part of the height that they take


def noise(seconds: ArrayLike | None = None, measure: Measure | None = None, runs: int = 30) -> Panel:
    """Return a panel over single runs, in the order in which they were measured.

    Parameters
    ----------
    seconds : array_like, optional
        How long each run took, [n], at least ten. Default: a small piece of Python, timed now.
    measure : callable, optional
        ``measure(progress)`` returns as many new runs, behind a button; it calls ``progress`` with the part
        done (0 to 1).
    runs : int
        How many runs count at the start.

    Returns
    -------
    Panel
        Controls: how many runs count, the tolerance in per cent, and the order (0: as measured; others:
        shuffled).

    Raises
    ------
    TypeError, ValueError
        For fewer than ten runs, a time that is not above zero, or ``runs`` that is not a whole number from 1
        on.
    """
    times = run_times("seconds", _own_runs() if seconds is None else seconds, FEWEST)
    count = min(arguments.integer("runs", runs, 1), len(times))
    view = NoiseView(times)
    controls = {
        "runs": ipywidgets.IntSlider(count, min=1, max=len(times), description="runs"),
        "tolerance": ipywidgets.SelectionSlider(options=TOLERANCES, value=5, description="± per cent"),
        "order": ipywidgets.IntSlider(0, min=0, max=ORDERS, description="order"),
    }
    actions = {} if measure is None else {"Measure again": lambda progress: view.adopt(measure(progress))}
    return Panel(view, controls, actions=actions)


class NoiseView(View):
    """The runs as dots, and the median of the first so many of them as a line that comes to rest.

    Parameters
    ----------
    times : ndarray of float64
        Seconds, [runs].
    """

    alt = (
        "Times of single runs as dots, and the median of the first runs as a line with a band of what it "
        "might be: it jumps at the start and comes to rest inside a shaded stripe."
    )

    def __init__(self, times: NDArray[np.float64]) -> None:
        super().__init__()
        self.times, self.shown = times, {"runs": 1, "tolerance": 5, "order": 0}
        self._draw()

    @style.look()
    def _draw(self) -> None:
        ax = self.figure.add_subplot()
        self.factor, unit = time_unit(float(np.quantile(self.times, SHOWN)))
        ax.set_xlim(0, len(self.times) + 1)
        low, high = self._heights()
        ax.set_ylim(low, high)
        hidden = np.count_nonzero(self.times > high * self.factor)
        words = f"↑ {hidden} slower" if hidden else ""
        ax.text(1, 1.02, words, ha="right", va="bottom", transform=ax.transAxes)  # above, where no dot comes
        describe(ax, "runs", f"time ({unit})")
        self.title = ax.set_title(" ", pad=1.9 * mpl.rcParams["font.size"], zorder=6)
        self.reading = ax.text(0, 1.02, "", va="bottom", transform=ax.transAxes, zorder=6)
        self.stripe = ax.add_patch(
            Rectangle((0, 0), len(self.times) + 1, 0, color=style.ORANGE, alpha=0.3, linewidth=0, zorder=2.6)
        )
        (self.later,) = ax.plot([], [], "o", color=style.MUTED, markersize=4, zorder=2.7)
        (self.counted,) = ax.plot([], [], "o", color=style.INK, markersize=4, zorder=2.8)
        self.band = ax.fill_between([0, 1], [0, 0], color=style.BLUE, alpha=0.25, linewidth=0, zorder=3)
        (self.median,) = ax.plot([], [], color=style.BLUE, linewidth=2.5, zorder=4)
        self.here = ax.axvline(1, color=style.INK, linewidth=1.2, zorder=3.5)
        dots = [self.later, self.counted]
        self.moving = [self.title, self.reading, self.stripe, *dots, self.band, self.median, self.here]

    def _heights(self) -> tuple[float, float]:
        low, high = self.times.min() / self.factor, np.quantile(self.times, SHOWN) / self.factor
        span = max(high - low, 0.1 * high)
        return max(0.0, low - 0.2 * span), high + ROOM * span

    def adopt(self, seconds: ArrayLike) -> None:
        """Draw new runs, as many as before.

        Parameters
        ----------
        seconds : array_like
            [runs].

        Raises
        ------
        ValueError
            For another number of runs or bad times.
        """
        times = run_times("what measure returns", seconds, FEWEST)
        if len(times) != len(self.times):
            raise ValueError(f"measure must return {len(self.times)} runs; got {len(times)}")
        self.times, self._still = times, None
        self.figure.clear()
        self.figure.set_layout_engine("constrained")
        self._draw()
        self.update(**self.shown)
        self.settle()

    def update(self, runs: int, tolerance: int, order: int) -> dict[str, Any]:
        """Count the first runs only, in one of their orders.

        Parameters
        ----------
        runs : int
            How many count.
        tolerance : int
            Half the stripe's height, in per cent of the median of all runs.
        order : int
            As for ``shuffled``.

        Returns
        -------
        dict of str to object
            By name, times in seconds. ``settled`` is the run from which on the median stays in the
            stripe, ``low`` to ``high`` the 95 % interval of the median so far, NaN for fewer than six
            runs.
        """
        self.shown = {"runs": runs, "tolerance": tolerance, "order": order}
        times = shuffled(self.times, order)
        medians, lows, highs = _medians(times.tobytes())
        final, rest = medians[-1], settled(medians, tolerance)
        self._show(times / self.factor, runs)
        self._show_median(medians / self.factor, lows / self.factor, highs / self.factor, runs)
        edges = [final * (1 + sign * tolerance / 100) / self.factor for sign in (-1, 1)]
        self.stripe.set(y=edges[0], height=edges[1] - edges[0])
        self.title.set_text(f"From run {rest} on, the median stays within ±{tolerance} % of its final value")
        shown = {"median": medians[runs - 1], "mean": times[:runs].mean(), "slowest": times[:runs].max()}
        said = ", ".join(f"{name} {display.seconds(value)}" for name, value in shown.items())
        self.reading.set_text(f"{runs} runs: {said}")
        return {**self.shown, **shown, "low": lows[runs - 1], "high": highs[runs - 1], "settled": rest}

    def _show(self, times: NDArray[np.float64], runs: int) -> None:
        numbers = np.arange(1, len(times) + 1)
        self.counted.set_data(numbers[:runs], times[:runs])
        self.later.set_data(numbers[runs:], times[runs:])
        self.here.set_xdata([runs, runs])

    def _show_median(self, medians: Any, lows: Any, highs: Any, runs: int) -> None:
        numbers = np.arange(1, len(medians) + 1)
        self.median.set_data(numbers[:runs], medians[:runs])
        known = np.isfinite(lows[:runs])
        there, back = numbers[:runs][known], numbers[:runs][known][::-1]
        outline = np.column_stack([[*there, *back], [*lows[:runs][known], *highs[:runs][known][::-1]]])
        self.band.set_verts([outline] if len(there) else [])


def shuffled(times: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Return the runs as measured or shuffled; the same number always gives the same order.

    Parameters
    ----------
    times : ndarray of float64
        Seconds, [runs].
    order : int
        0 for the order they were measured in.

    Returns
    -------
    ndarray of float64
        Seconds, [runs].
    """
    return times if order == 0 else np.random.default_rng(order).permutation(times)


@functools.lru_cache(maxsize=16)
def _medians(times: bytes) -> RunningMedians:
    return running_medians(np.frombuffer(times))


def _own_runs() -> NDArray[np.float64]:
    """Return how long each of many runs of a small piece of Python took."""
    found = []
    for _ in range(OWN_RUNS):
        start = time.perf_counter()
        sum(range(5000))
        found.append(time.perf_counter() - start)
    return np.array(found)
