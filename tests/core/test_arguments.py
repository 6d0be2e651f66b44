import math
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursekit._core import arguments

finite = st.floats(allow_nan=False, allow_infinity=False)
finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
ODD = [
    None,
    ...,
    "3",
    b"3",
    bytearray(b"3"),
    True,
    np.bool_(True),
    torch.tensor(True),
    np.array("3"),
    1j,
    {},
    object(),
    (),
]


@given(st.integers())
def test_integers_come_back_from_every_form(number):
    forms = [number]
    if -(2**63) <= number < 2**63:
        forms += [np.int64(number), np.array(number), np.array([number]), torch.tensor(number)]
    for form in forms:
        result = arguments.integer("n", form)
        assert result == number
        assert type(result) is int


@given(finite)
def test_reals_come_back_from_every_form(number):
    forms = [
        number,
        np.float64(number),
        np.array(number),
        np.array([[number]]),
        torch.tensor(number, dtype=torch.float64),
    ]
    for form in [*forms, Fraction(number), Decimal(number)]:
        result = arguments.real("x", form)
        assert result == number
        assert type(result) is float


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-50, 50))
def test_bounds_are_inclusive_and_named(value, low, high):
    for check in (arguments.integer, arguments.real):
        if low <= value <= high:
            assert check("n", value, low, high) == value
        else:
            with pytest.raises(ValueError, match=f"n must be from {low} to {high}; got {value}"):
                check("n", value, low, high)


@pytest.mark.parametrize(
    "odd", [*ODD, 3.0, np.float32(3), torch.tensor(3.0), [3], torch.tensor([1, 2]), np.arange(2)]
)
def test_what_is_no_whole_number_is_a_type_error(odd):
    with pytest.raises(TypeError, match=r"n must be a whole number; got .*\("):
        arguments.integer("n", odd)


@pytest.mark.parametrize(
    "odd", [*ODD, [3.0], torch.ones(2), np.ones(2), torch.tensor(1j), np.datetime64("2026-01-01")]
)
def test_what_is_no_number_is_a_type_error(odd):
    with pytest.raises(TypeError, match=r"x must be a number; got"):
        arguments.real("x", odd)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, np.float16("inf"), torch.tensor(math.nan), 10**400]
)
def test_reals_are_finite(value):
    with pytest.raises(ValueError, match="x (must be finite|is too large)"):
        arguments.real("x", value)


@pytest.mark.parametrize(
    ("value", "error"), [("c", ValueError), ("", ValueError), (3, TypeError), (None, TypeError)]
)
def test_choices_are_listed(value, error):
    assert arguments.choice("letter", "a", ["a", "b"]) == "a"
    with pytest.raises(error, match="letter must be one of a, b; got"):
        arguments.choice("letter", value, ["a", "b"])


@given(st.lists(finite32, min_size=1, max_size=20))
def test_arrays_come_back_from_every_form(values):
    expected = np.array(values, dtype=np.float32)
    forms = [values, tuple(values), expected, torch.tensor(values), torch.tensor(values, requires_grad=True)]
    for form in [*forms, expected.astype(np.float64), expected[::-1][::-1]]:
        result = arguments.array("x", form)
        assert result.dtype == np.float32
        assert np.array_equal(result, expected)


@given(st.lists(st.integers(-448, 448), min_size=1))
def test_formats_that_numpy_does_not_know_are_widened(values):
    for torch_type, own_type in [
        (torch.bfloat16, ml_dtypes.bfloat16),
        (torch.float8_e4m3fn, ml_dtypes.float8_e4m3fn),
        (torch.float8_e5m2, ml_dtypes.float8_e5m2),
    ]:
        expected = np.array(values, np.float32).astype(own_type)
        for form in (torch.tensor(values, dtype=torch.float32).to(torch_type), expected):
            assert np.array_equal(arguments.array("x", form), expected.astype(np.float32))


def test_the_result_is_a_copy():
    for given_array in (np.ones(3, np.float32), torch.ones(3)):
        arguments.array("x", given_array)[0] = 7
        assert float(given_array[0]) == 1


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1.5], np.int64),
        ([300], np.int8),
        ([-1], np.uint8),
        ([math.nan], np.int32),
        ([2**63], np.int64),
        ([1e30], np.int64),
    ],
)
def test_integers_never_wrap_or_lose_their_fraction(value, dtype):
    with pytest.raises(ValueError, match=f"x must hold whole numbers within {np.dtype(dtype)}"):
        arguments.array("x", value, dtype)
    assert arguments.array("x", [1.0, 2], dtype).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        ([], ValueError, "x is empty"),
        (np.zeros((3, 0)), ValueError, r"x is empty \(shape \(3, 0\)\)"),
        ([1, math.nan, math.inf], ValueError, "2 of 3 values are NaN or infinite"),
        ([1e300], ValueError, "1 of 1 values"),
        ([[1, 2], [3]], TypeError, "x must be an array of numbers"),
        ("text", TypeError, "x must be an array of numbers"),
        ([True, False], TypeError, "list of bool"),
        ([None], TypeError, "x must be an array of numbers"),
        ([1j], TypeError, "complex128"),
        ({1, 2}, TypeError, "set of object"),
        (np.zeros(2, "V4"), TypeError, "x must be an array of numbers"),
        (torch.ones(2).to_sparse(), TypeError, "x must be an array of numbers"),
        (torch.ones(2, device="meta"), TypeError, "x must be an array of numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value, error, says):
    with pytest.raises(error, match=says):
        arguments.array("x", value)


def test_the_number_of_dimensions_is_checked():
    assert arguments.array("x", [[1, 2]], ndim=2).shape == (1, 2)
    with pytest.raises(ValueError, match=r"x must have 1 dimension\(s\); got shape \(1, 2\)"):
        arguments.array("x", [[1, 2]], ndim=1)
