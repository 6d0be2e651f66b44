from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text

from coursekit import pruning
from coursekit.plots import pruning as plots
from coursekit.plots import style

SHARES = np.array([0.0, 0.4, 0.6, 0.8, 0.9, 0.99])
SEEDS = np.clip(np.array([0.97, 0.965, 0.955, 0.9, 0.7, 0.1])[:, None] + np.linspace(-0.03, 0.02, 7), 0, 1)
WEIGHTS = torch.randn(16, 12, generator=torch.Generator().manual_seed(0))
MASK = pruning.masks(WEIGHTS, 0.75)[0]


def ratio(value):
    return SimpleNamespace(value=value, low=0.9 * value, high=1.2 * value)


RATIOS = [ratio(value) for value in (0.2, 0.3, 0.6, 1.3, 2.5, 9.0)]
DRAWINGS = {
    "cliff": lambda ax: plots.accuracy(ax, SHARES, SEEDS),
    "three ways": lambda ax: plots.accuracy(
        ax, SHARES, {"one-shot": SEEDS, "iterative": np.sqrt(SEEDS), "rewound": SEEDS**2}
    ),
    "sensitivity": lambda ax: plots.sensitivity(ax, SHARES, {"layer 1": SEEDS, "layer 2": SEEDS**2}),
    "histogram": lambda ax: plots.histogram(ax, WEIGHTS, MASK),
    "matrix": lambda ax: plots.matrix(ax, WEIGHTS, MASK, title="Three of four are gone"),
    "break-even": lambda ax: plots.break_even(ax, SHARES, RATIOS),
    "plans": lambda ax: plots.after_the_cut(ax, {"once": SEEDS[::-1], "in steps": SEEDS[:0:-1] ** 0.5}),
    "kept": lambda ax: plots.kept_per_input(ax, WEIGHTS.reshape(3, 64) > 0.2, (8, 8)),
    "two formats": lambda ax: plots.break_even(ax, SHARES, {"CSR": RATIOS, "dense": [ratio(1.0)] * 6}),
}


@pytest.fixture
def ax():
    return style.axes(alt="A plot to test.")[1]


@pytest.fixture(params=DRAWINGS, ids=str)
def drawing(request):
    return DRAWINGS[request.param]


def title(ax):
    return ax.get_title(loc="left")


def overlaps(figure):
    """Return the texts that lie on each other or leave the picture."""
    figure.png()
    renderer = figure.canvas.get_renderer()
    ticks = {
        t for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for t in axis.get_ticklabels(which="both")
    }
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in ticks]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    outside = [
        name
        for name, box in boxes
        if min(box.x0, box.y0) < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1
    ]
    return outside + [
        (a, b) for i, (a, one) in enumerate(boxes) for b, two in boxes[:i] if one.padded(-1).overlaps(two)
    ]


# What all keep


@pytest.mark.parametrize("present", ["0", "1"])
def test_labels_stand_apart(drawing, monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    figure, ax = style.axes(alt="A plot to test.")
    drawing(ax)
    assert overlaps(figure) == []


def test_a_plot_returns_its_artists_and_says_a_sentence(drawing, ax):
    drawn = drawing(ax)
    made = drawn if isinstance(drawn, list) else [drawn]
    assert made
    assert all(isinstance(artist, Artist) and artist.axes is ax for artist in made)
    assert len(title(ax).split()) >= 3
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert ax.xaxis.label.get_size() == style.TYPE


def test_data_stay_as_they_are(ax):
    shares, seeds, weights, mask = SHARES.copy(), SEEDS.copy(), WEIGHTS.clone(), MASK.clone()
    for draw in DRAWINGS.values():
        draw(style.axes(alt="a test")[1])
    assert np.array_equal(shares, SHARES)
    assert np.array_equal(seeds, SEEDS)
    assert torch.equal(weights, WEIGHTS)
    assert torch.equal(mask, MASK)


# Accuracy


def test_the_line_is_the_median_and_the_band_the_middle_of_the_seeds(ax):
    line, band, dense = plots.accuracy(ax, SHARES, SEEDS)
    assert np.allclose(line.get_xdata(), 100 * SHARES)
    assert np.allclose(line.get_ydata(), 100 * np.median(SEEDS, axis=1))
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(100 * np.quantile(SEEDS[-1], 0.1))
    assert heights.max() == pytest.approx(100 * max(np.quantile(row, 0.9) for row in SEEDS))
    assert set(dense.get_ydata()) == {line.get_ydata()[0]}


def test_several_lines_differ_in_colour_marker_and_dash_and_are_named(ax):
    made = DRAWINGS["three ways"](ax)
    drawn = [artist for artist in made if isinstance(artist, Line2D)][:3]
    for channel in ("get_color", "get_marker", "get_linestyle"):
        assert len({getattr(line, channel)() for line in drawn}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one-shot", "iterative", "rewound"]


def test_titles_say_where_the_cliff_begins_and_which_layer_suffers(ax):
    plots.accuracy(ax, SHARES, SEEDS)
    assert title(ax) == "Beyond 40 % pruned, accuracy falls by more than a point"
    plots.sensitivity(ax, SHARES, {"first": SEEDS, "second": SEEDS**2})
    assert title(ax) == "Pruning second costs most"
    plots.accuracy(ax, SHARES, SEEDS, title="As you like it")
    assert title(ax) == "As you like it"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_the_sentence_about_the_fall_is_true(medians):
    shares = np.arange(len(medians)) / 10
    sentence = plots.fall(shares, medians)
    steady = [k for k in range(len(medians)) if all(m >= medians[0] - 0.01 for m in medians[: k + 1])]
    assert f" {10 * steady[-1]} % pruned" in sentence
    assert sentence.startswith("Up to") == (len(steady) == len(medians))


# What goes and what stays


def test_the_histogram_counts_what_goes_and_what_stays(ax):
    stays, gone, marks, label = plots.histogram(ax, WEIGHTS, MASK)
    dark, bright = gone.get_data(), stays.get_data()
    assert dark.values.sum() == int((~MASK).sum())
    assert (bright.values - bright.baseline).sum() == int(MASK.sum())
    threshold = float(WEIGHTS[~MASK].abs().max())
    assert sorted(segment[0][0] for segment in marks.get_segments()) == pytest.approx([-threshold, threshold])
    assert label.get_text() == f"threshold ±{threshold:.2g}"
    assert title(ax) == "The smallest 75 % of the weights go"


def test_a_histogram_without_a_loss_says_so(ax):
    plots.histogram(ax, WEIGHTS, torch.ones_like(MASK))
    assert title(ax) == "All weights stay"


def test_pruned_cells_are_darker_than_any_that_stays(ax):
    image = plots.matrix(ax, WEIGHTS, MASK)
    grey = np.array([0.299, 0.587, 0.114])
    brightness = image.to_rgba(image.get_array())[..., :3] @ grey
    assert np.array_equal(brightness == 0, ~MASK.numpy())
    assert brightness[MASK.numpy()].min() > 0.3
    assert np.array_equal(np.ma.getmaskarray(image.get_array()), ~MASK.numpy())
    zeros = plots.matrix(ax, WEIGHTS.masked_fill(~MASK, 0))
    assert np.array_equal(np.ma.getmaskarray(zeros.get_array()), ~MASK.numpy())


# Where zeros pay


def test_break_even_draws_ratios_with_intervals(ax):
    made = plots.break_even(ax, SHARES, RATIOS)
    (line,) = [artist for artist in made if isinstance(artist, Line2D)]
    (bars,) = [artist for artist in made if isinstance(artist, LineCollection)]
    assert list(line.get_ydata()) == [each.value for each in RATIOS]
    assert [tuple(segment[:, 1]) for segment in bars.get_segments()] == [(e.low, e.high) for e in RATIOS]
    low, high = ax.get_ylim()
    assert low < 0.18
    assert high > 10.8
    assert title(ax) == "CSR pays off from 80 % zeros on"


@pytest.mark.parametrize(
    ("lows", "sentence"),
    [
        ([0.5, 0.9], "CSR pays off at no measured sparsity"),
        ([1.5, 0.9], "CSR pays off only at some sparsities"),
        ([0.5, 1.1], "CSR pays off from 90 % zeros on"),
        ([1.5, 1.1], "CSR pays off from 50 % zeros on"),
    ],
)
def test_the_sentence_about_the_break_even_is_true(lows, sentence):
    assert plots.pays("CSR", [0.5, 0.9], lows) == sentence


# Bad input


@pytest.mark.parametrize(
    ("draw", "error", "says"),
    [
        (lambda ax: plots.accuracy(ax, [0.5, 0.2], SEEDS[:2]), ValueError, "sparsities must ascend"),
        (
            lambda ax: plots.accuracy(ax, [50, 90], SEEDS[:2]),
            ValueError,
            "sparsities must ascend within 0 to 1",
        ),
        (lambda ax: plots.accuracy(ax, SHARES, SEEDS[:2]), ValueError, "6 sparsities, seeds"),
        (lambda ax: plots.accuracy(ax, SHARES, SEEDS.mean(1)), ValueError, "2 dimension"),
        (lambda ax: plots.accuracy(ax, SHARES, 100 * SEEDS), ValueError, "within 0 to 1"),
        (lambda ax: plots.accuracy(ax, SHARES, SEEDS * np.nan), ValueError, "finite"),
        (lambda ax: plots.accuracy(ax, SHARES, {}), ValueError, "1 to 4 lines; got 0"),
        (lambda ax: plots.sensitivity(ax, SHARES, SEEDS), TypeError, "must name the layers"),
        (lambda ax: plots.sensitivity(ax, SHARES, {}), ValueError, "1 to 4 lines; got 0"),
        (lambda ax: plots.histogram(ax, WEIGHTS, MASK[:2]), ValueError, "mask must have the weights' shape"),
        (lambda ax: plots.histogram(ax, WEIGHTS, MASK.float()), TypeError, "mask must be bool"),
        (lambda ax: plots.histogram(ax, WEIGHTS * np.inf, MASK), ValueError, "finite"),
        (lambda ax: plots.matrix(ax, WEIGHTS[0]), ValueError, "2 dimension"),
        (lambda ax: plots.break_even(ax, SHARES, RATIOS[:2]), ValueError, "6 ratios"),
        (lambda ax: plots.break_even(ax, [0.5], [ratio(-1.0)]), ValueError, "above zero"),
        (
            lambda ax: plots.break_even(ax, [0.5], [SimpleNamespace(value=1.0, low=1.1, high=2.0)]),
            ValueError,
            "must enclose",
        ),
    ],
)
def test_bad_input_is_named(ax, draw, error, says):
    with pytest.raises(error, match=says):
        draw(ax)


def test_kept_weights_stand_at_their_pixels_and_the_title_follows_them():
    ax = style.axes(alt="A plot to test.")[1]
    mask = np.zeros((2, 5, 6), dtype=bool)
    mask[:, :, 0] = True
    mask[0, :, 1] = True
    image = plots.kept_per_input(ax, torch.from_numpy(mask), (2, 3))
    np.testing.assert_allclose(image.get_array(), [[100, 50, 0], [0, 0, 0]])
    assert title(ax) == "25 % stay: 0 to 100 % per input"
    assert image.get_clim() == (0, 100)
    assert plots.kept_per_input(ax, mask[0], (3, 2), most=0.5, title="one").get_clim() == (0, 50)
    with pytest.raises(ValueError, match="shape must have 6 cells"):
        plots.kept_per_input(ax, mask, (8, 8))
    with pytest.raises(TypeError, match="mask must be bool"):
        plots.kept_per_input(ax, mask.astype(float), (2, 3))


def test_the_title_about_plans_names_the_one_that_ends_best():
    for better, worse in (("once", "in steps"), ("in steps", "once")):
        ax = style.axes(alt="A plot to test.")[1]
        made = plots.after_the_cut(ax, {better: [[0.5, 0.6], [0.9, 0.9]], worse: [[0.9, 0.95], [0.8, 0.8]]})
        assert title(ax) == f"Best at its end: {better}"
        np.testing.assert_allclose(made[0].get_ydata(), [55, 90])
        np.testing.assert_allclose(made[0].get_xdata(), [1, 2])
    with pytest.raises(ValueError, match="accuracies must hold 1 to 4 plans"):
        plots.after_the_cut(ax, {})
