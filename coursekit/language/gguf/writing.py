"""Writing a GGUF file: metadata and tensors, in one step that leaves the old file or the new one.

Source: ggml-org/ggml, docs/gguf.md.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, files
from coursekit.language.gguf.formats import encode, named
from coursekit.language.gguf.reading import ALIGNMENT, ARRAY, MAGIC, MOST_DIMENSIONS, NUMBERS, TEXT, GGUFFile

__all__ = ["write"]

VERSION = 3
STEP = "general.alignment"
UINT32, INT32, FLOAT32, BOOL, UINT64, INT64 = 4, 5, 6, 7, 10, 11
RANGES = {
    UINT32: (0, 2**32 - 1),
    INT32: (-(2**31), 2**31 - 1),
    UINT64: (0, 2**64 - 1),
    INT64: (-(2**63), 2**63 - 1),
}
MOST_FLOAT = float(np.finfo(np.float32).max)

Tensor = tuple[NDArray[np.float32], str]


def write(path: str | Path, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write a GGUF file of version 3.

    Parameters
    ----------
    path : path
        A new file, or a regular one that is replaced once the new one is whole and can be read.
    metadata : mapping of str
        Texts, bools, ints, floats (stored in 32 bits), and lists of one of them.
    tensors : mapping of str to (array, str)
        Weights in PyTorch's order of dimensions, and the format to store them in.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TypeError, ValueError
        For metadata or formats that cannot be stored, and for a path where something else stands.
    OSError
        If the folder is not there or cannot be written, or the disk is full.
    """
    target = arguments.target("path", path)
    for what, given in (("metadata", metadata), ("tensors", tensors)):
        if not isinstance(given, Mapping):
            raise TypeError(f"{what} must map names to values; got {arguments.shown(given)}")
    if metadata.get(STEP, ALIGNMENT) != ALIGNMENT:
        got = arguments.shown(metadata[STEP])
        raise ValueError(f"metadata {STEP} must be {ALIGNMENT}, which this writes; got {got}")
    kept = {name: _checked(name, tensor) for name, tensor in tensors.items()}
    head = _head(metadata, kept)
    with files.replacing(target) as part:
        with open(part, "wb") as file:
            file.write(head)
            for weights, format in kept.values():
                raw = encode(weights, format)
                file.write(raw.tobytes() + bytes(-raw.nbytes % ALIGNMENT))
        _look(part, kept)
        arguments.target("path", target)
    return target


def _checked(name: str, tensor: Any) -> Tensor:
    """Return an array as it is, not a copy: all of a model's would be one too many."""
    if not isinstance(tensor, tuple | list) or len(tensor) != 2:
        raise TypeError(
            f"tensor {name} must be a pair of an array and a format; got {arguments.shown(tensor)}"
        )
    weights, format = tensor
    found, kind = arguments.plain(f"tensor {name}", weights), named(format)
    if not 1 <= found.ndim <= MOST_DIMENSIONS:
        raise ValueError(f"tensor {name} must have 1 to {MOST_DIMENSIONS} dimensions; got {found.ndim}")
    if not found.size or found.shape[-1] % kind.weights:
        shape = list(found.shape)
        raise ValueError(f"rows of {name} must be multiples of {kind.weights} for {format}; got {shape}")
    return found, format


def _look(part: Path, tensors: Mapping[str, Tensor]) -> None:
    """Read the new file before it stands where an old one stood."""
    found = GGUFFile(part)
    if found.formats != {name: format for name, (_, format) in tensors.items()}:
        raise OSError(f"{part.name} does not hold what was written: is the disk damaged?")


def _head(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    for name, value in metadata.items():
        parts += [_text(name), _value(name, value)]
    offset = 0
    for name, (weights, format) in tensors.items():
        kind = named(format)
        parts += [_text(name), struct.pack(f"<I{weights.ndim}Q", weights.ndim, *reversed(weights.shape))]
        parts.append(struct.pack("<IQ", kind.number, offset))
        nbytes = weights.size // kind.weights * kind.nbytes
        offset += nbytes + -nbytes % ALIGNMENT
    head = b"".join(parts)
    return head + bytes(-len(head) % ALIGNMENT)


def _text(text: Any) -> bytes:
    try:
        raw = arguments.label("a name or text", text).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"a name or text must be Unicode; got {arguments.shown(text)}") from None
    return struct.pack("<Q", len(raw)) + raw


def _value(name: str, value: Any) -> bytes:
    """Return the bytes of one value, its type first."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return b"".join(_array(name, value))
    kind = _kind(name, [value])
    return struct.pack("<I", kind) + _plain(kind, value)


def _array(name: str, values: Sequence[Any]) -> Iterator[bytes]:
    kind = _kind(name, values)
    yield struct.pack("<IIQ", ARRAY, kind, len(values))
    for value in values:
        yield _plain(kind, value)


def _plain(kind: int, value: Any) -> bytes:
    return _text(value) if kind == TEXT else struct.pack(f"<{NUMBERS[kind]}", value)


def _kind(name: str, values: Sequence[Any]) -> int:
    """Return the type of metadata that holds all of ``values``; whole numbers take 32 bits if they fit."""
    kinds = {type(value) for value in values}
    if len(kinds) != 1 or not kinds <= {str, bool, int, float}:
        got = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise TypeError(f"metadata {name} must be texts, bools, ints or floats, all alike; got {got}")
    (kind,) = kinds
    if kind is not int:
        if kind is float and not all(abs(value) <= MOST_FLOAT for value in values):
            raise ValueError(f"metadata {name} must be finite numbers of 32 bits; got {values[0]:g}")
        return {str: TEXT, bool: BOOL, float: FLOAT32}[kind]
    order = (UINT32, INT32, UINT64, INT64) if len(values) == 1 else (INT32, UINT32, INT64, UINT64)
    low, high = min(values), max(values)
    for number in order:
        least, most = RANGES[number]
        if least <= low and high <= most:
            return number
    raise ValueError(f"metadata {name} must fit into 64 bits; got {low} to {high}")
