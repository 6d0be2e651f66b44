import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.text import Text

from coursekit import accuracy, distillation
from coursekit.plots import distillation as plots
from coursekit.plots import style

LABELS = {"T = 1": np.eye(10)[7], "T = 20": np.full(10, 0.1)}
GAPS = {
    "nothing": np.array([0.01, -0.01, 0.005, -0.006, 0.0]),
    "better": np.array([0.04, 0.05, 0.03, 0.06, 0.05]),
    "worse": np.array([-0.04, -0.05, -0.03, -0.06, -0.05]),
}
GRID = distillation.Grid(
    distillation.SETUPS["clean"], (1.0, 4.0), (0.25, 0.5, 1.0), np.arange(12.0).reshape(2, 3, 2) / 100
)
SIZES = distillation.GradientSizes((1.0, 4.0, 16.0), np.array([1.0, 0.1, 0.005]), np.array([1.0, 1.6, 1.28]))
DRAWINGS = {
    "soft labels": lambda ax: plots.soft_labels(ax, LABELS, title="Heat levels the label"),
    "differences": lambda ax: plots.paired_differences(ax, GAPS, title="It depends"),
    "gradients": lambda ax: plots.gradients(ax, SIZES, title="T² keeps it"),
    "heatmap": lambda ax: plots.heatmap(ax, GRID, title="Hot is good"),
    "patience": lambda ax: plots.patience(ax, grid(0, -2, 0, 1), 0.5),
}


@pytest.fixture(params=["0", "1"], ids=["normal", "presenter"])
def ax(request, monkeypatch):
    monkeypatch.setenv("COURSEKIT_PRESENT", request.param)
    return style.axes(alt="A plot to test.")[1]


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_plot_returns_its_artists_names_its_axes_and_keeps_texts_apart(ax, draw):
    before = ax.figure.png()
    made = draw(ax)
    artists = [made.image, *made.texts] if hasattr(made, "image") else made
    assert artists
    assert all(isinstance(artist, Artist) and artist.axes is ax for artist in artists)
    assert ax.get_xlabel()
    assert ax.get_title("left")
    assert ax.figure.png() != before
    renderer = ax.figure.canvas.get_renderer()
    ticks = {label for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")}
    shown = [t for t in ax.figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    texts = [t for t in shown if t not in ticks]
    extents = [text.get_window_extent(renderer) for text in texts]
    for i, one in enumerate(extents):
        assert one.x1 <= ax.figure.bbox.x1 + 1
        assert one.x0 >= -1
        assert not any(one.padded(-1).overlaps(other) for other in extents[i + 1 :]), texts[i].get_text()


def test_bars_are_as_high_as_the_probabilities_and_stand_side_by_side(ax):
    made = plots.soft_labels(ax, LABELS)
    heights = [bar.get_height() for bar in made]
    np.testing.assert_allclose(heights, 100 * np.concatenate(list(LABELS.values())))
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in made)
    assert all(left[1] <= right[0] for left, right in zip(edges[:-1], edges[1:], strict=True))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(LABELS)


def test_every_seed_has_its_dot_and_every_row_its_interval_and_verdict(ax):
    made = plots.paired_differences(ax, GAPS)
    texts = [artist.get_text() for artist in made if isinstance(artist, Text)]
    assert [text.partition("\n")[0] for text in texts] == [
        "0.0: no difference shown",
        "+4.6: the teacher helps",
        "−4.6: the teacher harms",
    ]
    assert [text.partition("\n")[2] for text in texts] == [
        "(2 of 5 seeds gain)", "(5 of 5 seeds gain)", "(0 of 5 seeds gain)",
    ]  # fmt: skip
    rows = [made[i : i + 4] for i in range(1, len(made), 4)]
    for (dots, bar, mean, _), gaps, row in zip(rows, GAPS.values(), (2, 1, 0), strict=True):
        found = accuracy.paired(100 * gaps, np.zeros(5))
        np.testing.assert_allclose(dots.get_xdata(), 100 * gaps)
        assert (np.abs(dots.get_ydata() - row) < 0.4).all()
        np.testing.assert_allclose(bar.get_segments()[0], [(found.low, row), (found.high, row)])
        assert mean.get_xdata()[0] == pytest.approx(found.mean)


def test_the_heatmap_shows_mean_gains_in_points(ax):
    made = plots.heatmap(ax, GRID)
    np.testing.assert_allclose(made.image.get_array(), 100 * GRID.gain)
    assert [text.get_text() for text in made.texts] == ["+0.5", "+2.5", "+4.5", "+6.5", "+8.5", "+10.5"]


def test_gradients_stand_over_their_temperatures(ax):
    made = plots.gradients(ax, SIZES)
    assert [line.get_label() for line in made[:2]] == ["with T²", "without"]
    np.testing.assert_allclose(made[0].get_ydata(), SIZES.scaled)
    np.testing.assert_allclose(made[1].get_ydata(), SIZES.plain)
    np.testing.assert_allclose(made[1].get_xdata(), SIZES.temperatures)


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda ax: plots.soft_labels(ax, {}), "labels must hold 1 to 4"),
        (lambda ax: plots.soft_labels(ax, {"a": [0.5, 0.5]}), "a must hold 10 probabilities"),
        (lambda ax: plots.soft_labels(ax, {"a": [0.5, 0.6]}, classes="xy"), "add up to 1.1"),
        (lambda ax: plots.soft_labels(ax, {"a": [-0.5, 1.5]}, classes="xy"), "probabilities"),
        (lambda ax: plots.soft_labels(ax, {"a": [np.nan, 1.0]}, classes="xy"), "a must be finite"),
        (lambda ax: plots.paired_differences(ax, {}), "differences is empty"),
        (lambda ax: plots.paired_differences(ax, {"a": [0.1]}), "at least 2"),
        (lambda ax: plots.paired_differences(ax, {"a": [0.1, np.inf]}), "a must be finite"),
    ],
)
def test_plots_name_what_is_wrong(ax, draw, says):
    with pytest.raises(ValueError, match=says):
        draw(ax)


def grid(*gains):
    """Return a grid of two lengths and two temperatures whose five seeds lie closely around ``gains``."""
    seeds = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    gain = np.reshape(gains, (2, 2, 1, 1)) + seeds
    return distillation.GainGrid((30, 300), (1, 4), (0.5,), gain)


@pytest.mark.parametrize(
    ("gains", "says"),
    [
        ((0, -2, 0, 1), "30 epochs: harm at T = 4\n300 epochs: gain at T = 4"),
        ((-1, -2, 1, 1), "30 epochs: harm at T = 1, 4\n300 epochs: gain at T = 1, 4"),
        ((0, 0, 0, 0), "30 epochs: no harm shown\n300 epochs: no gain shown"),
        ((1, 1, -1, -1), "30 epochs: no harm shown\n300 epochs: no gain shown"),
    ],
)
def test_the_title_about_patience_follows_the_intervals(ax, gains, says):
    made = plots.patience(ax, grid(*gains), 0.5)
    assert ax.get_title(loc="left") == says
    np.testing.assert_allclose(made[1].get_ydata(), [gains[0], gains[2]], atol=1e-9)
    np.testing.assert_allclose(made[3].get_ydata(), [gains[1], gains[3]], atol=1e-9)
    np.testing.assert_array_equal(made[1].get_xdata(), [30, 300])


def test_patience_refuses_what_was_not_measured(ax):
    with pytest.raises(ValueError, match="alpha"):
        plots.patience(ax, grid(0, 0, 0, 0), 0.25)


@pytest.mark.parametrize(
    ("gaps", "says"),
    [
        (GAPS, "A teacher helps in 1 of 3 cases and harms in 1"),
        ({"a": GAPS["nothing"]}, "A teacher helps in 0 of 1 case"),
        ({"a": GAPS["better"], "b": GAPS["better"]}, "A teacher helps in 2 of 2 cases"),
    ],
)
def test_the_title_about_the_cases_counts_verdicts(ax, gaps, says):
    plots.paired_differences(ax, gaps)
    assert ax.get_title(loc="left") == says


def test_mean_answers_name_the_classes_that_are_taken_for_each_other_most(ax):
    answers = 0.8 * np.eye(4) + 0.02
    answers[2, 1] = 0.15
    answers[3] = np.nan
    image = plots.mean_answers(ax, answers, classes="abcd")
    assert ax.get_title(loc="left") == "c most resembles b: 15 %"
    shown = image.get_array()
    assert shown.mask.diagonal().all()
    assert shown.mask[3].all()
    assert shown[2, 1] == pytest.approx(15)
    assert {text.get_text() for text in ax.texts} == {"82", "2", "15"}
    with pytest.raises(ValueError, match="answers must be"):
        plots.mean_answers(ax, answers)


def test_mean_answers_without_any_example_have_a_neutral_title(ax):
    plots.mean_answers(ax, np.full((3, 3), np.nan), classes="abc")
    assert ax.get_title(loc="left") == "The mean answer to each class"
