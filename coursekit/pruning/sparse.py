"""Compressed sparse rows: the numbers that are not zero, their columns, and where each row begins."""

import warnings
from typing import Any

import torch
from torch import Tensor

from coursekit.pruning.weights import matrix

__all__ = ["csr_bytes", "to_csr"]

INDEX = torch.int32
# PyTorch says these once per process; the second although the check below is asked for.
NOTICES = r"Sparse CSR tensor support is in beta state|Sparse invariant checks are implicitly disabled"


def csr_bytes(weight: Any) -> int:
    """Return the bytes of a matrix in CSR with 32-bit indices, without making it.

    Parameters
    ----------
    weight : array_like
        [out, in].

    Returns
    -------
    int
        The non-zero numbers, a column index for each, and out + 1 row pointers.

    Raises
    ------
    TypeError, ValueError
        For what is not a finite matrix.
    """
    dense = matrix(weight)
    stored = int(torch.count_nonzero(dense))
    return stored * (dense.element_size() + INDEX.itemsize) + (len(dense) + 1) * INDEX.itemsize


def to_csr(weight: Any) -> Tensor:
    """Return a matrix as a CSR tensor with 32-bit indices.

    Parameters
    ----------
    weight : array_like
        [out, in].

    Returns
    -------
    Tensor
        ``csr @ x`` multiplies it with x [in, n].

    Raises
    ------
    TypeError, ValueError
        For what is not a finite matrix.
    """
    dense = matrix(weight)
    rows, columns = dense.nonzero(as_tuple=True)
    starts = torch.zeros(len(dense) + 1, dtype=INDEX, device=dense.device)
    starts[1:] = torch.bincount(rows, minlength=len(dense)).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOTICES, category=UserWarning)
        return torch.sparse_csr_tensor(
            starts, columns.to(INDEX), dense[rows, columns], size=dense.shape, check_invariants=True
        )
