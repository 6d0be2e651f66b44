"""Odd values, with which ``odd_calls`` calls functions, and other forms of the same number."""

import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import nn

Maker = Callable[[], Any]

# So that a try is told from what Python says about a value of its own class.
nan, inf = float("nan"), float("inf")


def _numbers() -> Any:
    return np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def _quietly(make: Maker) -> Maker:
    def made() -> Any:
        with warnings.catch_warnings(action="ignore"):
            return make()

    return made


ODD: Mapping[str, Maker] = {
    "None": lambda: None,
    "''": str,
    "'text'": lambda: "text",
    "'3'": lambda: "3",
    "'False'": lambda: "False",
    "two lines": lambda: "one\ntwo " * 200,
    "b'3'": lambda: b"3",
    "True": lambda: True,
    "nan": lambda: nan,
    "inf": lambda: inf,
    "-inf": lambda: -inf,
    "0": lambda: 0,
    "-0.0": lambda: -0.0,
    "-1": lambda: -1,
    "0.5": lambda: 0.5,
    "1.5": lambda: 1.5,
    "5": lambda: 5,
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "10**5000": lambda: 10**5000,
    "2**63": lambda: 2**63,
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "1j": lambda: 1j,
    "[]": list,
    "()": tuple,
    "{}": dict,
    "[None]": lambda: [None],
    "['a']": lambda: ["a"],
    "[nan]": lambda: [nan],
    "[2, 1]": lambda: [2, 1],
    "[10**400]": lambda: [10**400],
    "object()": object,
    "int": lambda: int,
    "print": lambda: print,
    "generator": lambda: iter([]),
    "Decimal('nan')": lambda: Decimal("nan"),
    "Fraction(1, 3)": lambda: Fraction(1, 3),
    "np.int8(100)": lambda: np.int8(100),
    "np.int32(20000)": lambda: np.int32(20000),
    "np.bool_": lambda: np.True_,
    "np.float32(nan)": lambda: np.float32(nan),
    "np.array(3)": lambda: np.array(3),
    "np.zeros((0, 3))": lambda: np.zeros((0, 3)),
    "np.ones((2, 3, 4))": lambda: np.ones((2, 3, 4)),
    "array of text": lambda: np.array(["a", "b"]),
    "array of objects": lambda: np.array([None, 1]),
    "array with nan": lambda: np.full((8, 4), nan, np.float32),
    "masked array": lambda: np.ma.array(_numbers(), mask=_numbers() > 0),
    "np.ma.masked": lambda: np.ma.masked,
    "np.datetime64": lambda: np.datetime64("2026-01-01"),
    "np.timedelta64": lambda: np.timedelta64(5, "ns"),
    "scipy sparse": lambda: scipy.sparse.csr_array(_numbers()),
    "torch.tensor(3)": lambda: torch.tensor(3),
    "torch.tensor(True)": lambda: torch.tensor(True),
    "empty tensor": lambda: torch.tensor([]),
    "complex tensor": lambda: torch.ones(8, 4, dtype=torch.complex64),
    "sparse tensor": lambda: torch.tensor(_numbers()).to_sparse(),
    "CSR tensor": _quietly(lambda: torch.tensor(_numbers()).to_sparse_csr()),
    "meta tensor": lambda: torch.ones(8, 4, device="meta"),
    "nested tensor": _quietly(lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
    "quantized tensor": _quietly(lambda: torch.quantize_per_tensor(torch.ones(8, 4), 0.1, 0, torch.qint8)),
    "nn.Linear": lambda: nn.Linear,
    "nn.Linear(2, 2)": lambda: nn.Linear(2, 2),
    "a folder": lambda: Path("."),
    "an absent path": lambda: Path("absent/file"),
}

# The same number in other forms: the result must be the same.
FORMS: Mapping[str, Callable[[Any], Any]] = {
    "np.int32": np.int32,
    "np.int64": np.int64,
    "np.uint8": np.uint8,
    "np.float64": np.float64,
    "0-d array": np.array,
    "tensor": lambda number: torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else None),
}
