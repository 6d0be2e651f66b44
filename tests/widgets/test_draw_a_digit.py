import numpy as np
import pytest
import torch
from helpers import assert_keeps_the_rules, counted, move, pixels, redrawn, sweep, texts_collide
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit import data, widgets
from coursekit.widgets.draw_a_digit import LONGEST_NAME, LONGEST_TITLE, _title
from coursekit.widgets.paint_grid import HALO, PaintGrid

WEIGHT = np.random.default_rng(0).normal(size=(64, 10))


def logits(x):
    return x @ WEIGHT


def other(x):
    return x @ WEIGHT[:, ::-1]


def probabilities(x):
    powers = np.exp(logits(x))
    return powers / powers.sum(1, keepdims=True)


def make(models=None, **options):
    chosen = (
        {"FP32": logits, "INT8": lambda x: logits(x) * 1.01, "other": other} if models is None else models
    )
    return widgets.draw_a_digit(chosen, data.digits(), **options)


@pytest.fixture
def panel():
    return make(picture=3)


def test_it_shows_what_the_models_answer(panel):
    split = data.digits().test
    for picture in (0, 7, 359):
        move(panel, "picture", picture)
        x = split.x[picture]
        assert np.array_equal(panel.values["grid"], x)
        assert panel.values["label"] == split.y[picture]
        expected = np.exp(logits(x)) / np.exp(logits(x)).sum()
        assert np.allclose(panel.values["probabilities"]["FP32"], expected, atol=1e-6)
        assert panel.values["answers"] == {
            "FP32": logits(x).argmax(),
            "INT8": logits(x).argmax(),
            "other": other(x).argmax(),
        }
        assert panel.values["agree"] == (logits(x).argmax() == other(x).argmax())
        lengths = [path.vertices[:, 0].max() for path in panel.view.bars[0].get_paths()]
        assert np.allclose(lengths, expected, atol=1e-6)
        assert panel.view.heads[0].get_text() == f"{logits(x).argmax()} ({expected.max():.0%})"


def test_it_starts_where_models_disagree():
    split = data.digits().test
    differ = logits(split.x).argmax(1) != other(split.x).argmax(1)
    panel = make()
    assert panel.values["picture"] == np.flatnonzero(differ)[0]
    assert panel.values["agree"] is False
    assert f"agree on {(~differ).sum()} of 360 test pictures" in panel.view.reading.get_text()
    assert make({"a": logits, "b": logits}).values["picture"] == 0


@pytest.mark.parametrize(
    "form",
    [
        probabilities,
        lambda x: logits(x).tolist(),
        lambda x: torch.tensor(logits(x)),
        lambda x: torch.tensor(logits(x), requires_grad=True),
    ],
)
def test_logits_probabilities_lists_and_tensors_show_the_same(form):
    shown = make({"a": form}, picture=5).values["probabilities"]["a"]
    assert np.allclose(shown, make({"a": logits}, picture=5).values["probabilities"]["a"])


def test_labels_alone_count_as_certain():
    shown = make({"a": lambda x: logits(x).argmax(1)}, picture=5).values
    assert sorted(shown["probabilities"]["a"]) == [0.0] * 9 + [1.0]
    assert shown["answers"]["a"] == logits(data.digits().test.x[5]).argmax()


def test_every_test_picture_moves_numbers_and_picture(panel):
    sweep(panel, "picture", [0, 1, 2, 100, 359])


def test_the_rules_of_the_house(panel, monkeypatch):
    moves = [("picture", 8), ("grid", np.linspace(0, 1, 64)), ("picture", 9), ("grid", np.zeros((8, 8)))]
    assert_keeps_the_rules(panel, moves, monkeypatch)


def test_loading_a_picture_draws_once(panel):
    with counted(panel) as sent:
        panel.controls["picture"].value = 200
    assert len(sent) == 1
    assert np.array_equal(panel.controls["grid"].value, data.digits().test.x[200])


def test_a_press_paints_a_square_and_draws_once(panel):
    grid = panel.controls["grid"]
    grid.clear.click()
    grid.soft.value = False
    with counted(panel) as sent:
        grid.squares[9].click()
    assert len(sent) == 1
    assert panel.values["grid"].tolist() == [1.0 if i == 9 else 0.0 for i in range(64)]
    assert np.array_equal(pixels(panel), redrawn(panel))
    grid.squares[9].click()
    assert not panel.values["grid"].any()


def test_what_is_painted_has_no_label_until_it_is_the_picture_again(panel):
    x = data.digits().test.x[3]
    changed = x.copy()
    changed[0] = 1 - changed[0]
    move(panel, "grid", changed)
    assert panel.values["label"] is None
    assert panel.view.caption.get_text() == "painted by hand"
    move(panel, "grid", x)
    assert panel.values["label"] == data.digits().test.y[3]
    panel.controls["grid"].clear.click()
    assert panel.view.caption.get_text() == "empty"
    assert "Nothing is painted" in panel.view.title.get_text() or "disagree" in panel.view.title.get_text()


# The grid


def level(button):
    return int(button.tooltip.rpartition(": ")[2].split()[0])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 63), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])), max_size=12))
def test_presses_paint_as_numpy_would(presses):
    grid, expected = PaintGrid(), np.zeros((8, 8))
    for number, strength in presses:
        grid.brush.value = strength
        spot = divmod(number, 8)
        if expected[spot] == strength:
            expected[spot] = 0
        else:
            expected[spot] = strength
            padded = np.zeros((10, 10))
            r, c = spot[0] + 1, spot[1] + 1
            padded[[r - 1, r + 1, r, r], [c, c, c - 1, c + 1]] = np.round(16 * HALO * strength) / 16
            expected = np.maximum(expected, padded[1:9, 1:9])
        grid.press(number)
    assert np.array_equal(np.reshape(grid.value, (8, 8)), expected)
    assert [level(button) for button in grid.squares] == [round(16 * pixel) for pixel in expected.ravel()]


def test_squares_are_as_dark_as_their_numbers():
    grid = PaintGrid(np.linspace(0, 1, 64))
    colours = [int(button.style.button_color[1:3], 16) for button in grid.squares]
    assert colours == sorted(colours, reverse=True)
    assert colours[0] == 255
    assert colours[-1] < 40
    assert grid.squares[63].tooltip == "row 8, column 8: 16 of 16"


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (np.full(64, np.nan), ValueError, "value must be finite; 64 of 64 values are NaN"),
        (np.full((8, 8), np.inf), ValueError, "value must be finite"),
        (np.zeros(63), ValueError, r"value must have shape \(64,\) or \(8, 8\); got \(63,\)"),
        (np.zeros((4, 16)), ValueError, r"got \(4, 16\)"),
        (np.full(64, 1.5), ValueError, "numbers from 0 to 1; got 1.5 to 1.5"),
        (np.full(64, -0.5), ValueError, "numbers from 0 to 1"),
        ([], ValueError, "empty"),
        ("digit", TypeError, "array of numbers"),
        (None, TypeError, "array of numbers"),
    ],
)
def test_what_is_not_a_picture_is_refused_and_nothing_is_lost(panel, value, error, says):
    before, shown = panel.controls["grid"].value, panel.picture.value
    with pytest.raises(error, match=says):
        panel.controls["grid"].value = value
    assert panel.controls["grid"].value == before
    assert panel.picture.value == shown
    move(panel, "grid", np.ones((8, 8)))


def test_a_press_outside_is_refused():
    for number in (-1, 64):
        with pytest.raises(ValueError, match="number must be from 0 to 63"):
            PaintGrid().press(number)


# What is written


def test_titles_say_who_says_what():
    assert _title({"a": 3}, False) == "A says 3"
    assert _title({"FP32": 3, "INT8": 3}, False) == "Both models say 3"
    assert _title({"FP32": 3, "INT8": 3, "x": 3}, False) == "All 3 models say 3"
    assert _title({"FP32": 3, "INT8": 3}, True) == "Nothing is painted, yet both models say 3"
    assert _title({"x": 1, "FP32": 3, "INT8": 3}, False) == "They disagree: FP32 and INT8 say 3, x says 1"
    long = {f"scikit-learn{i}": i // 2 for i in range(4)}
    assert _title(long, False) == "They disagree: 2 of 4 say 0, 2 of 4 say 1"
    for answers in ({f"scikit-learn{i}": i for i in range(4)}, long):
        assert len(_title(answers, False)) <= LONGEST_TITLE


@pytest.mark.parametrize("present", ["0", "1"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_nothing_collides(monkeypatch, present, count):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    kinds = [logits, other, lambda x: logits(x)[:, np.roll(np.arange(10), 1)], lambda x: -logits(x)]
    names = [f"scikit-lear{index}" for index in range(count)]
    assert len(names[0]) == LONGEST_NAME
    panel = make(dict(zip(names, kinds, strict=False)))
    for value in (data.digits().test.x[2], np.zeros(64), np.ones(64)):
        move(panel, "grid", value)
        assert texts_collide(panel.view) == []


# Bad models


@pytest.mark.parametrize(
    ("models", "error", "says"),
    [
        ({}, ValueError, "1 to 4 models; got 0"),
        ({str(i): logits for i in range(5)}, ValueError, "1 to 4 models; got 5"),
        ([logits], TypeError, "models must map names to functions; got list"),
        ({"a": 3}, TypeError, r"models\['a'\] must be a function of float32 \[n, 64\]; got int"),
        ({"x" * 13: logits}, ValueError, "1 to 12 characters"),
        ({3: logits}, ValueError, "characters; got 3"),
        ({"a": lambda x: logits(x)[:, :9]}, ValueError, r"a must answer .* got shape \(360, 9\)"),
        ({"a": lambda x: logits(x) * np.nan}, ValueError, "what a answers must be finite"),
        ({"a": lambda x: np.full(len(x), 10)}, ValueError, "a must answer"),
        ({"a": lambda x: "seven"}, TypeError, "what a answers must be an array"),
    ],
)
def test_bad_models_are_refused(models, error, says):
    with pytest.raises(error, match=says):
        make(models)


def test_bad_digits_and_pictures_are_refused():
    with pytest.raises(TypeError, match="digits must be Digits or a Split with pictures; got str"):
        widgets.draw_a_digit({"a": logits}, "digits")
    with pytest.raises(ValueError, match="picture must be from 0 to 359; got 360"):
        make(picture=360)


def test_a_model_cannot_change_what_others_see():
    def greedy(x):
        x[:] = 0
        return logits(x)

    shown = make({"greedy": greedy, "a": logits}, picture=4).values
    assert shown["answers"]["a"] == logits(data.digits().test.x[4]).argmax()
