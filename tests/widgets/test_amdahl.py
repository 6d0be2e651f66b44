import itertools
import math

import numpy as np
import pytest
from helpers import (
    assert_keeps_the_rules,
    span,
    sweep,
    texts_collide,
)

from coursekit.widgets.amdahl import amdahl, fits, percent, times


@pytest.fixture(scope="module")
def shared():
    return amdahl()


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["share"].value, shared.controls["factor"].value = 90.0, 10.0
    return shared


@pytest.mark.parametrize("name", ["share", "factor"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_the_resting_picture_makes_the_point(panel):
    assert panel.values["speedup"] == pytest.approx(1 / 0.19)
    assert panel.values["limit"] == pytest.approx(10)
    assert panel.view.title.get_text() == "90 % gets 10× as fast, the whole 5.26×"


@pytest.mark.parametrize(("share", "factor"), list(itertools.product([0.0, 12.5, 99.9], [1.0, 2.0, 1000.0])))
def test_numbers_agree_with_a_stopwatch(panel, share, factor):
    shown = panel.view.update(share, factor)
    before = 1000.0
    after = before * (1 - share / 100) + before * share / 100 / factor
    assert shown["speedup"] == pytest.approx(before / after)
    assert shown["after"] == pytest.approx(after / before)
    assert shown["limit"] == pytest.approx(math.inf if share == 100 else 100 / (100 - share))


@pytest.mark.parametrize("share", [0.0, 30.0, 90.0, 99.9])
def test_the_bars_are_the_times(panel, share):
    shown = panel.view.update(share, 4.0)
    widths = [bar.get_width() for bar, _ in panel.view.bars]
    assert widths == pytest.approx([share / 100, 1 - share / 100, share / 400, 1 - share / 100])
    assert sum(widths[:2]) == pytest.approx(1)
    assert sum(widths[2:]) == pytest.approx(shown["after"])
    lefts = [bar.get_x() for bar, _ in panel.view.bars]
    assert lefts == pytest.approx([0, share / 100, 0, share / 400])


def test_the_axes_have_names(panel):
    bars, curve = panel.view.figure.axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["before", "after"]
    assert curve.get_xlabel().startswith("the part: ")
    assert curve.get_ylabel().startswith("the whole: ")


def test_the_point_lies_on_the_curve_below_the_limit(panel):
    for share, factor in itertools.product((5.0, 75.0, 99.9), (1.0, 30.0, 1000.0)):
        shown = panel.view.update(share, factor)
        factors, speedups = panel.view.curve.get_data()
        (x,), (y,) = panel.view.point.get_data()
        assert np.interp(np.log(x), np.log(factors), np.log(speedups)) == pytest.approx(np.log(y), abs=1e-3)
        assert y <= panel.view.limit.get_ydata()[0] == pytest.approx(shown["limit"])


def test_writing_in_a_bar_fits_into_it(panel):
    renderer = panel.view.figure.canvas.get_renderer()
    for share, factor in itertools.product(span(panel.controls["share"], 40), (1.0, 2.0, 20.0)):
        panel.view.update(share, factor)
        for bar, text in panel.view.bars:
            if text.get_text():
                room, written = bar.get_window_extent(renderer), text.get_window_extent(renderer)
                assert room.x0 <= written.x0
                assert written.x1 <= room.x1, (share, text.get_text())


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = amdahl()
    for share, factor in itertools.product(span(panel.controls["share"], 12), (1.0, 31.6, 1000.0)):
        panel.view.update(share, factor)
        assert texts_collide(panel.view) == [], (share, factor)


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("share", 0.0), ("share", 99.9), ("factor", 1000.0)), monkeypatch)


def test_a_measured_share_is_taken_as_it_is():
    shown = amdahl(share=98.7654, factor=20).values
    assert shown["share"] == 98.77
    assert shown["factor"] == 20


@pytest.mark.parametrize(
    ("share", "factor", "error", "says"),
    [
        (-1, 2, ValueError, "share"),
        (100, 2, ValueError, "share"),
        (50, 0.5, ValueError, "factor"),
        (50, 1001, ValueError, "factor"),
        (float("nan"), 2, ValueError, "share"),
        ("90", 2, TypeError, "share"),
        (90, None, TypeError, "factor"),
    ],
)
def test_bad_input_is_named(share, factor, error, says):
    with pytest.raises(error, match=says):
        amdahl(share, factor)


def test_numbers_read_well():
    assert [percent(share) for share in (0, 0.05, 0.125, 0.9877, 1)] == [
        "0 %",
        "5 %",
        "12.5 %",
        "98.77 %",
        "100 %",
    ]
    assert [times(factor) for factor in (1, 5.263, 1000.0000001)] == ["1×", "5.26×", "1,000×"]
    assert fits("10 %", 0.1)
    assert not fits("the rest 10 %", 0.1)
