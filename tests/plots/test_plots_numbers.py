from fractions import Fraction

import numpy as np
import pytest

from coursekit.plots import numbers as plots
from coursekit.plots import style


@pytest.fixture
def ax():
    return style.axes(alt="A plot to test.")[1]


def places(ax):
    """Return where each mark stands, by its label, a place per row."""
    found = {}
    for line in ax.get_lines():
        if not line.get_label().startswith("_"):
            found.setdefault(line.get_label(), []).append(float(line.get_xdata()[0]))
    return found


def test_a_sum_stands_where_numpy_puts_it(ax):
    plots.sum_on_grid(ax)
    found = places(ax)
    step64, step32 = np.spacing(0.3), np.spacing(np.float32(0.3))
    stored32 = np.float32(0.1) + np.float32(0.2)
    assert found["the sum as stored"] == [
        (0.1 + 0.2 - 0.3) / step64,
        float(stored32 - np.float32(0.3)) / float(step32),
    ]
    exact = Fraction(0.1) + Fraction(0.2) - Fraction(0.3)
    assert found["the sum before rounding"][0] == float(exact / Fraction(float(step64)))
    written = (Fraction(3, 10) - Fraction(float(np.float32(0.3)))) / Fraction(float(step32))
    assert found["the total as written"][1] == float(written)
    assert ax.get_title(loc="left") == "Steps from 0.1 + 0.2 to 0.3: 1 in FP64, 0 in FP32"


def test_a_sum_that_is_exact_is_said_to_be(ax):
    plots.sum_on_grid(ax, ("0.25", "0.5"), "0.75", formats=("fp16",))
    assert ax.get_title(loc="left") == "Steps from 0.25 + 0.5 to 0.75: 0 in FP16"
    assert {tuple(place) for place in places(ax).values()} == {(0.0,)}


def test_the_best_clips_are_drawn_as_mean_and_band_and_the_title_follows_them(ax):
    best = {"8 bits": [[1.0, 1.0], [0.9]], "4 bits": [[0.8, 1.0], [0.5]]}
    made = plots.clip_by_group(ax, [64, 20_000], best, (0.83, 1))
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}
    assert lines["4 bits"] == pytest.approx([0.9, 0.5])
    assert ax.get_title(loc="left") == "4 bits: best clip 0.90 for 64 weights, 0.50 for 20,000"
    assert all(artist.axes is ax for artist in made)
    plots.clip_by_group(ax, [64, 128], {"flat": [[0.7], [0.7]]})
    assert ax.get_title(loc="left") == "flat: best clip 0.70 for 64 weights, 0.70 for 128"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda ax: plots.sum_on_grid(ax, formats=("fp5",)), "formats must be one of"),
        (lambda ax: plots.clip_by_group(ax, [64], {}), "best must hold 1 to 4"),
        (lambda ax: plots.clip_by_group(ax, [64], {"a": [[1], [1]]}), "must hold"),
    ],
)
def test_bad_input_is_refused(ax, call, says):
    with pytest.raises(ValueError, match=says):
        call(ax)
