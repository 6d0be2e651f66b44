"""How weights become GGUF's blocks: each function takes weights [blocks, n], returns bytes [blocks, bytes].

Q8_0, Q4_0 and Q4_1 round as llama.cpp does, bit for bit. For Q4_K and Q6_K llama.cpp searches the scales with
the least weighted error; here each group takes the scale that just reaches its largest weight.

Source: ggml-org/ggml, ggml-quants.c.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from coursekit.language.gguf.decoding import halves

__all__ = ["ENCODERS", "gathered", "packed_six"]

Raw = NDArray[np.uint8]
Weights = NDArray[np.float32]
SIX_BITS, INT8 = 63, 127


def _f32(weights: Weights) -> Raw:
    """Return the bytes of float32 numbers."""
    return np.ascontiguousarray(weights, "<f4").view(np.uint8)


def _f16(weights: Weights) -> Raw:
    """Return the bytes of FP16 numbers, the nearest ones."""
    return np.ascontiguousarray(weights.astype("<f2")).view(np.uint8)


def _bf16(weights: Weights) -> Raw:
    """Return the bytes of bfloat16 numbers: the nearest, of two equally near the even one."""
    bits = np.ascontiguousarray(weights, "<f4").view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").view(np.uint8)


def _q8_0(weights: Weights) -> Raw:
    """Return 34 bytes per 32 weights: the scale reaches the largest, halves are rounded away from 0."""
    scale = np.abs(weights).max(axis=1, keepdims=True) / np.float32(INT8)
    scaled = weights * _inverse(scale)
    whole = np.floor(np.abs(scaled))
    levels = np.sign(scaled) * (whole + np.floor(2 * (np.abs(scaled) - whole)))
    return np.concatenate([_f16(scale), levels.astype(np.int8).view(np.uint8)], axis=1)


def _q4_0(weights: Weights) -> Raw:
    """Return 18 bytes per 32 weights: the one of largest magnitude becomes level -8, whatever its sign."""
    at = np.abs(weights).argmax(axis=1, keepdims=True)
    scale = np.take_along_axis(weights, at, axis=1) / np.float32(-8)
    levels = _cut(weights * _inverse(scale) + np.float32(8.5))
    return np.concatenate([_f16(scale), gathered(levels, 16, 4)], axis=1)


def _q4_1(weights: Weights) -> Raw:
    """Return 20 bytes per 32 weights: 16 levels from the smallest to the largest."""
    least = weights.min(axis=1, keepdims=True)
    scale = (weights.max(axis=1, keepdims=True) - least) / np.float32(15)
    levels = _cut((weights - least) * _inverse(scale) + np.float32(0.5))
    return np.concatenate([_f16(scale), _f16(least), gathered(levels, 16, 4)], axis=1)


def _q4_k(weights: Weights) -> Raw:
    """Return 144 bytes per 256 weights: 8 groups, each from its smallest (or 0) to its largest weight."""
    groups = weights.reshape(len(weights), 8, 32)
    least = -np.minimum(groups.min(axis=2), 0)
    unit, scales = _in_six((groups.max(axis=2).clip(0) + least) / np.float32(15))
    unit_least, mins = _in_six(least)
    step, below = (halves(unit) * scales)[:, :, None], (halves(unit_least) * mins)[:, :, None]
    levels = np.round((groups + below) * _inverse(step)).clip(0, 15).astype(np.uint8)
    packed = packed_six(scales.astype(np.uint8), mins.astype(np.uint8))
    low_first = gathered(levels.reshape(len(levels), -1), 32, 4)
    return np.concatenate([unit, unit_least, packed, low_first], axis=1)


def _q6_k(weights: Weights) -> Raw:
    """Return 210 bytes per 256 weights: 16 groups, whose scales reach their largest weight."""
    groups = weights.reshape(len(weights), 16, 16)
    scales = np.abs(groups).max(axis=2) / np.float32(31)
    unit = _f16(scales.max(axis=1, keepdims=True) / np.float32(INT8))
    scales = np.round(scales * _inverse(halves(unit))).clip(0, INT8).astype(np.int8)
    step = (halves(unit) * scales.astype(np.float32))[:, :, None]
    signed = np.round(groups * _inverse(step)).clip(-32, 31).reshape(len(weights), -1)
    levels = (signed + 32).astype(np.uint8)
    low, high = gathered(levels & np.uint8(15), 64, 4), gathered(levels >> np.uint8(4), 32, 2)
    return np.concatenate([low, high, scales.view(np.uint8), unit], axis=1)


def gathered(levels: Raw, run: int, bits: int) -> Raw:
    """Return small integers in bytes: the inverse of :func:`coursekit.language.gguf.decoding.spread`.

    Parameters
    ----------
    levels : ndarray of uint8
        [blocks, n].
    run : int
        Bytes whose low bits come one after the other.
    bits : int
        1, 2 or 4 per integer.

    Returns
    -------
    ndarray of uint8
        [blocks, n * bits / 8].
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    parts = levels.reshape(len(levels), -1, 8 // bits, run) << shifts
    return np.bitwise_or.reduce(parts, axis=2).reshape(len(levels), -1)


def packed_six(scales: Raw, mins: Raw) -> Raw:
    """Return 8 scales and 8 minima of 6 bits in 12 bytes, as Q4_K and Q5_K store them.

    Parameters
    ----------
    scales, mins : ndarray of uint8
        [blocks, 8], 0 to 63.

    Returns
    -------
    ndarray of uint8
        [blocks, 12].
    """
    above = [part[:, :4] | (part[:, 4:] >> 4) << 6 for part in (scales, mins)]
    return np.concatenate([*above, (scales[:, 4:] & 15) | (mins[:, 4:] & 15) << 4], axis=1)


def _in_six(values: Weights) -> tuple[Raw, Weights]:
    """Return values from 0 on [blocks, 8] as a unit in FP16 and multiples of it up to 63."""
    unit = _f16(values.max(axis=1, keepdims=True) / np.float32(SIX_BITS))
    return unit, np.round(values * _inverse(halves(unit))).clip(0, SIX_BITS)


def _inverse(scale: Weights) -> Weights:
    """Return 1 / scale, and 0 where that is too large: all weights are as good as 0 then."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = 1 / scale
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def _cut(shifted: Weights) -> Raw:
    return np.trunc(shifted).clip(0, 15).astype(np.uint8)


# By the name of the format: weights [blocks, n] to raw bytes [blocks, bytes].
ENCODERS: dict[str, Callable[[Weights], Raw]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q4_K": _q4_k,
    "Q6_K": _q6_k,
}
