"""Reading a GGUF file: what it says about itself, and its tensors in FP32.

Source: ggml-org/ggml, docs/gguf.md (the layout), and ggml-quants (the block formats).
"""

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments

__all__ = ["GGUFFile"]

MAGIC, VERSIONS = b"GGUF", (2, 3)
# struct's letters for the types of metadata; 8 is text, 9 an array.
LETTERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
BLOCK = 32  # weights that share a scale, in the formats below


def _q4_1(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 32 weights per block of 20 bytes: scale and minimum in FP16, then two weights in each byte."""
    scale, least = raw[:, 0:2].view("<f2"), raw[:, 2:4].view("<f2")
    levels = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1)
    return levels * scale.astype(np.float32) + least.astype(np.float32)


def _q4_0(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 32 weights per block of 18 bytes: a scale in FP16, two weights in each byte, from -8 to 7."""
    levels = np.concatenate([raw[:, 2:] & 15, raw[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    return levels * raw[:, 0:2].view("<f2").astype(np.float32)


def _q8_0(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 32 weights per block of 34 bytes: a scale in FP16 and 32 int8."""
    return raw[:, 2:].view(np.int8).astype(np.float32) * raw[:, 0:2].view("<f2").astype(np.float32)


def _plain(kind: str) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    return lambda raw: raw.view(kind).astype(np.float32)


# By ggml's number: name, weights per block, bytes per block, and how a block is read.
FORMATS: dict[int, tuple[str, int, int, Callable[[NDArray[np.uint8]], NDArray[np.float32]]]] = {
    0: ("F32", 1, 4, _plain("<f4")),
    1: ("F16", 1, 2, _plain("<f2")),
    2: ("Q4_0", BLOCK, 18, _q4_0),
    3: ("Q4_1", BLOCK, 20, _q4_1),
    8: ("Q8_0", BLOCK, 34, _q8_0),
}


class GGUFFile:
    """A GGUF file, opened: nothing of it is in memory before a tensor is asked for.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    metadata : dict
        What the file says about the model, by its own names.
    formats : dict of str
        The format of every tensor, by the tensor's name.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, cut off, or no GGUF file of version 2 or 3.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = arguments.place("path", path)
        if not self.path.is_file():
            raise FileNotFoundError(f"path must lead to a GGUF file; there is none at {self.path}")
        if not self.path.stat().st_size:
            raise ValueError(f"{self.path} is cut off or damaged: it is empty")
        self._bytes: NDArray[np.uint8] = np.memmap(self.path, dtype=np.uint8, mode="r")
        self._at = 0
        self.metadata: dict[str, Any] = {}
        self._tensors: dict[str, tuple[tuple[int, ...], int, int]] = {}
        try:
            self._read()
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise ValueError(f"{self.path} is cut off or damaged: {error!r} at byte {self._at:,}") from error

    @property
    def formats(self) -> dict[str, str]:
        """The format of every tensor, such as ``Q4_1``."""
        return {
            name: FORMATS[kind][0] if kind in FORMATS else f"type {kind}"
            for name, (_, kind, _) in self._tensors.items()
        }

    def tensor(self, name: str) -> NDArray[np.float32]:
        """Return a tensor, dequantized.

        Parameters
        ----------
        name : str
            Such as ``token_embd.weight``.

        Returns
        -------
        ndarray of float32
            In PyTorch's order of dimensions: [out, in] for a matrix.

        Raises
        ------
        ValueError
            If there is no such tensor, this does not read its format, or the file ends before it does.
        """
        if name not in self._tensors:
            some = ", ".join(list(self._tensors)[:3])
            raise ValueError(f"{self.path.name} has no tensor {arguments.shown(name)}; it has {some} …")
        shape, kind, offset = self._tensors[name]
        if kind not in FORMATS:
            known = ", ".join(entry[0] for entry in FORMATS.values())
            raise ValueError(f"{name} has ggml's format number {kind}; this reads {known}")
        _, block, size, decode = FORMATS[kind]
        blocks = math.prod(shape) // block
        raw = self._bytes[self._start + offset :][: blocks * size]
        if len(raw) < blocks * size:
            raise ValueError(f"{self.path} ends in the middle of {name}: download it again")
        return decode(np.ascontiguousarray(raw).reshape(blocks, size)).reshape(shape)

    def _read(self) -> None:
        if self._take("4s") != MAGIC:
            raise ValueError(f"{self.path} is not a GGUF file: it does not begin with GGUF")
        version = self._take("I")
        if version not in VERSIONS:
            raise ValueError(f"{self.path} has GGUF version {version}; this reads 2 and 3")
        tensors, entries = self._take("Q"), self._take("Q")
        for _ in range(entries):
            name = self._text()
            self.metadata[name] = self._value(self._take("I"))
        for _ in range(tensors):
            name = self._text()
            shape = tuple(reversed([self._take("Q") for _ in range(self._take("I"))]))
            self._tensors[name] = (shape, self._take("I"), self._take("Q"))
        align = int(self.metadata.get("general.alignment", 32))
        self._start = math.ceil(self._at / align) * align

    def _take(self, letter: str) -> Any:
        (value,) = struct.unpack_from(f"<{letter}", self._bytes.data, self._at)
        self._at += struct.calcsize(f"<{letter}")
        return value

    def _text(self) -> str:
        length = self._take("Q")
        return self._take(f"{length}s").decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self._text()
        if kind == ARRAY:
            inner, count = self._take("I"), self._take("Q")
            return [self._value(inner) for _ in range(count)]
        return self._take(LETTERS[kind])
