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

from coursekit.widgets.staircase import staircase


@pytest.fixture(scope="module")
def shared():
    return staircase()


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["bits"].value, shared.controls["frequency"].value = 3, 2.0
    return shared


@pytest.mark.parametrize("name", ["bits", "frequency"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("bits", range(1, 11))
def test_numbers_agree_with_an_own_quantizer(panel, bits):
    shown = move(panel, "bits", bits) if bits != 3 else panel.values
    time = np.linspace(0, 1, 200_001)
    wave = np.sin(2 * np.pi * 2 * time)
    step = 2 / (2**bits - 1)
    noise = wave - (np.rint((wave + 1) / step) * step - 1)
    assert shown["levels"] == 2**bits
    assert shown["scale"] == pytest.approx(step, rel=1e-6)
    assert shown["sqnr"] == pytest.approx(10 * np.log10(np.mean(wave**2) / np.mean(noise**2)), abs=0.15)
    assert shown["predicted_sqnr"] == pytest.approx(6.02 * bits + 1.76)


def test_one_bit_makes_a_square_wave(panel):
    shown = move(panel, "bits", 1)
    assert set(np.unique(panel.view.steps.get_ydata())) == {-1.0, 1.0}
    assert shown["sqnr"] == pytest.approx(10 * np.log10(0.5 / (1.5 - 4 / np.pi)), abs=0.01)


def test_from_four_bits_on_the_rule_holds(panel):
    for bits in range(4, 11):
        shown = panel.view.update(bits, 2.0)
        assert shown["sqnr"] == pytest.approx(shown["predicted_sqnr"], abs=0.5)


def test_the_error_stays_within_half_a_scale(panel):
    for bits, frequency in itertools.product(range(1, 11), (1.0, 3.5, 8.0)):
        panel.view.update(bits, frequency)
        error = panel.view.error.get_ydata()
        assert np.abs(error).max() <= 0.5 + 1e-3
        assert panel.view.error.axes.get_ylim() == (-0.6, 0.6)


def test_the_wave_and_the_picture_of_all_widths_fit_their_axes(panel):
    for frequency in (1.0, 8.0):
        panel.view.update(10, frequency)
        for line in (panel.view.sine, panel.view.steps, panel.view.measured):
            low, high = line.axes.get_ylim()
            assert low < np.min(line.get_ydata())
            assert np.max(line.get_ydata()) < high


def test_the_title_says_what_was_measured(panel):
    assert (
        panel.view.title.get_text() == f"3 bits: the error is {panel.values['sqnr']:.1f} dB below the signal"
    )
    move(panel, "bits", 1)
    assert panel.view.title.get_text().startswith("1 bit: ")


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = staircase()
    for bits, frequency in itertools.product(range(1, 11), (1.0, 8.0)):
        panel.view.update(bits, frequency)
        assert texts_collide(panel.view) == []


def test_the_chosen_point_does_not_lie_on_the_numbers(panel):
    renderer = panel.view.figure.canvas.get_renderer()
    for bits in span(panel.controls["bits"], 10):
        panel.view.update(bits, 2.0)
        box = panel.view.numbers.get_window_extent(renderer)
        assert not box.overlaps(panel.view.chosen.get_window_extent(renderer))


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("bits", 1), ("bits", 10), ("frequency", 7.5)), monkeypatch)


@pytest.mark.parametrize(
    ("bits", "frequency", "error", "says"),
    [
        (0, 2, ValueError, "bits"),
        (11, 2, ValueError, "bits"),
        (2.5, 2, TypeError, "bits"),
        (3, 0.5, ValueError, "frequency"),
        (3, float("nan"), ValueError, "frequency"),
        (3, "2", TypeError, "frequency"),
    ],
)
def test_bad_input_is_named(bits, frequency, error, says):
    with pytest.raises(error, match=says):
        staircase(bits, frequency)
