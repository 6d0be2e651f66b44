import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.artist import Artist
from matplotlib.text import Text
from sklearn.isotonic import IsotonicRegression

from coursekit import floats
from coursekit.plots import comparison, crossover, numbers, quantized, style
from coursekit.quantization import best_scale

WEIGHTS = np.random.default_rng(0).normal(0, 0.3, 4000).astype(np.float32)


@pytest.fixture
def ax():
    return style.axes(alt="A plot to test.")[1]


def flat(made):
    parts = made if isinstance(made, list | tuple) else [made]
    return [artist for part in parts for artist in (flat(part) if isinstance(part, list | tuple) else [part])]


def overlaps(ax):
    """Return pairs of texts that lie on each other or outside the picture, once it is drawn."""
    figure = ax.figure
    figure.png()
    renderer = figure.canvas.get_renderer()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    ticks = {label for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")}
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text not in ticks]
    outside = [name for name, box in boxes if box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1]
    pairs = [
        (a, b)
        for i, (a, one) in enumerate(boxes)
        for b, two in boxes[i + 1 :]
        if one.padded(-1).overlaps(two)
    ]
    return outside + pairs


def frozen(*values):
    array = np.array(values, float)
    array.flags.writeable = False
    return array


def a_grid():
    ratio = frozen([0.5, 2.0], [1.0, 4.0], [2.0, 9.0])
    return crossover.CrossoverGrid((64, 128, 256), (1, 32), ratio, ratio * 0.9, ratio * 1.1, "a machine")


DRAWINGS = {
    "value_density": lambda ax: numbers.value_density(ax, "fp8_e4m3"),
    "spacing": lambda ax: numbers.spacing(ax),
    "histogram": lambda ax: numbers.histogram(ax, WEIGHTS, marks={"largest": 1.0}, unit="weight", title="So"),
    "mse_against_scale": lambda ax: quantized.mse_against_scale(
        ax, {f"{bits} bits": best_scale(WEIGHTS, bits, steps=40) for bits in (8, 4, 3, 2)}
    ),
    "speedups": lambda ax: crossover.speedups(ax, a_grid()),
    "lines": lambda ax: comparison.lines(
        ax,
        frozen(2, 4, 8),
        {"per tensor": frozen(1, 5, 9), "per channel": frozen(2, 6, 9)},
        {"per tensor": (frozen(0, 4, 8), frozen(2, 6, 9.5))},
        x_label="bits",
        y_label="accuracy (%)",
        title="More bits, more right answers",
    ),
    "dots": lambda ax: comparison.dots_with_interval(
        ax,
        ["fp32", "int8"],
        frozen(96.4, 96.7),
        frozen(94, 94.3),
        frozen(97.9, 98.1),
        unit="accuracy (%)",
        title="The intervals overlap",
        reference=96.4,
    ),
    "bars": lambda ax: comparison.bars(
        ax,
        ["fp32", "int8"],
        frozen(70, 22),
        unit="size (kB)",
        title="A third of the size",
        highlight=["int8"],
    ),
}


@pytest.fixture(params=DRAWINGS, ids=str)
def drawing(request):
    return DRAWINGS[request.param]


# What all plots keep


@pytest.mark.parametrize("present", ["0", "1"])
def test_labels_stand_apart(drawing, monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    _, ax = style.axes(alt="A plot to test.")
    drawing(ax)
    assert overlaps(ax) == []


def test_a_plot_returns_artists_of_its_axes(drawing, ax):
    made = flat(drawing(ax))
    assert made
    assert all(isinstance(artist, Artist) and artist.axes is ax for artist in made)


def test_a_plot_names_its_axis_and_says_a_sentence(drawing, ax):
    drawing(ax)
    assert ax.get_xlabel()
    assert len(ax.get_title(loc="left").split()) >= 2 or ax.get_title(loc="left") == "So"


def test_a_plot_draws_something_in_the_style(drawing, ax):
    before = ax.figure.png()
    drawing(ax)
    assert ax.figure.png() != before
    assert ax.xaxis.label.get_size() == style.TYPE


# Numbers


@pytest.mark.parametrize("name", [name for name, kind in floats.FORMATS.items() if kind.bits <= 8])
def test_every_value_of_a_small_format_has_its_tick(ax, name):
    ticks = numbers.value_density(ax, name)[0]
    drawn = [segment[0][0] for segment in ticks.get_segments()]
    values = floats.all_values(name)
    values = np.unique(values[np.isfinite(values)])
    width = values[-1] - values[0]
    # Ticks closer than a pixel share one.
    assert all(np.min(np.abs(np.array(drawn) - value)) <= width / numbers.CELLS for value in values)
    assert set(drawn) <= set(values)


def test_only_the_span_asked_for_is_drawn(ax):
    ticks = numbers.value_density(ax, "fp8_e4m3", low=1, high=8)[0]
    drawn = [segment[0][0] for segment in ticks.get_segments()]
    values = floats.all_values("fp8_e4m3")
    assert drawn == sorted(set(values[(values >= 1) & (values <= 8)]))


def test_steps_written_are_the_distances_drawn(ax):
    made = numbers.value_density(ax, "fp8_e4m3", low=0, high=4)
    drawn = np.array([segment[0][0] for segment in made[0].get_segments()])
    texts = [artist for artist in made if isinstance(artist, Text)]
    assert len(texts) >= 2
    for text in texts:
        numerator, _, denominator = text.get_text().removeprefix("step ").partition("/")
        step = float(numerator) / float(denominator or 1)
        place = np.searchsorted(drawn, text.get_position()[0])
        assert drawn[place] - drawn[place - 1] == step


def test_integers_are_said_to_have_one_step(ax):
    made = numbers.value_density(ax, "int4")
    assert [artist.get_text() for artist in made if isinstance(artist, Text)] == ["step 1"]
    assert ax.get_title(loc="left") == "INT4: the same step everywhere"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fp9",), "format"),
        (("fp32",), "16 bits"),
        (("fp8_e4m3", 1, 1), "2 values"),
        (("int4", 0, np.inf), "high"),
    ],
)
def test_value_density_refuses(ax, arguments, says):
    with pytest.raises(ValueError, match=says):
        numbers.value_density(ax, *arguments)


def test_spacing_lines_end_where_their_formats_do(ax):
    drawn = numbers.spacing(ax, ["fp16", "bf16"], 2.0**-20, 2.0**40)[:2]
    assert [line.get_xdata()[-1] for line in drawn] == [2.0**15, 2.0**40]
    for line, name in zip(drawn, ("fp16", "bf16"), strict=True):
        x, y = line.get_data()
        assert list(y) == [floats.spacing(value, name) for value in x]


@pytest.mark.parametrize(
    "arguments",
    [([],), (["fp9"],), (["fp16"] * 5,), (["fp16"], 0.0), (["fp16"], 4.0, 2.0), (["fp16"], 4.0, np.nan)],
)
def test_spacing_refuses(ax, arguments):
    with pytest.raises(ValueError, match="format|low|high"):
        numbers.spacing(ax, *arguments)


def test_a_histogram_counts_everything_once(ax):
    bars = numbers.histogram(ax, WEIGHTS.reshape(40, 100), bins=25)[0]
    counts, edges, _ = bars.get_data()
    assert (counts.sum(), len(counts)) == (4000, 25)
    assert (edges[0], edges[-1]) == pytest.approx((WEIGHTS.min(), WEIGHTS.max()))


@pytest.mark.parametrize(
    "marks",
    [
        {"a": -0.1, "b": 0.1, "c": 0.0},
        {"left": -5.0, "right": 5.0},
        {f"mark {i}": i / 10 for i in range(6)},
    ],
)
def test_marks_keep_apart_and_above_the_bars(ax, marks):
    bars, *rest = numbers.histogram(ax, WEIGHTS, marks=marks, title="Weights crowd near zero")
    assert overlaps(ax) == []
    labels = [artist for artist in rest if isinstance(artist, Text)]
    assert {label.get_text() for label in labels} == set(marks)
    assert all(label.xy[1] > bars.get_data().values.max() for label in labels)
    renderer = ax.figure.canvas.get_renderer()
    ends = [ax.transData.transform(line.get_segments()[0][1]) for line in rest if line not in labels]
    for label in labels:
        box = Text.get_window_extent(label, renderer)
        assert not any(box.x0 < x < box.x1 and box.y0 < y for x, y in ends)


@pytest.mark.parametrize(
    ("int8", "title"),
    [
        ([20e-6, 21e-6, 22e-6], "INT8 pays 14 µs more per call before the width counts"),
        ([5e-6, 21e-6, 4e-6], "INT8 has no higher fixed cost than FP32 here"),
    ],
)
def test_what_every_call_costs_is_told_apart_from_what_the_width_adds(ax, int8, title):
    widths, fp32 = (8, 64, 256), [6e-6, 7e-6, 11e-6]
    crossover.fixed_and_product(ax, widths, {"FP32": fp32, "INT8": int8})
    assert ax.get_title(loc="left") == title
    fixed, by_width = ([bar.get_height() for bar in ax.containers[i]] for i in (2, 3))
    np.testing.assert_allclose(np.add(fixed, by_width), 1e6 * np.array(int8))
    np.testing.assert_allclose(fixed, np.minimum(1e6 * int8[0], 1e6 * np.array(int8)))
    for bad in ({"FP32": fp32}, {"FP32": fp32, "INT8": int8[:2]}, {"FP32": fp32, "INT8": [0, 1, 2]}):
        with pytest.raises(ValueError, match="seconds"):
            crossover.fixed_and_product(ax, widths, bad)


@pytest.mark.parametrize(("values", "bins"), [([], 10), ([np.nan], 10), ([1.0], 0)])
def test_histogram_refuses(ax, values, bins):
    with pytest.raises(ValueError, match="values|bins"):
        numbers.histogram(ax, values, bins=bins)


# Quantized


def test_the_best_scale_is_marked_and_named(ax):
    searches = {f"{bits} bits": best_scale(WEIGHTS, bits) for bits in (8, 2)}
    made = quantized.mse_against_scale(ax, searches)
    marks, labels = made[2:4], made[4:]
    for mark, label, (name, search) in zip(marks, labels, searches.items(), strict=True):
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (search.ratio, search.mse)
        assert label.get_text() == f"{name}: best at {search.ratio:.2f}"
    assert ax.get_title(loc="left") == "Clipping the largest values lowers the error"


def test_the_title_does_not_claim_what_was_not_found(ax):
    quantized.mse_against_scale(ax, {"3 bits": best_scale([1.0, -1.0], 3)})
    assert "lowers" not in ax.get_title(loc="left")


def test_at_most_four_searches(ax):
    search = best_scale(WEIGHTS, 4, steps=5)
    for number in (0, 5):
        with pytest.raises(ValueError, match="1 to 4"):
            quantized.mse_against_scale(ax, {str(i): search for i in range(number)})


def test_an_error_map_has_a_cell_per_value(ax):
    errors = np.arange(6.0).reshape(2, 3)
    image = quantized.error_map(ax, errors, limit=10)
    assert np.array_equal(image.get_array(), errors)
    assert image.get_clim() == (0, 10)
    with pytest.raises(ValueError, match="errors"):
        quantized.error_map(ax, [1.0, 2.0], limit=1)


BITS = (8, 4, 3, 2)


@pytest.mark.parametrize(
    ("means", "title"),
    [
        ([97, 97, 95, 60], "The cliff, one: more than 5 points lost at 2 bits"),
        ([97, 97, 80, 60], "The cliff, one: more than 5 points lost at 3 bits"),
        ([97, 97, 95, 92], "Down to 2 bits no cliff: one loses at most 5 points"),
        ([10, 10, 10, 10], "Over the cliff from the start: one loses more than 5 points"),
    ],
)
def test_the_cliff_stands_where_the_numbers_put_it(ax, means, title):
    found = {"one": np.array(means)[:, None] + [-1, 0, 1], "two": np.full((4, 3), 20.0)}
    quantized.accuracy_by_bits(ax, BITS, found, full=97)
    assert ax.get_title(loc="left") == title
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    with pytest.raises(ValueError, match="one"):
        quantized.accuracy_by_bits(ax, BITS, {"one": means}, full=97)


@pytest.mark.parametrize(
    ("points", "title"),
    [
        (
            {(2, 2): (10, 80.0), (2, 4): (12, 83.1)},
            "Within the budget, unequal bits are up to 3.1 points better",
        ),
        (
            {(2, 2): (10, 80.0), (2, 4): (12, 80.4)},
            "Within the budget, equal bits are the best choice, up to 0.5 points",
        ),
        (
            {(2, 2): (10, 80.0), (2, 4): (30, 99.0)},
            "Within the budget, equal bits are the best choice, up to 0.5 points",
        ),
        ({(4, 4): (30, 99.0), (2, 4): (12, 80.0)}, "Equal bits do not fit into this budget"),
        ({(4, 4): (30, 99.0)}, "No choice of bits fits into this budget"),
    ],
)
def test_equal_bits_are_judged_within_the_budget(ax, points, title):
    dots, *_ = quantized.bit_budget(ax, points, budget=20)
    assert len(dots.get_xdata()) == len(points)
    assert ax.get_title(loc="left") == title


def test_a_budget_needs_choices(ax):
    with pytest.raises(ValueError, match="points"):
        quantized.bit_budget(ax, {}, budget=20)


def test_only_pictures_on_which_one_model_is_right_are_shown():
    images, labels = np.arange(5.0)[:, None, None] * np.ones((5, 2, 2)), np.arange(5)
    answers = {"one": [0, 1, 2, 0, 0], "two": [0, 0, 9, 3, 0]}
    figure, axes = style.axes(2, 1, squeeze=False, alt="pictures")
    quantized.disagreements(axes, images, answers, labels)
    assert [row[0].get_title(loc="left") for row in axes] == ["only one right: 2", "only two right: 1"]
    assert [row[0].images[0].get_array()[0, 0] for row in axes] == [1, 3]
    assert [row[0].texts[0].get_text() for row in axes] == ["1, not 0", "3, not 0"]
    for bad in ({"one": [0]}, {"one": [0] * 4, "two": [0] * 5}):
        with pytest.raises(ValueError, match="answers"):
            quantized.disagreements(axes, images, bad, labels)


# Comparison


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0.01, 30))
def test_spread_moves_as_little_as_possible(positions, gap):
    found = comparison.spread(positions, gap)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(found[order]) >= gap - 1e-9).all()
    ranks = np.arange(len(positions))
    best = IsotonicRegression().fit_transform(ranks, np.array(positions)[order] - gap * ranks) + gap * ranks
    np.testing.assert_allclose(found[order], best, atol=1e-6)


def test_what_is_far_apart_stays_where_it_is():
    np.testing.assert_allclose(comparison.spread([3.0, 1.0, 2.0], 0.5), [3.0, 1.0, 2.0])


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_labels_stand_at_the_ends_of_their_lines(ax, scale):
    ax.set_yscale(scale)
    made = comparison.lines(ax, [1, 2], {"low": [1, 2], "high": [10, 90]}, x_label="x", y_label="y")
    low, high = (artist for artist in made if isinstance(artist, Text))
    ax.figure.png()
    for text, end in ((low, (2, 2)), (high, (2, 90))):
        assert text.get_transform().transform(text.get_position())[1] == pytest.approx(
            ax.transData.transform(end)[1], abs=2
        )


def test_each_line_has_its_own_colour_marker_and_dash(ax):
    made = comparison.lines(ax, [1, 2], {name: [1, 2] for name in "abcd"}, x_label="x", y_label="y")
    for look in ("get_color", "get_marker", "get_linestyle"):
        assert len({getattr(line, look)() for line in made[:4]}) == 4


def test_a_band_is_drawn_where_it_was_given(ax):
    assert len(comparison.line_with_band(ax, [1, 2], [1, 2])) == 1
    line, band = comparison.line_with_band(ax, [1, 2], [5, 6], [4, 5], [7, 8], series=1)
    assert line.get_color() == style.SERIES[1]
    corners = band.get_paths()[0].get_extents()
    assert (corners.y0, corners.y1) == (4, 8)


def test_bars_start_at_zero_and_carry_their_number(ax):
    *drawn, first, second = comparison.bars(ax, ["a", "b"], [70.0, 0.0], unit="size (kB)", highlight=["b"])
    assert [bar.get_width() for bar in drawn] == [70, 0]
    assert ax.get_xlim()[0] == 0
    assert (first.get_text(), second.get_text()) == ("70.0", "0")
    assert drawn[0].get_facecolor() != drawn[1].get_facecolor()


def test_numbers_beside_an_interval_have_the_minus_of_the_axis(ax):
    *_, text = comparison.dots_with_interval(ax, ["lost"], [-2], [-2.5], [-1.5], unit="points")
    assert text.get_text() == "−2.00  (−2.50 to −1.50)"


def test_rows_run_from_top_to_bottom(ax):
    dots = comparison.dots_with_interval(ax, ["first", "last"], [1, 2], [0, 1], [2, 3], unit="ms")[0]
    assert list(dots.get_ydata()) == [1, 0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert dict(zip(ax.get_yticks(), names, strict=True)) == {1: "first", 0: "last"}


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda ax: comparison.bars(ax, ["a"], [1, 2], unit="x"), "values must hold 1"),
        (lambda ax: comparison.bars(ax, ["a"], [-1], unit="x"), "at least 0"),
        (lambda ax: comparison.bars(ax, ["a"], [1], unit="x", highlight=["b"]), "highlight"),
        (lambda ax: comparison.bars(ax, [], [], unit="x"), "empty"),
        (lambda ax: comparison.dots_with_interval(ax, ["a"], [1], [2], [3], unit="x"), "enclose"),
        (
            lambda ax: comparison.dots_with_interval(ax, ["a"], [1], [0], [2, 3], unit="x"),
            "highs must hold 1",
        ),
        (lambda ax: comparison.line_with_band(ax, [1, 2], [1]), "center must hold 2"),
        (lambda ax: comparison.line_with_band(ax, [1], [1], series=4), "series"),
        (lambda ax: comparison.line_with_band(ax, [1], [np.nan]), "finite"),
        (lambda ax: comparison.lines(ax, [1], {}, x_label="", y_label=""), "1 to 4"),
        (
            lambda ax: comparison.lines(ax, [1], {"a": [1]}, {"b": ([1], [1])}, x_label="", y_label=""),
            "bands",
        ),
        (lambda ax: crossover.speedups(ax, a_grid(), batch=7), "batch must be one of 1, 32"),
    ],
)
def test_bad_input_is_named(ax, draw, says):
    with pytest.raises(ValueError, match=says):
        draw(ax)


# Crossover


def test_the_batch_asked_for_stands_out(ax):
    made = crossover.speedups(ax, a_grid(), batch=32)
    assert [line.get_color() for line in made.lines] == [style.GREY, style.BLUE]
    assert made.lines[1].get_zorder() > made.lines[0].get_zorder()
    assert ax.get_title(loc="left") == a_grid().sentence(32)
    assert "a machine" in ax.get_xlabel()


def test_intervals_are_drawn_as_measured(ax):
    grid = a_grid()
    for column, bars in enumerate(crossover.speedups(ax, grid).intervals):
        drawn = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(drawn, np.stack([grid.low[:, column], grid.high[:, column]], axis=1))


def test_a_description_from_a_cell_looks_like_one_that_a_plot_makes(ax):
    comparison.describe(ax, "weight (kg)", "", "One sentence")
    assert (ax.get_title(loc="left"), ax.get_title(loc="center")) == ("One sentence", "")
    assert ax.title.get_text() == ""
    assert ax._left_title.get_fontweight() == "bold"
