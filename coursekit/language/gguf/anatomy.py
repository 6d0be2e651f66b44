"""What the bytes of a block are for: its fields, the bits that one weight is made of, and what they say."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.language.gguf.decoding import halves, six_bits, spread

__all__ = ["FIELDS", "Part", "Reading", "parts", "read"]

# The fields of a block, first to last, with their bytes. Levels are the small integers of the weights.
FIELDS: dict[str, tuple[tuple[str, int], ...]] = {
    "Q4_0": (("scale", 2), ("levels", 16)),
    "Q4_1": (("scale", 2), ("minimum", 2), ("levels", 16)),
    "Q8_0": (("scale", 2), ("levels", 32)),
    "Q4_K": (("unit of scales", 2), ("unit of minima", 2), ("scales, minima", 12), ("levels", 128)),
    "Q6_K": (("low bits", 128), ("high bits", 64), ("scales", 16), ("unit of scales", 2)),
}


@dataclass(frozen=True)
class Part:
    """Some bits of a byte of a block, and the field that they belong to.

    Parameters
    ----------
    field : str
        As in ``FIELDS``.
    byte : int
        Its place in the block.
    mask : int
        Which of its bits, 1 to 255.
    """

    field: str
    byte: int
    mask: int


@dataclass(frozen=True)
class Reading:
    """What the bits of one weight say: it is ``scale * level - minimum``.

    Parameters
    ----------
    scale : float
        Of its group.
    level : int
        Its own, from 0 on where there is a minimum, of either sign where there is none.
    minimum : float, optional
        Of its group, which is taken off.
    """

    scale: float
    level: int
    minimum: float | None = None

    @property
    def value(self) -> float:
        """The weight."""
        return self.scale * self.level - (self.minimum or 0.0)


def read(format: str, block: NDArray[np.uint8], weight: int) -> Reading:
    """Return what the bits of one weight of a block say.

    Parameters
    ----------
    format : {"Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"}
        Of the block.
    block : ndarray of uint8
        All its bytes.
    weight : int
        Its number in the block, from 0 on.

    Returns
    -------
    Reading
        Scale, level and minimum.

    Raises
    ------
    TypeError, ValueError
        For another format, a weight that the block has not, or a block of another size.
    """
    parts(format, weight)  # refuses the two
    raw = arguments.array("block", block, np.uint8, ndim=1)[None]
    if raw.size != sum(nbytes for _, nbytes in FIELDS[format]):
        raise ValueError(f"block must be all bytes of a block of {format}; got {raw.size}")
    if format == "Q8_0":
        return Reading(float(halves(raw[:, :2])[0, 0]), int(raw[0, 2:].view(np.int8)[weight]))
    if format == "Q4_0":
        return Reading(float(halves(raw[:, :2])[0, 0]), int(spread(raw[:, 2:], 16, 4)[0, weight]) - 8)
    if format == "Q4_1":
        scale, least = halves(raw[:, :4])[0].tolist()
        return Reading(scale, int(spread(raw[:, 4:], 16, 4)[0, weight]), -least)
    if format == "Q4_K":
        unit, unit_least = halves(raw[:, :4])[0].tolist()
        scale, least = (float(each[0, weight // 32]) for each in six_bits(raw[:, 4:16]))
        return Reading(unit * scale, int(spread(raw[:, 16:], 32, 4)[0, weight]), unit_least * least)
    level = spread(raw[:, :128], 64, 4)[0, weight] | spread(raw[:, 128:192], 32, 2)[0, weight] << 4
    scale = float(halves(raw[:, 208:])[0, 0]) * int(raw[0, 192:208].view(np.int8)[weight // 16])
    return Reading(scale, int(level) - 32)


def parts(format: str, weight: int) -> tuple[Part, ...]:
    """Return the bits that one weight of a block is made of.

    Parameters
    ----------
    format : {"Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"}
        Of the block.
    weight : int
        Its number in the block, from 0 on.

    Returns
    -------
    tuple of Part
        In the order in which they stand in the block.

    Raises
    ------
    TypeError, ValueError
        For another format or a weight that the block has not.
    """
    kind = arguments.choice("format", format, FIELDS)
    weights = 256 if kind.endswith("K") else 32
    number = arguments.integer("weight", weight, 0, weights - 1)
    found = {"Q4_0": _nibbles, "Q4_1": _nibbles, "Q8_0": _bytes, "Q4_K": _q4_k, "Q6_K": _q6_k}[kind](number)
    before, offsets = 0, {}
    for field, nbytes in FIELDS[kind]:
        offsets[field] = before
        before += nbytes
    whole = [
        Part(field, offsets[field] + n, 255) for field, nbytes in FIELDS[kind] if nbytes == 2 for n in (0, 1)
    ]
    moved = [Part(field, offsets[field] + byte, mask) for field, byte, mask in found]
    return tuple(sorted([*whole, *moved], key=lambda part: part.byte))


Found = list[tuple[str, int, int]]  # field, byte within it, mask


def _nibbles(weight: int) -> Found:
    return [("levels", weight % 16, 15 << 4 * (weight // 16))]


def _bytes(weight: int) -> Found:
    return [("levels", weight, 255)]


def _q4_k(weight: int) -> Found:
    """Return the level's four bits, and the six bits each of scale and minimum of its group of 32."""
    group, field = weight // 32, "scales, minima"
    level = ("levels", group // 2 * 32 + weight % 32, 15 << 4 * (group % 2))
    if group < 4:
        return [(field, group, 63), (field, 4 + group, 63), level]
    four = group - 4
    return [(field, four, 192), (field, 4 + four, 192), (field, 8 + four, 255), level]


def _q6_k(weight: int) -> Found:
    half, within = divmod(weight, 128)
    low = ("low bits", half * 64 + within % 64, 15 << 4 * (within // 64))
    high = ("high bits", half * 32 + within % 32, 3 << 2 * (within // 32))
    return [low, high, ("scales", weight // 16, 255)]
