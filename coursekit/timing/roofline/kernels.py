"""What a roofline is measured with: streams through memory, products of matrices, the quickest of many runs.

A roof is a maximum. So patterns and sizes are several and the quickest runs count; each is short enough to
fit between two disturbances. On a busy machine threads wait for each other and are slower than a single one;
then everything is measured on one.
"""

import functools
import itertools
import math
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from coursekit.timing import stopwatch
from coursekit.timing.stopwatch import Sampler

__all__ = [
    "ASSUMED_CACHE",
    "CACHED_SETS",
    "DTYPES",
    "LEAST_STREAM",
    "MOST_STREAM",
    "available",
    "cached",
    "free_threads",
    "last_cache",
    "layer_times",
    "matmul_mode",
    "matrix",
    "patterns",
    "peak",
    "product",
    "quickest",
    "rows",
    "stream",
    "stream_bytes",
    "weights",
]

# STREAM's rule (McCalpin 1995): what is read has to be at least four times as large as the last cache.
TIMES_THE_CACHE = 4
LEAST_STREAM, MOST_STREAM = 256_000_000, 384_000_000  # bytes; the most keeps a notebook below 900 MB
GPU_STREAM = 1_024_000_000
LINUX_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
ASSUMED_CACHE = 32_000_000  # bytes, where the system does not say
PIECE = 4_000_000  # bytes per array, thread and run: a fraction of a millisecond
CACHED_SETS = (1_000_000, 4_000_000)  # bytes that stay in the cache of one or two cores
PRODUCT_SIZES = {"cpu": (512, 1024, 2048, 4096), "cuda": (2048, 4096, 8192)}
LONGEST_PRODUCT = 5e-3  # seconds: no larger product is tried after one that took this long
QUICK = 0.05  # the quantile of the samples that counts
WARM_UP_SHARE = 0.1
DECIDING = 0.05  # seconds each for all threads and for one, to see which are quicker
GPU_INT8_ROWS = 32  # cuBLAS multiplies INT8 with more than 16 rows only: fewer are padded
DTYPES = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
ON = {"cpu": ("fp32", "bf16", "int8"), "cuda": ("fp32", "tf32", "fp16", "bf16", "int8")}


def quickest(fn: Callable[[], Any], seconds: float, device: str, threads: int) -> float:
    """Return the seconds per call that a twentieth of the samples stays below.

    Not the very least: a cache may by chance still have held what one run read.

    Parameters
    ----------
    fn : callable
        Called without arguments.
    seconds : float
        For how long it is tried.
    device : str
        "cpu" or "cuda".
    threads : int
        How many threads torch may use.

    Returns
    -------
    float
        Seconds per call.
    """
    return float(np.quantile(_samples(fn, seconds, device, threads), QUICK))


def free_threads(device: str) -> int:
    """Return how many threads to measure on: all that torch has, or one where that is quicker.

    A GPU's program needs one.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".

    Returns
    -------
    int
        How many threads.
    """
    import torch

    threads = torch.get_num_threads()
    if device == "cuda" or threads == 1:
        return 1
    a = matrix(PRODUCT_SIZES[device][0], PRODUCT_SIZES[device][0], "fp32", device)
    all_of_them, one = (
        np.median(_samples(lambda: product(a, a), DECIDING, device, count)) for count in (threads, 1)
    )
    return threads if all_of_them <= one else 1


def _samples(fn: Callable[[], Any], seconds: float, device: str, threads: int) -> list[float]:
    """Return samples in seconds per call, taken for ``seconds`` after a short warm-up."""
    watch = stopwatch.stopwatch(device)
    with stopwatch.quiet(threads) as pin:
        sampler = Sampler(fn, watch, stopwatch.sample_seconds(watch), pin)
        sampler.warm_up(WARM_UP_SHARE * seconds)
        samples, end = [sampler.sample()], stopwatch.now() + (1 - WARM_UP_SHARE) * seconds
        while stopwatch.now() < end:
            samples.append(sampler.sample())
    return samples


def last_cache(device: str) -> int:
    """Return the bytes of the largest cache, or ASSUMED_CACHE where the system does not say.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".

    Returns
    -------
    int
        Bytes.
    """
    if device == "cuda":
        import torch

        return getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 0) or ASSUMED_CACHE
    return max(_linux_caches() or _mac_caches() or [ASSUMED_CACHE])


def stream_bytes(device: str) -> int:
    """Return how much has to be read so that none of it is still in a cache when it is read again.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".

    Returns
    -------
    int
        Bytes.
    """
    wanted = TIMES_THE_CACHE * last_cache(device)
    return max(GPU_STREAM, wanted) if device == "cuda" else min(max(LEAST_STREAM, wanted), MOST_STREAM)


def stream(device: str) -> tuple[Any, ...]:
    """Return a buffer that no cache can hold, in pieces that take a fraction of a millisecond each.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".

    Returns
    -------
    tuple of object
        FP32 tensors.
    """
    import torch

    total = stream_bytes(device)
    piece = total // 3 if device == "cuda" else min(total // 3, PIECE * torch.get_num_threads())
    return torch.ones(total // 4, device=device).split(piece // 4)


def patterns(pieces: Sequence[Any], device: str, threads: int, seconds: float) -> dict[str, float]:
    """Return bytes per second from memory for three patterns; every run takes other pieces.

    read: a sum; copy: y = x; triad: z = x - y. Counted as STREAM does: what the program reads and writes.

    Parameters
    ----------
    pieces : sequence of object
        A buffer in pieces of equal length, as ``stream`` returns it.
    device : str
        "cpu" or "cuda".
    threads : int
        How many threads torch may use.
    seconds : float
        For how long each pattern is tried.

    Returns
    -------
    dict of str to float
        Bytes per second by pattern.
    """
    import torch

    kernels: dict[str, tuple[int, Callable[..., Any]]] = {
        "read": (1, torch.sum),
        "copy": (2, lambda x, y: y.copy_(x)),
        "triad": (3, lambda x, y, z: torch.sub(x, y, out=z)),
    }
    size = 4 * len(pieces[0])
    return {
        name: count * size / quickest(_in_turn(kernel, _grouped(pieces, count)), seconds, device, threads)
        for name, (count, kernel) in kernels.items()
    }


def cached(device: str, threads: int, seconds: float) -> float:
    """Return bytes per second of reading again and again what fits into the caches of a core or two.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".
    threads : int
        How many threads torch may use.
    seconds : float
        For how long it is tried.

    Returns
    -------
    float
        Bytes per second.
    """
    import torch

    arrays = [torch.ones(nbytes // 4, device=device) for nbytes in CACHED_SETS]
    share = seconds / len(arrays)
    return max(4 * len(x) / quickest(functools.partial(torch.sum, x), share, device, threads) for x in arrays)


def peak(precision: str, device: str, threads: int, seconds: float) -> float:
    """Return FLOP per second of the best square product; larger ones are tried while they are quick.

    Parameters
    ----------
    precision, device : str
        What is multiplied in, and where.
    threads : int
        How many threads torch may use.
    seconds : float
        For about how long each size is tried.

    Returns
    -------
    float
        FLOP per second.
    """
    best = 0.0
    with matmul_mode(precision, device):
        for size in PRODUCT_SIZES[device]:
            a = matrix(size, size, precision, device)
            took = quickest(functools.partial(product, a, a), seconds / 2, device, threads)
            best = max(best, 2 * size**3 / took)
            if took > LONGEST_PRODUCT:
                break
    return best


def weights(shape: tuple[int, int], device: str) -> Any:
    """Return the bytes of many layers, more than the caches hold: numbers in every precision.

    Bytes from 0x3c to 0x3f: between 0.007 and 2 as FP32, FP16 or BF16, and 60 to 63 as INT8.

    Parameters
    ----------
    shape : tuple of 2 int
        A layer's inputs and outputs.
    device : str
        "cpu" or "cuda".

    Returns
    -------
    Tensor
        uint8, [n].
    """
    import torch

    generator = torch.Generator(device).manual_seed(0)
    some = torch.randint(0x3C, 0x40, (PIECE,), generator=generator, device=device).to(torch.uint8)
    return some.repeat(-(-max(stream_bytes(device), 8 * math.prod(shape)) // PIECE))


def layer_times(
    buffer: Any,
    shape: tuple[int, int],
    batches: Sequence[int],
    precision: str,
    device: str,
    *,
    warm: bool,
    threads: int,
    seconds: float,
) -> Iterator[float]:
    """Yield the seconds of a quick call of a Linear layer at each batch.

    Parameters
    ----------
    buffer : object
        Bytes, as ``weights`` returns them.
    shape : tuple of 2 int
        The layer's inputs and outputs.
    batches : sequence of int
        Rows per call.
    precision, device : str
        What is multiplied in, and where.
    warm : bool
        Whether always the same weights are taken; otherwise every call takes the next of so many in the
        buffer that none of them is in a cache when its turn comes again.
    threads : int
        How many threads torch may use.
    seconds : float
        For how long each batch is tried.

    Yields
    ------
    float
        Seconds per call.
    """
    import torch

    inputs, outputs = shape
    numbers = buffer.view(getattr(torch, DTYPES[precision]))
    layers = numbers[: len(numbers) // (inputs * outputs) * inputs * outputs].view(-1, outputs, inputs)
    turns = itertools.cycle(layers[:1] if warm else layers)
    with matmul_mode(precision, device):
        for batch in batches:
            x = matrix(rows(batch, precision, device), inputs, precision, device)
            multiply = functools.partial(_next_product, x, turns)
            yield quickest(multiply, seconds, device, threads)


def _next_product(x: Any, turns: Iterator[Any]) -> Any:
    return product(x, next(turns).t())


def rows(batch: int, precision: str, device: str) -> int:
    """Return how many rows are multiplied for a batch: a GPU's INT8 product pads small ones.

    Parameters
    ----------
    batch : int
        The examples.
    precision : str
        A key of ``DTYPES``.
    device : str
        "cpu" or "cuda".

    Returns
    -------
    int
        At least ``batch``.
    """
    return max(batch, GPU_INT8_ROWS) if (precision, device) == ("int8", "cuda") else batch


def matrix(height: int, width: int, precision: str, device: str) -> Any:
    """Return a matrix of random numbers at a precision.

    Parameters
    ----------
    height, width : int
        Its shape.
    precision : str
        A key of ``DTYPES``.
    device : str
        "cpu" or "cuda".

    Returns
    -------
    Tensor
        [height, width]; always the same numbers.
    """
    import torch

    generator = torch.Generator(device).manual_seed(0)
    if precision == "int8":
        return torch.randint(-127, 128, (height, width), generator=generator, device=device).to(torch.int8)
    numbers = torch.randn(height, width, generator=generator, device=device)
    return numbers.to(getattr(torch, DTYPES[precision]))


def product(a: Any, b: Any) -> Any:
    """Return a @ b; INT8 is added up in INT32, by the function that PyTorch's own quantization uses.

    Parameters
    ----------
    a, b : Tensor
        [n, k] and [k, m].

    Returns
    -------
    Tensor
        [n, m].
    """
    import torch

    return torch._int_mm(a, b) if a.dtype == torch.int8 else torch.mm(a, b)


def available(device: str) -> tuple[str, ...]:
    """Return the precisions in which this torch multiplies on ``device``.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".

    Returns
    -------
    tuple of str
        The precisions.
    """
    return tuple(precision for precision in ON[device] if _works(precision, device))


@contextmanager
def matmul_mode(precision: str, device: str) -> Iterator[None]:
    """Let FP32 products use the GPU's TF32 units only if ``precision`` asks for it; restore it afterwards.

    Parameters
    ----------
    precision : str
        A key of ``DTYPES``.
    device : str
        "cpu" or "cuda"; on a CPU nothing changes.

    Yields
    ------
    None
        Once, for the block.
    """
    import torch

    if device != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _works(precision: str, device: str) -> bool:
    a = matrix(GPU_INT8_ROWS, GPU_INT8_ROWS, precision, device)
    try:
        product(a, a)
    except (RuntimeError, NotImplementedError, AttributeError):  # how torch says that a kernel is missing
        return False
    return True


def _grouped(pieces: Sequence[Any], count: int) -> list[tuple[Any, ...]]:
    """Return pieces of equal length in groups of ``count``; what is left over is left out."""
    whole = [piece for piece in pieces if len(piece) == len(pieces[0])]
    return list(zip(*(whole[i::count][: len(whole) // count] for i in range(count)), strict=True))


def _in_turn(kernel: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Callable[[], Any]:
    turns = itertools.cycle(arguments)
    return lambda: kernel(*next(turns))


def _linux_caches() -> list[int]:
    sizes = [path.read_text() for path in LINUX_CACHES.glob("index*/size")]
    return [int(text.strip().removesuffix("K")) * 1024 for text in sizes if text.strip().endswith("K")]


def _mac_caches() -> list[int]:
    if platform.system() != "Darwin":
        return []
    names = ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize")
    answers = [subprocess.run(["sysctl", "-n", name], capture_output=True, text=True) for name in names]
    return [int(answer.stdout) for answer in answers if answer.stdout.strip().isdigit()]
