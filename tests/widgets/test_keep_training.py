"""The panel that trains: a press does steps, judges once, and an interrupt keeps what was learned."""

import itertools

import examples
import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, pixels, texts_collide

from coursekit import language, widgets
from coursekit.widgets import keep_training as module
from coursekit.widgets.keep_training import smoothed


@pytest.fixture
def parts():
    return examples.arguments("keep_training")


@pytest.fixture
def panel(parts):
    return widgets.keep_training(*parts, seconds=0.01)


def press(panel):
    (button,) = panel.buttons.values()
    button.click()
    return button


def test_a_press_trains_the_chosen_model_alone(panel, parts):
    trainers, data = parts
    before = {name: len(trainer.losses) for name, trainer in trainers.items()}
    picture = pixels(panel)
    move(panel, "model", "shipped")
    button = press(panel)
    assert len(trainers["shipped"].losses) > before["shipped"]
    assert len(trainers["fresh"].losses) == before["fresh"]
    assert panel.values["last"] == language.losses(trainers["shipped"].model, data).mean
    assert panel.values["last"] < panel.values["first"], "a text this simple is learned"
    assert not np.array_equal(pixels(panel), picture)
    assert not button.disabled
    assert [len(judged) for judged in panel.view.judged.values()] == [1, 2]


def test_the_picture_follows_while_it_trains(parts, monkeypatch):
    monkeypatch.setattr(module, "REDRAWN", 0.0)
    panel = widgets.keep_training(*parts, seconds=0.05)
    drawn = []
    monkeypatch.setattr(panel, "refresh", lambda: drawn.append(panel.progress.value))
    press(panel)
    assert len(drawn) >= 2
    assert drawn == sorted(drawn)
    assert 0 < drawn[0] <= drawn[-1] <= 1


def test_an_interrupt_keeps_what_was_learned(parts, monkeypatch):
    trainers, _ = parts
    panel = widgets.keep_training(*parts, seconds=60)
    done, steps = trainers["fresh"].step, itertools.count()

    def step():
        if next(steps) == 3:
            raise KeyboardInterrupt
        return done()

    monkeypatch.setattr(trainers["fresh"], "step", step)
    before = len(trainers["fresh"].losses)
    with pytest.raises(KeyboardInterrupt):
        press(panel)
    assert len(trainers["fresh"].losses) == before + 3
    assert panel.view.judged["fresh"][-1][0] == before + 3, "judged all the same"
    assert not trainers["fresh"].model.training
    assert not next(iter(panel.buttons.values())).disabled


def test_when_all_steps_are_done_a_press_only_judges(parts):
    trainers, _ = parts
    trainers["fresh"].run()
    panel = widgets.keep_training(*parts, seconds=0.01)
    press(panel)
    assert len(trainers["fresh"].losses) == trainers["fresh"].recipe.steps
    assert panel.message.value == ""


def test_the_line_is_the_mean_of_the_last_steps():
    losses = np.random.default_rng(0).random(40)
    slow = [losses[max(0, n - 15) : n + 1].mean() for n in range(40)]
    np.testing.assert_allclose(smoothed(losses), slow)
    assert smoothed(np.array([])).shape == (0,)


def test_nothing_collides_and_the_rules_are_kept(panel, monkeypatch):
    press(panel)
    for name in ("shipped", "fresh"):
        move(panel, "model", name)
        assert texts_collide(panel.view) == []
    assert_keeps_the_rules(panel, [("model", "shipped")], monkeypatch)


def test_what_cannot_be_trained_is_refused(parts):
    trainers, data = parts
    with pytest.raises(ValueError, match="trainers must map 1 to 4 names"):
        widgets.keep_training({}, data)
    with pytest.raises(TypeError, match="trainers must be"):
        widgets.keep_training({"a": 3}, data)
    with pytest.raises(ValueError, match="seconds must be"):
        widgets.keep_training(trainers, data, seconds=0)
