"""A panel from a function of the reader's own, in one line."""

import copy
import functools
import pickle

import ipywidgets
import numpy as np
import pytest
import torch
from helpers import assert_keeps_the_rules, assert_shows_itself, move, pixels, span, sweep, texts_collide

from coursekit.widgets import explore
from coursekit.widgets.dress import label_width


def draw(ax, bits=4, wave="sine", grid=False):
    """A wave, and what a few bits leave of it."""  # noqa: D401 - it is what the picture shows
    x = np.linspace(0, 1, 64)
    y = np.sin(2 * np.pi * x) if wave == "sine" else x
    ax.plot(x, y)
    ax.step(x, np.round(y * 2**bits) / 2**bits, "--", where="mid")
    ax.set(title=f"{bits} bits of a {wave}", xlabel="time (s)", ylabel="amplitude")
    ax.grid(grid)


@pytest.fixture
def panel():
    return explore(draw, bits=(1, 8), wave=["sine", "ramp"], grid=False)


def lines(panel):
    return [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in panel.view.ax.lines]


def written(panel):
    return [text.get_text() for text in panel.view.ax.texts]


def test_the_panel_keeps_the_rules(panel, monkeypatch):
    moves = [("bits", 1), ("wave", "ramp"), ("grid", True), ("bits", 8)]
    assert_keeps_the_rules(panel, moves, monkeypatch)


@pytest.mark.parametrize("name", ["bits", "wave", "grid"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_a_function_that_draws_gets_an_empty_axes_each_time(panel):
    for bits in (2, 5, 2):
        move(panel, "bits", bits)
        assert len(panel.view.ax.lines) == 2
        assert panel.view.ax.get_title(loc="left") == f"{bits} bits of a sine"
    assert panel.values == {"bits": 2, "wave": "sine", "grid": False}


def test_it_starts_at_the_defaults_of_the_function_and_else_in_the_middle(panel):
    assert panel.values["bits"] == 4
    assert explore(lambda a, b: a + b, a=(0, 10), b=(1.0, 2.0)).values == {"a": 5, "b": 1.5, "result": 6.5}
    assert explore(lambda a: a, a=[3, 1, 2]).values["a"] == 3
    assert explore(lambda a=2: a, a=[3, 1, 2]).values["a"] == 2
    assert explore(lambda a=True: a, a=False).values["a"] is True
    with pytest.raises(ValueError, match="the default of a must be from 0.0 to 1.0; got 7"):
        explore(lambda a=7: a, a=(0, 1))


def test_ranges_become_controls():
    functions = [np.sin, np.cos, np.tan]
    made = explore(
        lambda **values: 1.0,
        whole=(1, 9, 2),
        real=(0, 1, 0.25),
        fine=(0.0, 3.0),
        few=["a", "b"],
        many=list(range(20)),
        f=functions,
        spread=range(3),
        box=True,
        text="abc",
    ).controls
    kinds = {name: type(control) for name, control in made.items()}
    assert kinds == {
        "whole": ipywidgets.IntSlider,
        "real": ipywidgets.FloatSlider,
        "fine": ipywidgets.FloatSlider,
        "few": ipywidgets.ToggleButtons,
        "many": ipywidgets.Dropdown,
        "f": ipywidgets.ToggleButtons,
        "spread": ipywidgets.ToggleButtons,
        "box": ipywidgets.Checkbox,
        "text": ipywidgets.Text,
    }
    assert (made["whole"].min, made["whole"].max, made["whole"].step) == (1, 9, 2)
    assert (made["real"].min, made["real"].max, made["real"].step) == (0, 1, 0.25)
    assert made["real"].readout_format == ".2f"
    assert made["fine"].step == pytest.approx(0.03)
    assert [label for label, _ in made["f"].options] == ["sin", "cos", "tan"]
    assert made["f"].value is np.sin
    assert all(control.description == name for name, control in made.items())
    # Wide enough for the longest name: a description is never cut.
    labelled = [control for name, control in made.items() if name != "box"]
    assert {control.style.description_width for control in labelled} == {f"{label_width('spread'):.1f}em"}


# What a function may return


def sent_as(kind, values):
    return {
        "list": list,
        "array": np.asarray,
        "tensor": torch.tensor,
        "int tensor": lambda v: torch.tensor(v).int(),
        "bfloat16": lambda v: torch.tensor(v, dtype=torch.bfloat16),
        "gradient": lambda v: torch.tensor(v, requires_grad=True),
        "float16": lambda v: np.asarray(v, dtype=np.float16),
    }[kind](values)


@pytest.mark.parametrize("kind", ["list", "array", "tensor", "int tensor", "bfloat16", "gradient", "float16"])
def test_numbers_become_a_line_over_their_index(kind):
    panel = explore(lambda n: sent_as(kind, [1.0 * n, 2.0, 4.0]), n=(1, 5))
    assert lines(panel) == [([0, 1, 2], [3, 2, 4])]


def test_columns_and_tuples_become_lines():
    columns = explore(lambda n: np.arange(6.0).reshape(3, 2) * n, n=[1, 2])
    assert lines(columns) == [([0, 1, 2], [0, 2, 4]), ([0, 1, 2], [1, 3, 5])]
    several = explore(lambda n: ([5, 6], [1, n], np.array([[0, 3], [1, 4]])), n=[2, 3])
    assert lines(several) == [([5, 6], [1, 2]), ([5, 6], [0, 1]), ([5, 6], [3, 4])]


def test_a_line_is_made_once_and_only_changed_after_that():
    panel = explore(lambda n: np.arange(n), n=(2, 90))
    line = panel.view.ax.lines[0]
    move(panel, "n", 80)
    assert panel.view.ax.lines[0] is line
    assert lines(panel) == [(list(range(80)), list(range(80)))]
    assert panel.view.ax.get_xlim()[1] > 79


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (42, "42"),
        (1234567, "1,234,567"),
        (0.1, "0.1"),
        (2 / 3, "0.666667"),
        (1e-9, "1.00000e-09"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (np.float32(0.5), "0.5"),
        (torch.tensor(3), "3"),
        (True, "True"),
        ("INT8 fits", "INT8 fits"),
    ],
)
def test_a_number_or_a_text_is_written_out(result, text):
    panel = explore(lambda n: result, n=(1, 3))
    assert written(panel) == [text]
    assert not panel.view.ax.axison


def test_what_comes_back_may_change_its_kind():
    panel = explore(lambda n: "few" if n < 3 else np.arange(n), n=(1, 5))
    assert (len(lines(panel)), written(panel)) == (1, [])
    move(panel, "n", 1)
    assert (lines(panel), written(panel)) == ([], ["few"])
    move(panel, "n", 4)
    assert (len(lines(panel)), written(panel), panel.view.ax.axison) == (1, [], True)


def test_what_no_axis_has_room_for_is_left_out():
    panel = explore(lambda n: [0.0, float("inf"), n], n=(1, 3))
    assert np.isnan(panel.view.ax.lines[0].get_ydata()[1])
    assert np.isfinite(panel.view.ax.get_ylim()).all()


# Errors


def test_an_error_of_the_function_stands_under_the_picture_and_is_not_swallowed():
    panel = explore(lambda n: [1 / (n - 3), n], n=(0, 4))
    before = panel.picture.value, dict(panel.values)
    with pytest.raises(ZeroDivisionError):
        panel.controls["n"].value = 3
    assert "ZeroDivisionError: " in panel.message.value
    assert "\n" not in panel.message.value
    assert (panel.picture.value, panel.values) == before
    move(panel, "n", 4)


def test_an_error_while_drawing_leaves_the_last_picture_and_the_next_one_is_whole():
    def half(ax, n):
        ax.plot([0, n])
        if n == 3:
            raise KeyError("three")

    panel = explore(half, n=(0, 4))
    before = panel.picture.value
    with pytest.raises(KeyError):
        panel.controls["n"].value = 3
    assert panel.picture.value == before
    move(panel, "n", 4)
    assert len(panel.view.ax.lines) == 1


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda n: None, TypeError, "it returned None"),
        (lambda n: {"a": 1}, TypeError, "f must return numbers or a text; got"),
        (lambda n: ["a", n], TypeError, "got list of other things"),
        (lambda n: [], ValueError, "got shape (0,)"),
        (lambda n: np.zeros((2, 2, 2)), ValueError, "got shape (2, 2, 2)"),
        (lambda n: ([1, 2], [1]), ValueError, "all of one length; got shapes (2,), (1,)"),
        (lambda n: ([1, 2],), ValueError, "f must return (x, y)"),
        (lambda n: [1, [2, 3]], TypeError, "numbers or a text"),
        (lambda n: 1j, TypeError, "f must return real numbers"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_shown_is_refused(f, error, says):
    with pytest.raises(error) as caught:
        explore(f, n=(1, 3))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("f", "ranges", "error", "says"),
    [
        (3, {"n": (1, 2)}, TypeError, "f must be a function; got 3 (int)"),
        (draw, {}, TypeError, "ranges must name at least one argument of f"),
        (draw, {"bit": (1, 2)}, TypeError, "f cannot be called as f(ax, bit): got an unexpected keyword"),
        (lambda a, b: a, {"a": (1, 2)}, TypeError, "missing a required argument: 'b'"),
        (lambda: 1, {"n": (1, 2)}, TypeError, "f cannot be called as f(n)"),
        (draw, {"bits": (8, 1)}, ValueError, "bits must ascend from low to high"),
        (draw, {"bits": (1, 1)}, ValueError, "bits must ascend"),
        (draw, {"bits": (1, 8, 9)}, ValueError, "by steps that fit between them; got (1, 8, 9)"),
        (draw, {"bits": (1, 8, 0)}, ValueError, "bits must ascend"),
        (draw, {"bits": (1, 8, -1)}, ValueError, "bits must ascend"),
        (draw, {"bits": (1,)}, ValueError, "a tuple of 1"),
        (draw, {"bits": (1, 2, 3, 4)}, ValueError, "a tuple of 4"),
        (draw, {"bits": (1, "2")}, TypeError, "bits must be a number; got '2'"),
        (draw, {"bits": (1, float("nan"))}, ValueError, "bits must be finite"),
        (draw, {"bits": (False, True)}, TypeError, "bits must be a number"),
        (draw, {"bits": 3}, TypeError, "bits must be (low, high), (low, high, step), a list of choices"),
        (draw, {"bits": None}, TypeError, "got None"),
        (draw, {"bits": {1: 2}}, TypeError, "bits must be"),
        (draw, {"bits": []}, ValueError, "bits must offer one choice or more"),
        (draw, {"bits": [1, 1]}, ValueError, "all different; got ['1', '1']"),
    ],
)
def test_what_cannot_be_explored_is_refused_before_anything_is_drawn(f, ranges, error, says):
    with pytest.raises(error) as caught:
        explore(f, **ranges)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# Any callable


class Scaled:
    """Multiplies."""

    def __call__(self, n):
        return [n, 2 * n]


@pytest.mark.parametrize("f", [Scaled(), functools.partial(lambda a, n: [a, n], 1), torch.arange])
def test_any_callable_will_do(f, monkeypatch):
    name = "end" if f is torch.arange else "n"
    panel = explore(f, **{name: (2, 6)})
    assert move(panel, name, 5)[name] == 5
    assert_shows_itself(panel, monkeypatch)


def test_the_alternative_text_is_what_the_function_says_of_itself(panel):
    assert panel.view.alt == "A wave, and what a few bits leave of it."
    assert (
        explore(lambda n, k: 1, n=(1, 2), k=True).view.alt
        == "What a function gives for the controls n and k."
    )
    assert explore(Scaled(), n=(1, 2)).view.alt == "What Scaled gives for the controls n."


@pytest.mark.parametrize("presenter", ["0", "1"])
def test_labels_are_not_cut_however_long_they_get(monkeypatch, presenter):
    monkeypatch.setenv("COURSEKIT_PRESENT", presenter)

    def f(ax, n):
        ax.plot([0, 10.0**n], [0, 10.0**n])
        ax.set(ylabel="first line\n" * n + "last", xlabel="x", title="title")

    panel = explore(f, n=(1, 5))
    for n in (1, 5):
        move(panel, "n", n) if panel.values["n"] != n else None
        assert texts_collide(panel.view) == []


def test_one_move_sends_one_picture(panel):
    before = pixels(panel)
    with panel.hold():
        panel.controls["bits"].value = 1
        panel.controls["wave"].value = "ramp"
        assert np.array_equal(pixels(panel), before)
    assert not np.array_equal(pixels(panel), before)


# What few people do


def test_masked_numbers_are_gaps():
    panel = explore(lambda n: np.ma.masked_greater(np.arange(float(n)), 4), n=(6, 9))
    (line,) = panel.view.ax.lines
    assert np.isnan(line.get_ydata()).tolist() == [False] * 5 + [True] * (panel.values["n"] - 5)


def test_masked_numbers_over_x_are_gaps():
    panel = explore(lambda n: (np.arange(n), np.ma.array(np.ones(n), mask=np.arange(n) == 2)), n=(6, 9))
    assert np.isnan(panel.view.ax.lines[0].get_ydata()).sum() == 1


@pytest.mark.parametrize("result", [np.array([1 + 2j, 3]), 1j, [1.0, 2j], torch.tensor([1j])])
def test_complex_numbers_are_refused_in_one_line(result):
    with pytest.raises(TypeError, match=r"^f must return real numbers; got complex ones: .*imag$"):
        explore(lambda n: result, n=(1, 3))


def test_an_argument_may_be_called_self():
    assert explore(lambda self: [self, 2 * self], self=(1, 5)).values["self"] == 3


@pytest.mark.parametrize(
    ("f", "ranges", "says"),
    [
        (lambda n=9: n, {"n": (1, 5)}, r"the default of n must be from 1(\.0)? to 5(\.0)?; got 9"),
        (lambda n=0.5: n, {"n": (1.0, 5.0)}, r"the default of n must be from 1(\.0)? to 5(\.0)?; got 0.5"),
        (lambda n="c": n, {"n": ["a", "b"]}, r"the default of n must be one of its choices, .*got 'c'"),
        (lambda n=0: n, {"n": (-1e308, 1e308)}, "n must be a range that one float can span"),
    ],
)
def test_a_default_or_a_range_that_cannot_be_is_refused_in_one_line(f, ranges, says):
    with pytest.raises(ValueError, match=says) as caught:
        explore(f, **ranges)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("low", "high"), [(1e-10, 1e-9), (1e-300, 1e-299), (1e20, 2e20), (-1e-7, 1e-7)])
def test_tiny_and_huge_ranges_work(low, high):
    panel = explore(lambda x: [x, 2 * x], x=(low, high))
    control = panel.controls["x"]
    assert low <= panel.values["x"] <= high
    assert panel.values["x"] == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    for value in span(control):
        move(panel, "x", value)
        assert panel.values["x"] == value


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_panel_cannot_be_copied_and_says_so_in_one_line(how):
    with pytest.raises(
        TypeError, match="^a Panel belongs to its kernel and cannot be copied or pickled; .*$"
    ):
        how(explore(lambda n: n, n=(1, 3)))
