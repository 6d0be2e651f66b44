"""Integers of a few bits packed into bytes, the first in the lowest bits, and taken out again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments

__all__ = ["pack", "unpack"]

BYTE = 8  # bits


def pack(values: Any, bits: int) -> NDArray[np.uint8]:
    """Return small integers packed into bytes, row by row.

    Parameters
    ----------
    values : array_like
        Integers from 0 to 2**bits - 1, [..., n]. Signed ones are shifted first: ``q + 2**(bits - 1)``.
    bits : int
        1 to 8.

    Returns
    -------
    NDArray
        Bytes, [..., ceil(n · bits / 8)]. The last byte of a row is filled up with zeros.

    Raises
    ------
    TypeError, ValueError
        For values that are not such integers, and bits outside 1 to 8.

    Notes
    -----
    A row is one stream of bits, lowest first: the first of two 4-bit numbers lies in the low nibble of its
    byte (the byte is ``first + 16 * second``), the first of four 2-bit numbers in the lowest two bits, and
    3-bit numbers run across the bytes' borders, eight in three bytes. GGUF and bitsandbytes order nibbles in
    other ways.
    """
    bits = arguments.integer("bits", bits, 1, BYTE)
    integers = arguments.array("values", values, np.int64)
    if integers.ndim == 0:
        raise ValueError("values must have an axis to pack; got a single number")
    low, high = int(integers.min()), int(integers.max())
    if low < 0 or high >= 2**bits:
        shift = f"; signed ones are shifted by adding {2 ** (bits - 1)}" if low < 0 else ""
        raise ValueError(
            f"values must lie from 0 to {2**bits - 1} for {bits} bits; got {low} to {high}{shift}"
        )
    stream = _bits(integers.astype(np.uint8))[..., :bits]
    return np.packbits(stream.reshape(*integers.shape[:-1], -1), axis=-1, bitorder="little")


def unpack(packed: Any, bits: int, length: int) -> NDArray[np.uint8]:
    """Return the integers that ``pack`` put into bytes.

    Parameters
    ----------
    packed : array_like
        Bytes, [..., ceil(length · bits / 8)].
    bits : int
        1 to 8.
    length : int
        How many integers a row holds.

    Returns
    -------
    NDArray
        Integers from 0 to 2**bits - 1, [..., length].

    Raises
    ------
    TypeError, ValueError
        For what is not bytes, bits outside 1 to 8, and a length that does not fit the bytes of a row.
    """
    bits = arguments.integer("bits", bits, 1, BYTE)
    length = arguments.size("length", length)
    stream = arguments.array("packed", packed, np.uint8)
    needed = -(-length * bits // BYTE)
    if stream.ndim == 0 or stream.shape[-1] != needed:
        raise ValueError(
            f"length must fit the bytes of a row: {length} values of {bits} bits take {needed} bytes; "
            f"packed has shape {stream.shape}"
        )
    rows = _bits(stream).reshape(*stream.shape[:-1], -1)[..., : length * bits]
    values = np.packbits(rows.reshape(*stream.shape[:-1], length, bits), axis=-1, bitorder="little")
    return values[..., 0]


def _bits(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the eight bits of each value, lowest first, along a new last axis."""
    return np.unpackbits(values[..., None], axis=-1, bitorder="little")
