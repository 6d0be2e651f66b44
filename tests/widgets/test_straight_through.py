import itertools

import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit.quantization import straight_through as follow
from coursekit.widgets.straight_through import BITS, STEPS, straight_through


@pytest.fixture(scope="module")
def shared():
    return straight_through()


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["bits"].value, shared.controls["steps"].value = 4, 400
    return shared


@pytest.mark.parametrize("name", ["steps", "bits"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("bits", BITS)
def test_numbers_and_marks_are_those_of_the_run(panel, bits):
    run = follow(bits=bits, steps=STEPS)
    for steps in (0, 1, 77, STEPS):
        shown = panel.view.update(steps, bits)
        found = [shown[name] for name in ("weight", "rounded", "gradient", "first")]
        expected = [run.latent[steps], run.rounded[steps], run.gradient[steps], run.latent[1]]
        assert found == pytest.approx(expected)
        assert shown["changes"] == np.count_nonzero(np.diff(run.rounded[: steps + 1]))
        assert panel.view.here.get_xydata()[0] == pytest.approx((run.latent[steps], run.rounded[steps]))
        np.testing.assert_array_equal(panel.view.rounded.get_ydata(), run.rounded[: steps + 1])
        np.testing.assert_array_equal(panel.view.latent.get_ydata(), run.latent[: steps + 1])
        # Down the slope: against the gradient.
        tip, foot = panel.view.arrow.xy[0], panel.view.arrow.get_position()[0]
        assert np.sign(tip - foot) == -np.sign(run.gradient[steps])


@pytest.mark.parametrize("bits", BITS)
def test_the_stairs_are_those_of_rounding(panel, bits):
    shown = panel.view.update(0, bits)
    x, y = panel.view.stairs.get_data()
    middles = (x[::2] + x[1::2]) / 2
    for middle, level in zip(middles[1:-1], y[2:-2:2], strict=True):
        assert level == pytest.approx(np.rint(middle / shown["scale"]) * shown["scale"])


def test_it_says_that_the_lectures_weight_moves_up(panel):
    assert panel.view.first.get_text() == "first step: 0.37 → 0.37025, up"
    move(panel, "steps", 1)
    assert panel.view.title.get_text() == "After 1 step: weight 0.37025, rounded 0.4, no jumps"
    move(panel, "steps", 0)
    assert panel.view.title.get_text().startswith("Before the first step: weight 0.37, rounded 0.4")
    assert panel.view.pushed.get_text() == "gradient −0.05, passed on"
    move(panel, "bits", 3)
    assert panel.view.first.get_text().endswith("down")
    assert straight_through(lr=0).view.first.get_text() == "first step: 0.37 → 0.37, no move"


def test_it_rests_after_the_weight_has_passed_the_threshold(panel):
    assert panel.values["changes"] > 10
    assert panel.values["weight"] == pytest.approx(0.45, abs=0.001)


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = straight_through()
    for bits, steps in itertools.product(BITS, (0, 1, 333, 600)):
        panel.view.update(steps, bits)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("steps", 1), ("bits", 2), ("steps", 600)), monkeypatch)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"weight": 2}, ValueError, "weight"),
        ({"target": "0.4"}, TypeError, "target"),
        ({"largest": -1}, ValueError, "largest"),
        ({"lr": 2}, ValueError, "lr"),
    ],
)
def test_bad_input_is_named(change, error, says):
    with pytest.raises(error, match=says):
        straight_through(**change)
