"""What a matrix with zeros takes: dense, as compressed sparse rows, or with a bit for every place."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments

__all__ = ["POINTER", "Layout"]

POINTER = 4  # bytes of a row pointer, at the least: it counts all numbers stored so far


@dataclass(frozen=True)
class Layout:
    """The bytes of a matrix in three formats, from its shape and its share of zeros.

    Parameters
    ----------
    rows, columns : int
        The shape of the matrix.
    number, index : int
        Bytes of one number, and of one column index.

    Raises
    ------
    TypeError, ValueError
        Unless all four are whole numbers from 1 on.

    """

    rows: int
    columns: int
    number: int = 4
    index: int = 4

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "number", "index"):
            object.__setattr__(self, name, arguments.integer(name, getattr(self, name), 1))

    @property
    def size(self) -> int:
        """How many numbers the matrix has."""
        return self.rows * self.columns

    @property
    def dense(self) -> int:
        """The bytes of all numbers, zeros included."""
        return self.size * self.number

    def csr(self, zeros: ArrayLike) -> Any:
        """Return the bytes in CSR: numbers, an index for each, rows + 1 pointers.

        Parameters
        ----------
        zeros : array_like
            A share of zeros, 0 to 1, or an array of them.

        Returns
        -------
        float or ndarray
            Bytes, of the shape of ``zeros``.
        """
        return self.stored(zeros) * (self.number + self.index) + self._pointers

    def bitmask(self, zeros: ArrayLike) -> Any:
        """Return the bytes of a bit for every place, and of the numbers that are not zero.

        Parameters
        ----------
        zeros : array_like
            A share of zeros, 0 to 1, or an array of them.

        Returns
        -------
        float or ndarray
            Bytes, of the shape of ``zeros``.
        """
        return self.stored(zeros) * self.number + self.size / 8

    def stored(self, zeros: ArrayLike) -> Any:
        """Return how many numbers remain when a share of all is zero.

        Parameters
        ----------
        zeros : array_like
            A share of zeros, 0 to 1, or an array of them.

        Returns
        -------
        float or ndarray
            How many numbers, of the shape of ``zeros``.

        Raises
        ------
        ValueError
            For a share outside 0 to 1.
        """
        shares: NDArray[np.float64] = arguments.array("zeros", zeros, np.float64)
        if shares.min() < 0 or shares.max() > 1:
            raise ValueError(f"zeros must lie from 0 to 1; got {shares.min():g} to {shares.max():g}")
        return np.round((1 - shares) * self.size)

    def break_even(self) -> dict[str, float]:
        """Return for each format the share of zeros at which it takes as many bytes as the dense matrix.

        Returns
        -------
        dict of str to float
            Shares of zeros, by "CSR" and "bitmask".
        """
        kept = (self.dense - self._pointers) / (self.size * (self.number + self.index))
        return {"CSR": 1 - kept, "bitmask": 1 / (8 * self.number)}

    @property
    def _pointers(self) -> int:
        return (self.rows + 1) * max(self.index, POINTER)
