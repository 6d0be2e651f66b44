"""One honest sample: a clock for the device, calls for long enough, and nothing else going on."""

import gc
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from coursekit import runtime

__all__ = [
    "GPU_SAMPLE_SECONDS",
    "SAMPLE_SECONDS",
    "EventStopwatch",
    "Function",
    "Sampler",
    "Stopwatch",
    "now",
    "quiet",
    "sample_seconds",
    "stopwatch",
]

# A sample on the CPU lasts about this long: thousands of steps of the clock, yet a tenth of the time slices
# that the operating system deals out, so that most samples slip between two interruptions.
SAMPLE_SECONDS = 3e-4
# A GPU is not interrupted, but filling and emptying its queue takes tens of microseconds.
GPU_SAMPLE_SECONDS = 3e-3
# Where the clock is coarse, a sample spans at least this many of its steps.
CLOCK_STEPS = 1000
# A sample on the CPU starts with this part of the calls it usually takes, and looks at the clock in between:
# where a call suddenly takes a thousand times as long (threads that wait for a core), it still ends soon.
# The second number: what part of the time is enough.
LOOKS = (1 / 16, 1.0)
# On a GPU every look would leave it idle: all calls at once, more only if they took less than half the time.
ONE_LOOK = (1.0, 0.5)
# Before a sample of at least so many calls one goes untimed: the caches still hold what ran before.
PRIME_FROM = 4

Function = Callable[[], Any]

# The tests put a simulated clock here.
now = time.perf_counter


@dataclass
class Sampler:
    """Takes samples of ``fn`` that last about ``target`` seconds, for which ``usual`` calls are needed."""

    fn: Function
    stopwatch: "Stopwatch | EventStopwatch"
    target: float
    prepare: Callable[[], None]
    usual: int = 1
    calls: int = 0

    def sample(self) -> float:
        """Run ``fn`` as often as ``target`` allows, at least once, and return the seconds per call.

        Returns
        -------
        float
            Seconds per call.
        """
        self.prepare()
        if self.usual >= PRIME_FROM:
            self.fn()
        calls, elapsed = 0, 0.0
        first, _ = self.stopwatch.looks
        more = math.ceil(self.usual * first)
        while more:
            elapsed += self.stopwatch.time(self.fn, more)
            calls += more
            more = self._more(calls, elapsed)
        self.calls += calls
        return elapsed / calls

    def _more(self, calls: int, elapsed: float) -> int:
        """Return how many calls still fit, at most as many again; 0 once the sample is long enough."""
        if elapsed <= 0:
            return calls
        _, enough = self.stopwatch.looks
        if elapsed >= self.target * enough:
            return 0
        return min(calls, round((self.target - elapsed) * calls / elapsed))

    def warm_up(self, seconds: float) -> float:
        """Take samples, at least two, and learn ``usual``.

        Parameters
        ----------
        seconds : float
            For how long.

        Returns
        -------
        float
            The least seconds per call.
        """
        best, start = math.inf, now()
        # The first call may compile, allocate or load.
        for i in itertools.count():
            if i >= 2 and now() - start >= seconds:
                break
            before = self.calls
            best = min(best, self.sample())
            # The first call may have been the first to use the GPU: from now on the samples are longer.
            self.target = max(self.target, sample_seconds(self.stopwatch))
            self.usual = max(self.usual, self.calls - before)
        self.calls = 0
        return best


@dataclass(frozen=True)
class Stopwatch:
    """Times calls by the CPU's clock, and what they left running on a GPU where ``uses_gpu()``.

    It asks each time: what is timed may be the first in this process to use the GPU.
    """

    uses_gpu: Callable[[], bool] = lambda: False

    @property
    def seconds(self) -> float:
        """About how long a sample lasts."""
        return GPU_SAMPLE_SECONDS if self.uses_gpu() else SAMPLE_SECONDS

    @property
    def looks(self) -> tuple[float, float]:
        """The part of the usual calls to start a sample with, and the part of its time that is enough."""
        return ONE_LOOK if self.uses_gpu() else LOOKS

    @property
    def device(self) -> str | None:
        """Where the calls run: "cpu", or None where they may have used the GPU or not."""
        return None if self.uses_gpu() else "cpu"

    def time(self, fn: Function, calls: int) -> float:
        """Return the seconds that calls take together.

        Parameters
        ----------
        fn : Function
            Called without arguments.
        calls : int
            How often.

        Returns
        -------
        float
            Seconds.
        """
        repeat = itertools.repeat(None, calls)
        self._wait()
        start = now()
        for _ in repeat:
            fn()
        self._wait()
        return now() - start

    def _wait(self) -> None:
        if self.uses_gpu():
            sys.modules["torch"].cuda.synchronize()


class EventStopwatch:
    """Times calls by the GPU's clock: two events in its queue, so that waking the CPU is not counted.

    Parameters
    ----------
    device : object
        A CUDA device.
    """

    seconds = GPU_SAMPLE_SECONDS
    looks = ONE_LOOK

    def __init__(self, device: Any) -> None:
        self.device = device

    def time(self, fn: Function, calls: int) -> float:
        """Return the seconds between events around calls on the current stream.

        Parameters
        ----------
        fn : Function
            Called without arguments.
        calls : int
            How often.

        Returns
        -------
        float
            Seconds.
        """
        import torch

        with torch.cuda.device(self.device):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize(self.device)
            start.record()
            for _ in itertools.repeat(None, calls):
                fn()
            end.record()
            torch.cuda.synchronize(self.device)
        return start.elapsed_time(end) * 1e-3  # CUDA counts milliseconds


def stopwatch(device: Any) -> Stopwatch | EventStopwatch:
    """Return the stopwatch for a device.

    Parameters
    ----------
    device : object
        "cpu", "cuda" or a device of torch's; None waits for the GPU as soon as this process uses one.

    Returns
    -------
    Stopwatch or EventStopwatch
        The stopwatch.

    Raises
    ------
    ValueError
        For an unknown device.
    RuntimeError
        For "cuda" without a CUDA device.
    """
    if device is None:
        return Stopwatch(_uses_gpu)
    kind = runtime.kind_of(device)
    if runtime.device(kind).type != "cuda":
        return Stopwatch()
    return EventStopwatch("cuda" if kind == "auto" else str(device))


def _uses_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def sample_seconds(watch: Stopwatch | EventStopwatch) -> float:
    """Return how long a sample has to last at least.

    Parameters
    ----------
    watch : Stopwatch or EventStopwatch
        What times the sample.

    Returns
    -------
    float
        Seconds.
    """
    return max(watch.seconds, CLOCK_STEPS * time.get_clock_info("perf_counter").resolution)


@contextmanager
def quiet(threads: int | None) -> Iterator[Callable[[], None]]:
    """Switch the garbage collector off and hold torch's number of threads.

    Both are restored at the end, also on an error. torch is imported only if ``threads`` is given.

    Parameters
    ----------
    threads : int or None
        How many threads; None: as many as now.

    Yields
    ------
    callable
        A function that puts the number of threads back if a candidate has changed it.
    """
    if threads is not None:
        threads = runtime.count_of_threads(threads)
    if threads is None and "torch" not in sys.modules:
        with _no_garbage_collection():
            yield lambda: None
        return
    import torch

    with runtime.threads(threads or torch.get_num_threads()) as wanted, _no_garbage_collection():
        yield lambda: None if torch.get_num_threads() == wanted else torch.set_num_threads(wanted)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
