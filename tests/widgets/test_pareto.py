from itertools import pairwise

import numpy as np
import pytest
from examples import RIGHT, SIZES, TIMES, row, sitting
from helpers import assert_keeps_the_rules, move, pixels, redrawn, span, sweep, texts_collide
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from matplotlib.transforms import Bbox, IdentityTransform

from coursekit import accuracy
from coursekit.plots import pareto as pareto_plot
from coursekit.plots import style
from coursekit.variants.rows import BUDGETS, NAMES, Budget, Sitting, dominates, front
from coursekit.widgets.pareto import OWN, pareto

POSITIVE = st.floats(1e-6, 1e-3)


@pytest.fixture
def panel():
    return pareto(sitting())


# Budgets and the front


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(300, 360)), min_size=1, max_size=7)
)
def test_the_front_holds_what_nothing_beats(points):
    sizes, times, right = zip(*points, strict=True)
    rows = sitting(sizes, times, right, NAMES[: len(points)]).rows
    floor = 0.9
    able = [r for r in rows if r.accuracy.value >= floor]
    expected = {
        r.name
        for r in able
        if not any(
            (o.size_bytes <= r.size_bytes and o.latency <= r.latency)
            and (o.size_bytes < r.size_bytes or o.latency < r.latency)
            for o in able
        )
    }
    found = front(rows, floor)
    assert set(found) == expected
    assert [next(r.size_bytes for r in rows if r.name == name) for name in found] == sorted(
        r.size_bytes for r in rows if r.name in expected
    )


def test_nothing_dominates_itself_and_a_draw_is_not_a_win():
    assert not dominates((1, 2), (1, 2))
    assert dominates((1, 1), (1, 2))
    assert not dominates((1, 3), (2, 2))
    with pytest.raises(ValueError, match="equally long; got 1 and 2"):
        dominates((1,), (1, 2))


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [
        (Budget("b"), "fits"),
        (Budget("b", size_bytes=1000), "fits"),
        (Budget("b", size_bytes=999), "out"),
        (Budget("b", seconds=1.2e-5), "fits"),
        (Budget("b", seconds=1e-5), "unsure"),
        (Budget("b", seconds=0.95e-5), "unsure"),
        (Budget("b", seconds=0.89e-5), "out"),
        (Budget("b", accuracy=0.5), "fits"),
        (Budget("b", accuracy=0.95), "unsure"),
        (Budget("b", accuracy=0.99), "out"),
        (Budget("b", portable=True), "out"),
    ],
)
def test_an_interval_across_a_limit_leaves_it_open(budget, verdict):
    measured = row("baseline", 1000, 1e-5, 342)  # 95 %, quartiles 10 % away
    assert budget.verdict(measured) == verdict


def test_a_browser_takes_files_that_run_without_python():
    verdicts = {r.name: BUDGETS["browser"].verdict(r) for r in sitting()}
    assert [name for name in verdicts if verdicts[name] == "fits"] == ["onnx-fp32", "onnx-int8", "stacked"]
    assert {BUDGETS["mobile app"].verdict(r) for r in sitting()} == {"fits"}


@pytest.mark.parametrize(
    ("limits", "error"),
    [({"size_bytes": 0}, ValueError), ({"seconds": -1}, ValueError), ({"seconds": "1"}, TypeError)]
    + [({"accuracy": 95}, ValueError), ({"size_bytes": float("nan")}, ValueError)],
)
def test_impossible_budgets_are_refused(limits, error):
    with pytest.raises(error, match=next(iter(limits))):
        Budget("b", **limits)


def test_budgets_say_their_limits():
    assert str(BUDGETS["mobile app"]) == "mobile app: < 50 MB, < 50 ms"
    assert str(BUDGETS["browser"]) == "browser: < 5 MB, no Python"
    assert str(Budget("all")) == "all: no limit"


def test_a_sitting_prints_as_a_table_and_finds_its_rows():
    made = sitting()
    assert made["stacked"].size_bytes == SIZES[-1]
    assert repr(made) == str(made)
    assert len(str(made).splitlines()) == 3 + len(made)
    assert "<table>" in made._repr_html_()
    with pytest.raises(ValueError, match="name must be one of"):
        made["int4"]
    with pytest.raises(ValueError, match="rows must hold"):
        Sitting((), "here")


# The panel


def test_it_starts_with_a_budget_that_makes_a_choice(panel):
    assert set(panel.values["verdicts"].values()) >= {"fits", "out"}
    assert panel.controls["budget"].value == OWN


@pytest.mark.parametrize("name", ["size", "time"])
def test_sliders_let_more_and_more_in(panel, name):
    for other in {"size", "time"} - {name}:
        panel.controls[other].value = span(panel.controls[other])[-1]
    shown = sweep(panel, name)
    counts = [len(numbers["fitting"]) for numbers in shown]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, len(NAMES))


def test_a_higher_floor_of_accuracy_leaves_fewer(panel):
    shown = sweep(panel, "accuracy")
    fits = [len(numbers["fitting"]) for numbers in shown]
    assert fits == sorted(fits, reverse=True)
    assert shown[-1]["front"] == ()
    assert "nothing is accurate enough" in panel.view.reading.get_text()


def test_files_that_need_python_go_out_on_demand(panel):
    for name in ("size", "time"):
        panel.controls[name].value = span(panel.controls[name])[-1]
    (shown,) = sweep(panel, "portable", [True])
    assert shown["fitting"] == ("onnx-fp32", "onnx-int8", "stacked")


@pytest.mark.parametrize("name", list(BUDGETS))
def test_presets_switch_the_sliders_off_and_say_that_they_decide_nothing(panel, name):
    shown = move(panel, "budget", name)
    assert shown["limits"] == BUDGETS[name]
    assert all(panel.controls[c].disabled for c in ("size", "time", "accuracy", "portable"))
    assert "more room than any variant here needs" in panel.view.reading.get_text()
    expected = 3 if name == "browser" else len(NAMES)
    assert len(shown["fitting"]) == expected
    move(panel, "budget", OWN)
    assert not panel.controls["size"].disabled


def test_dots_lie_where_the_variants_were_measured(panel):
    panel.controls["budget"].value = "mobile app"
    left, right = panel.view.dots["fits"]
    assert np.array_equal(left.get_xydata(), list(zip(SIZES, TIMES, strict=True)))
    assert right.get_xdata() == pytest.approx(100 * np.array(RIGHT) / 360)


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = pareto(sitting())
    for budget in (OWN, *BUDGETS):
        move(panel, "budget", budget)
        assert texts_collide(panel.view) == []


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.lists(st.integers(500, 100_000), min_size=7, max_size=7),
    st.lists(POSITIVE, min_size=7, max_size=7),
    st.lists(st.integers(0, 360), min_size=7, max_size=7),
)
def test_any_sitting_can_be_drawn(sizes, times, right):
    panel = pareto(sitting(sizes, times, right))
    assert texts_collide(panel.view) == []
    move(panel, "budget", "browser")
    assert np.array_equal(pixels(panel), redrawn(panel))


def inside(line, boxes, steps=200):
    """Return how many of the points along a line in pixels lie in a box; a gap counts for none."""
    points = line.get_transform().transform(line.get_xydata())
    shares = np.linspace(0, 1, steps)[:, None]
    walked = np.concatenate([a + shares * (b - a) for a, b in pairwise(points)] or [np.zeros((0, 2))])
    return sum(((box.min + 0.5 < walked) & (walked < box.max - 0.5)).all(1).sum() for box in boxes)


def test_no_line_runs_through_a_name(panel):
    view = panel.view
    names = [name.get_window_extent() for name in view.points.names]
    gaps = 0
    for control in ("size", "time"):
        for value in span(panel.controls[control], 25):
            move(panel, control, value)
            lines = [limit.line for limit in view.limits[:2]]
            assert [inside(line, names) for line in (*lines, view.points.front)] == [0, 0, 0]
            gaps += sum(np.isnan(line.get_xdata()).any() for line in lines)
    assert gaps > 0


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_line_goes_around_boxes_in_its_way(upright, backwards):
    (line,) = style.axes(alt="A line.")[1].plot([], [])
    corners, boxes = np.array([(0.0, 5.0), (100.0, 5.0)]), [(60, 0, 70, 9), (20, 4, 30, 6), (40, 6, 50, 9)]
    expected = [(0, 5), (20, 5), (np.nan, np.nan), (30, 5), (60, 5), (np.nan, np.nan), (70, 5), (100, 5)]
    turn = (lambda rows: np.array(rows)[:, ::-1]) if upright else np.array
    order = slice(None, None, -1 if backwards else 1)
    line.set_transform(IdentityTransform())
    placed = [Bbox(turn(np.reshape(box, (2, 2)))) for box in boxes]
    pareto_plot.set_around(line, turn(corners)[order], placed)
    np.testing.assert_allclose(line.get_xydata(), turn(expected)[order].astype(float))


def test_seven_equal_variants_still_have_readable_names():
    panel = pareto(sitting([1000] * 7, [1e-5] * 7, [350] * 7))
    assert texts_collide(panel.view) == []
    assert len(panel.view.points.leaders.get_segments()) > 0
    assert len(panel.values["front"]) == 7


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    moves = (("size", 15.0), ("accuracy", 94.0), ("budget", "IoT"), ("budget", OWN), ("time", 12.0))
    assert_keeps_the_rules(panel, moves, monkeypatch)


@pytest.mark.parametrize(
    ("given_", "error"), [((None,), TypeError), (({},), TypeError), ((sitting(), "free"), ValueError)]
)
def test_bad_arguments_are_named(given_, error):
    with pytest.raises(error, match="must be"):
        pareto(*given_)


def test_accuracies_have_the_interval_of_wilson():
    measured = row("baseline", 1, 1e-6, 342).accuracy
    assert (measured.low, measured.high) == accuracy.interval(342, 360)
