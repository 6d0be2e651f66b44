"""The checkers of notebook 02, parameter count and memory."""

import functools
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from coursekit import memory
from coursekit.exercises.answers import as_array, as_integer, as_number, call
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

CHANNELS, KERNEL, WIDTH, HEADS = (16, 32), 3, 768, 12
CACHES = ((32, 8, 128, 2048, 1, 16), (80, 4, 128, 4096, 3, 8), (5, 2, 16, 7, 3, 32), (6, 2, 16, 10, 3, 4))
LAPTOP_CONTEXT = 8192
GB, MB = 1e9, 1e6
NEED_WITHIN = (
    0.04  # 8,000 or 8,192 tokens, 13 or 13.016 billion, with or without the scales: all good answers
)
EIGHT_BITS, NEAR = 13.0, 0.04  # GB: the weights at 8 bits alone come near the answer by chance
# As large as the notebook's table: from 5 MB on, pandas may read in parallel and lend out a read-only block.
BLOCK, BLOCKS, COLUMNS = 1000, 40, 32
TARGET = 1 / 3  # of the given loader's peak
BORROWED = (
    "`.values` may only lend you the table's own block. Ask for an array of your own: `to_numpy(copy=True)`."
)


def count(answer: Any) -> Verdict:
    """A pair: parameters of the convolution, parameters of the attention."""
    conv, attention = _pair(answer, "Two numbers are expected: `(convolution, attention)`.")
    conv, attention = as_integer(conv, "the convolution"), as_integer(attention, "the attention")
    if conv != memory.conv2d(*CHANNELS, KERNEL):
        return _wrong_convolution(conv)
    if attention != memory.attention(WIDTH, HEADS):
        return _wrong_attention(attention)
    return right("16 · 32 · 9 + 32, and four matrices of 768 · 768 with a bias each. Heads only divide them.")


def kv_cache(answer: Any) -> Verdict:
    """A function of (layers, kv_heads, head_dim, context, batch, bits) that returns bytes."""
    for sizes in CACHES:
        found = as_number(call(answer, *sizes), "what your function returns")
        if not math.isclose(found, _cache(*sizes), rel_tol=1e-9):
            return _wrong_cache(float(found), sizes)
    return right("Two tensors per layer, keys and values. The number of parameters plays no part in it.")


def smallest_device(answer: Any) -> Verdict:
    """A pair: the need in GB, the device's name, e.g. (12.3, 'phone')."""
    gigabytes, device = _pair(answer, "Two things are expected: `(need in GB, 'name of the device')`.")
    found = as_number(gigabytes, "the need")
    need = memory.need("LLaMA-13B", 4, context=LAPTOP_CONTEXT)
    eight_bits = math.isclose(found, EIGHT_BITS, abs_tol=NEAR)
    if eight_bits or not math.isclose(found, need.total / GB, rel_tol=NEED_WITHIN):
        return _wrong_need(found)
    device = _device(device)
    if device not in memory.DEVICES:
        return wrong(f"The device should be one of {', '.join(memory.DEVICES)}.")
    capacity = memory.DEVICES[device].memory
    if capacity < need.total:
        return wrong(f"The need is right, but a {device} has only {capacity / GB:.0f} GB.")
    if any(need.total <= other.memory < capacity for other in memory.DEVICES.values()):
        return wrong(f"It fits, but a {device} is not the smallest.", "Try the devices from the top.")
    return right("Half of it is weights, half of it cache. At 8 GB, the weights alone would have fitted.")


def _device(given: Any) -> str:
    """Return the name in memory.DEVICES: for a Device, for "laptop (16 GB)", and for "Laptop"."""
    name = str(getattr(given, "name", given)).split(" (")[0].strip().casefold()
    return next((known for known in memory.DEVICES if known.casefold() == name), name)


def loader(answer: Any) -> Verdict:
    """The function load(path), which returns the scaled array."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        _write(path)
        result = as_array(_called(answer, path), "what `load` returns", dtype=np.float32)
        expected = _given(path)
        if result.shape != expected.shape:
            return wrong(f"The result has shape `{result.shape}`, but the table makes `{expected.shape}`.")
        worst = float(np.abs(result - expected).max())
        if worst > 1e-3:
            return wrong(
                f"The numbers differ by up to {worst:.2g} from the given loader's.",
                "Every column should end with mean 0 and standard deviation 1, in the same order.",
            )
        least = result.size * result.itemsize  # float32: fewer bits would not be as near
        del result
        peak = _peak(answer, path)
        return _unseen(peak) if peak < least else _judged(peak / _peak(_given, path))


def _called(load: Any, path: Path) -> Any:
    """Return what ``load`` returns; where it writes into a borrowed array, the verdict says so."""
    try:
        return call(load, path)
    except Stop as stop:
        if "read-only" in str(stop.__cause__):
            raise Stop(replace(stop.verdict, hint=BORROWED)) from stop.__cause__
        raise


def _unseen(peak: int) -> Verdict:
    """Say that the result alone takes more than the gauge saw: torch keeps its numbers out of sight."""
    return wrong(
        f"The numbers are right, but only {peak / MB:.1f} MB of them were seen: not even the result's own.",
        "The gauge does not see torch's memory. Keep the numbers in NumPy arrays until they are scaled.",
    )


def _judged(share: float) -> Verdict:
    percent = f"{100 * share:.0f} %"
    if share <= TARGET:
        return right(f"The same numbers at {percent} of the peak.")
    if share > 0.9:
        return wrong(
            f"The peak is {percent} of the given loader's.",
            "How many bytes does each number of the table take?",
        )
    if share > 0.45:
        return wrong(
            f"The peak is down to {percent}; a third is asked for.",
            "Are the numbers still float64? Is the old table still there when the new one is made?",
        )
    return wrong(
        f"The peak is down to {percent}; a third is asked for.",
        "Is the table still there while you scale? And `X - mean` makes a new array, `X -= mean` does not.",
    )


def _pair(answer: Any, expected: str) -> tuple[Any, Any]:
    try:
        first, second = answer
    except (TypeError, ValueError):
        raise Stop(wrong(expected)) from None
    return first, second


def _wrong_convolution(found: int) -> Verdict:
    inputs, outputs = CHANNELS
    weights = inputs * outputs * KERNEL**2
    reasons = {
        weights: ("The weights are all there, but not the biases.", "Each output channel has one."),
        weights + inputs: ("One bias per output channel, not per input channel.", "There are 32 of them."),
        inputs * outputs + outputs: ("That is a layer of 1 × 1 filters.", "A filter here has 3 · 3 places."),
        inputs * outputs * KERNEL + outputs: (
            "A filter is 3 wide and 3 high.",
            "That makes 9 places, not 3.",
        ),
        outputs * KERNEL**2 + outputs: ("Each output channel looks at all 16 input channels.", ""),
    }
    default = f"The convolution does not have {found:,} parameters.", "Size of the picture: irrelevant."
    if found > 28 * 28 * outputs:
        default = default[0], "The filters are shared by all places: the picture's size does not count."
    return wrong(*reasons.get(found, default))


def _wrong_attention(found: int) -> Verdict:
    square = WIDTH * WIDTH
    reasons = {
        4 * square: ("The four matrices are there, but not their biases.", "Each matrix has 768."),
        3 * (square + WIDTH): (
            "Queries, keys and values make three.",
            "One more leads back after the heads.",
        ),
        3 * square: ("Three matrices without biases.", "One more leads back, and each has a bias of 768."),
        square + WIDTH: ("That is one matrix.", "There are four: queries, keys, values, and the way back."),
        HEADS * 4 * (square + WIDTH): (
            "The heads share the 768 columns between them.",
            "12 heads of 64 columns.",
        ),
    }
    default = f"The attention does not have {found:,} parameters.", "Four Linear layers from 768 to 768."
    return wrong(*reasons.get(found, default))


def _cache(layers: int, kv_heads: int, head_dim: int, context: int, batch: int, bits: int) -> float:
    return 2 * layers * kv_heads * head_dim * context * batch * bits / 8


def _wrong_cache(found: float, sizes: tuple[int, ...]) -> Verdict:
    layers, kv_heads, head_dim, context, batch, bits = sizes
    called = (
        f"For {layers} layers, {kv_heads} heads of {head_dim}, {context:,} tokens, batch {batch}, {bits} bits"
    )
    expected = _cache(*sizes)
    factors = {
        1 / 2: "There are keys and there are values.",
        0.0: "4 bits are half a byte: divide by 8 at the end, and not with //.",
        8.0: "That is in bits; a byte has eight.",
        1 / layers: "Every layer keeps its own.",
        1 / batch: "Every sequence of the batch has its own.",
        1 / context: "That is for one token; all of them are kept.",
        1e-9: "Bytes are asked for, not GB.",
        2.0**-30: "Bytes are asked for, not GiB.",
        1e-6: "Bytes are asked for, not MB.",
        2.0**-20: "Bytes are asked for, not MiB.",
        1 / head_dim: "That is one number per head; each head has `head_dim` of them.",
        1 / kv_heads: "Every head has its own keys.",
        16 / bits: "The last argument says how many bits a number takes.",
        32 / bits: "The last argument says how many bits a number takes.",
    }
    near = (text for factor, text in factors.items() if math.isclose(found, expected * factor, rel_tol=1e-6))
    hint = next(
        near, "Numbers per token and layer, times two, times layers, tokens and sequences; then bytes."
    )
    return wrong(f"{called} your function says {found:,.6g} bytes instead of {expected:,.0f}.", hint)


def _wrong_need(found: float) -> Verdict:
    weights, cache = 6.5, 6.71
    reasons = (
        (weights, "That is the weights alone.", "A context of 8,192 tokens has to be kept as well."),
        (cache, "That is the cache alone, or the weights with their scales.", "Both are needed, together."),
        (weights + cache / 2, "Half of the cache is missing.", "Keys and values."),
        (4 * weights + cache, "These are weights at 16 bits.", "At 4 bits a weight takes half a byte."),
        (weights + cache / 4, "This cache has 4 bits; only the weights are quantized here.", ""),
        (1000 * (weights + cache), "That is in MB.", ""),
        ((weights + cache) * GB, "That is in bytes.", "1 GB is a billion of them."),
        ((weights + cache) / 1.0737, "That is in GiB.", "1 GB is 10 to the power 9 bytes here."),
        (
            EIGHT_BITS,
            "13 GB is what the weights take at 8 bits, without any cache.",
            "At 4 bits they take half of it, and the cache comes on top. Keep a decimal if you rounded.",
        ),
    )
    for value, message, hint in reasons:
        if math.isclose(found, value, rel_tol=0.03):
            return wrong(message, hint)
    return wrong(
        f"{found:,.4g} GB is not it.", "Weights: 13 billion half bytes. Cache: your function, 40 layers."
    )


def _given(path: Path) -> Any:
    """Load as the notebook's cell does."""
    import pandas as pd

    table = pd.read_csv(path)
    x = table.values
    return (x - x.mean(axis=0)) / x.std(axis=0)


def _peak(load: Callable[[Path], Any], path: Path) -> int:
    """Return the bytes that Python and numpy hold at the worst moment, once everything is warm."""
    with memory.peak() as found:
        kept = call(load, path)
    del kept
    return found.peak


def _write(path: Path) -> None:
    """Write a table as large as the notebook's, in pieces as there; its second half has other means."""
    (names, first), (_, second) = _block(20.0), _block(23.0)
    with path.open("w", encoding="utf-8") as file:
        file.write(names)
        for number in range(BLOCKS):
            file.write(first if number < BLOCKS // 2 else second)


@functools.cache
def _block(mean: float) -> tuple[str, str]:
    """Return the line of names, and lines of numbers around ``mean`` that the table repeats."""
    rng = np.random.default_rng(4)
    numbers = rng.normal(mean, 5, (BLOCK, COLUMNS))
    counts = rng.integers(0, 500, BLOCK)
    lines = [
        f"{','.join(f'{value:.3f}' for value in row)},{count}\n"
        for row, count in zip(numbers, counts, strict=True)
    ]
    names = [*(f"x{number}" for number in range(COLUMNS)), "count"]
    return ",".join(names) + "\n", "".join(lines)


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "02-count": count,
        "02-kv-cache": kv_cache,
        "02-smallest-device": smallest_device,
        "02-loader": loader,
    }
)
