import itertools

import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit.quantization import error_steps
from coursekit.widgets.compensation import compensation

SIGNS = ("handed on", "wrong sign")


def problem(columns=6, seed=1):
    random = np.random.default_rng(seed)
    causes = random.normal(size=(40, 2)) @ random.normal(size=(2, columns))
    return random.normal(size=columns), causes + 0.4 * random.normal(size=(40, columns))


@pytest.fixture(scope="module")
def shared():
    return compensation()


@pytest.fixture
def panel(shared):
    with shared.hold():
        for name, value in (("column", 14), ("order", False), ("sign", "handed on")):
            shared.controls[name].value = value
    return shared


@pytest.mark.parametrize("name", ["column", "order", "sign"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_numbers_and_marks_are_those_of_the_steps(bits):
    row, inputs = problem()
    panel = compensation(row, inputs, bits)
    products = inputs.T @ inputs / len(inputs)
    for order, sign, column in itertools.product((False, True), SIGNS, (0, 1, 4, 6)):
        shown = panel.view.update(column, order, sign)
        runs = [error_steps(row, products, bits, handling=h, act_order=order) for h in ("kept", sign)]
        scale = np.abs(row).max() / (2 ** (bits - 1) - 1)
        for place, (run, name) in enumerate(zip(runs, ("alone", "handed_on"), strict=True)):
            out = inputs @ (run.states[column] - row)
            assert shown[name] == pytest.approx(np.mean(out**2) / np.mean((inputs @ row) ** 2))
            np.testing.assert_allclose(shown["changes"][place], (run.states[column] - row) / scale)
            np.testing.assert_allclose(panel.view.lines[place][1].get_ydata(), run.errors[: column + 1])
            np.testing.assert_allclose(panel.view.lines[place][0].get_ydata(), run.errors)
        np.testing.assert_array_equal(panel.view.strips.get_array(), shown["changes"])
        assert set(panel.view.done.get_xdata()) == set(runs[0].order[:column])


def test_the_default_makes_the_point_and_says_so(panel):
    ratio = panel.values["handed_on"] / panel.values["alone"]
    assert ratio < 0.5
    assert panel.view.title.get_text() == f"Handed on, 14 of 14: {ratio:.2f} × the error of rounding alone"
    shown = move(panel, "sign", "wrong sign")
    assert shown["handed_on"] > 1.5 * shown["alone"]
    assert panel.view.title.get_text().startswith("Wrong sign, 14 of 14: ")
    move(panel, "column", 0)
    assert panel.view.title.get_text() == "No column is rounded yet: the output is exact"


def test_what_is_handed_on_is_handed_to_columns_that_wait(panel):
    shown = move(panel, "column", 5)
    assert not shown["changes"][0, 5:].any()
    assert shown["changes"][1, 5:].all()


def test_a_row_that_loses_nothing_divides_by_nothing():
    panel = compensation([3.0, -1.0, 2.0], np.eye(3) + 0.1, 3)
    assert panel.values["alone"] == 0
    assert "has lost nothing" in panel.view.title.get_text()


@pytest.mark.parametrize("columns", [2, 16, 17, 32])
@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present, columns):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = compensation(*problem(columns))
    for column, sign in itertools.product((0, columns // 2, columns), SIGNS):
        panel.view.update(column, True, sign)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    moves = (("column", 3), ("order", True), ("sign", "wrong sign"), ("column", 9))
    assert_keeps_the_rules(panel, moves, monkeypatch)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"inputs": None}, "weights and inputs must be given both or not at all"),
        ({"weights": np.ones(40)}, "weights must be one row of 2 to 32 numbers; got 40"),
        ({"inputs": np.ones((9, 5))}, r"inputs must be \[n, 6\]"),
        ({"weights": np.zeros(6)}, "not all 0"),
        ({"bits": 1}, "bits"),
        ({"bits": 9}, "bits"),
    ],
)
def test_bad_input_is_named(change, says):
    row, inputs = problem()
    given = {"weights": row, "inputs": inputs, "bits": 3, **change}
    with pytest.raises(ValueError, match=says):
        compensation(**given)
