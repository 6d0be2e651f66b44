import numpy as np
import pytest

from coursekit.plots import memory as plots
from coursekit.plots import style


@pytest.fixture
def ax():
    _, made = style.axes(alt="a test")
    return made


def test_weighed_draws_predictions_as_bars_and_measurements_as_marks(ax):
    artists = plots.weighed(ax, ["FP32", "INT8"], [4e6, 1e6], {"file": [4.1e6, 1.1e6], "process": [5e6, 1e6]})
    bars, marks = artists[:2], artists[2:]
    assert [bar.get_width() for bar in bars] == [4, 1]
    assert [list(mark.get_xdata()) for mark in marks] == [[4.1, 1.1], [5, 1]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["predicted", "file", "process"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["FP32", "INT8"]
    assert ax.get_xlabel().endswith("(MB)")


def test_on_formula_draws_dots_on_a_line(ax):
    line, dots = plots.on_formula(
        ax, [1, 2, 4], [10, 20, 40], [11, 19, 40], x_label="batch", title="It grows"
    )
    assert line.get_linestyle() == "-"
    assert dots.get_linestyle() == "None"
    assert list(dots.get_ydata()) == [11, 19, 40]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_title(loc="left")) == ("batch", "It grows")


def test_steps_draw_what_is_held_and_the_worst_moment(ax):
    *bars, marks, first, second = plots.steps(ax, ["read", "copy"], [1e6, 2e6], [3e6, 2e6])
    assert [bar.get_width() for bar in bars] == [1, 2]
    assert list(marks.get_xdata()) == [3, 2]
    assert [first.get_text(), second.get_text()] == ["3.00 MB", "2.00 MB"]
    assert ax.get_xlim()[1] > 3


def test_titles_say_what_the_sizes_say(ax):
    plots.weighed(ax, ["FP32", "INT8"], [4e6, 1e6], {"file": [4.1e6, 1.1e6], "process": [5e6, 1e6]})
    assert ax.get_title(loc="left") == "Off the prediction by up to 25.0 % (process)"
    plots.on_formula(ax, [1, 4], [10, 40], [10, 30], x_label="batch")
    assert ax.get_title(loc="left") == "4 times as many, 3 times the bytes"
    ax.clear()
    plots.steps(ax, ["read", "copy"], [1e6, 2e6], [3e6, 2e6])
    assert ax.get_title(loc="left") == "2.00 MB held at the end, 3.00 MB at the worst moment"


def test_shared_heads_link_each_head_to_the_one_that_it_asks(ax):
    made = plots.shared_heads(ax, 4, {4: 800, 2: 400})
    links = [line.get_xdata() for line in made if hasattr(line, "get_xdata") and len(line.get_xdata()) == 2]
    ends = [tuple(map(float, link)) for link in links]
    assert ends[:4] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert ends[4:8] == [(0, 0.5), (1, 0.5), (2, 2.5), (3, 2.5)]
    words = [text.get_text() for text in ax.texts]
    assert words == [
        *("queries: 4", "keys, values: 4", "800 bytes per token"),
        *("queries: 4", "keys, values: 2", "400 bytes per token"),
    ]
    assert ax.get_title(loc="left") == "2 heads share keys and values: the cache is 2 times smaller"


def test_data_stay_as_they_are(ax):
    kept, peaks = np.array([1e6, 2e6]), np.array([3e6, 2e6])
    plots.steps(ax, ["read", "copy"], kept, peaks)
    assert kept.tolist() == [1e6, 2e6]
    assert peaks.tolist() == [3e6, 2e6]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda ax: plots.weighed(ax, ["a"], [1, 2], {"file": [1]}), "predicted must hold 1 sizes"),
        (lambda ax: plots.weighed(ax, ["a"], [1], {"file": [1, 2]}), "file must hold 1 sizes"),
        (lambda ax: plots.weighed(ax, ["a"], [1], {}), "measured must hold 1 to 3"),
        (lambda ax: plots.on_formula(ax, [1, 2], [1], [1, 2], x_label="x"), "predicted must hold 2 sizes"),
        (lambda ax: plots.steps(ax, ["a"], [1], [1, 2]), "peaks must hold 1 sizes"),
        (lambda ax: plots.steps(ax, ["a"], [float("nan")], [1]), "kept must be finite"),
        (lambda ax: plots.shared_heads(ax, 8, {3: 1}), "kept must map numbers that divide 8"),
        (lambda ax: plots.shared_heads(ax, 8, {}), "kept must map numbers that divide 8"),
    ],
)
def test_bad_input_is_named(ax, call, says):
    with pytest.raises(ValueError, match=says):
        call(ax)
