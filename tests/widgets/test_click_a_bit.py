import math
import struct

import ml_dtypes
import numpy as np
import pytest
import traitlets
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
from coursekit.floats import FORMATS
from coursekit.plots.bits import place_values
from coursekit.widgets.bit_row import BitRow
from coursekit.widgets.click_a_bit import SHOWN
from coursekit.widgets.stored_number import formula, read, stored_bits, title
from coursekit.widgets.text_entry import typed

NUMPY = {
    "fp16": np.float16, "bf16": ml_dtypes.bfloat16, "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2, "int8": np.int8,
}  # fmt: skip
VALUES = ["6.5", "0", "-0.1", "1e-40", "-1e300", "123456789.123456789", "5e-324", "65519.999", "1/3", "470"]


@pytest.fixture(scope="module")
def shared():
    return widgets.click_a_bit()


@pytest.fixture
def panel(shared):
    move(shared, "format", "fp32")
    move(shared, "value", "6.5")
    return shared


def bits_of(text, format="fp32"):
    return f"{floats.encode(text, format):0{FORMATS[format].bits}b}"


def stored(text, format):
    number = typed(text)
    return read(stored_bits(number, format), number, text, format)


def patterns(format):
    return st.integers(0, 2 ** FORMATS[format].bits - 1).map(lambda n: f"{n:0{FORMATS[format].bits}b}")


any_bits = st.sampled_from(SHOWN).flatmap(lambda format: st.tuples(st.just(format), patterns(format)))


def test_the_resting_picture_takes_six_and_a_half_apart(panel):
    shown = panel.values
    assert shown["bits"] == f"0 10000001 101{'0' * 20}"
    assert (shown["value"], shown["exact"], shown["kind"]) == (6.5, "6.5", "normal")
    assert (shown["exponent_value"], shown["significand"]) == (2, 1.625)
    assert shown["spacing"] == float(np.spacing(np.float32(6.5)))
    assert shown["error"] == 0


def test_clicking_a_bit_changes_the_value_and_draws_once(panel):
    with counted(panel) as sent:
        panel.controls["bits"].toggles[0].value = True
    assert len(sent) == 1
    assert panel.controls["value"].value == "-6.5"
    assert panel.values["value"] == -6.5
    panel.controls["bits"].toggles[1].value = False
    assert panel.values["value"] == -6.5 * 2.0**-128


def test_typing_a_value_changes_the_bits_and_draws_once(panel):
    with counted(panel) as sent:
        move(panel, "value", "0.1")
    assert len(sent) == 1
    expected = f"{struct.unpack('>I', struct.pack('>f', 0.1))[0]:032b}"
    assert panel.controls["bits"].value == expected
    assert [toggle.description for toggle in panel.controls["bits"].toggles[:32]] == list(expected)
    assert panel.values["error"] == pytest.approx(1.4901161e-9, rel=1e-6, abs=0)


def test_changing_the_format_encodes_the_value_again(panel):
    move(panel, "value", "0.1")
    for format in SHOWN[::-1]:
        if format == panel.controls["format"].value:
            continue
        with counted(panel) as sent:
            move(panel, "format", format)
        assert len(sent) == 1
        assert panel.controls["value"].value == "0.1"
        assert panel.controls["bits"].value == bits_of("0.1", format)


def test_every_control_moves_numbers_and_picture(panel):
    sweep(panel, "value", ["0.1", "-inf", "nan", "1e-45", "0", "-0"])
    move(panel, "value", "6.5")
    assert len(sweep(panel, "format")) == len(SHOWN)
    move(panel, "format", "int4")
    shown = sweep(panel, "bits", [f"{pattern:04b}" for pattern in range(16)])
    assert {numbers["value"] for numbers in shown} == set(range(-8, 8))


@pytest.mark.parametrize("format", NUMPY)
def test_all_patterns_mean_what_numpy_and_ml_dtypes_say(format):
    size = FORMATS[format].bits
    step = 1 if size == 8 else 257  # every pattern of 8 bits, some of 16
    raw = np.arange(0, 2**size, step).astype(f"uint{size}")
    meant = raw.view(NUMPY[format]).astype(np.float64)
    numbers = [(f"{pattern:0{size}b}", value) for pattern, value in zip(raw, meant, strict=True)]
    told = [read(bits, typed("1"), "1", format) for bits, _ in numbers]
    assert np.array_equal([shown.fields.value for shown in told], meant, equal_nan=True)


@given(any_bits)
@settings(max_examples=30, deadline=None)
def test_the_value_that_bits_write_is_stored_as_these_bits(case):
    format, bits = case
    number = floats.decode(bits, format)
    if not math.isnan(number):
        assert stored_bits(typed(repr(number)), format) == bits
        assert read(bits, number, repr(number), format).wish is None


@pytest.mark.parametrize(
    ("format", "bits"), [("fp64", "01" * 32), ("tf32", "1" + "0" * 17 + "1"), ("int8", "10000000")]
)
def test_bits_survive_the_way_through_the_text_field(panel, format, bits):
    move(panel, "format", format)
    move(panel, "bits", bits)
    text = panel.controls["value"].value
    move(panel, "value", "1")
    move(panel, "value", text)
    assert panel.controls["bits"].value == bits


def test_bits_may_be_set_with_spaces_and_wrong_ones_are_refused(panel):
    with counted(panel) as sent:
        move(panel, "bits", "1 10000010 10110000_00000000_0000000")
    assert len(sent) == 1
    move(panel, "bits", "1 10000001 10100000_00000000_0000000")
    assert panel.values["value"] == -6.5
    for wrong in ("1", "2" * 32, "0" * 33, ""):
        with pytest.raises(traitlets.TraitError, match="FP32 needs 32 bits"):
            panel.controls["bits"].value = wrong
    assert panel.values["value"] == -6.5


def test_only_as_many_buttons_as_bits_are_seen_and_none_is_made_anew(panel):
    row = panel.controls["bits"]
    before = list(row.toggles)
    for format in SHOWN:
        move(panel, "format", format)
        seen = [toggle.layout.display != "none" for toggle in row.toggles]
        assert seen == [index < FORMATS[format].bits for index in range(64)]
    assert row.toggles == before
    assert [len(line.children) for line in row.children] == [32, 32]


def test_buttons_carry_the_colour_of_their_field_and_what_they_count():
    row = BitRow("fp16", "0" * 16)
    looks = [toggle.button_style for toggle in row.toggles[:16]]
    assert looks == ["danger"] + ["info"] * 5 + ["success"] * 10
    assert row.toggles[1].tooltip == "exponent bit, place value 2⁴"
    row.reformat("int8", "1" * 8)
    assert row.toggles[0].tooltip == "sign bit, place value −128"


@pytest.mark.parametrize(
    ("format", "text", "value"),
    [("int8", "300", 127), ("int8", "-1e9", -128), ("int4", "inf", 7), ("fp4_e2m1", "9", 6)],
)
def test_what_is_beyond_a_format_without_infinity_is_clipped_and_the_picture_says_so(
    panel, format, text, value
):
    move(panel, "format", format)
    move(panel, "value", text)
    assert panel.values["value"] == value
    assert panel.view.title.text == f"{text} is beyond {FORMATS[format].title}: it becomes {value}".replace(
        "es -", "es −"
    )


def test_too_large_a_float_becomes_infinity_or_nan(panel):
    move(panel, "value", "1e40")
    assert panel.values["value"] == math.inf
    assert "1e40 is beyond FP32" in panel.view.title.text
    move(panel, "format", "fp8_e4m3")
    assert math.isnan(panel.values["value"])


def test_rounding_is_not_called_beyond():
    for text, format in (("65519.999", "fp16"), ("464", "fp8_e4m3"), ("127.4", "int8"), ("inf", "fp32")):
        assert not stored(text, format).beyond


def test_clicked_bits_are_exact_although_the_text_field_shows_17_digits(panel):
    move(panel, "format", "fp16")
    move(panel, "bits", "0" * 15 + "1")
    assert panel.controls["value"].value == repr(2.0**-24)
    assert panel.values["error"] == 0
    move(panel, "format", "fp64")
    assert (panel.values["value"], panel.values["error"]) == (2.0**-24, 0)


def test_what_was_typed_is_not_taken_for_what_a_click_wrote(panel):
    move(panel, "format", "fp64")
    move(panel, "bits", bits_of("0.1", "fp64"))
    assert (panel.controls["value"].value, panel.values["error"]) == ("0.1", 0)
    move(panel, "value", "5")
    move(panel, "value", "0.1")
    assert panel.values["error"] == pytest.approx(5.551115123e-18, rel=1e-6, abs=0)


def test_bits_that_were_set_beside_another_value_speak_for_themselves(panel):
    with panel.hold():
        panel.controls["value"].value, panel.controls["bits"].value = "5", "0" * 32
    assert (panel.values["value"], panel.values["error"]) == (0, 0)
    assert panel.view.title.text == "All bits 0 mean zero"


@pytest.mark.parametrize("text", ["abc", "", "6,5", "1/0", "7" * 300])
def test_text_that_is_not_a_number_leaves_a_message_and_the_last_picture(panel, text):
    numbers, picture, bits = fingerprint(panel.values), panel.picture.value, panel.controls["bits"].value
    panel.controls["value"].value = text
    assert panel.message.value
    assert fingerprint(panel.values) == numbers
    assert panel.picture.value == picture
    assert panel.controls["bits"].value == bits
    panel.controls["bits"].toggles[0].value = True
    assert (panel.message.value, panel.values["value"]) == ("", -6.5)


def test_a_new_format_takes_the_last_good_value_where_the_text_is_not_a_number(panel):
    panel.controls["value"].value = "abc"
    move(panel, "format", "fp16")
    assert (panel.controls["value"].value, panel.values["value"]) == ("6.5", 6.5)


def test_nan_has_no_place_in_integers(panel):
    move(panel, "value", "nan")
    move(panel, "format", "int8")
    assert panel.values["value"] == 0
    panel.controls["value"].value = "nan"
    assert "INT8 has no NaN" in panel.message.value
    move(panel, "format", "fp32")
    assert math.isnan(panel.values["value"])


@pytest.mark.parametrize(
    ("format", "kind"), [("fp64", np.float64), ("fp32", np.float32), ("fp16", np.float16)]
)
@pytest.mark.parametrize("text", ["6.5", "1", "-0.1", "60000", "1e-7"])
def test_neighbours_and_spacing_are_numpys(panel, format, kind, text):
    move(panel, "format", format)
    move(panel, "value", text)
    stored = kind(float(text))
    assert panel.values["above"] == float(np.nextafter(stored, kind(np.inf)))
    assert panel.values["below"] == float(np.nextafter(stored, kind(-np.inf)))
    assert panel.values["spacing"] == abs(float(np.spacing(stored)))
    assert panel.values["max"] == float(np.finfo(kind).max)
    assert panel.values["min_subnormal"] == float(np.finfo(kind).smallest_subnormal)


@given(st.sampled_from(["int8", "int4"]).flatmap(lambda f: st.tuples(st.just(f), patterns(f))))
@settings(max_examples=50, deadline=None)
def test_two_complement_place_values_add_up(case):
    format, bits = case
    places = [int(place.replace("−", "-")) for place in place_values(FORMATS[format])]
    assert sum(place for place, bit in zip(places, bits, strict=True) if bit == "1") == floats.decode(
        bits, format
    )


def test_the_formula_reads_the_bits():
    def written(bits, format):
        return "".join(text for text, _ in formula(floats.fields_of(bits, format)))

    assert written("01000000110100000000000000000000", "fp32") == "(−1)⁰ × 1.625 × 2¹²⁹⁻¹²⁷ = 6.5"
    assert written("1000000000000001", "fp16").startswith("(−1)¹ × 0.0009765625 × 2¹⁻¹⁵ = −5.96046447")
    assert written("11000100", "int8") == "−128 + 64 + 4 = −60"
    assert written("0000", "int4") == "no bit set = 0"
    assert written("01111100", "fp8_e5m2") == "exponent 11111, mantissa 00 is kept for ∞"
    assert written("0" + "1" * 8 + "0" * 23, "fp32") == "exponent 11111111, mantissa 0 is kept for ∞"
    assert written("01111111", "fp8_e4m3") == "exponent 1111, mantissa 111 is kept for NaN"


@given(any_bits)
@settings(max_examples=200, deadline=None)
def test_titles_and_formulas_fit(case):
    format, bits = case
    shown = read(bits, floats.decode(bits, format), "0.1234567891234567", format)
    assert len(title(shown)) <= 58
    assert sum(len(text) for text, _ in formula(shown.fields)) <= 64


@pytest.mark.parametrize("present", ["0", "1"])
def test_everything_can_be_read_for_every_format(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = widgets.click_a_bit()
    random = np.random.default_rng(0)
    for format in SHOWN:
        move(panel, "format", format)
        for text in VALUES:
            panel.view.update(format=format, value=text, bits=stored_bits(typed(text), format))
            assert not texts_collide(panel.view), (format, text)
        for _ in range(5):
            bits = "".join(map(str, random.integers(0, 2, FORMATS[format].bits)))
            panel.view.update(format=format, value="1", bits=bits)
            assert not texts_collide(panel.view), (format, bits)


def test_the_fast_redraw_is_the_picture_drawn_from_scratch(panel):
    move(panel, "value", "-0.3")
    assert np.array_equal(pixels(panel), redrawn(panel))


def test_errors_surface_and_no_figure_leaks(monkeypatch):
    panel = widgets.click_a_bit("fp8_e4m3", 0.3)
    assert_shows_itself(panel, monkeypatch)
    assert_errors_surface(panel, "value", "2", monkeypatch)
    assert_no_pyplot_figures()


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"format": "int32"}, ValueError, "format"),
        ({"format": None}, TypeError, "format"),
        ({"value": "abc"}, ValueError, "value"),
        ({"value": [1.0]}, TypeError, "value"),
        ({"format": "int8", "value": "nan"}, ValueError, "value"),
    ],
)
def test_bad_arguments_are_named(arguments, error, named):
    with pytest.raises(error, match=named):
        widgets.click_a_bit(**arguments)
