import itertools

import numpy as np
import pytest
from helpers import (
    assert_keeps_the_rules,
    move,
    sweep,
    texts_collide,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.timing.roofline import SOURCES, Point, Roof, Work, linear
from coursekit.widgets.roofline_chart import roofline_chart

BATCHES = (1, 4, 16, 64, 256)
PEAKS = {"fp32": 200e9, "bf16": 430e9, "int8": 880e9}


def roof(factor=1.0, bandwidth=35e9, peaks=PEAKS, cache=3.0):
    peaks = {name: factor * peak for name, peak in peaks.items()}
    return Roof(factor * bandwidth, peaks, factor * cache * bandwidth, machine="a machine")


def points_of(roof, share=0.5, batches=BATCHES, sources=SOURCES):
    made = []
    for precision, source, batch in itertools.product(roof.peaks, sources, batches):
        work = linear(1024, 1024, batch, precision)
        bound = min(roof.peaks[precision], work.intensity * roof.bandwidth_from(source))
        made.append(Point(batch, precision, source, work, work.flop / (share * bound)))
    return tuple(made)


@pytest.fixture
def panel():
    return roofline_chart(roof(), points_of(roof()))


@pytest.mark.parametrize("name", ["batch", "precision", "source"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_numbers_are_those_of_roof_and_points(panel):
    for batch, precision, source in itertools.product(BATCHES, PEAKS, SOURCES):
        shown = panel.view.update(batch, precision, source)
        read, written = {"fp32": (4, 4), "bf16": (2, 2), "int8": (1, 4)}[precision]
        flop = 2 * batch * 1024**2
        intensity = flop / (read * (1024**2 + batch * 1024) + written * batch * 1024)
        bandwidth = 35e9 if source == "memory" else 105e9
        bound = min(PEAKS[precision], intensity * bandwidth)
        assert shown["intensity"] == pytest.approx(intensity)
        assert shown["bound"] == pytest.approx(bound)
        assert shown["rate"] == pytest.approx(bound / 2)
        assert shown["share"] == pytest.approx(0.5)
        assert shown["ridge"] == pytest.approx(PEAKS[precision] / bandwidth)
        is_slope = intensity < PEAKS[precision] / bandwidth
        assert shown["verdict"] == ("memory-bound" if is_slope else "compute-bound")
        title = panel.view.title.get_text()
        assert title == f"{precision.upper()}, batch {batch}: {shown['verdict']}, 50 % of its roof"


def test_points_move_right_as_the_batch_grows(panel):
    places = [move(panel, "batch", batch)["intensity"] for batch in reversed(BATCHES)]
    assert places == sorted(places, reverse=True)
    xs, ys = panel.view.chosen.get_data()
    assert (xs[0], ys[0]) == (panel.values["intensity"], panel.values["rate"] / 1e9)
    assert panel.view.gap.get_ydata() == [panel.values["rate"] / 1e9, panel.values["bound"] / 1e9]


def test_the_drawn_roof_is_the_bound_and_no_point_lies_above(panel):
    for precision, source in itertools.product(PEAKS, SOURCES):
        panel.view.update(4, precision, source)
        xs, ys = panel.view.drawn.roof.get_data()
        bandwidth = 35 if source == "memory" else 105
        assert ys == pytest.approx(np.minimum(PEAKS[precision] / 1e9, xs * bandwidth))
        other = 140 - bandwidth
        assert panel.view.drawn.other.get_ydata() == pytest.approx(
            np.minimum(PEAKS[precision] / 1e9, xs * other)
        )
        points = panel.view.drawn.points.get_xydata()
        assert len(points) == len(BATCHES)
        assert (np.interp(points[:, 0], xs, ys) >= points[:, 1]).all()


def test_everything_drawn_is_inside_the_axes(panel):
    ax = panel.view.chosen.axes
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for batch, precision, source in itertools.product(BATCHES, PEAKS, SOURCES):
        shown = panel.view.update(batch, precision, source)
        assert left < shown["intensity"] < right
        assert left < shown["ridge"]
        assert bottom < shown["rate"] / 1e9 < shown["bound"] / 1e9 < top


def test_it_starts_memory_bound_at_the_last_batch_left_of_the_ridge(panel):
    assert panel.values["verdict"] == "memory-bound"
    assert move(panel, "batch", 16)["verdict"] == "compute-bound"
    assert roofline_chart(fast := roof(bandwidth=35e12), points_of(fast)).values["batch"] == 1


def test_one_source_without_a_cache_is_enough():
    plain = Roof(35e9, {"fp32": 200e9})
    panel = roofline_chart(plain, points_of(plain, sources=("memory",)))
    assert panel.controls["source"].options == ("memory",)
    assert texts_collide(panel.view) == []


@pytest.mark.parametrize("present", ["0", "1"])
@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e4])
def test_no_text_lies_on_another(monkeypatch, present, factor):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = roofline_chart(roof(factor), points_of(roof(factor)))
    for batch, precision, source in itertools.product((1, 256), PEAKS, SOURCES):
        panel.view.update(batch, precision, source)
        assert texts_collide(panel.view) == []


@settings(max_examples=8, deadline=None)
@given(st.floats(1e9, 1e13), st.lists(st.floats(1e9, 1e15), min_size=5, max_size=5), st.floats(0.01, 1))
def test_any_roof_can_be_drawn(bandwidth, peaks, share):
    made = roof(1.0, bandwidth, dict(zip(("fp32", "tf32", "fp16", "bf16", "int8"), peaks, strict=True)))
    panel = roofline_chart(made, points_of(made, share, batches=(1, 256)))
    assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("batch", 64), ("precision", "int8"), ("source", "cache")), monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((None, points_of(roof())), TypeError, "roof must be a Roof"),
        ((roof(), ()), TypeError, "points must hold Points"),
        ((roof(), [1, 2]), TypeError, "points must hold Points"),
        ((roof(), points_of(roof())[1:]), ValueError, "every combination"),
        ((roof(), [*points_of(roof())[1:], points_of(roof())[1]]), ValueError, "every combination"),
        ((Roof(35e9, {"fp32": 2e11}), points_of(roof())), ValueError, "cache_bandwidth|precision"),
        (
            (roof(), [Point(1, "fp16", "memory", Work(1, 1), 1.0)]),
            ValueError,
            "precision must be one of fp32, bf16, int8",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        roofline_chart(*arguments)
