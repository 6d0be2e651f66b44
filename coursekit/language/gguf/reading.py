"""Reading a GGUF file: what it says about itself, and its tensors in FP32.

A file comes from somewhere else and may be cut off, damaged or made to do harm. So nothing that it says is
believed before it is compared with how many bytes there are.

Source: ggml-org/ggml, docs/gguf.md.
"""

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.language.gguf.formats import FORMATS, BlockFormat

__all__ = ["ALIGNMENT", "ARRAY", "GGUFFile", "MAGIC", "MOST_DIMENSIONS", "NUMBERS", "TEXT"]

MAGIC, VERSIONS = b"GGUF", (2, 3)
# struct's letters for the types of metadata; 8 is text, 9 an array.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
ALIGNMENT = 32  # bytes; a file may say otherwise
MOST_ALIGNMENT = 2**20
MOST_NAMES = 100_000  # tensors, and entries of metadata
MOST_IN_ARRAY = 2**23  # several times the largest vocabulary
MOST_DIMENSIONS = 4
LEAST_ENTRY, LEAST_TENSOR = 13, 32  # bytes that one takes at least
SHOWN = 60  # characters of a name that a message repeats


@dataclass(frozen=True)
class _Place:
    """A tensor's shape in PyTorch's order, ggml's number of its format, bytes from where the data begins."""

    shape: tuple[int, ...]
    number: int
    offset: int

    @property
    def format(self) -> BlockFormat | None:
        return FORMATS.get(self.number)

    @property
    def nbytes(self) -> int:
        """How many bytes it takes; at least 1 where the format is not known."""
        kind = self.format
        return 1 if kind is None else math.prod(self.shape) // kind.weights * kind.nbytes


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
    shapes : dict of tuple
        Its shape in PyTorch's order, [out, in] for a matrix.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, cut off, damaged, or no GGUF file of version 2 or 3.
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
        self._places: dict[str, _Place] = {}
        try:
            self._read()
        except (struct.error, UnicodeDecodeError) as error:
            what = "it ends in the middle of a value" if isinstance(error, struct.error) else "no UTF-8"
            raise self._damaged(f"{what}, at byte {self._at:,}") from error

    @property
    def formats(self) -> dict[str, str]:
        """The format of every tensor, such as ``Q4_1``."""
        return {
            name: f"type {place.number}" if place.format is None else place.format.name
            for name, place in self._places.items()
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, by name."""
        return {name: place.shape for name, place in self._places.items()}

    @property
    def bits_per_weight(self) -> float:
        """Bits of all tensors, scales included, over their weights; NaN where a format is not known."""
        places = self._places.values()
        if not places or any(place.format is None for place in places):
            return math.nan
        weights = sum(math.prod(place.shape) for place in places)
        return 8 * sum(place.nbytes for place in places) / weights

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
            If there is no such tensor, or this does not read its format.
        """
        kind, raw = self._blocks(name)
        with np.errstate(invalid="ignore", over="ignore"):
            return kind.reads(np.ascontiguousarray(raw)).reshape(self._places[name].shape)

    def blocks(self, name: str) -> NDArray[np.uint8]:
        """Return a tensor as it is stored.

        Parameters
        ----------
        name : str
            Such as ``token_embd.weight``.

        Returns
        -------
        ndarray of uint8
            [blocks, bytes per block]: a view of the file, not a copy.

        Raises
        ------
        ValueError
            As for :meth:`tensor`.
        """
        return self._blocks(name)[1]

    def _blocks(self, name: str) -> tuple[BlockFormat, NDArray[np.uint8]]:
        if arguments.label("name", name) not in self._places:
            some = ", ".join(map(_brief, list(self._places)[:3])) or "not a single one"
            raise ValueError(f"{self.path.name} has no tensor {arguments.shown(name)}; it has {some} …")
        place = self._places[name]
        if place.format is None:
            known = ", ".join(each.name for each in FORMATS.values())
            raise ValueError(f"{_brief(name)} has ggml's format number {place.number}; this reads {known}")
        begin = self._start + place.offset
        return place.format, self._bytes[begin : begin + place.nbytes].reshape(-1, place.format.nbytes)

    def _read(self) -> None:
        if self._take("4s") != MAGIC:
            raise ValueError(f"{self.path} is not a GGUF file: it does not begin with GGUF")
        version = self._take("I")
        if version not in VERSIONS:
            raise ValueError(f"{self.path} has GGUF version {version}; this reads 2 and 3")
        tensors = self._count("tensors", LEAST_TENSOR, MOST_NAMES)
        for _ in range(self._count("entries", LEAST_ENTRY, MOST_NAMES)):
            name = self._text()
            if name in self.metadata:
                raise self._damaged(f"it says {_brief(name)} twice")
            self.metadata[name] = self._value(self._take("I"))
        for _ in range(tensors):
            self._read_place(self._text())
        align = self.metadata.get("general.alignment", ALIGNMENT)
        if type(align) is not int or not 1 <= align <= MOST_ALIGNMENT or align & (align - 1):
            raise self._damaged(f"its alignment is {_brief(align)}, which is not a power of two")
        self._start = math.ceil(self._at / align) * align
        self._check_places(align)

    def _read_place(self, name: str) -> None:
        if name in self._places:
            raise self._damaged(f"it has two tensors {_brief(name)}")
        dimensions = self._take("I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise self._damaged(f"{_brief(name)} has {dimensions:,} dimensions")
        shape = tuple(reversed([self._take("Q") for _ in range(dimensions)]))
        place = _Place(shape, self._take("I"), self._take("Q"))
        if not all(shape) or (place.format and shape[-1] % place.format.weights):
            kind = place.format.name if place.format else f"type {place.number}"
            raise self._damaged(f"{_brief(name)} cannot have shape {list(shape)} in {kind}")
        self._places[name] = place

    def _check_places(self, align: int) -> None:
        """Refuse tensors that lie outside the file, on top of each other, or between two steps."""
        there = len(self._bytes) - self._start
        inside = sorted((place.offset, place.nbytes, name) for name, place in self._places.items())
        for offset, nbytes, name in inside:
            if offset + nbytes > there:
                raise ValueError(f"{self.path} ends in the middle of {_brief(name)}: download it again")
            if offset % align:
                raise self._damaged(f"{_brief(name)} does not begin at a multiple of {align}")
        for (offset, nbytes, first), (after, _, second) in pairwise(inside):
            if offset + nbytes > after:
                raise self._damaged(f"{_brief(first)} and {_brief(second)} overlap")

    def _take(self, letter: str) -> Any:
        (value,) = struct.unpack_from(f"<{letter}", self._bytes.data, self._at)
        self._at += struct.calcsize(f"<{letter}")
        return value

    def _count(self, what: str, least: int, most: int) -> int:
        """Return how many of something follow, if so many can: each takes ``least`` bytes or more."""
        count = self._take("Q")
        if count > most or count * least > len(self._bytes) - self._at:
            raise self._damaged(f"it cannot hold {count:,} {what}")
        return int(count)

    def _text(self) -> str:
        length = self._count("characters in a name or text", 1, len(self._bytes))
        return bytes(self._take(f"{length}s")).decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self._text()
        if kind == ARRAY:
            return self._array(self._take("I"))
        if kind not in NUMBERS:
            raise self._damaged(f"it has metadata of type {kind} at byte {self._at:,}")
        return self._take(NUMBERS[kind])

    def _array(self, inner: int) -> list[Any]:
        if inner == TEXT:
            return [self._text() for _ in range(self._count("texts in an array", 8, MOST_IN_ARRAY))]
        if inner not in NUMBERS:
            raise self._damaged(f"it has an array of type {inner}, which this does not read")
        letter = NUMBERS[inner]
        count = self._count("numbers in an array", struct.calcsize(f"<{letter}"), MOST_IN_ARRAY)
        found = struct.unpack_from(f"<{count}{letter}", self._bytes.data, self._at)
        self._at += struct.calcsize(f"<{count}{letter}")
        return list(found)

    def _damaged(self, why: str) -> ValueError:
        return ValueError(f"{self.path} is cut off or damaged: {why}")


def _brief(value: Any) -> str:
    """Return what a file calls something, on one line and never long."""
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
