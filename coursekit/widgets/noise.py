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
from coursekit.timing.medians import RunningMedians, running_medians
from coursekit.timing.steadiness import DRIFTS, SETTLES, UNSETTLED, Steadiness, steadiness
from coursekit.widgets.panel import Panel, View

__all__ = ["Measure", "Noise", "NoiseView", "noise"]

Measure = Callable[[Callable[[float], None]], ArrayLike]
FEWEST = 10  # runs
OWN_RUNS = 200
TOLERANCES = (1, 2, 5, 10, 20)  # per cent
NO_SECOND = "These runs were handed in: without a function that measures, there is no second series."
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
        done (0 to 1). Default: the same piece of Python again; for given ``seconds`` there is no second
        series, and the panel says so.
    runs : int
        How many runs count at the start.

    Returns
    -------
    Panel
        Controls: how many runs count, and the tolerance in per cent. The button measures a second series,
        which is drawn over the median of the first.

    Raises
    ------
    TypeError, ValueError
        For fewer than ten runs, a time that is not above zero, or ``runs`` that is not a whole number from 1
        on.
    """
    again = _own_runs if seconds is None and measure is None else measure
    times = run_times("seconds", _own_runs() if seconds is None else seconds, FEWEST)
    count = min(arguments.integer("runs", runs, 1), len(times))
    view = NoiseView(times)
    controls = {
        "runs": ipywidgets.IntSlider(count, min=1, max=len(times), description="runs"),
        "tolerance": ipywidgets.SelectionSlider(options=TOLERANCES, value=5, description="± per cent"),
    }
    actions = {} if again is None else {"Measure again": lambda progress: view.adopt(again(progress))}
    return Noise(view, controls, actions=actions)


class Noise(Panel):
    """The panel; where nothing can be measured again, a sentence says why there is no button."""

    def rows(self) -> list[ipywidgets.Widget]:
        """Return the controls, then the button or the sentence.

        Returns
        -------
        list of Widget
            From the top.
        """
        return [*super().rows(), *([] if self.buttons else [ipywidgets.HTML(NO_SECOND)])]


class NoiseView(View):
    """The runs as dots, and the median of the first so many of them as a line that comes to rest.

    Parameters
    ----------
    times : ndarray of float64
        Seconds, [runs].
    """

    alt = (
        "Times of single runs as dots, and the median of the first runs as a line with a band of what it "
        "might be, over a shaded stripe around its last value; dashed, the median of an earlier series."
    )

    def __init__(self, times: NDArray[np.float64]) -> None:
        super().__init__()
        self.times, self.shown = times, {"runs": 1, "tolerance": 5}
        self.earlier: NDArray[np.float64] | None = None
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
        describe(ax, self._earlier_in_words(), f"time ({unit})")
        if self.earlier is not None:
            before = _medians(self.earlier.tobytes()).median / self.factor
            ax.plot(np.arange(1, len(before) + 1), before, "--", color=style.VERMILLION, zorder=2.9)
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

    def _earlier_in_words(self) -> str:
        if self.earlier is None:
            return "runs"
        before, now = np.median(self.earlier), np.median(self.times)
        first = f"the first series, median {display.seconds(before)}"
        return f"runs (dashed: {first}; this one's {100 * (now / before - 1):+.1f} %)"

    def _heights(self) -> tuple[float, float]:
        both = [self.times] if self.earlier is None else [self.times, self.earlier]
        low = min(times.min() for times in both) / self.factor
        high = max(float(np.quantile(times, SHOWN)) for times in both) / self.factor
        span = max(high - low, 0.1 * high)
        return max(0.0, low - 0.2 * span), high + ROOM * span

    def adopt(self, seconds: ArrayLike) -> None:
        """Draw new runs, as many as before, over the median of the first series.

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
        self.earlier = self.times if self.earlier is None else self.earlier
        self.times, self._still = times, None
        self.figure.clear()
        self.figure.set_layout_engine("constrained")
        self._draw()
        self.update(**self.shown)
        self.settle()

    def update(self, runs: int, tolerance: int) -> dict[str, Any]:
        """Count the first runs only.

        Parameters
        ----------
        runs : int
            How many count.
        tolerance : int
            Half the stripe's height, in per cent of the median of all runs.

        Returns
        -------
        dict of str to object
            By name, times in seconds. ``verdict`` says what kind of series it is (see
            ``timing.steadiness``), ``settled`` is the run from which on the median stays in the stripe, or
            None where it does not come to rest; ``low`` to ``high`` the 95 % interval of the median so far,
            NaN for fewer than six runs.
        """
        self.shown = {"runs": runs, "tolerance": tolerance}
        medians, lows, highs = _medians(self.times.tobytes())
        found = _steadiness(self.times.tobytes(), tolerance)
        self._show(self.times / self.factor, runs)
        self._show_median(medians / self.factor, lows / self.factor, highs / self.factor, runs)
        edges = [medians[-1] * (1 + sign * tolerance / 100) / self.factor for sign in (-1, 1)]
        self.stripe.set(y=edges[0], height=edges[1] - edges[0])
        self.title.set_text(_title(found, tolerance, len(self.times)))
        first = self.times[:runs]
        shown = {"median": medians[runs - 1], "mean": first.mean(), "slowest": first.max()}
        said = ", ".join(f"{name} {display.seconds(value)}" for name, value in shown.items())
        self.reading.set_text(f"{runs} runs: {said}")
        rest = found.settled if found.verdict == SETTLES else None
        interval = {"low": lows[runs - 1], "high": highs[runs - 1]}
        return {**self.shown, **shown, **interval, "settled": rest, "verdict": found.verdict}

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


def _title(found: Steadiness, tolerance: int, count: int) -> str:
    if found.levels:
        quick, slow, share = found.levels
        low, high = display.seconds(quick), display.seconds(slow)
        return f"Two levels: {100 * share:.0f} % of runs at {low}, the rest at {high}"
    if found.verdict == DRIFTS:
        more = f"{100 * abs(found.drift):.0f} % {'slower' if found.drift > 0 else 'faster'}"
        return f"The runs drift: the last quarter is {more} than the first"
    if found.verdict == UNSETTLED:
        return f"In {count} runs the median has not come to rest within ±{tolerance} %"
    return f"From run {found.settled} on, the median stays within ±{tolerance} % of its final value"


@functools.lru_cache(maxsize=16)
def _medians(times: bytes) -> RunningMedians:
    return running_medians(np.frombuffer(times))


@functools.lru_cache(maxsize=64)
def _steadiness(times: bytes, tolerance: int) -> Steadiness:
    return steadiness(np.frombuffer(times), tolerance)


def _own_runs(progress: Callable[[float], None] = lambda share: None) -> NDArray[np.float64]:
    """Return how long each of many runs of a small piece of Python took."""
    found = []
    for done in range(OWN_RUNS):
        start = time.perf_counter()
        sum(range(5000))
        found.append(time.perf_counter() - start)
        progress((done + 1) / OWN_RUNS)
    return np.array(found)
