"""Compressed sparse rows: the numbers that are not zero, their columns, and where each row begins."""

import warnings
from typing import Any

import torch
from torch import Tensor

from coursekit._pruning_weights import tensors

INDEX = torch.int32
# PyTorch says these once per process; the second although the check below is asked for.
NOTICES = r"Sparse CSR tensor support is in beta state|Sparse invariant checks are implicitly disabled"


def csr_bytes(weight: Any) -> int:
    """Return the bytes of ``weight`` [out, in] in CSR with 32-bit indices, without making it.

    The non-zero numbers, a column index for each, and out + 1 row pointers. Errors: as for ``to_csr``.
    """
    matrix = _matrix(weight)
    stored = int(torch.count_nonzero(matrix))
    return stored * (matrix.element_size() + INDEX.itemsize) + (len(matrix) + 1) * INDEX.itemsize


def to_csr(weight: Any) -> Tensor:
    """Return ``weight`` [out, in] as a CSR tensor with 32-bit indices.

    ``csr @ x`` multiplies it with x [in, n]. Errors: TypeError or ValueError for what is no finite matrix.
    """
    matrix = _matrix(weight)
    rows, columns = matrix.nonzero(as_tuple=True)
    starts = torch.zeros(len(matrix) + 1, dtype=INDEX, device=matrix.device)
    starts[1:] = torch.bincount(rows, minlength=len(matrix)).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOTICES, category=UserWarning)
        return torch.sparse_csr_tensor(
            starts, columns.to(INDEX), matrix[rows, columns], size=matrix.shape, check_invariants=True
        )


def _matrix(weight: Any) -> Tensor:
    (matrix,) = tensors(weight, name="weight")
    if matrix.ndim != 2:
        raise ValueError(f"weight must be a matrix [out, in]; got shape {tuple(matrix.shape)}")
    return matrix
