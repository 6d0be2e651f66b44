import html
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coursekit._core import display

TIMES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
SIZES = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1.0}
cells = st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=5)
words = st.text(alphabet=st.characters(categories=["L", "N", "P"]), min_size=1)


class Balanced(HTMLParser):
    """Collect the text of each cell and complain about tags that do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.cells[-1] += data


@given(st.floats(min_value=1e-300, max_value=1e300), st.integers(2, 6), st.booleans())
def test_significant_digits_are_kept(value, digits, negative):
    value = -value if negative else value
    text = display.significant(value, digits)
    assert float(text) == pytest.approx(value, rel=0.5000001 * 10 ** (1 - digits))
    if 1e-4 < abs(value) < 1e15:
        assert "e" not in text
        assert not text.endswith(".")


@given(st.floats(min_value=1e-9, max_value=1e6))
@example(0.0009999)
@example(0.9999)
@example(9.995e-7)
def test_seconds_have_a_number_between_1_and_1000(value):
    number, unit = display.seconds(value).split(" ")
    assert float(number) * TIMES[unit] == pytest.approx(value, rel=0.00501)
    assert 1 <= float(number) < 1000 or unit == "s"


@given(st.integers(0, 10**15))
@example(999)
@example(999_500)
@example(999_999)
def test_sizes_are_decimal_and_have_a_number_below_1000(value):
    number, unit = display.size(value).split(" ")
    assert float(number) * SIZES[unit] == pytest.approx(value, rel=0.00501)
    assert float(number) < 1000 or unit == "TB"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (display.significant(0), "0"),
        (display.significant(0.5), "0.500"),
        (display.significant(123456), "123000"),
        (display.significant(1e-5), "1.00e-05"),
        (display.significant(math.inf), "inf"),
        (display.significant(math.nan), "nan"),
        (display.seconds(1.25e-3), "1.25 ms"),
        (display.seconds(-1.25e-3), "-1.25 ms"),
        (display.seconds(90), "90.0 s"),
        (display.seconds(0.0009999), "1.00 ms"),
        (display.size(0), "0 B"),
        (display.size(70_200), "70.2 kB"),
        (display.size(280e9), "280 GB"),
        (display.size(999_999), "1.00 MB"),
    ],
)
def test_everyday_numbers(shown, text):
    assert shown == text


@given(st.lists(st.tuples(words, words, words), max_size=5), st.integers(0, 3))
def test_text_tables_line_up(rows, left):
    headers = ("name", "first", "second")
    lines = display.table_text(headers, rows, left=left).split("\n")
    rule, *others = [lines[1], lines[0], *lines[2:]]
    starts = [match.start() for match in re.finditer("-+", rule)]
    ends = [match.end() for match in re.finditer("-+", rule)]
    assert len(others) == len(rows) + 1
    for line, row in zip(others, [headers, *rows], strict=True):
        cut = [line[start:end] for start, end in zip(starts, ends, strict=True)]
        assert [piece.strip() for piece in cut] == list(row)
        for column, (start, end, cell) in enumerate(zip(starts, ends, row, strict=True)):
            at = start if column < left else end - len(cell)
            assert line[at : at + len(cell)] == cell


@given(cells, st.text())
def test_html_tables_hold_every_cell_escaped(rows, caption):
    text = display.table_html(("<a>", "b", "c"), rows, caption)
    parsed = Balanced(text)
    expected = ["<a>", "b", "c", *(cell for row in rows for cell in row)]
    assert [clean(cell) for cell in parsed.cells] == [clean(cell) for cell in expected]
    assert not caption or html.escape(caption) in text


def clean(text):
    # The parser drops what HTML may not hold, so only what both can carry is compared.
    return re.sub(r"[^\x20-\x7e\xa1-\ud7ff]", "", text)


@given(st.integers(0, 3))
def test_html_tables_align_as_text_does(left):
    text = display.table_html(("a", "b", "c"), [(1, 2, 3)], left=left)
    assert text.count("text-align:left") == 2 * left
    assert text.count("text-align:right") == 2 * (3 - left)


@given(st.text(), st.sampled_from(["good", "bad", "neutral", "quiet"]))
def test_cards_escape_their_title_and_keep_their_lines(title, tone):
    card = display.card_html(title, ["<em>one</em>", "two"], tone)
    Balanced(card)
    assert f"<strong>{html.escape(title)}</strong>" in card
    assert "<div><em>one</em></div><div>two</div>" in card


def test_tones_look_different():
    cards = {display.card_html("t", [], tone) for tone in ("good", "bad", "neutral", "quiet")}
    assert len(cards) == 4
    with pytest.raises(KeyError):
        display.card_html("t", [], "loud")
