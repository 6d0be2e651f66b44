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

from coursekit.batching import JUDGES, Curve
from coursekit.widgets.slo import slo

BATCHES = (1, 2, 4, 8, 16, 32)
MEDIAN = np.array([1.0, 1.2, 1.6, 2.6, 8.0, 12.0]) * 1e-3


def curve(factor=1.0, batches=BATCHES, median=MEDIAN):
    median = factor * np.asarray(median)
    return Curve(batches, median, 0.95 * median, 1.2 * median, "a network", "a machine")


@pytest.fixture
def panel():
    return slo(curve())


@pytest.mark.parametrize("name", ["budget", "judge"])
def test_every_control_moves_numbers_and_picture(panel, name):
    move(panel, "budget", 3.0)
    sweep(panel, name)


@pytest.mark.parametrize("judge", JUDGES)
def test_the_best_batch_is_found_by_looking_at_all(panel, judge):
    move(panel, "judge", judge)
    taken = MEDIAN if judge == "median" else 1.2 * MEDIAN
    for budget in (1.1, 2.0, 2.5, 2.7, 4.0, 9.0, 17.0):
        shown = move(panel, "budget", budget)
        rates = {
            b: b / t for b, t, limit in zip(BATCHES, MEDIAN, taken, strict=True) if limit <= budget * 1e-3
        }
        best = max(rates, key=rates.get) if rates else None
        assert shown["batch"] == best
        assert shown["fitting"] == tuple(rates)
        if best:
            assert shown["throughput"] == pytest.approx(rates[best])
            assert shown["share"] == pytest.approx(rates[best] / (8 / 2.6e-3))
            assert f"batch {best}," in panel.view.title.get_text()


def test_the_largest_that_fits_need_not_be_the_best(panel):
    shown = move(panel, "budget", 10.0)
    assert (shown["fitting"][-1], shown["batch"]) == (16, 8)


def test_a_doubtful_batch_is_crossed_out_and_never_offered():
    """Batch 8, the best of all, was disturbed: its middle half is seven times as wide as its median."""
    median = np.array(MEDIAN)
    high = np.where(np.array(BATCHES) == 8, 8 * median, 1.1 * median)
    noisy = Curve(tuple(BATCHES), median, 0.95 * median, high)
    panel = slo(noisy)
    assert panel.values["doubtful"] == noisy.doubtful == (8,)
    for judge in JUDGES:
        move(panel, "judge", judge)
        shown = move(panel, "budget", 10.0)
        assert 8 not in shown["fitting"]
        assert shown["batch"] == noisy.best_batch(10e-3, judge) != 8
    said = panel.view.figure._supxlabel.get_text()
    assert "too noisy" in said
    assert "8" in said
    assert "measure again" in said
    assert texts_collide(panel.view) == []
    assert slo(curve()).view.figure._supxlabel is None


def test_where_every_batch_is_doubtful_none_is_offered():
    median = np.array(MEDIAN)
    panel = slo(Curve(tuple(BATCHES), median, 0.5 * median, 2 * median))
    assert panel.values["batch"] is None
    assert panel.view.title.get_text().endswith("and can be trusted")


def test_where_nothing_fits_it_says_so(panel):
    shown = move(panel, "budget", 0.7)
    assert shown["batch"] is None
    assert np.isnan(shown["throughput"])
    assert panel.view.title.get_text() == "No measured batch fits into 700 µs"
    assert all(len(dots.get_xdata()) == 0 for dots in (*panel.view.fitting, *panel.view.best))


def test_the_lit_dots_are_where_the_numbers_are(panel):
    shown = move(panel, "budget", 2.0)
    left, right = panel.view.best
    assert left.get_xydata().tolist() == [[shown["batch"], shown["latency"]]]
    assert right.get_xydata().tolist() == [[shown["batch"], shown["throughput"]]]
    assert panel.view.budget.get_ydata() == [pytest.approx(2e-3)] * 2


def test_at_rest_some_batches_fit_and_some_do_not(panel):
    assert 0 < len(panel.values["fitting"]) < len(BATCHES)
    assert slo(curve(), budget=2e-3).values["budget"] == pytest.approx(2e-3)


@pytest.mark.parametrize("present", ["0", "1"])
@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_no_text_lies_on_another(monkeypatch, present, factor):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = slo(curve(factor))
    for budget, judge in itertools.product((0.62, 1.0, 3.0, 26.0), JUDGES):
        panel.view.update(factor * budget, judge)
        assert texts_collide(panel.view) == []


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 17), st.integers(0, 10**6))
def test_any_curve_can_be_drawn(count, seed):
    batches = tuple(2**k for k in range(count))
    median = np.exp(np.random.default_rng(seed).normal(-5, 1, count)) * np.sqrt(batches)
    assert texts_collide(slo(curve(1.0, batches, median)).view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(
        panel, (("budget", 3.0), ("judge", "upper quartile"), ("budget", 10.0)), monkeypatch
    )


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((None,), TypeError, "curve must be a Curve"),
        ((MEDIAN,), TypeError, "curve must be a Curve, as batching.sweep returns; got ndarray"),
        ((curve(), 60.0), ValueError, "budget must be from"),
        ((curve(), "5 ms"), TypeError, "budget must be a number"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        slo(*arguments)
