import math
import os
import subprocess
import sys
import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
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
def test_what_is_not_a_whole_number_is_a_type_error(odd):
    with pytest.raises(TypeError, match=r"n must be a whole number; got .*\("):
        arguments.integer("n", odd)


@pytest.mark.parametrize(
    "odd", [*ODD, [3.0], torch.ones(2), np.ones(2), torch.tensor(1j), np.datetime64("2026-01-01")]
)
def test_what_is_not_a_number_is_a_type_error(odd):
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
        ([1e300], ValueError, "x must be finite in float32; 1 of 1 values are too large"),
        ([[1, 2], [3]], TypeError, "x must be an array of numbers"),
        ("text", TypeError, "x must be an array of numbers"),
        ([True, False], TypeError, "list of bool"),
        ([None], TypeError, "x must be an array of numbers"),
        ([1j], TypeError, "complex128"),
        ({1, 2}, TypeError, "set of object"),
        (np.zeros(2, "V4"), TypeError, "x must be an array of numbers"),
        ([10**400], TypeError, "x must be an array of numbers"),
        ([np.datetime64("2026-01-01")], TypeError, "x must be an array of numbers"),
        ([np.timedelta64(5, "ns")], TypeError, "x must be an array of numbers"),
    ],
)
def test_what_is_not_an_array_of_numbers_is_refused(value, error, says):
    with pytest.raises(error, match=says):
        arguments.array("x", value)


def test_the_number_of_dimensions_is_checked():
    assert arguments.array("x", [[1, 2]], ndim=2).shape == (1, 2)
    with pytest.raises(ValueError, match=r"x must have 1 dimension\(s\); got shape \(1, 2\)"):
        arguments.array("x", [[1, 2]], ndim=1)


def quantized():
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


def csr():
    with warnings.catch_warnings(action="ignore"):
        return torch.ones(2, 2).to_sparse_csr()


def nested(layout):
    with warnings.catch_warnings(action="ignore"):
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)


NOT_PLAIN = {
    "masked": (lambda: np.ma.array([1.0, 2.0], mask=[True, False]), "hides 1 of its values"),
    "masked constant": (lambda: np.ma.masked, "hides 1 of its values"),
    "COO": (lambda: torch.ones(2).to_sparse(), "layout torch.sparse_coo"),
    "CSR": (csr, "layout torch.sparse_csr"),
    "mkldnn": (lambda: torch.ones(2).to_mkldnn(), "layout torch._mkldnn"),
    "meta": (lambda: torch.ones(2, device="meta"), 'on the device "meta"'),
    "nested": (lambda: nested(torch.strided), "a nested tensor"),
    "jagged": (lambda: nested(torch.jagged), "a nested tensor"),
    "quantized": (quantized, "a quantized tensor"),
    "scipy": (lambda: scipy.sparse.csr_array(np.eye(2)), "a sparse array"),
}


@pytest.mark.parametrize("form", NOT_PLAIN)
def test_arrays_that_hide_or_pack_their_numbers_are_refused_by_name(form):
    make, says = NOT_PLAIN[form]
    with pytest.raises(ValueError, match=f"^weights must be a plain array or tensor; got .*{says}.*$"):
        arguments.array("weights", make())
    for check in (arguments.integer, arguments.real):
        with pytest.raises(TypeError, match="^weights must be a (whole )?number; got [^\n]*$"):
            check("weights", make())


def test_a_mask_that_hides_nothing_and_lazy_signs_are_read():
    assert arguments.array("x", np.ma.array([1, 2], mask=False)).tolist() == [1, 2]
    imaginary = torch.imag(torch.tensor([1 + 2j]).conj())  # torch only marks it as negated
    assert arguments.array("x", imaginary).tolist() == [-2]


@pytest.mark.parametrize("given", [True, False, np.True_, np.False_])
def test_flags_come_back_as_bools(given):
    result = arguments.flag("signed", given)
    assert type(result) is bool
    assert result == given


@pytest.mark.parametrize("odd", ["False", "", 0, 1, 5, math.nan, None, [], np.int8(1), torch.tensor(True)])
def test_nothing_else_is_taken_as_yes_or_no(odd):
    with pytest.raises(TypeError, match=r"^signed must be True or False; got .* \(\w+\)$"):
        arguments.flag("signed", odd)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.uint8, np.uint64])
def test_small_integers_of_numpy_do_not_overflow_afterwards(kind):
    most = int(np.iinfo(kind).max)
    for form in (kind(most), np.array(most, kind), np.array([most], kind)):
        assert arguments.integer("n", form) * 1000 == most * 1000
        assert arguments.real("n", form) * 2.0 == most * 2.0


@pytest.mark.parametrize(
    "odd", [np.timedelta64(5, "ns"), np.datetime64("2026-01-01"), np.array("2"), np.void(b"a")]
)
def test_durations_dates_and_bytes_are_not_numbers(odd):
    for check in (arguments.integer, arguments.real):
        with pytest.raises(TypeError, match=r"n must be a (whole )?number"):
            check("n", odd)


LONG = {
    "an array": np.arange(10_000).reshape(100, 100) + 0.5,
    "a tensor": torch.rand(100, 100),
    "a text": "line\nline " * 100,
    "an int that Python does not print": 10**5000,
    "a repr that fails": type("Broken", (), {"__repr__": lambda self: 1 / 0})(),
}


@pytest.mark.parametrize("what", LONG)
def test_messages_stay_on_one_short_line(what):
    checks = [
        lambda value: arguments.integer("n", value, 0, 9),
        lambda value: arguments.real("n", value, 0, 9),
        lambda value: arguments.choice("n", value, ["a"]),
        lambda value: arguments.flag("n", value),
        lambda value: arguments.integers("n", [value], 0, 9),
        lambda value: arguments.path("n", value if not isinstance(value, str) else f"\0{value}"),
        lambda value: arguments.function("n", value),
    ]
    for check in checks:
        with pytest.raises((TypeError, ValueError)) as caught:
            check(LONG[what])
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) < 200
        assert " n" in f" {message}"


def test_positive_numbers_are_more_than_0():
    assert arguments.positive("t", np.float32(0.5)) == 0.5
    for value in (0, -1, -0.0, np.int8(-3)):
        with pytest.raises(ValueError, match=r"^t must be more than 0 seconds; got -?[013]$"):
            arguments.positive("t", value, "seconds")
    with pytest.raises(ValueError, match="t must be finite"):
        arguments.positive("t", math.inf)


@pytest.mark.parametrize(
    "form",
    [[1, 2], (1, 2), range(1, 3), np.array([1, 2], np.int8), torch.tensor([1, 2]), {1, 2}, iter([1, 2])],
)
def test_series_of_numbers_come_back_as_tuples(form):
    whole = arguments.integers("n", form)
    assert whole == (1, 2)
    assert {type(each) for each in whole} == {int}


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ("12", TypeError, "n must be a list of numbers; got '12'"),
        (3, TypeError, "n must be a list of numbers; got 3"),
        (None, TypeError, "n must be a list of numbers; got None"),
        ({1: 2}, TypeError, "n must be a list of numbers"),
        (torch.tensor(3), TypeError, "n must be a list of numbers"),
        ([], ValueError, "n must hold at least one number"),
        ([1, "2"], TypeError, "an entry of n must be a"),
        ([1, None], TypeError, "an entry of n must be a"),
        ([1, 99], ValueError, "an entry of n must be from 0 to 9; got 99"),
        (np.ma.array([1, 2], mask=[0, 1]), ValueError, "n must be a plain array"),
        (torch.ones(2, device="meta"), ValueError, "n must be a plain array"),
    ],
)
def test_what_is_not_a_series_of_numbers_is_refused(values, error, says):
    for check in (arguments.integers, arguments.reals):
        with pytest.raises(error, match=says):
            check("n", values, 0, 9)


def test_series_ascend_strictly():
    assert arguments.ascending("n", (1, 2, 3)) == (1, 2, 3)
    assert arguments.ascending("n", np.array([1, 2], np.int8), 1, whole=True) == (1, 2)
    with pytest.raises(TypeError, match="an entry of n must be a whole number"):
        arguments.ascending("n", [1, 2.5], whole=True)
    with pytest.raises(ValueError, match="an entry of n must be at most 1; got 2.0"):
        arguments.ascending("n", [0.5, 2.0], high=1)
    for numbers in ([1, 1], [2, 1], (0.0, -0.0), [], np.array([])):
        with pytest.raises(ValueError, match=r"n must ascend and hold at least one number; got \("):
            arguments.ascending("n", numbers)


def test_seeds_are_what_every_generator_takes():
    assert arguments.seeds("seeds", range(3)) == (0, 1, 2)
    assert arguments.seeds("seeds", [2**32 - 1]) == (2**32 - 1,)
    for values, says in [([-1], "from 0 to"), ([2**32], "from 0 to"), ([1], "at least 2 seeds; got 1")]:
        with pytest.raises(ValueError, match=says):
            arguments.seeds("seeds", values, 2)


def test_modules_are_told_from_all_else():
    layer = torch.nn.Linear(1, 1)
    assert arguments.module("model", layer) is layer
    for odd in (None, torch.nn.Linear, "net", torch.ones(2), [layer], lambda x: x):
        with pytest.raises(TypeError, match=r"^model must be an nn.Module; got .*\)$"):
            arguments.module("model", odd)


def test_asking_for_a_module_does_not_load_torch():
    code = (
        "import sys; from coursekit._core import arguments\n"
        "try: arguments.module('m', None)\nexcept TypeError: print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_objects_and_functions_are_asked_for_by_name():
    assert arguments.instance("x", Fraction(1), Fraction) == 1
    with pytest.raises(TypeError, match=r"^x must be a Fraction; got None \(NoneType\)$"):
        arguments.instance("x", None, Fraction)
    assert arguments.function("f", len) is len
    with pytest.raises(TypeError, match=r"^f must be callable with a list; got 3 \(int\)$"):
        arguments.function("f", 3, "with a list")


def test_texts_are_one_line():
    assert arguments.text("name", "  int8 ", 60) == "int8"
    for odd in ("", "  ", "a\nb", "x" * 61, "\x00"):
        with pytest.raises(ValueError, match="name must be one line of 1 to 60 characters"):
            arguments.text("name", odd, 60)
    with pytest.raises(TypeError, match="name must be text; got 3"):
        arguments.text("name", 3)


def test_paths_are_text_or_paths(tmp_path):
    assert arguments.path("path", tmp_path) == tmp_path
    assert arguments.path("path", "~") == Path.home()
    for odd in (None, 3, b"file", ["a"]):
        with pytest.raises(TypeError, match="path must be a path, as text or a Path"):
            arguments.path("path", odd)
    for odd in ("", " ", "a\0b", "~nobody-of-this-name/x"):
        with pytest.raises(ValueError, match="path "):
            arguments.path("path", odd)


def test_only_new_and_regular_files_are_targets(tmp_path):
    old = tmp_path / "old"
    old.write_text("x")
    assert arguments.target("path", old) == old
    assert arguments.target("path", tmp_path / "new") == tmp_path / "new"
    with pytest.raises(FileNotFoundError, match="path must be in a folder that exists; got "):
        arguments.target("path", tmp_path / "absent" / "new")
    odd = [tmp_path, os.devnull]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to(tmp_path / "pipe")
        odd += [tmp_path / "pipe", tmp_path / "link"]
    for each in odd:
        with pytest.raises(ValueError, match="path must be a new file or a regular one"):
            arguments.target("path", each)
    with pytest.raises(ValueError, match="path cannot be written"):
        arguments.target("path", tmp_path / ("x" * 300))


def test_sizes_name_the_bound_that_they_violate():
    assert arguments.size("n", np.int64(3)) == 3
    for value, says in [(0, "at least 1; got 0"), (2**41, f"at most {2**40}; got {2**41}")]:
        with pytest.raises(ValueError, match=f"^n must be {says}$"):
            arguments.size("n", value)
    with pytest.raises(ValueError, match="^n is too large, even for a float; got 1000"):
        arguments.integer("n", 10**400)


def test_lists_of_choices_are_lists():
    assert arguments.choices("letters", iter("ab"), "abc") == ("a", "b")
    for odd in ("ab", None, 3, torch.tensor(1)):
        with pytest.raises(TypeError, match="letters must be a list of a, b, c; got"):
            arguments.choices("letters", odd, "abc")
    for values, error in [([], ValueError), (["d"], ValueError), ([1], TypeError)]:
        with pytest.raises(error, match="letters must "):
            arguments.choices("letters", values, "abc")


def test_labels_are_texts():
    assert arguments.label("name", "") == ""
    with pytest.raises(TypeError, match="name must be text; got 3"):
        arguments.label("name", 3)


def test_lists_of_one_class_are_taken_and_anything_else_is_refused():
    assert arguments.instances("cuts", iter([Path("a")]), Path) == (Path("a"),)
    assert arguments.instances("cuts", [], Path, empty=True) == ()
    with pytest.raises(ValueError, match=r"^cuts must hold at least one Path; got \[\]$"):
        arguments.instances("cuts", [], Path)
    for odd in (3, None, [3], np.array(3), torch.tensor(3), np.zeros((0, 3)), [Path("a"), "b"]):
        with pytest.raises((TypeError, ValueError), match=r"\bcuts must\b") as refused:
            arguments.instances("cuts", odd, Path)
        assert "\n" not in str(refused.value)


def test_lists_of_texts_are_taken_and_a_single_text_is_refused():
    assert arguments.labels("notes", ["a", ""]) == ("a", "")
    for odd in ("a", b"a", 3, None, ["a", 3], torch.tensor(3), np.array(["a", "b"], object)[:0].sum):
        with pytest.raises(TypeError, match=r"\bnotes must be"):
            arguments.labels("notes", odd)


@pytest.mark.parametrize("form", [float, np.float32, np.array, torch.tensor])
def test_infinity_is_taken_where_it_says_so(form):
    assert arguments.positive("factor", form(math.inf), infinite=True) == math.inf
    with pytest.raises(ValueError, match="factor must be finite; got inf"):
        arguments.positive("factor", form(math.inf))
    with pytest.raises(ValueError, match="factor must be a number; got nan"):
        arguments.real("factor", form(math.nan), infinite=True)
    with pytest.raises(ValueError, match="factor must be more than 0; got -inf"):
        arguments.positive("factor", form(-math.inf), infinite=True)


def test_what_numpy_makes_of_a_value_is_had_as_it_is_unless_numbers_are_hidden():
    assert arguments.plain("x", [True, False]).dtype == np.bool_
    for odd in (torch.ones(2, 2).to_sparse(), np.ma.masked, scipy.sparse.eye_array(2)):
        with pytest.raises(ValueError, match=r"^x must be a plain array or tensor; got"):
            arguments.plain("x", odd)
    with pytest.raises(TypeError, match=r"^x must be an array of numbers; got list$"):
        arguments.plain("x", [[1], [1, 2]])
