"""How GGUF's blocks are read: each function takes raw bytes [blocks, bytes] and returns weights [blocks, n].

Blocks of 32 weights share one scale in FP16. Super-blocks of 256 (the K formats) have small integer scales
for 8 or 16 groups, which share one or two numbers in FP16. Weights of neighbouring bytes are neighbours: what
one byte holds lies a run apart.

Source: ggml-org/ggml, ggml-common.h (the layouts) and ggml-quants.c (the arithmetic).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["DECODERS", "halves", "six_bits", "spread"]

Raw = NDArray[np.uint8]
Weights = NDArray[np.float32]


def _plain(kind: str) -> Callable[[Raw], Weights]:
    return lambda raw: raw.view(kind).astype(np.float32)


def _bf16(raw: Raw) -> Weights:
    """Return bfloat16 numbers: the upper half of a float32."""
    return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)


def halves(raw: Raw) -> Weights:
    """Return FP16 numbers as float32.

    Parameters
    ----------
    raw : ndarray of uint8
        [blocks, bytes], an even number of them.

    Returns
    -------
    ndarray of float32
        [blocks, bytes / 2].
    """
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def spread(raw: Raw, run: int, bits: int) -> Raw:
    """Return the small integers in bytes: first the low bits of a run of bytes, then the bits above them.

    Parameters
    ----------
    raw : ndarray of uint8
        [blocks, bytes], a multiple of ``run`` bytes.
    run : int
        Bytes whose low bits come one after the other.
    bits : int
        1, 2 or 4 per integer.

    Returns
    -------
    ndarray of uint8
        [blocks, bytes * 8 / bits].
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return ((raw.reshape(len(raw), -1, 1, run) >> shifts) & (2**bits - 1)).reshape(len(raw), -1)


def _q4_0(raw: Raw) -> Weights:
    """Return 32 weights per block of 18 bytes: a scale, then levels from -8 to 7, two in each byte."""
    return halves(raw[:, :2]) * (spread(raw[:, 2:], 16, 4).astype(np.float32) - 8)


def _q4_1(raw: Raw) -> Weights:
    """Return 32 weights per block of 20 bytes: a scale and a minimum, then levels from 0 to 15."""
    return halves(raw[:, :2]) * spread(raw[:, 4:], 16, 4).astype(np.float32) + halves(raw[:, 2:4])


def _q5_0(raw: Raw) -> Weights:
    """Return 32 weights per block of 22 bytes: a scale, 32 fifth bits, the lower four bits."""
    return halves(raw[:, :2]) * (_with_fifth(raw[:, 2:6], raw[:, 6:]).astype(np.float32) - 16)


def _q5_1(raw: Raw) -> Weights:
    """Return 32 weights per block of 24 bytes: as Q5_0, with a minimum behind the scale."""
    levels = _with_fifth(raw[:, 4:8], raw[:, 8:]).astype(np.float32)
    return halves(raw[:, :2]) * levels + halves(raw[:, 2:4])


def _q8_0(raw: Raw) -> Weights:
    """Return 32 weights per block of 34 bytes: a scale and 32 int8."""
    return raw[:, 2:].view(np.int8).astype(np.float32) * halves(raw[:, :2])


def _q2_k(raw: Raw) -> Weights:
    """Return 256 weights per 84 bytes: 16 bytes of scale and minimum, 64 of levels, then their units."""
    unit, least = halves(raw[:, 80:82]), halves(raw[:, 82:84])
    scales, mins = raw[:, :16] & 15, raw[:, :16] >> 4
    return _grouped(unit * scales, spread(raw[:, 16:80], 32, 2), least * mins)


def _q3_k(raw: Raw) -> Weights:
    """Return 256 weights per 110 bytes: 32 of third bits, 64 of lower bits, 12 of scales, their unit."""
    high = spread(raw[:, :32], 32, 1)  # a bit that is not set takes 4 off
    levels = spread(raw[:, 32:96], 32, 2).astype(np.int8) - 4 * (1 - high.astype(np.int8))
    low, above = spread(raw[:, 96:104], 8, 4), spread(raw[:, 104:108], 4, 2)
    scales = (low | above << 4).astype(np.int8) - 32
    return _grouped(halves(raw[:, 108:]) * scales.astype(np.float32), levels)


def _q4_k(raw: Raw) -> Weights:
    """Return 256 weights per 144 bytes: two units, 12 bytes of scales and minima, levels from 0 to 15."""
    scales, mins = six_bits(raw[:, 4:16])
    units = halves(raw[:, :2]) * scales, halves(raw[:, 2:4]) * mins
    return _grouped(units[0], spread(raw[:, 16:], 32, 4), units[1])


def _q5_k(raw: Raw) -> Weights:
    """Return 256 weights per 176 bytes: as Q4_K, with 32 bytes of fifth bits before the levels."""
    scales, mins = six_bits(raw[:, 4:16])
    units = halves(raw[:, :2]) * scales, halves(raw[:, 2:4]) * mins
    levels = spread(raw[:, 48:], 32, 4) | spread(raw[:, 16:48], 32, 1) << 4
    return _grouped(units[0], levels, units[1])


def _q6_k(raw: Raw) -> Weights:
    """Return 256 weights per 210 bytes: 128 of lower bits, 64 of upper bits, 16 int8 scales, their unit."""
    levels = (spread(raw[:, :128], 64, 4) | spread(raw[:, 128:192], 32, 2) << 4).astype(np.int8) - 32
    scales = np.ascontiguousarray(raw[:, 192:208]).view(np.int8).astype(np.float32)
    return _grouped(halves(raw[:, 208:]) * scales, levels)


def six_bits(raw: Raw) -> tuple[Weights, Weights]:
    """Return the 8 scales and 8 minima of 6 bits each that Q4_K and Q5_K pack into 12 bytes.

    Parameters
    ----------
    raw : ndarray of uint8
        [blocks, 12].

    Returns
    -------
    tuple of 2 ndarray of float32
        [blocks, 8] each: the first four stand whole in the lower bits of bytes 0 to 3 and 4 to 7; of the
        others the lower four bits are in bytes 8 to 11, the upper two above the first four.
    """
    first, second, low = raw[:, :4], raw[:, 4:8], raw[:, 8:12]
    scales = np.concatenate([first & 63, (low & 15) | first >> 2 & 48], axis=1)
    mins = np.concatenate([second & 63, (low >> 4) | second >> 2 & 48], axis=1)
    return scales.astype(np.float32), mins.astype(np.float32)


def _with_fifth(high: Raw, low: Raw) -> Raw:
    fifth = np.unpackbits(high, axis=1, bitorder="little") << np.uint8(4)
    return np.bitwise_or(spread(low, 16, 4), fifth, dtype=np.uint8)


def _grouped(units: Weights, levels: NDArray[np.integer], mins: Weights | None = None) -> Weights:
    """Return units [blocks, groups] times the levels [blocks, 256] of each group, less its minimum."""
    found = units[:, :, None] * levels.reshape(*units.shape, -1).astype(np.float32)
    return (found if mins is None else found - mins[:, :, None]).reshape(len(levels), -1)


# By the name of the format: raw bytes [blocks, bytes] to weights [blocks, n].
DECODERS: dict[str, Callable[[Raw], Weights]] = {
    "F32": _plain("<f4"),
    "F16": _plain("<f2"),
    "BF16": _bf16,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
