import itertools

import numpy as np
import pytest
from helpers import (
    assert_keeps_the_rules,
    move,
    span,
    sweep,
    texts_collide,
)

from coursekit import batching
from coursekit.batching import Curve
from coursekit.widgets.dynamic_batching import REQUESTS, dynamic_batching, in_flight

BATCHES = (1, 2, 4, 8, 16, 32, 64)


def curve(a=3e-3, b=0.2e-3, batches=BATCHES):
    median = a + b * np.array(batches)
    return Curve(batches, median, 0.9 * median, 1.1 * median, "a network", "a machine")


@pytest.fixture
def panel():
    return dynamic_batching(curve())


@pytest.mark.parametrize("name", ["rate", "max_batch", "max_wait"])
def test_every_control_moves_numbers_and_picture(panel, name):
    if name == "max_batch":
        move(panel, "rate", 4000.0)  # or no batch would ever be full
    sweep(panel, name, [0, 5, 20, 60, 100] if name == "max_wait" else None)


@pytest.mark.parametrize("max_batch", [1, 8, 64])
@pytest.mark.parametrize("max_wait", [0, 30])
def test_numbers_are_the_simulations(panel, max_batch, max_wait):
    with panel.hold():
        panel.controls["max_batch"].value, panel.controls["max_wait"].value = max_batch, max_wait
    shown = move(panel, "rate", 700.0)
    when = batching.arrivals(700.0, REQUESTS)
    served = batching.simulate(
        when, lambda size: 3e-3 + 0.2e-3 * size, max_batch=max_batch, max_wait=1e-3 * max_wait
    )
    ours = np.array([shown["p50"], shown["p99"], shown["throughput"], shown["mean_batch"]])
    assert ours == pytest.approx(np.array([served.p50, served.p99, served.throughput, served.mean_batch]))
    alone = batching.simulate(when, lambda size: 3.2e-3, max_batch=1, max_wait=0)
    assert shown["alone_p99"] == pytest.approx(alone.p99)
    assert shown["max_wait"] == pytest.approx(1e-3 * max_wait)
    marks = panel.view.marks.get_xydata()
    assert marks == pytest.approx(np.array([[1e3 * served.p50, 50], [1e3 * served.p99, 99]]))


def test_it_starts_where_one_by_one_fails_and_batches_do_not(panel):
    shown = panel.values
    assert shown["rate"] == pytest.approx(2 / 3.2e-3)
    assert shown["rate"] < shown["capacity"]
    assert shown["alone_p99"] > 20 * shown["p99"]
    assert panel.view.title.get_text().startswith("Half are answered within")


def test_an_overload_is_called_one(panel):
    move(panel, "rate", 1200.0)
    shown = move(panel, "max_batch", 2)
    assert shown["capacity"] == pytest.approx(2 / 3.4e-3)
    assert panel.view.title.get_text() == "Overloaded: 1200/s arrive, at most 588/s leave"
    assert shown["throughput"] == pytest.approx(shown["capacity"], rel=0.02)


def test_waiting_for_company_costs_where_nobody_comes(panel):
    move(panel, "rate", span(panel.controls["rate"])[0])
    patient, hasty = (move(panel, "max_wait", wait)["p50"] for wait in (5, 0))
    assert patient - hasty == pytest.approx(5e-3, rel=0.1)


def test_the_queue_is_counted_at_every_arrival(panel):
    served = batching.simulate(batching.arrivals(900, 300), curve(), max_batch=8, max_wait=0.01)
    gone = served.arrivals + served.latencies
    by_hand = [
        sum(1 for other in range(300) if served.arrivals[other] <= now < gone[other] or other == i)
        for i, now in enumerate(served.arrivals)
    ]
    assert in_flight(served).tolist() == by_hand


def ends(control):
    """Return the first and the last stop of a slider."""
    return span(control)[0], span(control)[-1]


@pytest.mark.parametrize("present", ["0", "1"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_no_text_lies_on_another(monkeypatch, present, scale):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = dynamic_batching(curve(3e-3 * scale, 0.2e-3 * scale))
    control = panel.controls["rate"]
    for rate, batch in itertools.product(ends(control), (1, 64)):
        panel.view.update(rate, batch, 10)
        assert texts_collide(panel.view) == []


def test_everything_drawn_is_inside_the_axes(panel):
    control = panel.controls["rate"]
    for rate, batch, wait in itertools.product(ends(control), (1, 64), (0, 100)):
        panel.view.update(rate, batch, wait)
        for line in (panel.view.shares, panel.view.alone, panel.view.queue, panel.view.queue_alone):
            (left, right), (bottom, top) = line.axes.get_xlim(), line.axes.get_ylim()
            xs, ys = line.get_data()
            assert left <= xs.min()
            assert xs.max() <= right
            assert bottom <= ys.min()
            assert ys.max() <= top


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("rate", 400.0), ("max_batch", 4), ("max_wait", 50)), monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((None,), TypeError, "curve must be a Curve"),
        ((curve(batches=(2, 4)),), ValueError, "curve must begin at batch 1; got 2"),
        ((curve(), 1e9), ValueError, "rate must be from"),
        ((curve(), "many"), TypeError, "rate must be a number"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        dynamic_batching(*arguments)
