"""Roofs, points below them, and how both are measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from coursekit import runtime
from coursekit._core import arguments, display
from coursekit._core.progress import Tenths
from coursekit.timing.roofline import kernels

__all__ = [
    "BATCHES",
    "BYTES",
    "CACHE",
    "MEMORY",
    "ROUNDS",
    "SOURCES",
    "Point",
    "Roof",
    "Verdict",
    "Work",
    "linear",
    "measure",
    "measure_layer",
    "rate",
]

MEMORY, CACHE = "memory", "cache"
SOURCES = (MEMORY, CACHE)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROUNDS = 3  # everything has its turn so many times, because a machine may be disturbed for seconds
# Bytes of a weight or an input, and of an output: INT8 products are added up in INT32.
BYTES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"fp32": (4, 4), "tf32": (4, 4), "fp16": (2, 2), "bf16": (2, 2), "int8": (1, 4)}
)
_SCALES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))

Verdict = Literal["memory-bound", "compute-bound"]


@dataclass(frozen=True, repr=False)
class Work(display.Shown):
    """Arithmetic and traffic: ``flop`` operations on ``nbytes`` bytes that have to move."""

    flop: float
    nbytes: float

    @property
    def intensity(self) -> float:
        """The arithmetic intensity in FLOP per byte."""
        return self.flop / self.nbytes

    def __str__(self) -> str:
        moved = display.size(self.nbytes)
        return f"{rate(self.flop, 'FLOP')}, {moved}, {display.significant(self.intensity)} FLOP/byte"


@dataclass(frozen=True, repr=False)
class Roof(display.Tabled):
    """What a machine can do at most: ``bandwidth`` in bytes/s, ``peaks`` in FLOP/s by precision.

    ``cache_bandwidth`` holds for data that stays in a cache (None: unknown); ``patterns`` are the bandwidths
    of which ``bandwidth`` is the largest, ``threads`` how many it was measured on (None: unknown).

    Raises
    ------
    TypeError, ValueError
        For a bandwidth or peak that is not above 0.
    """

    bandwidth: float
    peaks: Mapping[str, float]
    cache_bandwidth: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    machine: str = ""
    threads: int | None = None

    def __post_init__(self) -> None:
        arguments.label("machine", self.machine)
        if self.threads is not None:
            object.__setattr__(self, "threads", runtime.count_of_threads(self.threads))
        object.__setattr__(self, "bandwidth", _positive("bandwidth", self.bandwidth))
        if self.cache_bandwidth is not None:
            object.__setattr__(self, "cache_bandwidth", _positive("cache_bandwidth", self.cache_bandwidth))
        if not isinstance(self.peaks, Mapping) or not self.peaks:
            raise ValueError(
                f"peaks must map at least one precision to FLOP/s; got {arguments.shown(self.peaks)}"
            )
        peaks = {_precision(name): _positive(f"peaks[{name!r}]", peak) for name, peak in self.peaks.items()}
        object.__setattr__(self, "peaks", MappingProxyType(peaks))
        if not isinstance(self.patterns, Mapping):
            raise TypeError(f"patterns must map names to bytes/s; got {arguments.shown(self.patterns)}")
        for name, value in self.patterns.items():
            _positive(f"patterns[{arguments.label('a name in patterns', name)!r}]", value)

    def bound(self, intensity: float, precision: str = "fp32", source: str = MEMORY) -> float:
        """Return the most FLOP/s that are attainable at an intensity.

        Parameters
        ----------
        intensity : float
            FLOP per byte, above 0.
        precision : str, optional
            One of the roof's.
        source : str, optional
            "memory", or "cache" where the data stays in it.

        Returns
        -------
        float
            FLOP/s.

        Raises
        ------
        TypeError, ValueError
            For a precision or a source without a roof, or an intensity that is not above 0.
        """
        slope = _positive("intensity", intensity) * self.bandwidth_from(source)
        return min(self.peaks[self._measured(precision)], slope)

    def ridge(self, precision: str = "fp32", source: str = MEMORY) -> float:
        """Return the intensity in FLOP/byte from which on arithmetic is the limit.

        Parameters
        ----------
        precision : str, optional
            One of the roof's.
        source : str, optional
            "memory", or "cache" where the data stays in it.

        Returns
        -------
        float
            FLOP per byte.
        """
        return self.peaks[self._measured(precision)] / self.bandwidth_from(source)

    def verdict(self, intensity: float, precision: str = "fp32", source: str = MEMORY) -> Verdict:
        """Return "memory-bound" left of the ridge, "compute-bound" from there on.

        Parameters
        ----------
        intensity : float
            FLOP per byte, above 0.
        precision : str, optional
            One of the roof's.
        source : str, optional
            "memory", or "cache" where the data stays in it.

        Returns
        -------
        Verdict
            "memory-bound" or "compute-bound".
        """
        below = _positive("intensity", intensity) < self.ridge(precision, source)
        return "memory-bound" if below else "compute-bound"

    def _measured(self, precision: str) -> str:
        return arguments.choice("precision", precision, self.peaks)

    def bandwidth_from(self, source: str = MEMORY) -> float:
        """Return the bandwidth of a source.

        Parameters
        ----------
        source : str, optional
            "memory" or "cache".

        Returns
        -------
        float
            Bytes per second.

        Raises
        ------
        ValueError
            For "cache" where it is unknown.
        """
        if arguments.choice("source", source, SOURCES) == MEMORY:
            return self.bandwidth
        if self.cache_bandwidth is None:
            raise ValueError("source must be 'memory': this roof has no cache_bandwidth")
        return self.cache_bandwidth

    def _table(self) -> display.Table:
        sources = [MEMORY] if self.cache_bandwidth is None else list(SOURCES)
        headers = ("precision", "peak", *(f"ridge from {source} (FLOP/byte)" for source in sources))
        rows = [
            (name, rate(peak, "FLOP/s"), *(display.significant(self.ridge(name, s)) for s in sources))
            for name, peak in self.peaks.items()
        ]
        return display.Table(headers, rows, self._caption())

    def _caption(self) -> str:
        kinds = ", ".join(f"{name} {rate(value, 'B/s')}" for name, value in self.patterns.items())
        memory = f"memory {rate(self.bandwidth, 'B/s')}{f' ({kinds})' if kinds else ''}"
        cache = f"; cache {rate(self.cache_bandwidth, 'B/s')}" if self.cache_bandwidth else ""
        return f"{memory}{cache}{f'; {self.machine}' if self.machine else ''}"


@dataclass(frozen=True, repr=False)
class Point(display.Shown):
    """A Linear layer as measured: ``seconds`` of a quick call at a batch and precision."""

    batch: int
    precision: str
    source: str
    work: Work
    seconds: float

    @property
    def rate(self) -> float:
        """The arithmetic done, in FLOP per second."""
        return self.work.flop / self.seconds

    def share(self, roof: Roof) -> float:
        """Return which part of its bound the layer reaches; above 1 it would lie above the roof.

        Parameters
        ----------
        roof : Roof
            The roof of the machine that the layer was measured on.

        Returns
        -------
        float
            A share of the bound.
        """
        return self.rate / roof.bound(self.work.intensity, self.precision, self.source)

    def __str__(self) -> str:
        what = f"batch {self.batch}, {self.precision}, weights from {self.source}"
        return f"{what}: {rate(self.rate, 'FLOP/s')} at {display.significant(self.work.intensity)} FLOP/byte"


def linear(inputs: int, outputs: int, batch: int, precision: str = "fp32") -> Work:
    """Return the work of a Linear layer for a batch: 2·B·n·m FLOP; weights and inputs read, outputs written.

    Everything is counted once, as if the caches kept it for as long as it is needed; the bias is left out.

    Parameters
    ----------
    inputs, outputs, batch : int
        n, m and B, the rows per call.
    precision : str, optional
        A precision's name.

    Returns
    -------
    Work
        FLOP and bytes.

    Raises
    ------
    TypeError, ValueError
        For sizes below 1 or an unknown precision.
    """
    n, m, b = map(arguments.size, ("inputs", "outputs", "batch"), (inputs, outputs, batch))
    read, written = BYTES[_precision(precision)]
    return Work(flop=2 * b * n * m, nbytes=read * (n * m + b * n) + written * b * m)


def measure(
    precisions: Sequence[str] | None = None,
    *,
    device: Any = None,
    max_time: float = 2.0,
    after: Callable[[], object] | None = None,
) -> Roof:
    """Measure this machine's roofs with all of torch's threads.

    Where others keep the machine busy and one thread is quicker than all, with that one (see ``threads``).
    Roofs are maxima: quick runs of the best pattern or size count.

    Parameters
    ----------
    precisions : sequence of str, optional
        By default all in which torch multiplies on the device.
    device : object, optional
        "cpu", "cuda" or a device of torch's; by default the course's.
    max_time : float, optional
        About how many seconds it may take, above 0.
    after : callable, optional
        Called ten times in all, such as what ``runtime.progress("roofs", 10)`` returns. Whatever ``after``
        raises goes through.

    Returns
    -------
    Roof
        The roofs.

    Raises
    ------
    ValueError
        For a precision that the device does not multiply in.
    RuntimeError
        For "cuda" without a CUDA device.
    """
    kind = runtime.device(runtime.kind_of(device)).type
    there = kernels.available(kind)
    chosen = there if precisions is None else arguments.choices("precisions", precisions, there)
    share = _positive("max_time", max_time) / ROUNDS / (4 + len(chosen))
    pieces = kernels.stream(kind)
    told = _tenths(after, ROUNDS * (2 + len(chosen)))
    rounds = [_round(chosen, pieces, kind, share, told) for _ in range(ROUNDS)]
    patterns, threads = _highest([each.patterns for each in rounds]), max(each.threads for each in rounds)
    return Roof(
        bandwidth=max(patterns.values()),
        peaks=_highest([each.peaks for each in rounds]),
        cache_bandwidth=max(each.cached for each in rounds),
        patterns=patterns,
        machine=_place(kind, threads),
        threads=threads,
    )


class _Round(NamedTuple):
    threads: int
    patterns: dict[str, float]
    cached: float
    peaks: dict[str, float]


def _round(
    precisions: Sequence[str], pieces: Sequence[Any], kind: str, seconds: float, told: Tenths
) -> _Round:
    """Measure everything once, ``seconds`` each, on as many threads as are free now."""
    threads = kernels.free_threads(kind)
    patterns = kernels.patterns(pieces, kind, threads, seconds)
    told.step()
    cached = kernels.cached(kind, threads, seconds)
    told.step()
    peaks = {}
    for name in precisions:
        peaks[name] = kernels.peak(name, kind, threads, seconds)
        told.step()
    return _Round(threads, patterns, cached, peaks)


def _tenths(after: Callable[[], object] | None, steps: int) -> Tenths:
    return Tenths(None if after is None else arguments.function("after", after, "without arguments"), steps)


def _highest(readings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: max(each[name] for each in readings) for name in readings[0]}


def measure_layer(
    inputs: int = 1024,
    outputs: int = 1024,
    batches: Sequence[int] = BATCHES,
    *,
    precisions: Sequence[str] = ("fp32",),
    sources: Sequence[str] = SOURCES,
    device: Any = None,
    threads: int | None = None,
    min_time: float = 0.02,
    after: Callable[[], object] | None = None,
) -> tuple[Point, ...]:
    """Measure a Linear layer at several batches, precisions and sources.

    From "memory" every call takes other weights, so that no cache holds them; from "cache" always the same.
    Quick calls count, as for the roofs.

    Parameters
    ----------
    inputs, outputs : int, optional
        The layer's sizes.
    batches : sequence of int, optional
        Rows per call.
    precisions : sequence of str, optional
        Precisions in which torch multiplies on the device.
    sources : sequence of str, optional
        "memory", "cache" or both.
    device : object, optional
        As for ``measure``.
    threads : int, optional
        How many to use at most, such as the roof's; by default all; fewer where others keep the machine
        busy.
    min_time : float, optional
        Seconds per combination, above 0.
    after : callable, optional
        Called ten times in all, such as what ``runtime.progress("layers", 10)`` returns. Whatever ``after``
        raises goes through.

    Returns
    -------
    tuple of Point
        One point per combination.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for ``measure`` and ``linear``.
    """
    kind = runtime.device(runtime.kind_of(device)).type
    there = kernels.available(kind)
    most = math.inf if threads is None else runtime.count_of_threads(threads)
    options: dict[str, Any] = {
        "threads": min(most, kernels.free_threads(kind)),
        "seconds": _positive("min_time", min_time),
    }
    shape = arguments.size("inputs", inputs), arguments.size("outputs", outputs)
    sizes = [arguments.size("batch", each) for each in arguments.integers("batches", batches)]
    chosen = arguments.choices("precisions", precisions, there)
    places = arguments.choices("sources", sources, SOURCES)
    buffer, points = kernels.weights(shape, kind), []
    told = _tenths(after, len(chosen) * len(places) * len(sizes))
    for precision in chosen:
        work = [linear(*shape, batch, precision) for batch in sizes]
        for source in places:
            warm = source == CACHE
            times = kernels.layer_times(buffer, shape, sizes, precision, kind, warm=warm, **options)
            for batch, each, took in zip(sizes, work, times, strict=True):
                points.append(Point(batch, precision, source, each, took))
                told.step()
    return tuple(points)


def rate(value: float, unit: str) -> str:
    """Return an amount or a rate with a decimal unit, e.g. "195 GFLOP/s".

    Parameters
    ----------
    value : float
        The amount.
    unit : str
        The unit without a prefix, such as "FLOP/s".

    Returns
    -------
    str
        The text.
    """
    value, unit = arguments.real("value", value), arguments.label("unit", unit)
    factor, letter = next((s for s in _SCALES if abs(float(f"{value:.2e}")) >= s[0]), _SCALES[-1])
    return f"{display.significant(value / factor)} {letter}{unit}"


def _place(kind: str, threads: int) -> str:
    import torch

    machine = runtime.describe()
    if kind == "cuda":
        return torch.cuda.get_device_name(0)
    return f"{machine.cpu}, {threads} of {torch.get_num_threads()} threads"


def _precision(name: Any) -> str:
    return arguments.choice("precision", name, BYTES)


def _positive(name: str, value: Any) -> float:
    return arguments.positive(name, value)
