"""Measure one function, compare several: samples in shuffled rounds, and what they say."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coursekit import runtime
from coursekit._core import arguments, display
from coursekit._core.progress import Tenths
from coursekit.timing import robust, stopwatch
from coursekit.timing.stopwatch import Sampler

__all__ = [
    "DRIFT",
    "LONG_SAMPLE_SECONDS",
    "MIN_EFFECT",
    "MIN_ROUNDS",
    "NOISY",
    "TOO_NOISY",
    "WIDE",
    "Comparison",
    "Measurement",
    "Ratio",
    "Verdict",
    "compare",
    "measure",
]

# Where one candidate is slow, the quick ones get longer samples too, up to this: bursts hit all alike.
LONG_SAMPLE_SECONDS = 20e-3
MIN_ROUNDS = robust.MIN_VALUES
MAX_ROUNDS = 2000
# The part of the time that goes into warming up, and the part left for the bootstrap.
WARM_UP_SHARE = 0.10
STATISTICS_SHARE = 0.03
# A difference below this is not worth a verdict: the whole interval has to lie beyond it.
MIN_EFFECT = 0.01
# The middle half of the samples spans more than this part of the median: noisy, or too noisy to trust.
NOISY = 0.10
TOO_NOISY = 0.30
# Medians of the first and the last third further apart than this: the machine changed its speed meanwhile.
DRIFT = 0.10
# An interval whose ends are further from its middle than this could hide a difference of 10 %.
WIDE = 1.10
# An interval whose ends are no further from its middle than this is narrow enough: more rounds say no more.
NARROW = 1.01
# Looks at what was found so far: after so many rounds and seconds, then at half as many again.
# A burst of other work lasts some tens of milliseconds, and a verdict must not rest on one.
FIRST_LOOK_ROUNDS, FIRST_LOOK_SECONDS, LOOKS_APART = 24, 0.1, 1.5

Verdict = Literal["faster", "slower", "same"]


@dataclass(frozen=True, repr=False, eq=False)
class Measurement(display.Shown):
    """How long one call takes: ``samples`` in seconds per call, ``calls`` timed in all.

    device: "cpu" or "cuda" (with its number, if one was named); None where none was named and the process
    uses a GPU: the work may have run on either.
    """

    name: str
    samples: NDArray[np.float64]
    calls: int
    warnings: tuple[str, ...]
    machine: runtime.Machine
    device: str | None = None

    @property
    def median(self) -> float:
        """The median of the samples in seconds per call."""
        return float(np.median(self.samples))

    @property
    def iqr(self) -> float:
        """The width of the middle half of the samples in seconds per call."""
        low, high = np.quantile(self.samples, (0.25, 0.75))
        return float(high - low)

    def __str__(self) -> str:
        title = f"{self.name}: " if self.name else ""
        spread = f"IQR {display.seconds(self.iqr)}, {len(self.samples)} samples, {self.calls} calls"
        return "\n".join(
            [f"{title}{display.seconds(self.median)} per call ({spread})", *_marked(self.warnings)]
        )

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in str(self).splitlines())


@dataclass(frozen=True, repr=False)
class Ratio(display.Shown):
    """How many times as fast as the baseline, with the ends of the 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = map(display.significant, (self.value, self.low, self.high))
        return f"{value}× (95 % interval {low} to {high})"

    def _repr_html_(self) -> str:
        return html.escape(str(self))


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(display.Tabled):
    """Candidates beside their baseline; ``rounds`` is how often each of them was sampled."""

    measurements: Mapping[str, Measurement]
    baseline: str
    ratios: Mapping[str, Ratio]
    rounds: int

    def ratio(self, name: str) -> Ratio:
        """Return the speed-up of a candidate over the baseline: 2 means half the time per call.

        Parameters
        ----------
        name : str
            The candidate.

        Returns
        -------
        Ratio
            The speed-up with its 95 % interval.

        Raises
        ------
        ValueError
            For an unknown name.
        """
        return self.ratios[arguments.choice("name", name, self.ratios)]

    def verdict(self, name: str) -> Verdict:
        """Return "faster" or "slower" where the whole interval lies beyond MIN_EFFECT, else "same".

        "same" means that no difference was shown: ``warnings`` says if a large one could hide in the noise.

        Parameters
        ----------
        name : str
            The candidate.

        Returns
        -------
        Verdict
            "faster", "slower" or "same".

        Raises
        ------
        ValueError
            For an unknown name.
        """
        ratio = self.ratio(name)
        if ratio.low > 1 + MIN_EFFECT:
            return "faster"
        return "slower" if ratio.high < 1 / (1 + MIN_EFFECT) else "same"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which verdicts are "same" only because the noise would hide a difference of 10 %."""
        wide = [name for name, r in self.ratios.items() if r.high / r.low > WIDE**2]
        return tuple(
            f"{name}: too noisy to see a difference of {WIDE - 1:.0%}; give it more time"
            for name in wide
            if self.verdict(name) == "same"
        )

    def _table(self) -> display.Table:
        headers = ("", "median", "IQR", "speed-up", "95 % interval", "verdict")
        rows = [self._row(name) for name in self.measurements]
        caption = f"{self.rounds} rounds, speed-up over {self.baseline}"
        return display.Table(headers, rows, caption=caption, notes=_marked(self.warnings))

    def _row(self, name: str) -> tuple[str, ...]:
        measured, ratio = self.measurements[name], self.ratios[name]
        times = (name, display.seconds(measured.median), display.seconds(measured.iqr))
        if name == self.baseline:
            return (*times, "1×", "", "baseline")
        value, low, high = map(display.significant, (ratio.value, ratio.low, ratio.high))
        return (*times, f"{value}×", f"{low} to {high}", self.verdict(name))


def measure(
    fn: Callable[[], Any],
    *,
    name: str | None = None,
    min_time: float = 0.2,
    threads: int | None = None,
    device: Any = None,
) -> Measurement:
    """Time a function after a warm-up and return the seconds per call.

    Python's garbage collector is off meanwhile.

    Parameters
    ----------
    fn : callable
        Called without arguments.
    name : str, optional
        The measurement's name; by default the function's.
    min_time : float, optional
        Seconds of timing at least, above 0.
    threads : int, optional
        What torch may use meanwhile; None keeps the present number, also if ``fn`` changes it.
    device : object, optional
        "cuda" waits for the GPU and reads its clock; None waits for it as soon as this process uses one.

    Returns
    -------
    Measurement
        The samples in seconds per call.

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For arguments out of range.
    RuntimeError
        For "cuda" without a CUDA device.
    Exception
        Whatever ``fn`` raises.
    """
    arguments.function("fn", fn, "without arguments")
    min_time = arguments.positive("min_time", min_time, "seconds")
    title = getattr(fn, "__name__", "") if name is None else arguments.label("name", name)
    watch, machine = stopwatch.stopwatch(device), runtime.describe()
    with stopwatch.quiet(threads) as pin:
        sampler = Sampler(fn, watch, max(stopwatch.sample_seconds(watch), min_time / MAX_ROUNDS), pin)
        sampler.warm_up(WARM_UP_SHARE * min_time)
        samples = _until(min_time, sampler)
    return Measurement(title, samples, sampler.calls, _warnings(samples), machine, watch.device)


def compare(
    functions: Mapping[str, Callable[[], Any]],
    baseline: str | None = None,
    *,
    max_time: float = 1.0,
    threads: int | None = None,
    device: Any = None,
    after: Callable[[], object] | None = None,
) -> Comparison:
    """Time candidates in shuffled rounds and set each beside the baseline.

    At least MIN_ROUNDS rounds are run, however slow a candidate is. It ends before ``max_time`` once every
    candidate is certainly faster or slower, or its interval is narrow. Python's garbage collector is off
    meanwhile.

    Parameters
    ----------
    functions : mapping of str to callable
        The candidates by name, called without arguments.
    baseline : str, optional
        A name, by default the first.
    max_time : float, optional
        Seconds for all candidates together at most, above 0.
    threads : int, optional
        As for ``measure``.
    device : object, optional
        As for ``measure``.
    after : callable, optional
        Called ten times in all, between rounds, such as what ``runtime.progress("comparing", 10)`` returns.

    Returns
    -------
    Comparison
        Times and speed-ups by name.

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For arguments out of range or an unknown baseline.
    RuntimeError
        For "cuda" without a CUDA device.
    Exception
        Whatever a candidate raises.

    Notes
    -----
    The speed-up is the median over the rounds of (baseline time / candidate time) with the 95 % interval of a
    paired bootstrap; where the machine is disturbed, the quickest of each few rounds count. Who looks often
    finds something by chance: to end early, a difference must be certain at 99.9 %, not at 95 %.
    """
    names = _names(functions)
    baseline = arguments.choice("baseline", names[0] if baseline is None else baseline, names)
    max_time = arguments.positive("max_time", max_time, "seconds")
    told = Tenths(None if after is None else arguments.function("after", after, "without arguments"))
    watch, machine = stopwatch.stopwatch(device), runtime.describe()
    with stopwatch.quiet(threads) as pin:
        deadline = stopwatch.now() + max_time * (1 - STATISTICS_SHARE)
        samplers = [Sampler(functions[name], watch, stopwatch.sample_seconds(watch), pin) for name in names]
        _warm_up(samplers, WARM_UP_SHARE * max_time)
        times = _rounds(samplers, names.index(baseline), deadline, told)
    told.reach(1.0)
    columns = dict(zip(names, times.T, strict=True))
    measured = {
        name: Measurement(name, samples, sampler.calls, _warnings(samples), machine, watch.device)
        for (name, samples), sampler in zip(columns.items(), samplers, strict=True)
    }
    ratios = {
        name: Ratio(1.0, 1.0, 1.0) if name == baseline else _ratio(columns[baseline], samples)
        for name, samples in columns.items()
    }
    return Comparison(measured, baseline, ratios, len(times))


def _until(seconds: float, sampler: Sampler) -> NDArray[np.float64]:
    """Return samples [n] in seconds per call, taken for ``seconds``."""
    samples: list[float] = []
    end = stopwatch.now() + seconds
    while len(samples) < MIN_ROUNDS or stopwatch.now() < end:
        samples.append(sampler.sample())
    return np.array(samples)


def _warm_up(samplers: Sequence[Sampler], seconds: float) -> None:
    """Warm all candidates up, then give them samples as long as the slowest one's call, within reason."""
    costs = [sampler.warm_up(seconds / len(samplers)) for sampler in samplers]
    least = max(sampler.target for sampler in samplers)  # a later candidate may have begun to use the GPU
    for sampler, cost in zip(samplers, costs, strict=True):
        sampler.target = max(least, min(max(costs), LONG_SAMPLE_SECONDS))
        sampler.usual = max(1, round(sampler.target / cost))


def _rounds(samplers: Sequence[Sampler], baseline: int, deadline: float, told: Tenths) -> NDArray[np.float64]:
    """Return seconds per call [rounds, candidates]; no round begins that would end after ``deadline``."""
    times = np.empty((MAX_ROUNDS, len(samplers)))
    start, look = stopwatch.now(), FIRST_LOOK_ROUNDS
    for i, order in zip(range(MAX_ROUNDS), robust.orders(len(samplers)), strict=False):
        present = stopwatch.now()
        if i >= MIN_ROUNDS and present + (present - start) / i > deadline:
            return times[:i]
        if i >= look and present - start >= FIRST_LOOK_SECONDS:
            if all(
                _decided(times[:i, baseline], times[:i, j]) for j in range(len(samplers)) if j != baseline
            ):
                return times[:i]
            look = math.ceil(LOOKS_APART * i)
        told.reach((present - start) / (deadline - start) if present < deadline else i / MIN_ROUNDS)
        for j in order:
            times[i, j] = samplers[j].sample()
    return times


def _decided(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> bool:
    """Tell whether more rounds could change neither the verdict nor much of the ratio."""
    logs = robust.log_ratios(baseline, candidate)
    low, high = robust.median_interval(logs)
    if high - low <= 2 * math.log(NARROW):
        return True
    surely_low, surely_high = robust.certain_interval(logs)
    effect = math.log1p(MIN_EFFECT)
    return min(low, surely_low) > effect or max(high, surely_high) < -effect


def _ratio(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> Ratio:
    logs = robust.log_ratios(baseline, candidate)
    return Ratio(math.exp(np.median(logs)), *map(math.exp, robust.median_interval(logs)))


def _warnings(samples: NDArray[np.float64]) -> tuple[str, ...]:
    found = []
    spread = float(robust.relative_iqr(samples))
    if spread > NOISY:
        judgement = "too noisy to trust" if spread > TOO_NOISY else "noisy"
        found.append(f"{judgement}: the middle half of the samples spans {spread:.0%} of the median")
    third = len(samples) // 3
    change = np.median(samples[-third:]) / np.median(samples[:third]) - 1
    if abs(change) > DRIFT:
        found.append(f"the machine changed its speed: {change:+.0%} time per call from first to last third")
    return tuple(found)


def _marked(warnings: Sequence[str]) -> list[str]:
    return [f"warning: {text}" for text in warnings]


def _names(functions: Mapping[str, Callable[[], Any]]) -> list[str]:
    if not isinstance(functions, Mapping):
        raise TypeError(f"functions must map names to callables; got {arguments.shown(functions)}")
    if len(functions) < 2:
        raise ValueError(f"functions must hold at least two candidates; got {len(functions)}")
    for name, fn in functions.items():
        if not isinstance(name, str):
            raise TypeError(f"functions must have text as names; got {arguments.shown(name)}")
        arguments.function(f"functions[{name!r}]", fn, "without arguments")
    return list(functions)
