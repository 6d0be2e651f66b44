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

from coursekit.widgets.number_line import LECTURE, MOST_DRAWN, NumberLineView, number_line


@pytest.fixture(scope="module")
def shared():
    return number_line()


@pytest.fixture
def panel(shared):
    with shared.hold():
        for name, value in {"bits": 4, "symmetric": True, "clip": 1.0}.items():
            shared.controls[name].value = value
    return shared


def by_hand(weights, bits, symmetric, clip):
    """Quantize in float64, straight from the definition."""
    w = np.asarray(weights, np.float64)
    low, high = clip * min(w.min(), 0), clip * max(w.max(), 0)
    if symmetric:
        top = 2 ** (bits - 1) - 1
        scale, zero = clip * np.abs(w).max() / top, 0
        q = np.clip(np.rint(w / scale), -top, top)
    else:
        scale = (high - low) / (2**bits - 1)
        zero = -(2 ** (bits - 1)) - np.rint(low / scale)
        q = np.clip(np.rint(np.clip(w, low, high) / scale) + zero, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return scale, zero, q, w - (q - zero) * scale


@pytest.mark.parametrize("name", ["bits", "symmetric", "clip"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize(
    ("bits", "symmetric", "clip"), list(itertools.product((2, 4, 8), (True, False), (1.0, 0.6)))
)
def test_numbers_agree_with_the_definition(panel, bits, symmetric, clip):
    with panel.hold():
        for name, value in {"bits": bits, "symmetric": symmetric, "clip": clip}.items():
            panel.controls[name].value = value
    shown, weights = panel.values, panel.view.weights
    scale, zero, q, errors = by_hand(weights, bits, symmetric, clip)
    assert shown["scale"] == pytest.approx(scale, rel=1e-6)
    assert shown["zero_point"] == zero
    assert shown["levels_used"] == np.unique(q).size
    assert shown["levels"] == 2**bits - symmetric
    assert shown["max_error"] == pytest.approx(np.abs(errors).max(), rel=1e-4)
    assert shown["rms_error"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    assert shown["clipped"] == np.count_nonzero(np.abs(errors) > scale / 2 * (1 + 1e-4))
    power = np.sum(np.float64(weights) ** 2) / np.sum(errors**2)
    assert shown["sqnr"] == pytest.approx(10 * np.log10(power), abs=1e-2)


def test_the_default_makes_the_point(panel):
    assert panel.values["clipped"] == 0
    assert panel.values["max_error"] <= panel.values["scale"] / 2 * (1 + 1e-5)
    assert set(np.float32(LECTURE)) <= set(panel.view.weights)
    assert panel.view.title.get_text() == "4 bits, 15 levels: no weight moves further than scale/2"


def test_the_title_counts_what_was_cut(panel):
    shown = move(panel, "clip", 0.4)
    assert shown["clipped"] > 0
    assert panel.view.title.get_text().startswith(f"Cut to 40 %: {shown['clipped']} of 206 weights")


def test_every_weight_is_counted_once(panel):
    for clip, symmetric in itertools.product((0.2, 0.5, 1.0), (True, False)):
        with panel.hold():
            panel.controls["clip"].value, panel.controls["symmetric"].value = clip, symmetric
        outside = [bar.get_height() for bar in panel.view.cut_bars]
        assert sum(outside) == panel.values["clipped"]
        assert sum(outside) + panel.view.bars.get_data().values.sum() == panel.view.weights.size


def test_the_bars_stay_inside_the_axes(panel):
    top = panel.view.bars.axes.get_ylim()[1]
    for bits, symmetric, clip in itertools.product(range(2, 9), (True, False), (0.2, 0.6, 1.0)):
        panel.view.update(bits, symmetric, clip)
        highest = max(*(bar.get_height() for bar in panel.view.cut_bars), *panel.view.bars.get_data().values)
        assert highest < top


def test_the_ties_end_on_levels(panel):
    move(panel, "bits", 3)
    feet = panel.view.ties.get_xdata()[1::3]
    steps = feet / panel.values["scale"]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-5)
    assert np.unique(panel.view.levels.get_xdata()[::3]).size == 7


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = number_line()
    for bits, symmetric, clip in itertools.product((2, 4, 8), (True, False), (0.2, 0.5, 1.0)):
        panel.view.update(bits, symmetric, clip)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("bits", 8), ("clip", 0.2), ("symmetric", False)), monkeypatch)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40).filter(any),
    st.integers(2, 8),
    st.booleans(),
    st.floats(0.2, 1.0),
)
def test_any_weights_can_be_drawn(weights, bits, symmetric, clip):
    view = NumberLineView(np.array(weights, np.float32))
    shown = view.update(bits, symmetric, clip)
    largest = np.abs(weights).max()
    if clip == 1:
        assert shown["clipped"] == 0
    assert shown["max_error"] <= max(
        shown["scale"] / 2 + 1e-5 * largest, (1 - clip) * largest + shown["scale"]
    )


def test_any_shape_is_taken_and_nothing_is_changed():
    weights = np.linspace(-1, 2, 600).reshape(20, 30)
    before = weights.copy()
    panel = number_line(weights, bits=3)
    assert panel.view.drawn.size == MOST_DRAWN
    assert np.array_equal(weights, before)
    assert panel.values["levels"] == 7
    assert texts_collide(panel.view) == []


@pytest.mark.parametrize("kind", ["list", "array", "tensor"])
def test_weights_come_in_any_form(kind):
    weights = [0.5, -0.25, 1.0]
    if kind == "array":
        weights = np.array(weights)
    if kind == "tensor":
        weights = pytest.importorskip("torch").tensor(weights, requires_grad=True)
    assert number_line(weights, bits=2).values["scale"] == 1.0


@pytest.mark.parametrize(
    ("weights", "bits", "error", "says"),
    [
        ([], 4, ValueError, "weights"),
        ([0.0, 0.0], 4, ValueError, "weights"),
        ([float("nan")], 4, ValueError, "weights"),
        (["a"], 4, TypeError, "weights"),
        ([1.0], 1, ValueError, "bits"),
        ([1.0], 9, ValueError, "bits"),
        ([1.0], 4.5, TypeError, "bits"),
    ],
)
def test_bad_input_is_named(weights, bits, error, says):
    with pytest.raises(error, match=says):
        number_line(weights, bits)
