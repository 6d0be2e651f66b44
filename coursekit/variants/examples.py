"""The reader's own data for the dashboard: examples and labels to train and to test on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coursekit._core import arguments

__all__ = ["Examples", "as_examples"]

NAMES = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, repr=False, eq=False)
class Examples:
    """Data in two parts: networks learn on one, and are judged on the other.

    Parameters
    ----------
    x_train, x_test : array_like
        Examples first [n, …], in the shape that the network takes; floats, or whole numbers (token ids).
    y_train, y_test : array_like
        Their class numbers [n].

    Raises
    ------
    TypeError, ValueError
        For parts that do not fit together.
    """

    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x, y = (
                _inputs(f"x_{part}", getattr(self, f"x_{part}")),
                _classes(f"y_{part}", getattr(self, f"y_{part}")),
            )
            if len(x) != len(y):
                raise ValueError(f"x_{part} and y_{part} must be equally long; got {len(x)} and {len(y)}")
            object.__setattr__(self, f"x_{part}", x)
            object.__setattr__(self, f"y_{part}", y)
        train, test = self.x_train, self.x_test
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise ValueError(
                "x_train and x_test must hold examples of one shape and type; got "
                f"{train.dtype} {train.shape[1:]} and {test.dtype} {test.shape[1:]}"
            )

    @property
    def classes(self) -> int:
        """How many classes there are: one more than the largest number."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x_train.shape[1:])

    def train(self) -> tuple[Tensor, Tensor]:
        """Return the examples to learn on, and their classes.

        Returns
        -------
        tuple of 2 Tensor
            x [n, …] and y [n].
        """
        return torch.from_numpy(self.x_train), torch.from_numpy(self.y_train)

    def test(self) -> tuple[Tensor, Tensor]:
        """Return the examples to judge by, and their classes.

        Returns
        -------
        tuple of 2 Tensor
            x [n, …] and y [n].
        """
        return torch.from_numpy(self.x_test), torch.from_numpy(self.y_test)

    def digest(self) -> bytes:
        """Return what tells these data from others.

        Returns
        -------
        bytes
            The digest (SHA-256).
        """
        digest = hashlib.sha256()
        for name in NAMES:
            values = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(values.tobytes())
        return digest.digest()

    def __repr__(self) -> str:
        return (
            f"{len(self.y_train)} examples to train on, {len(self.y_test)} to test on, {self.classes} classes"
        )


def as_examples(data: Any) -> Examples:
    """Return the reader's data, in whichever form they came, as Examples.

    Parameters
    ----------
    data : Examples, sequence, mapping or object
        ``(x_train, y_train, x_test, y_test)``, a mapping with these names, or an object whose ``train`` and
        ``test`` have an ``x`` and a ``y``, such as ``data.digits()``.

    Returns
    -------
    checked : Examples
        The same data.

    Raises
    ------
    TypeError, ValueError
        For anything else, and for parts that do not fit together.
    """
    if isinstance(data, Examples):
        return data
    if isinstance(data, Mapping):
        missing = [name for name in NAMES if name not in data]
        if missing:
            raise ValueError(f"data must hold {', '.join(NAMES)}; missing: {', '.join(missing)}")
        return Examples(*(data[name] for name in NAMES))
    parts = [getattr(data, "train", None), getattr(data, "test", None)]
    if all(hasattr(part, "x") and hasattr(part, "y") for part in parts):
        return Examples(*(getattr(part, name) for part in parts for name in ("x", "y")))
    if isinstance(data, tuple | list) and len(data) == len(NAMES):
        return Examples(*data)
    got = f"{len(data)} parts" if isinstance(data, tuple | list) else type(data).__name__
    raise TypeError(f"data must be ({', '.join(NAMES)}), or have .train and .test with .x and .y; got {got}")


def _inputs(name: str, value: Any) -> NDArray[Any]:
    """Return examples as float32, or as int64 where they are whole numbers."""
    if isinstance(value, Tensor):
        whole = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    else:
        try:
            whole = np.asarray(value).dtype.kind in "iu"
        except ValueError:  # rows of different lengths: arguments.array says so
            whole = False
    found = arguments.array(name, value, np.int64 if whole else np.float32)
    if found.ndim == 0:
        raise ValueError(f"{name} must hold the examples first, [n, …]; got a single number")
    return np.ascontiguousarray(found)


def _classes(name: str, value: Any) -> NDArray[np.int64]:
    found = arguments.array(name, value, np.int64, ndim=1)
    if found.min() < 0:
        raise ValueError(f"{name} must hold class numbers from 0 on; got {found.min()}")
    return found
