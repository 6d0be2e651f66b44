"""A weight matrix rounded: by tensor, by row or by groups of columns, at 8 bits down to 1."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coursekit._core import arguments, display
from coursekit.quantization.affine import levels_of, quantize
from coursekit.quantization.packing import pack

__all__ = ["SCALE_BITS", "Rounded", "as_matrix", "as_scheme", "levels", "round_matrix", "rounded_from"]

SCALE_BITS = 16  # a scale is stored as FP16
MOST_BITS = 8


@dataclass(frozen=True, repr=False, eq=False)
class Rounded(display.Tabled):
    """A weight matrix as integers, and what turns them back into numbers.

    ``q`` [out, in] is int16. ``scale`` (float32) and ``zero_point`` (int32) are [1, 1] per tensor, [out, 1]
    per row and [out, groups] per group of columns. Symmetric integers have zero point 0 and lie on both sides
    of 0, at 1 bit they are -1 and 1; the others run from 0 to 2**bits - 1.
    """

    q: Tensor
    scale: Tensor
    zero_point: Tensor
    bits: int
    symmetric: bool

    @property
    def group_size(self) -> int:
        """How many neighbours along a row share a scale; the whole row where it is not cut into groups."""
        return self.q.shape[1] // self.scale.shape[1]

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight with the scales counted as FP16 and zero points at ``bits`` bits each."""
        each = SCALE_BITS + (0 if self.symmetric else self.bits)
        return self.bits + each * self.scale.numel() / self.q.numel()

    @property
    def nbytes(self) -> int:
        """Bytes when packed, as ``bits_per_weight`` counts them."""
        return round(np.ceil(self.bits_per_weight * self.q.numel() / 8))

    def dequantized(self) -> Tensor:
        """Return (q - zero_point) * scale.

        Returns
        -------
        Tensor
            [out, in], float32.
        """
        zero_point = self.zero_point.repeat_interleave(self.group_size, 1)
        return (self.q - zero_point).float() * self.scale.repeat_interleave(self.group_size, 1)

    def with_half_scales(self) -> "Rounded":
        """Return the same integers with scales as FP16 stores them, which changes a weight by 0.05 % at most.

        Returns
        -------
        Rounded
            Its ``scale`` is float32 still.

        Raises
        ------
        ValueError
            For scales that FP16 cannot hold with 11 bits: below 6.1e-5 or above 65,504.
        """
        least, most = torch.finfo(torch.float16).smallest_normal, torch.finfo(torch.float16).max
        if bool(((self.scale < least) | (self.scale > most)).any()):
            low, high = float(self.scale.min()), float(self.scale.max())
            raise ValueError(
                f"scale must lie within {least:.1e} to {most:,.0f} for FP16; got {low:g} to {high:g}"
            )
        return dataclasses.replace(self, scale=self.scale.half().float())

    def packed(self) -> NDArray[np.uint8]:
        """Return the integers, shifted to start at 0, as ``quantization.pack`` packs them.

        Returns
        -------
        NDArray
            Bytes, [out, ceil(in · bits / 8)].
        """
        integers = self.q.numpy()
        if self.symmetric:
            integers = (integers + 1) // 2 if self.bits == 1 else integers + 2 ** (self.bits - 1)
        return pack(integers, self.bits)

    def _table(self) -> display.Table:
        rows, columns = self.q.shape
        count = self.scale.numel()
        shared = {1: "the whole matrix", rows: "a row"}.get(count, f"{self.group_size} weights of a row")
        facts = [
            ("bits", f"{self.bits} ({'symmetric' if self.symmetric else 'asymmetric'})"),
            ("a scale for", f"{shared} ({count} in all)"),
            ("bits per weight", display.significant(self.bits_per_weight)),
            ("size", display.size(self.nbytes)),
        ]
        return display.Table(("rounded", f"[{rows}, {columns}]"), facts, facts=True)


def round_matrix(
    weight: Any, bits: int, axis: int | None = 0, group_size: int | None = None, *, symmetric: bool = True
) -> Rounded:
    """Return a weight matrix rounded to the nearest level of each scale.

    Parameters
    ----------
    weight : array_like
        [out, in], finite.
    bits : int
        1 to 8. With 1 bit, symmetric, the two levels are ± the mean magnitude; 0 counts as positive.
    axis : int, optional
        0: one scale per row; None: one for the whole matrix.
    group_size : int, optional
        One scale for so many neighbours along a row, in place of one per row.
    symmetric : bool
        As in ``quantize``; asymmetric integers are unsigned.

    Returns
    -------
    Rounded
        The integers of ``quantize``.

    Raises
    ------
    TypeError, ValueError
        For what is not a finite matrix, and bits, an axis or a group size that do not fit.
    """
    values = as_matrix(weight)
    bits, group_size, symmetric = as_scheme(bits, group_size, symmetric, values.shape[1])
    if axis is not None:
        arguments.integer("axis", axis, 0, 0)
    if bits == 1 and symmetric:
        return _binary(values, axis, group_size)
    given = {"group": group_size} if group_size else {"axis": axis}
    found = quantize(values, bits, symmetric=symmetric, signed=symmetric, **given)
    shape = (1, 1) if found.scale.size == 1 else (len(values), -1)
    return rounded_from(found.q, found.scale.reshape(shape), found.zero_point.reshape(shape), bits, symmetric)


def rounded_from(
    q: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any], bits: int, symmetric: bool
) -> Rounded:
    """Return arrays of integers, scales and zero points as a ``Rounded``; nothing is checked.

    Parameters
    ----------
    q, scale, zero_point, bits, symmetric : NDArray, NDArray, NDArray, int, bool
        As in ``Rounded``.

    Returns
    -------
    Rounded
        Of tensors.
    """
    return Rounded(
        torch.from_numpy(q.astype(np.int16)),
        torch.from_numpy(scale.astype(np.float32)),
        torch.from_numpy(zero_point.astype(np.int32)),
        bits,
        symmetric,
    )


def as_matrix(weight: Any) -> NDArray[np.float32]:
    """Return a weight as a finite float32 matrix, a copy.

    Parameters
    ----------
    weight : object
        The weight.

    Returns
    -------
    NDArray
        [out, in].

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    return arguments.array("weight", weight, np.float32, ndim=2)


def as_scheme(bits: Any, group_size: Any, symmetric: Any, columns: int) -> tuple[int, int | None, bool]:
    """Return bits, group size and symmetry, checked.

    Parameters
    ----------
    bits, group_size, symmetric : object
        As in ``round_matrix``.
    columns : int
        Of the matrix.

    Returns
    -------
    tuple of (int, int or None, bool)
        The three.

    Raises
    ------
    TypeError, ValueError
        Unless bits lie within 1 to 8 and the group size divides the columns.
    """
    bits, symmetric = arguments.integer("bits", bits, 1, MOST_BITS), arguments.flag("symmetric", symmetric)
    if group_size is not None:
        group_size = arguments.integer("group_size", group_size, 1)
        if columns % group_size:
            raise ValueError(f"group_size must divide the {columns} columns of weight; got {group_size}")
    return bits, group_size, symmetric


def levels(bits: int, symmetric: bool) -> tuple[int, int]:
    """Return the smallest and the largest integer of a ``Rounded``.

    Parameters
    ----------
    bits : int
        1 to 8; 2 to 8 if symmetric.
    symmetric : bool
        As in ``round_matrix``.

    Returns
    -------
    tuple of 2 int
        Such as -7 and 7, or 0 and 15.
    """
    return levels_of(bits, symmetric, signed=symmetric)


def _binary(values: NDArray[np.float32], axis: int | None, group_size: int | None) -> Rounded:
    rows, columns = values.shape
    blocks = (rows, -1, group_size or columns) if group_size or axis == 0 else (1, 1, values.size)
    scale = np.abs(values.reshape(blocks)).mean(axis=2, dtype=np.float64)
    return rounded_from(np.where(values < 0, -1, 1), scale, np.zeros_like(scale), 1, True)
