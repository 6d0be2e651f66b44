from itertools import permutations

import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, pixels, redrawn, texts_collide

from coursekit.plots.pipeline import CHOSEN, REST, SAME, in_groups
from coursekit.variants.orders import ORDERS, Pipeline, Pipelines
from coursekit.widgets.pipeline import NOTHING, PLACES, pipeline

STEPS = ("distil", "prune", "quantize")


def pipelines(seeds=5, factor=1.0):
    random = np.random.default_rng(seeds)
    found = {}
    for number, order in enumerate(ORDERS):
        right = random.integers(200, 360, seeds) / 360
        found[order] = Pipeline(order, int(factor * 40_000 / (number + 1)), right)
    return Pipelines(found, "a server CPU @ 2.70GHz, 2 cores")


@pytest.fixture
def panel():
    return pipeline(pipelines())


def choose(panel, steps):
    for place in reversed(PLACES):
        panel.controls[place].value = NOTHING
    for place, step in zip(PLACES, steps, strict=False):
        panel.controls[place].value = step
    return panel.values


def test_there_are_sixteen_orders_in_groups_of_the_same_steps():
    assert len(ORDERS) == len(set(ORDERS)) == 1 + 3 + 6 + 6
    groups = [frozenset(found.steps) for found in in_groups(pipelines())]
    changes = sum(one != other for one, other in zip(groups, groups[1:], strict=False))
    assert changes + 1 == len(set(groups)) == 8


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_every_order_shows_what_was_measured_for_it(panel, order):
    shown = choose(panel, order)
    result = pipelines()[order]
    assert shown["steps"] == order
    assert shown["size_bytes"] == result.size_bytes
    assert [shown["mean"], shown["low"], shown["high"]] == [
        result.accuracies.mean(),
        result.accuracies.min(),
        result.accuracies.max(),
    ]
    assert len(shown["others"]) == len(list(permutations(order))) - 1
    assert panel.view.title.get_text().startswith(result.name)


def test_the_order_is_blue_and_its_siblings_are_orange(panel, monkeypatch):
    from matplotlib.colors import to_hex

    choose(panel, ("quantize", "prune"))
    colours = dict(zip(panel.view.rows.steps, panel.view.rows.bars.get_color(), strict=True))
    named = {steps: to_hex(colour).upper() for steps, colour in colours.items()}
    assert named.pop(("quantize", "prune")) == CHOSEN
    assert named.pop(("prune", "quantize")) == SAME
    assert set(named.values()) == {REST}


def test_every_row_has_its_mean_beside_its_range(panel):
    ax = panel.view.rows.dots.axes
    written = {round(text.xy[1]): (text.xy[0], float(text.get_text())) for text in ax.texts}
    assert len(written) == len(ORDERS)
    for row, found in zip(reversed(range(len(ORDERS))), in_groups(pipelines()), strict=True):
        assert written[row] == (pytest.approx(100 * found.high), pytest.approx(100 * found.mean, abs=0.0501))
    assert max(ax.get_xticks()) <= 100


def test_a_step_chosen_twice_moves(panel):
    choose(panel, STEPS)
    shown = move(panel, "first", "quantize")
    assert shown["steps"] == ("quantize", "prune")
    assert [panel.controls[place].value for place in PLACES] == ["quantize", "prune", NOTHING]
    shown = move(panel, "first", NOTHING)
    assert shown["steps"] == ("prune",)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_moves_numbers_and_picture(panel, place):
    for step in (*STEPS, NOTHING):
        choose(panel, [s for s in STEPS if s != step][:2])
        numbers, picture = panel.values, pixels(panel)
        if step == NOTHING and place == "third":
            continue
        move(panel, place, step)
        assert panel.values["steps"] != numbers["steps"]
        assert not np.array_equal(pixels(panel), picture)


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = pipeline(pipelines(seeds=10))
    for order in ORDERS[::5]:
        choose(panel, order)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("first", "prune"), ("third", "distil")), monkeypatch)


# Measuring again


def test_other_seeds_give_new_numbers_on_new_axes():
    fractions = []

    def measure(progress):
        progress(0.5)
        fractions.append(panel.progress.value)
        return pipelines(seeds=7, factor=10)

    panel = pipeline(pipelines(), measure=measure)
    before = panel.values["size_bytes"]
    panel.buttons["Measure with other seeds"].click()
    assert panel.message.value == ""
    assert fractions == [0.5]
    assert panel.values["size_bytes"] == pytest.approx(10 * before, rel=0.01)
    assert texts_collide(panel.view) == []
    assert np.array_equal(pixels(panel), redrawn(panel))


def test_a_wrong_result_is_named_and_changes_nothing():
    panel = pipeline(pipelines(), measure=lambda progress: {})
    before = panel.picture.value
    panel.buttons["Measure with other seeds"].click()
    assert "what measure returns must be Pipelines" in panel.message.value
    assert panel.picture.value == before


def test_without_a_measurement_there_is_no_button(panel):
    assert panel.buttons == {}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((None,), TypeError),
        ((pipelines(), ("prune", "prune")), ValueError),
        ((pipelines(), ("shrink",)), ValueError),
        ((pipelines(), "prune"), TypeError),
    ],
)
def test_bad_arguments_are_named(arguments, error):
    with pytest.raises(error, match="must"):
        pipeline(*arguments)
