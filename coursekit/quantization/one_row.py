"""One row of weights rounded column by column: what becomes of the columns that wait, and of the output.

Source: Frantar et al. 2022, GPTQ; Frantar and Alistarh 2022, Optimal Brain Compression.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments

__all__ = ["HANDLINGS", "ErrorSteps", "Handling", "error_steps"]

Handling = Literal["kept", "handed on", "wrong sign"]
# A column's rounding error stays where it is, is spread so that the output changes least, or with the other
# sign.
HANDLINGS: tuple[Handling, ...] = ("kept", "handed on", "wrong sign")
SHARES: dict[Handling, float] = {"kept": 0.0, "handed on": 1.0, "wrong sign": -1.0}
MOST_BITS = 16
MOST_COLUMNS = 4096


@dataclass(frozen=True, eq=False)
class ErrorSteps:
    """A row of weights before the first column is rounded and after each.

    Parameters
    ----------
    order : ndarray of int
        The columns in the order in which they were rounded, [columns].
    states : ndarray
        The weights, those rounded and those that wait, [columns + 1, columns].
    errors : ndarray
        The mean squared error of the row's output so far, as a share of the output's mean square,
        [columns + 1].
    scale : float
        The distance between two levels.
    """

    order: NDArray[np.int64]
    states: NDArray[np.float64]
    errors: NDArray[np.float64]
    scale: float

    def __len__(self) -> int:
        return len(self.order)


def error_steps(
    weights: ArrayLike,
    hessian: ArrayLike,
    bits: int = 3,
    *,
    handling: Handling = "handed on",
    act_order: bool = False,
    damping: float = 0.01,
) -> ErrorSteps:
    """Round a row of weights column by column, and keep what it looks like after each.

    With the error e of column i, every column j that waits becomes w_j - e H⁻¹[i, j] / H⁻¹[i, i]; then row
    and column i leave H. This is the change that is best for the output, the columns done being fixed.

    Parameters
    ----------
    weights : array_like
        Finite, [columns], not all 0.
    hessian : array_like
        The mean of the inputs' products, X'X / n, [columns, columns].
    bits : int
        2 to 16; the levels end at the row's largest weight, before any is changed.
    handling : str
        One of HANDLINGS: "kept" rounds each column alone, "wrong sign" adds what should be subtracted.
    act_order : bool
        Round the columns with the largest inputs first; else from left to right.
    damping : float
        Added to the diagonal, as a share of its mean, from 0 to 1.

    Returns
    -------
    ErrorSteps
        The weights and the output's error after each column.

    Raises
    ------
    TypeError, ValueError
        For other shapes, numbers that are not finite, and a hessian that is not symmetric or, damped, cannot
        be inverted.
    """
    row = arguments.array("weights", weights, np.float64, ndim=1)
    if not row.any() or len(row) > MOST_COLUMNS:
        raise ValueError(f"weights must hold 1 to {MOST_COLUMNS} numbers, not all 0; got {len(row)}")
    products = _products(hessian, len(row))
    share = SHARES[arguments.choice("handling", handling, HANDLINGS)]  # type: ignore[index]
    last = 2 ** (arguments.integer("bits", bits, 2, MOST_BITS) - 1) - 1
    by_size = arguments.flag("act_order", act_order)
    order = np.argsort(-np.diag(products), kind="stable") if by_size else np.arange(len(row))
    inverse = _inverse(products, arguments.real("damping", damping, 0, 1))
    scale = float(np.abs(row).max()) / last
    states = [row]
    for column in order:
        now = states[-1].copy()
        level = np.clip(np.rint(now[column] / scale), -last, last) * scale
        # Row and column of those already done are 0 in the inverse: they stay as they are.
        now -= share * (now[column] - level) * inverse[column] / inverse[column, column]
        now[column] = level
        inverse = _without(inverse, column)
        states.append(now)
    kept = np.array(states)
    return ErrorSteps(order, kept, _errors(kept - row, row, products), scale)


def _products(hessian: Any, columns: int) -> NDArray[np.float64]:
    products = arguments.array("hessian", hessian, np.float64, ndim=2)
    if products.shape != (columns, columns):
        raise ValueError(
            f"hessian must be [{columns}, {columns}], as weights are [{columns}]; got {products.shape}"
        )
    if not np.allclose(products, products.T, rtol=1e-5, atol=1e-7 * float(np.abs(products).max())):
        raise ValueError("hessian must be symmetric, X'X / n; this one is not")
    return products


def _inverse(products: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    damped = products + damping * np.diag(products).mean() * np.eye(len(products))
    try:
        np.linalg.cholesky(damped)
    except np.linalg.LinAlgError:
        raise ValueError(
            "hessian must be positive definite: use more inputs than weights, or a larger damping; "
            f"got damping {damping:g}"
        ) from None
    inverse: NDArray[np.float64] = np.linalg.inv(damped)
    return inverse


def _without(inverse: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    """Return the inverse of what is left when a row and column leave the matrix behind it; both become 0."""
    left = inverse - np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    left[column] = left[:, column] = 0.0
    return left


def _errors(
    changes: NDArray[np.float64], row: NDArray[np.float64], products: NDArray[np.float64]
) -> NDArray[np.float64]:
    power = float(row @ products @ row)
    if not power > 0:
        raise ValueError("hessian must give the row an output that is not 0; got a mean square of 0")
    errors: NDArray[np.float64] = np.einsum("sc,cd,sd->s", changes, products, changes) / power
    return np.maximum(errors, 0.0)
