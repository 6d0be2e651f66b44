"""Measured curves: the time of a call against its batch, directly and through the micro-batcher."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from coursekit import runtime, timing
from coursekit._core import arguments
from coursekit.batching.curves import Curve, ascending
from coursekit.batching.micro_batcher import held, serve

__all__ = ["BATCHES", "SERVED_BATCHES", "sweep", "sweep_served"]

# Small batches one by one: kernels work in groups of rows, so 7 may take longer than 8.
SERVED_BATCHES = (*range(1, 9), 10, 12, 16, 24, 32, 48, 64)
QUARTILES = (0.25, 0.5, 0.75)
MIN_SAMPLES = 6
TURNS = 2
BATCHES = {"cpu": tuple(2**k for k in range(13)), "cuda": tuple(2**k for k in range(17))}


def sweep(
    fn: Callable[[Any], Any],
    examples: Any,
    batches: Sequence[int] | None = None,
    *,
    name: str = "",
    min_time: float = 0.1,
    threads: int | None = None,
    device: Any = None,
    after: Callable[[], object] | None = None,
) -> Curve:
    """Time ``fn(examples[:batch])`` at each batch, ``min_time`` seconds and at least six samples each.

    Parameters
    ----------
    fn : callable
        What is timed; it gets a slice of ``examples``.
    examples : object
        Anything that can be sliced and holds as many as the largest batch.
    batches : sequence of int, optional
        Ascending; by default 1, 2, 4, … 4,096, on CUDA to 65,536.
    name : str, optional
        The curve's name.
    min_time : float, optional
        Seconds per batch, above 0; six samples at least.
    threads : int, optional
        As for ``timing.measure``.
    device : object, optional
        As for ``timing.measure``.
    after : callable, optional
        Called without arguments after each batch, such as what ``runtime.progress`` returns.

    Returns
    -------
    Curve
        Medians and quartiles in seconds per call; its ``doubts`` say which batches are too noisy to trust.

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For batches that do not ascend or are larger than ``examples``, or a time that is not above 0.
    RuntimeError
        For "cuda" without a CUDA device.
    Exception
        Whatever ``fn`` raises.
    """
    arguments.function("fn", fn, "with a batch of examples")
    arguments.positive("min_time", min_time, "seconds")
    kind = runtime.device(runtime.kind_of(device)).type
    sizes = _enough(examples, BATCHES[kind] if batches is None else batches)
    quartiles = []
    for size in sizes:
        quartiles.append(np.quantile(_samples(fn, examples[:size], min_time, threads, device), QUARTILES))
        _tell(after)
    low, median, high = np.array(quartiles).T
    return Curve(sizes, median, low, high, name, _place(kind, threads))


def sweep_served(
    answer: Callable[[list[Any]], Sequence[Any]],
    examples: Sequence[Any],
    batches: Sequence[int] = SERVED_BATCHES,
    *,
    name: str = "",
    min_time: float = 0.1,
    threads: int = 1,
    after: Callable[[], object] | None = None,
) -> Curve:
    """Measure the time per batch of a micro-batcher in front of ``answer`` under full load.

    All requests come at once, so every batch is full and begins when the one before ends. What a batch takes
    then includes all that it costs: computing, handing over between threads, Python's work per request. The
    batches take turns, so that a slow moment of the machine hits all alike.

    Parameters
    ----------
    answer : callable
        From a list of examples to their answers.
    examples : sequence of object
        As for ``sweep``.
    batches : sequence of int, optional
        Ascending.
    name : str, optional
        The curve's name.
    min_time : float, optional
        Seconds per batch, above 0; six batches at least.
    threads : int, optional
        How many threads torch may use.
    after : callable, optional
        Called without arguments as soon as a batch has been measured for long enough.

    Returns
    -------
    Curve
        Medians and quartiles in seconds per batch; its ``doubts`` say which ones are too noisy to trust.

    Raises
    ------
    TypeError
        As for ``sweep``.
    ValueError
        As for ``sweep``.
    Exception
        Whatever ``answer`` raises.
    """
    arguments.function("answer", answer, "with a list of examples")
    enough, sizes = arguments.positive("min_time", min_time, "seconds"), _enough(examples, batches)
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    with runtime.threads(runtime.count_of_threads(threads)):
        _times_per_batch(answer, examples, sizes[0], MIN_SAMPLES)  # a warm-up
        while hungry := [n for n in sizes if _is_hungry(taken[n], enough)]:
            for size in hungry:
                count = _count_for(taken[size], enough / TURNS)
                taken[size] += _times_per_batch(answer, examples, size, count)
                if not _is_hungry(taken[size], enough):
                    _tell(after)
    low, median, high = np.array([np.quantile(taken[size], QUARTILES) for size in sizes]).T
    return Curve(sizes, median, low, high, name, _place("cpu", threads))


def _is_hungry(taken: Sequence[float], enough: float) -> bool:
    return len(taken) < MIN_SAMPLES or sum(taken) < enough


def _tell(after: Callable[[], object] | None) -> None:
    if after is not None:
        after()


def _count_for(taken: Sequence[float], seconds: float) -> int:
    """Return how many batches to send next: a few, or as many as fit into ``seconds``."""
    return math.ceil(max(MIN_SAMPLES / TURNS, seconds / np.median(taken) if taken else 0))


def _times_per_batch(answer: Any, examples: Sequence[Any], size: int, count: int) -> list[float]:
    """Return the seconds between the ends of full batches, without the first, which meets the rush."""
    wanted = list(itertools.islice(itertools.cycle(examples), (count + 1) * size))
    served, _ = serve(wanted, np.zeros(len(wanted)), answer, max_batch=size, max_wait=0)
    return np.diff(served.latencies.reshape(-1, size).max(axis=1)).tolist()


def _enough(examples: Any, batches: Sequence[int]) -> tuple[int, ...]:
    """Return the batches, ascending; ValueError unless there are examples for the largest."""
    sizes = ascending(batches)
    if (count := held("examples", examples)) < sizes[-1]:
        raise ValueError(f"examples must hold at least {sizes[-1]}, the largest of batches; got {count}")
    return sizes


def _samples(fn: Callable[[Any], Any], batch: Any, min_time: float, threads: Any, device: Any) -> Any:
    return timing.measure(lambda: fn(batch), min_time=min_time, threads=threads, device=device).samples


def _place(kind: str, threads: int | None) -> str:
    import torch

    if kind == "cuda":
        return torch.cuda.get_device_name(0)
    count = torch.get_num_threads() if threads is None else runtime.count_of_threads(threads)
    return f"{runtime.describe().cpu}, {count} thread{'s' * (count != 1)}"
