import itertools
import math
import struct
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from helpers import (
    assert_errors_surface,
    assert_no_pyplot_figures,
    assert_shows_itself,
    counted,
    fingerprint,
    move,
    pixels,
    redrawn,
    sweep,
    texts_collide,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit import floats, widgets
from coursekit.widgets.by_hand import lines, titles, work
from coursekit.widgets.encode_stepper import FLOATS, STEPS

NUMPY = {
    "fp64": np.float64, "fp32": np.float32, "fp16": np.float16, "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn, "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
}  # fmt: skip
LAST = len(STEPS)
HARD = [
    "0", "-0", "0.1", "-1e-300", "1e300", "1e40", "-1e-40", "65519.999", "65520", "470", "0.00006103", "3.5",
    "1.7976931348623157e308", "4.9e-324", "123456789012345678901234567890", "1/3", "16777217", "-1e-390",
    "0." + "123456789" * 20,
]  # fmt: skip
finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module")
def shared():
    return widgets.encode_stepper()


@pytest.fixture
def panel(shared):
    with shared.hold():
        for name, value in {"value": "6.5", "format": "fp32", "step": LAST}.items():
            shared.controls[name].value = value
    return shared


def exact_text(number):
    return str(Decimal(number))


def test_the_resting_picture_shows_six_and_a_half_as_the_lecture_encodes_it(panel):
    shown = panel.values
    assert (shown["sign"], shown["binary"], shown["exponent"]) == ("0", "110.1", 2)
    assert shown["stored_exponent"] == 2 + 127
    assert shown["bits"] == f"0 10000001 101{'0' * 20}"
    assert (shown["value"], shown["error"], shown["rounding"]) == (6.5, 0, "exact")
    assert shown["step"] == LAST


def test_every_control_moves_numbers_and_picture_through_its_range(panel):
    assert [shown["step"] for shown in sweep(panel, "step")] == [1, 2, 3, 4, 5, 6, 7]
    assert len(sweep(panel, "format")) == len(FLOATS)
    sweep(panel, "value", HARD)


@pytest.mark.parametrize("step", range(1, LAST + 1))
def test_a_step_shows_its_own_line_and_those_before_it(panel, step):
    move(panel, "step", step)
    written = [bool(line.text) for line in panel.view.lines]
    assert written == [number <= step for number in range(1, LAST + 1)]
    boxes = "".join(digit.text for digit in panel.view.boxes.digits)
    assert len(boxes) == 1 + 23 * (step >= 4) + 8 * (step >= 5)


@pytest.mark.parametrize(
    ("text", "format", "calculation"),
    [
        (
            "6.5",
            "fp32",
            [
                "6.5 has no minus sign: 0",
                "6.5 = 110.1",
                "1.101 × 2²   point 2 to the left",
                f"1.101{'0' * 20}   20 zeros added",
                "2 + 127 = 129 = 10000001",
                f"0 10000001 101{'0' * 20}   0x40D00000",
                "+1.625 × 2² = 6.5",
            ],
        ),
        (
            "-0.1",
            "fp8_e4m3",
            [
                "-0.1 has a minus sign: 1",
                "0.1 = 0.0001100110011001100110011001…",
                "1.1001100… × 2⁻⁴   point 4 to the right",
                "1.100|1100…   rounds up",
                "−4 + 7 = 3 = 0011",
                "1 0011 101   0x9D",
                "−1.625 × 2⁻⁴ = −0.1015625",
            ],
        ),
        (
            "1.99",
            "fp4_e2m1",
            [
                "1.99 has no minus sign: 0",
                "1.99 = 1.1111110101110000101000111101…"[:37],
                "1.11111… × 2⁰   the point stays",
                "1.1|1111…   carry to 10.0",
                "(0 + 1) + 1 = 2 = 10",
                "0 10 0   0x4",
                "+1 × 2¹ = 2",
            ],
        ),
        (
            "65520",
            "fp16",
            [
                "65520 has no minus sign: 0",
                "65520 = 1111111111110000",
                "1.11111111111 × 2¹⁵   point 15 to the left",
                "1.1111111111|1   carry to 10.0",
                "(15 + 1) + 15 = 31   too large: becomes infinity",
                "0 11111 0000000000   0x7C00",
                "+infinity",
            ],
        ),
        (
            "1e-7",
            "fp16",
            [
                "1e-7 has no minus sign: 0",
                "1e-7 = 0.[23 zeros]110101101011…",
                "0.000000000110… × 2⁻¹⁴   the lowest power of FP16",
                "0.0000000001|1010…   rounds up",
                "00000   means: no 1 to put back",
                "0 00000 0000000010   0x0002",
                "+0.001953125 × 2⁻¹⁴ = 1.192092895507…×10⁻⁷",
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_calculation_is_written_line_by_line(text, format, calculation):
    written = ["".join(part for part, _ in parts) for parts in lines(work(text, format))]
    assert written[2:] == calculation[2:]
    assert written[0] == calculation[0]
    assert written[1].startswith(calculation[1].rstrip("…")[:30])


def test_the_boxes_hold_the_bits(panel):
    move(panel, "value", "-0.1")
    boxes = "".join(digit.text for digit in panel.view.boxes.digits)
    assert boxes == f"{struct.unpack('>I', struct.pack('>f', -0.1))[0]:032b}"


@given(finite, st.sampled_from(list(NUMPY)))
@settings(max_examples=300, deadline=None)
def test_bits_and_values_are_those_of_numpy_and_ml_dtypes(number, format):
    text = exact_text(number)
    if len(text) > 200 or (number and abs(Decimal(number).adjusted()) > 390):
        return
    with np.errstate(over="ignore"):
        stored = np.float64(number).astype(NUMPY[format])
    assert np.array_equal(
        np.float64(work(text, format).fields.value), stored.astype(np.float64), equal_nan=True
    )


@given(finite, st.sampled_from(list(FLOATS.values())))
@settings(max_examples=300, deadline=None)
def test_kept_bits_and_rounding_explain_what_is_stored(number, format):
    working = work(repr(number), format)
    mantissa = working.fields.format.mantissa_bits
    assert len(working.kept) == mantissa
    if not working.size or working.overflow:
        assert working.size or working.fields.value == 0
        return
    step = Fraction(2) ** (working.exponent - mantissa)
    below = int(working.leading + working.kept, 2) * step
    assert below <= working.size < below + step
    up = {"up": 1, "down": 0, "exact": 0}[working.rounding]
    assert Fraction(abs(working.fields.value)) == below + up * step
    assert (working.rounding == "exact") == (not working.rest)
    assert abs(Fraction(working.fields.value) - Fraction(repr(number))) <= step / 2


@given(finite, st.sampled_from(list(FLOATS.values())))
@settings(max_examples=100, deadline=None)
def test_the_bias_is_added_to_the_power_that_is_decoded(number, format):
    working = work(repr(number), format)
    fields = working.fields
    if fields.kind in ("zero", "infinity", "nan") or working.overflow:
        return
    carried = working.exponent + (working.carry and working.normal)
    assert fields.exponent_value == carried
    if fields.kind == "normal":
        assert working.stored_exponent == carried + fields.format.bias
    sign = -1 if fields.sign == "1" else 1
    assert sign * fields.significand * 2.0**fields.exponent_value == fields.value


def test_a_decimal_that_never_ends_in_binary_is_cut_and_rounded(panel):
    move(panel, "value", "0.1")
    assert panel.values["binary"].startswith("0.000110011001100")
    assert panel.values["binary"].endswith("…")
    assert (panel.values["rounding"], panel.values["rounded_off"]) == ("up", "1100…")
    assert panel.values["error"] == pytest.approx(1.4901161e-9, rel=1e-6, abs=0)
    move(panel, "step", 2)
    assert panel.view.title.text == "In binary, 0.1 never ends"


def test_rounding_looks_at_the_digits_that_were_typed_and_not_at_a_float64_of_them():
    above_halfway = "1.00000005960464477539062500001"  # float64 rounds it to the tie 1 + 2**-24
    assert work(above_halfway, "fp32").fields.value == float(np.nextafter(np.float32(1), np.float32(2)))


@pytest.mark.parametrize(
    ("text", "format", "kind", "value"),
    [
        ("0", "fp32", "zero", 0.0),
        ("1e-40", "fp32", "subnormal", float(np.float32(1e-40))),
        ("1e40", "fp32", "infinity", math.inf),
        ("-65520", "fp16", "infinity", -math.inf),
        ("464", "fp8_e4m3", "normal", 448.0),
        ("7", "fp4_e2m1", "normal", 6.0),
        ("1e-300", "fp8_e5m2", "zero", 0.0),
        ("1e300", "fp64", "normal", 1e300),
    ],
)
def test_special_numbers(panel, text, format, kind, value):
    move(panel, "format", format)
    move(panel, "value", text)
    assert (panel.values["kind"], panel.values["value"]) == (kind, value)


def test_what_is_too_large_says_what_it_becomes(panel):
    for text, format, word in (
        ("65520", "fp16", "infinity"),
        ("470", "fp8_e4m3", "NaN"),
        ("7", "fp4_e2m1", "6"),
    ):
        move(panel, "format", format)
        move(panel, "value", text)
        assert panel.values["rounding"] == "overflow"
        assert f"becomes {word}" in panel.view.title.text
    assert math.isnan(work("470", "fp8_e4m3").fields.value)


def test_a_zero_with_a_minus_sign_keeps_it(panel):
    move(panel, "value", "-0")
    assert panel.values["bits"] == f"1 {'0' * 8} {'0' * 23}"


@pytest.mark.parametrize(
    "text", ["abc", "", "  ", "nan", "-inf", "1e401", "1e-401", "1/0", "6,5", "9" * 300, "<b>1</b>", "0x10"]
)
def test_text_that_is_not_a_number_leaves_a_message_and_the_last_picture(panel, text):
    numbers, picture = fingerprint(panel.values), panel.picture.value
    panel.controls["value"].value = text
    assert panel.message.value
    assert "<b>" not in panel.message.value
    assert fingerprint(panel.values) == numbers
    assert panel.picture.value == picture
    move(panel, "value", "2.5")
    assert panel.values["value"] == 2.5


@pytest.mark.parametrize("text", ["6.5", " 6.5 ", "+6.5", "6.50", "65e-1", "13/2", "\N{MINUS SIGN}6.5"])
def test_a_number_may_be_typed_in_many_ways(text):
    assert abs(work(text, "fp32").fields.value) == 6.5


@pytest.mark.parametrize("present", ["0", "1"])
def test_everything_can_be_read_in_every_format(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = widgets.encode_stepper()
    assert pixels(panel).shape[0] == (400 if present == "0" else 560)
    for format, text in itertools.product(FLOATS.values(), HARD[:: 1 + 2 * (present == "1")]):
        panel.view.update(value=text, format=format, step=LAST)
        assert not texts_collide(panel.view), (format, text)
    for step in range(1, LAST):
        panel.view.update(value="-1e-300", format="fp64", step=step)
        assert not texts_collide(panel.view), step


@given(finite, st.sampled_from(list(FLOATS.values())))
@settings(max_examples=300, deadline=None)
def test_no_line_and_no_title_is_ever_too_long(number, format):
    working = work(repr(number), format)
    assert max(sum(len(text) for text, _ in parts) for parts in lines(working)) <= 52
    assert max(map(len, titles(working))) <= 62


def test_the_fast_redraw_is_the_picture_drawn_from_scratch(panel):
    move(panel, "value", "-0.3")
    move(panel, "step", 4)
    assert np.array_equal(pixels(panel), redrawn(panel))


def test_one_change_sends_one_picture(panel):
    with counted(panel) as sent:
        move(panel, "value", "7.25")
    assert len(sent) == 1


def test_errors_surface_and_no_figure_leaks(monkeypatch):
    panel = widgets.encode_stepper("0.1", "fp16")
    assert_shows_itself(panel, monkeypatch)
    assert_errors_surface(panel, "step", 3, monkeypatch)
    assert_no_pyplot_figures()


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"format": "int8"}, ValueError, "format"),
        ({"format": 32}, TypeError, "format"),
        ({"value": "abc"}, ValueError, "value"),
        ({"value": None}, TypeError, "value"),
        ({"value": math.nan}, ValueError, "value"),
        ({"value": "1e999"}, ValueError, "value"),
        ({"value": "1" * 300}, ValueError, "value"),
    ],
)
def test_bad_arguments_are_named(arguments, error, named):
    with pytest.raises(error, match=named):
        widgets.encode_stepper(**arguments)


@pytest.mark.parametrize("value", [np.float32(0.1), Fraction(1, 4), 2**60, np.int64(7), 0.1])
def test_numbers_of_all_kinds_start_the_panel_exactly(value):
    assert widgets.encode_stepper(value, "fp64").values["value"] == float(value)


def test_formats_offered_are_the_floats(panel):
    offered = {name for _, name in panel.controls["format"].options}
    assert offered == {name for name, kind in floats.FORMATS.items() if kind.kind == "float"}
