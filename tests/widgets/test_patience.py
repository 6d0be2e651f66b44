import itertools

import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, pixels, redrawn, sweep, texts_collide
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coursekit.distillation import GainGrid
from coursekit.plots.gain_map import gain_map, sentence, signed
from coursekit.plots.style import axes
from coursekit.widgets.patience import patience

EPOCHS, TEMPERATURES, ALPHAS, SEEDS = (10, 30, 100), (1, 2, 4, 8.5), (0.25, 0.5, 1.0), 6


def grid(factor=1.0, **changes):
    rng = np.random.default_rng(4)
    shape = len(EPOCHS), len(TEMPERATURES), len(ALPHAS)
    steps = np.array([-12.0, -1.0, 2.5])[:, None, None] + np.arange(12).reshape(shape[1:]) / 10
    gain = factor * (steps[..., None] + rng.normal(0, 0.8, (*shape, SEEDS)))
    return GainGrid(
        **{"epochs": EPOCHS, "temperatures": TEMPERATURES, "alphas": ALPHAS, "gain": gain, **changes}
    )


@pytest.fixture
def panel():
    return patience(grid())


# The measurements


def test_a_cell_holds_its_seeds_and_student_s_interval():
    made = grid()
    for (e, epochs), (t, temperature), (a, alpha) in itertools.product(
        enumerate(EPOCHS), enumerate(TEMPERATURES), enumerate(ALPHAS)
    ):
        gains = made.gain[e, t, a]
        assert np.array_equal(made.at(epochs, temperature, alpha), gains)
        found = made.difference(epochs, temperature, alpha)
        low, high = stats.t.interval(0.95, SEEDS - 1, gains.mean(), stats.sem(gains))
        assert np.allclose((found.mean, found.low, found.high), (gains.mean(), low, high))
        assert np.isclose(made.means(epochs)[t, a], gains.mean())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=8))
def test_the_sentence_is_true_of_any_gains(gains):
    made = GainGrid((1,), (4,), (0.5,), np.array(gains).reshape(1, 1, 1, -1))
    found = made.difference(1, 4, 0.5)
    says = {"the teacher helps": found.low > 0, "the teacher harms": found.high < 0}
    assert says.get(sentence(found), found.low <= 0 <= found.high)


@pytest.mark.parametrize(
    ("value", "text"), [(2.34, "+2.3"), (-0.26, "−0.3"), (0.04, "0.0"), (-0.04, "0.0"), (-12.0, "−12.0")]
)
def test_points_are_written_with_their_sign(value, text):
    assert signed(value) == text


def test_a_grid_prints_as_a_table():
    lines = str(grid()).splitlines()
    assert lines[0].split() == ["epochs", "T", "α", "=", "0.25", "α", "=", "0.5", "α", "=", "1"]
    assert len(lines) == 2 + len(EPOCHS) * len(TEMPERATURES)
    assert repr(grid()) == str(grid())
    assert f"{SEEDS} seeds" in grid()._repr_html_()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": (30, 10, 100)}, "epochs must ascend"),
        ({"temperatures": (1, 1, 2, 4)}, "temperatures must ascend"),
        ({"alphas": ()}, "alphas"),
        ({"alphas": (0.5, 1.0)}, "gain must have shape"),
        ({"gain": np.zeros((3, 4, 3, 1))}, "two seeds"),
        ({"gain": np.full((3, 4, 3, 6), np.nan)}, "gain must be finite"),
        ({"gain": np.zeros((3, 4, 3))}, "gain must have 4"),
    ],
)
def test_bad_measurements_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        grid(**changes)


@pytest.mark.parametrize(
    ("cell", "says"), [((11, 1, 0.5), "epochs"), ((10, 3, 0.5), "temperature"), ((10, 1, 0), "alpha")]
)
def test_what_was_not_measured_is_refused(cell, says):
    with pytest.raises(ValueError, match=f"{says} must be one of"):
        grid().at(*cell)


def test_the_map_shows_every_mean_and_keeps_its_colours():
    _, ax = axes(alt="a map")
    made = grid()
    drawn = gain_map(ax, made, 30)
    assert [text.get_text() for text in drawn.texts] == [signed(value) for value in made.means(30).flat]
    assert drawn.image.norm.vmax == -drawn.image.norm.vmin >= np.abs(made.means(10)).max()


def test_noise_alone_is_not_painted_in_full_colours():
    _, ax = axes(alt="a map")
    assert gain_map(ax, grid(factor=1e-3)).image.norm.vmax == 1.0


# The panel


@pytest.mark.parametrize("name", ["epochs", "temperature", "alpha"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_numbers_are_those_measured(panel):
    made = grid()
    for epochs, temperature, alpha in itertools.product(EPOCHS, TEMPERATURES, ALPHAS):
        with panel.hold():
            for name, value in (("epochs", epochs), ("temperature", temperature), ("alpha", alpha)):
                panel.controls[name].value = value
        gains = made.at(epochs, temperature, alpha)
        assert np.isclose(panel.values["gain"], gains.mean())
        assert panel.values["wins"] == (gains > 0).sum()
        assert panel.values["low"] < panel.values["gain"] < panel.values["high"]
        assert [text.get_text() for text in panel.view.map.texts] == [
            signed(v) for v in made.means(epochs).flat
        ]
        assert np.array_equal(panel.view.dots.get_ydata(), gains)
        middle = np.mean(panel.view.ring.get_corners(), axis=0)
        assert np.allclose(middle, (ALPHAS.index(alpha), TEMPERATURES.index(temperature)))


def test_the_title_follows_the_measurements(panel):
    assert move(panel, "epochs", 10)["verdict"] == "b better"
    assert "the teacher harms" in panel.view.title.get_text()
    assert move(panel, "epochs", 100)["verdict"] == "a better"
    assert "the teacher helps" in panel.view.title.get_text()


def test_the_panel_keeps_the_rules(panel, monkeypatch):
    assert_keeps_the_rules(panel, [("epochs", 10), ("temperature", 8.5), ("alpha", 0.25)], monkeypatch)


@pytest.mark.parametrize("presenter", ["0", "1"])
@pytest.mark.parametrize("factor", [1.0, 0.01, 20.0])
def test_texts_do_not_collide(monkeypatch, presenter, factor):
    monkeypatch.setenv("COURSEKIT_PRESENT", presenter)
    made = patience(grid(factor))
    for epochs in EPOCHS:
        move(made, "epochs", epochs) if made.controls["epochs"].value != epochs else None
        assert texts_collide(made.view) == []


def test_equal_gains_and_two_seeds_are_drawn():
    made = patience(GainGrid((10, 100), (1, 4), (0.5,), np.zeros((2, 2, 1, 2))))
    assert made.values["verdict"] == "same"
    move(made, "epochs", 10)
    assert np.array_equal(pixels(made), redrawn(made))


def test_other_results_are_refused():
    with pytest.raises(TypeError, match="GainGrid"):
        patience({"gain": 1})
