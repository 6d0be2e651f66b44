"""How long does it take, and is the other one faster: warm, synchronised, interleaved, honest about noise.

A sample is a short run of calls between looks at the clock. ``measure`` takes many samples of one function;
``compare`` takes them in rounds, every candidate once per round in shuffled order: drift hits all alike.
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coursekit import _arguments, _display, _stopwatch, runtime
from coursekit._stopwatch import Sampler

# Where one candidate is slow, the quick ones get longer samples too, up to this: bursts hit all alike.
LONG_SAMPLE_SECONDS = 20e-3
# Six is the smallest number of rounds from which a 95 % interval for a median exists: 2 * 0.5**6 = 3 %.
MIN_SAMPLES = 6
MAX_SAMPLES = 2000
# The part of the time that goes into warming up.
WARM_UP_SHARE = 0.1
# A difference below this is not worth a verdict: the whole interval has to lie beyond it.
MIN_EFFECT = 0.01
# The middle half of the samples spans more than this part of the median: noisy, or too noisy to trust.
NOISY = 0.10
TOO_NOISY = 0.30
# Medians of the first and the last third further apart than this: the machine changed its speed meanwhile.
DRIFT = 0.10
# An interval whose ends are further from its middle than this could hide a difference of 10 %.
WIDE = 1.10
CONFIDENCE = 0.95
RESAMPLES = 1000
SEED = 20260511

Verdict = Literal["faster", "slower", "same"]


@dataclass(frozen=True, repr=False)
class Measurement:
    """How long one call takes: ``samples`` in seconds per call, ``calls`` timed in all."""

    name: str
    samples: NDArray[np.float64]
    calls: int
    warnings: tuple[str, ...]
    machine: runtime.Machine

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
        what = f"{_display.seconds(self.median)} per call (median of {len(self.samples)} samples, "
        spread = f"IQR {_display.seconds(self.iqr)}, {self.calls} calls)"
        return "\n".join([title + what + spread, *(f"  warning: {w}" for w in self.warnings)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in str(self).splitlines())


@dataclass(frozen=True, repr=False)
class Ratio:
    """How many times as fast as the baseline, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g}× (95 % interval {self.low:.3g} to {self.high:.3g})"

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Comparison:
    """Candidates beside their baseline; ``rounds`` is how often each of them was timed."""

    measurements: Mapping[str, Measurement]
    baseline: str
    ratios: Mapping[str, Ratio]
    rounds: int
    warnings: tuple[str, ...]

    def ratio(self, name: str) -> Ratio:
        """Return the speed-up of ``name`` over the baseline: 2 means half the time per call.

        Errors: ValueError for an unknown name.
        """
        return self.ratios[_arguments.choice("name", name, self.ratios)]

    def verdict(self, name: str) -> Verdict:
        """Return "faster" or "slower" where the whole interval lies beyond MIN_EFFECT, else "same".

        "same" means that no difference was shown: ``warnings`` says if a large one could hide in the noise.
        Errors: ValueError for an unknown name.
        """
        ratio = self.ratio(name)
        if ratio.low > 1 + MIN_EFFECT:
            return "faster"
        return "slower" if ratio.high < 1 / (1 + MIN_EFFECT) else "same"

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        headers = ("", "median", "IQR", "speed-up", "95 % interval", "verdict")
        return headers, [self._row(name) for name in self.measurements]

    def _row(self, name: str) -> tuple[str, ...]:
        measured, ratio = self.measurements[name], self.ratios[name]
        times = (name, _display.seconds(measured.median), _display.seconds(measured.iqr))
        if name == self.baseline:
            return (*times, "1×", "", "baseline")
        interval = f"{_display.significant(ratio.low)} to {_display.significant(ratio.high)}"
        return (*times, f"{_display.significant(ratio.value)}×", interval, self.verdict(name))

    def __str__(self) -> str:
        return "\n".join([_display.table_text(*self._table()), *(f"warning: {w}" for w in self.warnings)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        caption = f"{self.rounds} rounds, speed-up over {self.baseline}"
        return _display.table_html(*self._table(), caption) + "".join(
            f"<div>warning: {html.escape(w)}</div>" for w in self.warnings
        )


def measure(
    fn: Callable[[], Any],
    *,
    name: str | None = None,
    min_time: float = 0.2,
    threads: int | None = None,
    device: Any = None,
) -> Measurement:
    """Time ``fn()`` for at least ``min_time`` seconds, after a warm-up, and return the seconds per call.

    threads: what torch may use meanwhile; None keeps the present number, also if ``fn`` changes it.
    device: "cuda" waits for the GPU and reads its clock; None waits for it only if this process uses one.
    Errors: TypeError or ValueError for bad arguments, RuntimeError without CUDA, and what ``fn`` raises.
    """
    _callable("fn", fn)
    min_time = _positive("min_time", min_time)
    title = getattr(fn, "__name__", "") if name is None else name
    sampler = Sampler(fn, _stopwatch.stopwatch(device), _target(min_time))
    machine = runtime.describe()
    with _stopwatch.quiet(threads) as pin:
        sampler.warm_up(WARM_UP_SHARE * min_time)
        values = _rounds([sampler], _stopwatch.now() + min_time, pin, overrun=True)
    return _measurement(title, values[:, 0], sampler.calls, machine)


def compare(
    functions: Mapping[str, Callable[[], Any]],
    baseline: str | None = None,
    *,
    max_time: float = 1.0,
    threads: int | None = None,
    device: Any = None,
) -> Comparison:
    """Time the candidates in shuffled rounds for ``max_time`` seconds and compare each with ``baseline``.

    At least MIN_SAMPLES rounds are run, however slow a candidate is. baseline: a name, by default the first.
    The speed-up is the median over the rounds of (baseline time / candidate time) with the 95 % interval of
    a paired bootstrap (blocks of rounds, Künsch 1989). threads and device as in ``measure``.
    Errors: TypeError or ValueError for bad arguments, RuntimeError without CUDA, and what a candidate raises.
    """
    names = _names(functions)
    baseline = _arguments.choice("baseline", names[0] if baseline is None else baseline, names)
    max_time = _positive("max_time", max_time)
    clock, machine = _stopwatch.stopwatch(device), runtime.describe()
    samplers = [Sampler(functions[name], clock, _target(max_time / len(names))) for name in names]
    with _stopwatch.quiet(threads) as pin:
        deadline = _stopwatch.now() + max_time
        costs = [s.warm_up(WARM_UP_SHARE * max_time / len(names)) for s in samplers]
        _lengthen(samplers, costs)
        values = _rounds(samplers, deadline, pin)
    measured = {
        name: _measurement(name, values[:, i], samplers[i].calls, machine) for i, name in enumerate(names)
    }
    return _comparison(measured, baseline, np.log(values))


def _target(seconds: float) -> float:
    return _stopwatch.target(max(_stopwatch.SAMPLE_SECONDS, seconds / MAX_SAMPLES))


def _lengthen(samplers: Sequence[Sampler], costs: Sequence[float]) -> None:
    """Give all candidates samples as long as the slowest one's call, within reason."""
    for sampler, cost in zip(samplers, costs, strict=True):
        sampler.target = max(sampler.target, min(max(costs), LONG_SAMPLE_SECONDS))
        sampler.usual = max(1, round(sampler.target / cost))


def _rounds(
    samplers: Sequence[Sampler], deadline: float, pin: Callable[[], None], overrun: bool = False
) -> NDArray[np.float64]:
    """Return seconds per call [rounds, candidates]; every second round runs the one before it backwards."""
    rng = np.random.default_rng(SEED)
    order = np.arange(len(samplers))
    values = np.empty((MAX_SAMPLES, len(samplers)))
    start = _stopwatch.now()
    for i in range(MAX_SAMPLES):
        present = _stopwatch.now()
        # A round that would end too late is not begun.
        ends = present if overrun or i == 0 else present + (present - start) / i
        if i >= MIN_SAMPLES and ends >= deadline:
            return values[:i]
        order = rng.permutation(len(samplers)) if i % 2 == 0 else order[::-1]
        for j in order:
            pin()
            values[i, j] = samplers[j].sample()
    return values


def _comparison(measured: Mapping[str, Measurement], baseline: str, logs: NDArray[np.float64]) -> Comparison:
    base = logs[:, list(measured).index(baseline)]
    ratios = {name: _ratio(base - logs[:, i]) for i, name in enumerate(measured)}
    wide = [name for name, ratio in ratios.items() if ratio.high / ratio.low > WIDE**2]
    doubts = tuple(
        f"{name}: too noisy to see a difference of {WIDE - 1:.0%}; give it more time" for name in wide
    )
    return Comparison(measured, baseline, ratios, len(logs), doubts)


def _ratio(logs: NDArray[np.float64]) -> Ratio:
    """Return the median of per-round log speed-ups with its bootstrap interval."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_resampled_medians(logs), (tail, 1 - tail))
    return Ratio(math.exp(np.median(logs)), math.exp(low), math.exp(high))


def _resampled_medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return RESAMPLES medians of resampled rounds; blocks of n^(1/3) rounds keep neighbours together."""
    n = len(values)
    length = max(1, round(n ** (1 / 3)))
    starts = np.random.default_rng(SEED).integers(0, n, (RESAMPLES, math.ceil(n / length), 1))
    index = (starts + np.arange(length)) % n  # [resamples, blocks, length]
    return np.median(values[index.reshape(RESAMPLES, -1)[:, :n]], axis=1)


def _measurement(name: str, values: NDArray[np.float64], calls: int, machine: runtime.Machine) -> Measurement:
    return Measurement(name, values, calls, _warnings(values), machine)


def _warnings(values: NDArray[np.float64]) -> tuple[str, ...]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    spread = (high - low) / median
    found = []
    if spread > NOISY:
        judgement = "too noisy to trust" if spread > TOO_NOISY else "noisy"
        found.append(f"{judgement}: the middle half of the samples spans {spread:.0%} of the median")
    third = len(values) // 3
    change = np.median(values[-third:]) / np.median(values[:third]) - 1
    if abs(change) > DRIFT:
        found.append(
            f"the machine changed its speed meanwhile: the last third took {change:+.0%} against the first"
        )
    return tuple(found)


def _names(functions: Mapping[str, Callable[[], Any]]) -> list[str]:
    if not isinstance(functions, Mapping):
        raise TypeError(f"functions must map names to callables; got {type(functions).__name__}")
    if len(functions) < 2:
        raise ValueError(f"functions must hold at least two candidates; got {len(functions)}")
    for name, fn in functions.items():
        if not isinstance(name, str):
            raise TypeError(f"functions must have text as names; got {name!r} ({type(name).__name__})")
        _callable(f"functions[{name!r}]", fn)
    return list(functions)


def _callable(name: str, fn: Any) -> None:
    if not callable(fn):
        raise TypeError(f"{name} must be callable without arguments; got {fn!r} ({type(fn).__name__})")


def _positive(name: str, value: Any) -> float:
    number = _arguments.real(name, value, 0)
    if number == 0:
        raise ValueError(f"{name} must be more than 0 seconds; got {value}")
    return number
