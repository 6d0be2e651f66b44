"""The panel on the cache of keys and values: what was measured with and without it, and what each must do."""

from collections.abc import Mapping
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from coursekit import roofline
from coursekit._core import arguments
from coursekit._core.display import significant, size
from coursekit.language import Config
from coursekit.plots import style
from coursekit.plots.comparison import describe, line_with_band
from coursekit.timing import Comparison
from coursekit.widgets.panel import Panel, View

__all__ = ["WAYS", "KVCacheView", "kv_cache"]

WAYS = ("without", "with")  # what the two candidates of every comparison are called
MOST_TICKS = 5
SAID = {"faster": "the cache is faster", "slower": "the cache is slower", "same": "no difference shown"}


def kv_cache(config: Config, measured: Mapping[int, Comparison]) -> Panel:
    """Return a panel over measured times of the next token, with a cache of keys and values and without.

    Parameters
    ----------
    config : language.Config
        Of the model that was timed.
    measured : mapping of int to timing.Comparison
        By context: the candidates "without" and "with", as ``timing.compare`` returns them.

    Returns
    -------
    Panel
        Controls: context.

    Raises
    ------
    TypeError, ValueError
        For other candidates, fewer than two contexts, or something else than comparisons.
    """
    arguments.instance("config", config, Config)
    if not isinstance(measured, Mapping) or len(measured) < 2:
        raise ValueError(f"measured must map at least two contexts; got {arguments.shown(measured)}")
    for each in measured.values():
        found = arguments.instance("measured", each, Comparison)
        if set(found.measurements) != set(WAYS) or found.baseline != WAYS[0]:
            named = list(found.measurements)
            raise ValueError(f"measured must compare 'with' to the baseline 'without'; got {named}")
    contexts = sorted(arguments.size("context", context) for context in measured)
    slider = ipywidgets.SelectionSlider(options=contexts, value=contexts[-1], description="context")
    return Panel(
        KVCacheView(config, {context: measured[context] for context in contexts}), {"context": slider}
    )


class KVCacheView(View):
    """Measured tokens per second on the left, the arithmetic of one token on the right.

    Parameters
    ----------
    config : Config
        Of the model.
    measured : dict of int to Comparison
        By context, ascending.
    """

    alt = (
        "Left: measured tokens per second against the context, with and without a cache, each with its band. "
        "Right: the arithmetic of one more token, with and without."
    )

    def __init__(self, config: Config, measured: dict[int, Comparison]) -> None:
        super().__init__()
        self.config, self.measured = config, measured
        self.contexts = np.array(list(measured))
        with style.look():
            left, right = self.figure.subplots(1, 2)
            speed, work = self._speeds(left), self._work(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
            ring: dict[str, Any] = {
                "markersize": 14,
                "markerfacecolor": "none",
                "markeredgecolor": style.INK,
                "markeredgewidth": 1.8,
                "zorder": 5,
                "linestyle": "none",
            }
            (self.measured_ring,) = left.plot([], [], "o", **ring)
            (self.work_ring,) = right.plot([], [], "o", **ring)
            self.readings = [ax.set_title(" \n ", fontweight="normal", zorder=6) for ax in (left, right)]
            right.legend(handles=work, loc="upper left")
            left.set_ylim(speed.min() / 1.5, 1.6 * speed.max())
        self.moving = [self.title, *self.readings, self.measured_ring, self.work_ring]

    def _speeds(self, ax: Axes) -> Any:
        """Draw the measured tokens per second; return the ends of all bands."""
        ends = []
        for number, way in enumerate(WAYS):
            samples = [1 / self.measured[context].measurements[way].samples for context in self.measured]
            low, middle, high = (np.array([np.quantile(s, q) for s in samples]) for q in (0.25, 0.5, 0.75))
            line_with_band(ax, self.contexts, middle, low, high, series=number, label=f"{way} cache")
            ends += [low, high]
        self._axes(ax, "tokens per second")
        return np.concatenate(ends)

    def _work(self, ax: Axes) -> list[Any]:
        drawn = []
        for number, way in enumerate(WAYS):
            flop = [self.step(context, way).flop / 1e6 for context in self.measured]
            drawn += line_with_band(ax, self.contexts, flop, series=number, label=f"{way} cache")
        self._axes(ax, "MFLOP per token")
        return drawn

    def _axes(self, ax: Axes, label: str) -> None:
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(self.contexts[:: -(-len(self.contexts) // MOST_TICKS)])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=12))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        describe(ax, "context (tokens)", label)

    def step(self, context: int, way: str) -> roofline.Work:
        """Return what the token after ``context`` others takes.

        Parameters
        ----------
        context : int
            Tokens so far.
        way : str
            "with" or "without" the cache.

        Returns
        -------
        Work
            FLOP and bytes.
        """
        return roofline.next_token(self.config, context, cache=way == "with")

    def update(self, context: int) -> dict[str, Any]:
        """Bring one context to the foreground.

        Parameters
        ----------
        context : int
            One of those measured.

        Returns
        -------
        dict of str to object
            By name; bytes, FLOP, tokens per second, and the measured speed-up with its interval.
        """
        found = self.measured[context]
        ratio = found.ratio("with")
        work = {way: self.step(context, way) for way in WAYS}
        speed = {way: 1 / found.measurements[way].median for way in WAYS}
        cache = self.config.cache_bytes_per_token * context
        self.measured_ring.set_data([context] * 2, [speed[way] for way in WAYS])
        self.work_ring.set_data([context] * 2, [work[way].flop / 1e6 for way in WAYS])
        interval = f"{significant(ratio.low)} to {significant(ratio.high)}"
        self.title.set_text(f"{context:,} tokens: {SAID[found.verdict('with')]}, {significant(ratio.value)}×")
        self.readings[0].set_text(f"measured, band: the middle half\n95 % interval {interval}")
        less = significant(work["without"].flop / work["with"].flop)
        self.readings[1].set_text(f"arithmetic: {less}× less work\nfor {size(cache)} of keys and values")
        return {
            "context": context,
            "ratio": ratio.value,
            "low": ratio.low,
            "high": ratio.high,
            "cache_bytes": cache,
            **{f"flop_{way}": work[way].flop for way in WAYS},
            **{f"tokens_per_second_{way}": speed[way] for way in WAYS},
        }
