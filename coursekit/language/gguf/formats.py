"""The formats that a GGUF file stores tensors in: how large a block is, how it is read, how it is written."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.language.gguf.decoding import DECODERS
from coursekit.language.gguf.encoding import ENCODERS

__all__ = ["FORMATS", "WRITABLE", "BlockFormat", "decode", "encode", "named"]


@dataclass(frozen=True)
class BlockFormat:
    """One format.

    Parameters
    ----------
    name : str
        Such as ``Q4_K``.
    number : int
        Ggml's, which stands in the file.
    weights : int
        Per block.
    nbytes : int
        Per block.
    reads : callable
        Raw bytes [blocks, nbytes] to weights [blocks, weights].
    writes : callable, optional
        The other way; None where only llama.cpp itself does it.
    """

    name: str
    number: int
    weights: int
    nbytes: int
    reads: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    writes: Callable[[NDArray[np.float32]], NDArray[np.uint8]] | None = None

    @property
    def bits_per_weight(self) -> float:
        """All bytes of a block, scales included, over its weights."""
        return 8 * self.nbytes / self.weights


# By ggml's number.
FORMATS: dict[int, BlockFormat] = {
    number: BlockFormat(name, number, weights, nbytes, DECODERS[name], ENCODERS.get(name))
    for name, number, weights, nbytes in (
        ("F32", 0, 1, 4),
        ("F16", 1, 1, 2),
        ("Q4_0", 2, 32, 18),
        ("Q4_1", 3, 32, 20),
        ("Q5_0", 6, 32, 22),
        ("Q5_1", 7, 32, 24),
        ("Q8_0", 8, 32, 34),
        ("Q2_K", 10, 256, 84),
        ("Q3_K", 11, 256, 110),
        ("Q4_K", 12, 256, 144),
        ("Q5_K", 13, 256, 176),
        ("Q6_K", 14, 256, 210),
        ("BF16", 30, 1, 2),
    )
}
WRITABLE = tuple(each.name for each in FORMATS.values() if each.writes is not None)


def named(name: str) -> BlockFormat:
    """Return a format.

    Parameters
    ----------
    name : str
        Such as ``Q8_0``.

    Returns
    -------
    BlockFormat
        Of that name.

    Raises
    ------
    TypeError, ValueError
        If there is none.
    """
    by_name = {each.name: each for each in FORMATS.values()}
    return by_name[arguments.choice("format", name, by_name)]


def decode(raw: NDArray[np.uint8], format: str) -> NDArray[np.float32]:
    """Return the weights in raw blocks.

    Parameters
    ----------
    raw : ndarray of uint8
        Whole blocks, in any shape: [blocks, bytes per block], or one after the other.
    format : str
        Of the blocks.

    Returns
    -------
    ndarray of float32
        [blocks, weights per block]. A scale that is NaN or infinite makes such weights, as in llama.cpp.

    Raises
    ------
    TypeError, ValueError
        For another format, or bytes that are not whole blocks.
    """
    kind = named(format)
    bytes_ = np.ascontiguousarray(arguments.array("raw", raw, np.uint8))
    if not bytes_.size or bytes_.size % kind.nbytes:
        raise ValueError(f"raw must hold whole blocks of {kind.nbytes} bytes; got {bytes_.size} bytes")
    with np.errstate(invalid="ignore", over="ignore"):
        return kind.reads(bytes_.reshape(-1, kind.nbytes))


def encode(weights: NDArray[np.float32], format: str) -> NDArray[np.uint8]:
    """Return weights, rounded to a format.

    Parameters
    ----------
    weights : ndarray
        Finite, [..., a multiple of the block's weights].
    format : {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"}
        Which to write.

    Returns
    -------
    ndarray of uint8
        [blocks, bytes per block], row by row.

    Raises
    ------
    TypeError, ValueError
        For another format, rows that are not whole blocks, or numbers that it cannot hold.
    """
    kind = named(arguments.choice("format", format, WRITABLE))
    given = arguments.array("weights", weights, np.float32)
    if not given.ndim or not given.size or given.shape[-1] % kind.weights:
        shape = list(given.shape)
        raise ValueError(f"rows of weights must be multiples of {kind.weights} for {format}; got {shape}")
    assert kind.writes is not None  # WRITABLE
    with np.errstate(over="ignore", invalid="ignore"):
        raw = kind.writes(given.reshape(-1, kind.weights))
        if not np.isfinite(kind.reads(raw)).all():
            raise ValueError(f"weights must fit into {format}; got up to {float(np.abs(given).max()):.3g}")
    return raw
