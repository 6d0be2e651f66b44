import itertools

import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit import widgets
from coursekit.quantization import MethodRow, MethodTable
from coursekit.widgets.methods_by_bits import _decades, _sentence, _written

BITS = (8, 4, 3, 2)
METHODS = ("tensor", "row", "groups of 64", "GPTQ, 64", "AWQ, 64", "NF4 of 64")
MODELS = ("the small model", "SmolLM2-135M-Instruct, real")


def table(models=MODELS, methods=METHODS, left_out=()):
    random = np.random.default_rng(0)
    rows = []
    for model, method, bits in itertools.product(models, methods, BITS):
        kl, loss, same = random.uniform(0.5, 2, 3) * (4.0**-bits, 3.0**-bits, 0.3)
        if (model, method, bits) not in left_out:
            readings = [(value, 0.9 * value, 1.1 * value) for value in (kl, loss, 1 - same)]
            readings[2] = (1 - same, 0.97 * (1 - same), 1 - 0.95 * same)
            rows.append(MethodRow(model, method, bits, bits + 0.25, *readings))
    return MethodTable(rows)


@pytest.fixture(scope="module")
def shared():
    return widgets.methods_by_bits(table())


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["measure"].value, shared.controls["bits"].value = "kl", 3
    return shared


@pytest.mark.parametrize("name", ["measure", "bits"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("measure", ["kl", "loss_added", "same"])
def test_numbers_and_marks_are_the_tables(panel, measure):
    factor = 100 if measure == "same" else 1
    given = table()
    for bits in BITS:
        shown = panel.view.update(measure, bits)
        for model, method in itertools.product(MODELS, METHODS):
            found = [getattr(given.row(model, method, each), measure) for each in BITS]
            line = panel.view.lines[model, method]
            np.testing.assert_allclose(line.get_ydata(), [factor * reading[0] for reading in found])
            _, bar, dot = panel.view.dots[model, method]
            mean, low, high = (factor * part for part in found[BITS.index(bits)])
            assert shown["values"][f"{model}: {method}"] == pytest.approx((mean, low, high))
            np.testing.assert_allclose(bar.get_xdata(), [low, high])
            assert dot.get_xdata() == [pytest.approx(mean)]
            for artist, values in ((line, line.get_ydata()), (dot, bar.get_xdata())):
                axes = artist.axes
                first, last = axes.get_ylim() if artist is line else axes.get_xlim()
                assert first < min(values) <= max(values) < last
        assert shown["best"] == {model: list(given.best(model, bits, measure)) for model in MODELS}


def test_what_was_not_measured_is_left_out():
    gone = [(MODELS[1], METHODS[0], bits) for bits in BITS] + [(MODELS[0], METHODS[3], 3)]
    panel = widgets.methods_by_bits(table(left_out=gone))
    assert panel.values["bits"] == 3
    assert f"{MODELS[1]}: {METHODS[0]}" not in panel.values["values"]
    assert len(panel.view.lines[MODELS[1], METHODS[0]].get_xdata()) == 0
    assert list(panel.view.lines[MODELS[0], METHODS[3]].get_xdata()) == [0, 1, 3]
    assert len(panel.view.dots[MODELS[0], METHODS[3]][2].get_xdata()) == 0


def test_one_model_alone_is_shown_too():
    panel = widgets.methods_by_bits(table(MODELS[:1], METHODS[:2]))
    assert len(panel.view.figure.axes) == 2
    move(panel, "bits", 8)
    assert "both" not in panel.view.title.get_text()


@pytest.mark.parametrize("models", [MODELS, MODELS[:1]], ids=["two models", "one"])
def test_a_name_and_its_mark_do_not_overlap(models):
    view = widgets.methods_by_bits(table(models)).view
    view.figure.canvas.draw()
    names = [label.get_window_extent() for label in view.below[0].get_yticklabels()]
    marks = [key.get_window_extent() for key in view.keys]
    assert len(names) == len(marks) == len(METHODS)
    for name, mark in zip(names, marks, strict=True):
        assert name.x1 < mark.x0 < mark.x1 < view.below[0].bbox.x0


def test_the_title_says_whether_the_models_agree():
    assert _sentence(3, "kl", [["a"], ["a"]]) == "3 bits: a has the least KL on both models"
    assert _sentence(1, "same", [["a"]]) == "1 bit: a has the most equal choices"
    assert _sentence(4, "kl", [["a", "b"], ["a"]]) == "4 bits: no clear leader on both models"
    assert _sentence(2, "kl", [["a", "b"], ["c"]]) == "2 bits: the two models have different leaders"
    assert _sentence(2, "kl", [["a"], []]) == "2 bits: not all models were measured"


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [
        ((6e-7, 2), [1e-6, 1e-4, 1e-2, 1]),
        ((0.005, 2), [0.01, 0.1, 1]),
        ((0.15, 0.6), [0.2, 0.5]),
        ((0.05, 0.3), [0.05, 0.1, 0.2]),
    ],
)
def test_ticks_are_round_and_few(ends, ticks):
    assert _decades(*ends) == pytest.approx(ticks)


def test_numbers_on_the_axes():
    assert [_written(value) for value in (0.01, 1e-6, 2.5, -0.5, 0)] == ["0.01", "10⁻⁶", "2.5", "−0.5", "0"]


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = widgets.methods_by_bits(table())
    for measure, bits in itertools.product(("same", "loss_added", "kl"), BITS):
        # Ticks find their places when they are drawn.
        panel.controls["measure"].value, panel.controls["bits"].value = measure, bits
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    moves = (("bits", 8), ("measure", "same"), ("measure", "kl"), ("measure", "loss_added"), ("bits", 2))
    assert_keeps_the_rules(panel, moves, monkeypatch)


def test_something_else_is_named():
    with pytest.raises(TypeError, match="table must be a"):
        widgets.methods_by_bits([1])
