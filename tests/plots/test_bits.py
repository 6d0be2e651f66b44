import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit import floats
from coursekit.floats import FORMATS
from coursekit.plots import style
from coursekit.plots.bits import BitBoxes, Neighbours, bit_boxes, place_values
from coursekit.plots.lettering import RAISED, SANS, Lettering, outline
from coursekit.plots.page import brief, decimal, page, raised, rounded

finite = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = str.maketrans({"−": "-", "⁻": "-", **{sign: str(digit) for digit, sign in enumerate(RAISED[:10])}})


@pytest.fixture
def drawing():
    figure = style.figure(alt="a page")
    ax = page(figure)
    return figure, ax, Lettering(ax)


def read_back(text):
    number, _, power = text.replace("…", "").partition("×10")
    return Fraction(Decimal(number.translate(PLAIN))) * Fraction(10) ** int(power.translate(PLAIN) or 0)


@given(finite, st.integers(14, 40))
@settings(max_examples=300, deadline=None)
def test_decimal_fits_is_exact_without_an_ellipsis_and_cut_with_one(value, width):
    text = decimal(value, width)
    assert len(text) <= width + 1
    told, meant = abs(read_back(text)), abs(Fraction(value))
    assert text.startswith("−") == (math.copysign(1, value) < 0)
    if "…" in text:
        assert told < meant
        assert told >= meant * Fraction(9, 10) or told == 0
    else:
        assert told == meant


def test_decimal_of_what_is_not_a_number():
    assert [decimal(value) for value in (math.inf, -math.inf, math.nan)] == ["∞", "−∞", "NaN"]
    assert decimal(0.1, 26) == "0.10000000000000000555111…"
    assert decimal(1e22, 12) == "1×10²²"


@given(finite)
@settings(max_examples=200, deadline=None)
def test_rounded_is_close_and_short(value):
    text = rounded(value)
    assert len(text) <= 12
    assert abs(read_back(text) - Fraction(value)) <= abs(Fraction(value)) / 190


def test_rounded_keeps_short_numbers_whole():
    assert [rounded(x) for x in (65504, 0.015625, 2**-126, -3.4e38, 12345.678)] == [
        "65504", "0.015625", "1.18×10⁻³⁸", "−3.40×10³⁸", "12346",
    ]  # fmt: skip


def test_brief_leaves_the_middle_out():
    assert (brief("12345", 5), brief("123456789e-300", 10)) == ("12345", "1234…e-300")
    assert brief("1234567890", 8) == "123…7890"
    assert raised(-126) == "⁻¹²⁶"


@pytest.mark.parametrize(
    "format", ["fp64", "fp32", "tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1"]
)
def test_place_values_of_the_fields_give_the_number_back(format):
    kind = FORMATS[format]
    places = [Fraction(2) ** int(place[1:].translate(PLAIN)) for place in place_values(kind)[1:]]
    exponent, mantissa = places[: kind.exponent_bits], places[kind.exponent_bits :]
    fields = floats.fields("1.5", format)

    def total(bits, counts):
        return sum(count for bit, count in zip(bits, counts, strict=True) if bit == "1")

    power = total(fields.exponent, exponent) - kind.bias
    assert (1 + total(fields.mantissa, mantissa)) * Fraction(2) ** int(power) == Fraction(3, 2)


@pytest.mark.parametrize("format", FORMATS)
def test_boxes_stand_apart_within_the_page_one_for_each_bit(drawing, format):
    _, ax, letters = drawing
    boxes = BitBoxes(ax, letters, 20, places=True)
    boxes.show(floats.fields("1", format))
    corners = [path.vertices[:4] for path in boxes.boxes.get_paths()]
    spans = sorted((c[0, 1], c[:, 0].min(), c[:, 0].max()) for c in corners)
    assert len(spans) == FORMATS[format].bits
    assert all(30 <= left < right <= 670 for _, left, right in spans)
    rows = [[span for span in spans if span[0] == top] for top in {span[0] for span in spans}]
    assert all(a[2] < b[1] for row in rows for a, b in zip(row, row[1:], strict=False))


def test_unknown_fields_stay_empty_and_bits_come_back_when_they_are_known(drawing):
    _, ax, letters = drawing
    boxes = BitBoxes(ax, letters, 20, places=False)
    boxes.show(floats.fields("-6.5", "fp16"), known=["sign"])
    assert [digit.text for digit in boxes.digits[:16]] == ["1"] + [""] * 15
    boxes.show(floats.fields("-6.5", "fp16"))
    assert "".join(digit.text for digit in boxes.digits) == "1100011010000000"


def test_bit_boxes_draws_and_returns_its_artists(drawing):
    figure, ax, _ = drawing
    before = figure.png()
    made = bit_boxes(ax, floats.fields("0.1", "fp8_e4m3"))
    assert made.boxes in ax.collections
    assert figure.png() != before


def test_neighbours_stand_at_their_true_distances(drawing):
    _, ax, letters = drawing
    line = Neighbours(ax, letters, y=300)
    below, above = floats.neighbours(1, "fp16")
    line.show(1.0, below, above, (above - 1) / 4, "1.0002")
    left, middle, right = sorted(segment[0, 0] for segment in line.ticks.get_segments())
    assert middle - left == pytest.approx((right - middle) / 2)
    assert line.wish.get_xdata()[0] == pytest.approx(middle + (right - middle) / 4)
    assert line.asked.text == "asked for: 1.0002"


@pytest.mark.parametrize(
    ("value", "format", "seen"), [(127, "int8", 2), (448, "fp8_e4m3", 2), (65504, "fp16", 3), (0, "fp32", 3)]
)
def test_where_the_line_ends_no_neighbour_is_shown(drawing, value, format, seen):
    _, ax, letters = drawing
    line = Neighbours(ax, letters, y=300)
    line.show(float(value), *floats.neighbours(value, format), None, "")
    assert len(line.ticks.get_segments()) == seen
    assert sum(bool(phrase.text) for phrase in line.beside) == seen - 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_has_no_place_on_the_line_leaves_it_empty(drawing, value):
    _, ax, letters = drawing
    line = Neighbours(ax, letters, y=300)
    line.show(value, 65504.0, value, None, "")
    assert not line.ticks.get_segments()
    assert not any(phrase.text for phrase in (*line.beside, line.asked))
    assert line.stored.text


@pytest.mark.parametrize("align", ["left", "center", "right"])
@pytest.mark.parametrize("font", [SANS, "DejaVu Sans Mono"])
@pytest.mark.parametrize("present", ["0", "1"])
def test_the_ink_lies_where_the_phrase_says(monkeypatch, align, font, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    figure = style.figure(alt="a page")
    letters = Lettering(page(figure))
    phrase = letters.phrase(350, 200, 20, align=align, font=font)
    phrase.show([("Wage", style.INK), (" 2⁻¹²⁶ ", style.BLUE), ("0.5", style.INK)], weight="bold")
    figure.png()
    dark = np.asarray(figure.canvas.buffer_rgba())[..., :3].min(axis=2) < 200
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    scale = figure.dpi / style.DPI
    left, top, right, bottom = np.array(phrase.box) * scale
    assert abs(columns[0] - left) < 4 * scale
    assert abs(columns[-1] - right) < 4 * scale
    assert top - 2 <= rows[0] < rows[-1] <= bottom + 2


def test_lettering_is_as_wide_as_matplotlibs_own_text(drawing):
    figure, ax, letters = drawing
    phrase = letters.phrase(20, 100, 15, font=SANS)
    phrase.show("Slide the point, 4 places")
    text = ax.text(20, 100, phrase.text, size=15, family=SANS)
    own = text.get_window_extent(figure.canvas.get_renderer()).width
    assert phrase.width == pytest.approx(own, rel=0.03)


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.75])
def test_thin_strokes_show_wherever_they_fall_between_pixels(drawing, shift):
    figure, _, letters = drawing
    letters.phrase(100 + shift, 100 + shift, 11).show("⁻.")
    figure.png()
    dark = np.asarray(figure.canvas.buffer_rgba())[..., 0] < 170
    minus, point = dark[:97, :107].sum(), dark[97:, 105:].sum()
    assert 3 <= minus <= 14
    assert 1 <= point <= 6


def test_a_space_takes_room_but_no_ink():
    path, advance = outline(" ", SANS, "normal")
    assert path is None
    assert advance > 0.2
