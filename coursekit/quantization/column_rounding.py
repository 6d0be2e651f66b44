"""GPTQ: a matrix rounded column by column, the error of each handed on to the columns that are left.

Source: Frantar et al. 2023, GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.quantization.affine import nearest
from coursekit.quantization.matrices import (
    Rounded,
    as_matrix,
    as_scheme,
    levels,
    round_matrix,
    rounded_from,
)

__all__ = ["gptq"]

TOGETHER = 64  # columns whose corrections of the rest are made in one product
SIGNS = (-1, 0, 1)


def gptq(
    weight: Any,
    hessian: Any,
    bits: int,
    group_size: int | None = None,
    *,
    symmetric: bool = True,
    act_order: bool = False,
    damping: float = 0.01,
    sign: int = -1,
) -> Rounded:
    """Return a weight matrix rounded so that the layer's outputs, rather than its weights, change little.

    Parameters
    ----------
    weight : array_like
        [out, in], finite.
    hessian : array_like
        Of the layer's inputs, [in, in], as ``quantization.hessian`` gives it; only its proportions count.
    bits, group_size, symmetric : int, int or None, bool
        As in ``round_matrix``. A group's scale is that of its weights when their turn comes, corrections
        included.
    act_order : bool
        Columns in the order of falling diagonal entries of the Hessian, so that those that matter most are
        rounded first; the scales are then those of the weights as they come.
    damping : float
        What is added to the Hessian's diagonal, as a share of its mean.
    sign : int
        -1: a rounding error, spread over the later columns, is subtracted from them. 0 hands nothing on,
        which is plain rounding; 1 adds it, a mistake whose damage can be measured.

    Returns
    -------
    Rounded
        Integers, scales and zero points.

    Raises
    ------
    TypeError, ValueError
        For what is not a finite matrix, a Hessian of another shape or that is not symmetric, a scheme that
        does not fit, a negative damping, and a Hessian that is singular: it says what makes it regular.

    Notes
    -----
    With U the upper Cholesky factor of the inverse Hessian, column i's error e = (w - q) / U[i, i] is handed
    on as w[j] -= e · U[i, j]: row i of U is row i of the inverse with the earlier columns eliminated.
    """
    values = as_matrix(weight)
    bits, group_size, symmetric = as_scheme(bits, group_size, symmetric, values.shape[1])
    act_order, damping = arguments.flag("act_order", act_order), arguments.real("damping", damping, 0)
    sign = arguments.integer("sign", sign, min(SIGNS), max(SIGNS))
    given = _as_hessian(hessian, values.shape[1])
    order = np.argsort(-given.diagonal(), kind="stable") if act_order else np.arange(len(given))
    factor = _inverse_factor(given[np.ix_(order, order)], damping)
    columns = _Columns(values, bits, group_size, symmetric, order, fixed=act_order)
    _hand_on(columns, factor, -sign)
    return columns.result()


class _Columns:
    """The columns of a matrix, in the order of their turns: as they are now, and as they were rounded."""

    def __init__(
        self,
        values: NDArray[np.float32],
        bits: int,
        group_size: int | None,
        symmetric: bool,
        order: NDArray[np.int64],
        fixed: bool,
    ) -> None:
        self.now = np.ascontiguousarray(values.T[order].astype(np.float64))  # [in, out]
        self.order, self.bits, self.symmetric, self.fixed = order, bits, symmetric, fixed
        self.group = group_size or len(order)
        self.levels = (-1, 1) if bits == 1 and symmetric else levels(bits, symmetric)
        first = round_matrix(values, bits, group_size=group_size, symmetric=symmetric)
        self.scale = np.ascontiguousarray(first.scale.numpy().T)  # [groups, out]
        self.zero_point = np.ascontiguousarray(first.zero_point.numpy().T)
        self.q = np.empty(self.now.shape, np.int16)

    def round(self, turn: int) -> NDArray[np.float64]:
        """Round a column; return what it lost."""
        group = self.order[turn] // self.group
        if self.starts_a_group(turn):
            self._rescale(turn, group)
        scale, zero_point = self.scale[group], self.zero_point[group]
        with np.errstate(over="ignore"):
            value = self.now[turn].astype(np.float32)
        if self.bits == 1 and self.symmetric:
            q = np.where(value < 0, -1, 1)
        else:
            q = nearest(value, scale, zero_point, self.levels)
        self.q[turn] = q
        return self.now[turn] - (q - zero_point).astype(np.float32) * scale

    def starts_a_group(self, turn: int) -> bool:
        """Tell whether a scale is taken anew at this turn."""
        return not self.fixed and turn % self.group == 0

    def result(self) -> Rounded:
        """Return the columns in the order that they came in."""
        q = np.empty_like(self.q)
        q[self.order] = self.q
        return rounded_from(
            q.T.copy(), self.scale.T.copy(), self.zero_point.T.copy(), self.bits, self.symmetric
        )

    def _rescale(self, turn: int, group: int) -> None:
        """Take a group's scale from its weights as they are now."""
        block = self.now[turn : turn + self.group].T
        found = round_matrix(block, self.bits, symmetric=self.symmetric)
        self.scale[group], self.zero_point[group] = found.scale[:, 0].numpy(), found.zero_point[:, 0].numpy()


def _hand_on(columns: _Columns, factor: NDArray[np.float64], share: int) -> None:
    """Round all columns; each error goes to the near columns at once and to the far ones in blocks."""
    now, count = columns.now, len(columns.now)
    factor, diagonal = share * factor, factor.diagonal()
    for start in range(0, count, TOGETHER):
        end = min(start + TOGETHER, count)
        errors = np.empty((end - start, now.shape[1]))
        for turn in range(start, end):
            if turn > start and columns.starts_a_group(turn) and turn + columns.group > end:
                # Its scale is taken from all of its columns: bring the far ones up to date.
                _subtract_product(now[end:], factor[start:turn, end:].T, errors[: turn - start])
                errors[: turn - start] = 0
            errors[turn - start] = columns.round(turn) / diagonal[turn]
            now[turn + 1 : end] -= np.outer(factor[turn, turn + 1 : end], errors[turn - start])
        _subtract_product(now[end:], factor[start:end, end:].T, errors)


def _subtract_product(
    target: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]
) -> None:
    """Take ``left @ right`` from the target, by PyTorch: the model runs there, too.

    NumPy has threads of its own. On two cores with other programs both kinds waited for each other, and the
    table of methods of notebook B took 58 and 89 seconds instead of 15 and 28.
    """
    torch.from_numpy(target).addmm_(torch.from_numpy(left), torch.from_numpy(right), alpha=-1)


def _as_hessian(hessian: Any, width: int) -> NDArray[np.float64]:
    values = arguments.array("hessian", hessian, np.float64, ndim=2)
    if values.shape != (width, width):
        raise ValueError(f"hessian must be [in, in] with in = {width}; got {values.shape}")
    if not np.allclose(values, values.T, rtol=1e-5, atol=1e-8 * np.abs(values).max()):
        raise ValueError("hessian must be symmetric, as the mean of x xᵀ is")
    if (values.diagonal() < 0).any():
        raise ValueError("hessian must have no negative number on its diagonal, as the mean of x xᵀ has none")
    return (values + values.T) / 2


def _inverse_factor(hessian: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """Return the upper triangular U with Uᵀ U = the inverse of the damped Hessian.

    Of the Hessian turned upside down, L Lᵀ, the factor's inverse turned back is U: nothing is inverted twice.
    """
    damped = hessian + damping * hessian.diagonal().mean() * np.eye(len(hessian))
    turned = torch.from_numpy(damped[::-1, ::-1].copy())
    factor, failed = torch.linalg.cholesky_ex(turned)
    pivots = factor.diagonal().square()
    smallest = len(hessian) * np.finfo(np.float64).eps * damped.diagonal().max()
    if failed or pivots.min() <= smallest:
        raise ValueError(_singular(hessian, damping))
    identity = torch.eye(len(hessian), dtype=torch.float64)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse.numpy()[::-1, ::-1].copy()


def _singular(hessian: NDArray[np.float64], damping: float) -> str:
    """Say why a Hessian has no inverse, and the remedy."""
    width = len(hessian)
    dead = int((hessian.diagonal() == 0).sum())
    if dead == width:
        return "hessian is 0: the layer was given nothing but zeros; calibrate with other inputs"
    rank = int(np.linalg.matrix_rank(hessian, hermitian=True))
    why = f"{dead} of {width} inputs are always 0" if dead else f"its rank is {rank} of {width}"
    return (
        f"hessian is singular: {why}, with damping {damping:g}; use damping=0.01, or calibrate with more "
        "tokens than inputs"
    )
