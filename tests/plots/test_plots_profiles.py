import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.text import Text

from coursekit.plots import profiles as plots
from coursekit.plots import style
from coursekit.timing.profiles import Call

TREE = Call(
    "handler", 0.4, 0.01, 1,
    (
        Call("load", 0.36, 0.02, 1, (Call("read_csv", 0.3, 0.3, 1), Call("unpickle", 0.04, 0.04, 1))),
        Call("predict", 0.03, 0.03, 1),
    ),
)  # fmt: skip
RUNS = np.array([0.41, 0.4, 0.43, 0.4, 2.5, 0.42]) * 1e-3
RUNS.flags.writeable = False
DRAWINGS = {
    "icicle": lambda ax: plots.icicle(ax, TREE),
    "runs": lambda ax: plots.runs(ax, RUNS),
    "amdahl": lambda ax: plots.amdahl_curve(ax, 0.9),
}


@pytest.fixture(params=["0", "1"], ids=["normal", "presenter"])
def ax(request, monkeypatch):
    monkeypatch.setenv("COURSEKIT_PRESENT", request.param)
    return style.axes(alt="A plot to test.")[1]


@pytest.fixture(params=DRAWINGS, ids=str)
def drawing(request):
    return DRAWINGS[request.param]


def flat(made):
    parts = made if isinstance(made, list | tuple) else [made]
    return [artist for part in parts for artist in (flat(part) if isinstance(part, list | tuple) else [part])]


def boxes(made):
    """Return (left, right, top, bottom) of every box, rounded, in the order in which they were drawn."""
    corners = [path.get_extents() for path in made.boxes.get_paths()]
    return [tuple(np.round((c.x0, c.x1, c.y0, c.y1), 6)) for c in corners]


def test_a_plot_returns_artists_of_its_axes_names_the_axis_and_draws(ax, drawing):
    before = ax.figure.png()
    made = flat(drawing(ax))
    assert made
    assert all(isinstance(artist, Artist) and artist.axes is ax for artist in made)
    assert ax.get_xlabel()
    assert ax.figure.png() != before


def test_labels_stand_apart(ax, drawing):
    drawing(ax)
    ax.figure.png()
    renderer = ax.figure.canvas.get_renderer()
    ticks = {label for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")}
    texts = [
        t for t in ax.figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in ticks
    ]
    extents = [text.get_window_extent(renderer) for text in texts]
    for i, one in enumerate(extents):
        assert one.x1 <= ax.figure.bbox.x1 + 1
        assert one.x0 >= -1
        assert not any(one.padded(-1).overlaps(other) for other in extents[i + 1 :]), texts[i].get_text()


# Icicle


def test_a_box_is_as_wide_as_its_time_and_stands_below_its_caller(ax):
    made = plots.icicle(ax, TREE)
    assert [(left, right, int(top)) for left, right, top, _ in boxes(made)] == [
        (0, 0.4, 0), (0, 0.36, 1), (0, 0.3, 2), (0.3, 0.34, 2), (0.36, 0.39, 1),
    ]  # fmt: skip
    low, high = ax.get_ylim()
    assert low > high  # the caller is on top


def test_deeper_levels_are_left_out(ax):
    assert len(boxes(plots.icicle(ax, TREE, deepest=2))) == 3


def test_a_label_is_written_where_there_is_room_and_inside_its_box(ax):
    made = plots.icicle(ax, TREE)
    ax.figure.png()
    texts = [label.get_text() for label in made.labels]
    assert texts[:3] == ["handler  400 ms", "load  360 ms", "read_csv  300 ms"]
    renderer = ax.figure.canvas.get_renderer()
    spans = [(left, right) for left, right, _, _ in boxes(made)]
    for label in made.labels:
        box = label.get_window_extent(renderer).transformed(ax.transData.inverted())
        assert any(left <= box.x0 and box.x1 <= right for left, right in spans), label.get_text()


def test_a_long_name_is_shortened_and_a_narrow_box_has_none(ax):
    whole = Call("a" * 200, 1.0, 0.9, 1, (Call("narrow", 0.01, 0.01, 1),))
    made = plots.icicle(ax, whole)
    assert len(made.labels) == 1
    assert "…" in made.labels[0].get_text()


def test_own_work_is_darker(ax):
    made = plots.icicle(ax, TREE)
    shade = made.boxes.get_facecolors()[:, :3].sum(axis=1)
    handler, _, read_csv, _, predict = shade
    assert read_csv == predict < handler


def test_the_title_says_where_unless_told_otherwise(ax):
    plots.icicle(ax, TREE)
    assert ax.get_title(loc="left") == "Where handler spends its time"
    plots.icicle(ax, TREE, title="Loading takes it all")
    assert ax.get_title(loc="left") == "Loading takes it all"


def test_an_icicle_needs_a_tree(ax):
    with pytest.raises(TypeError, match="call must be a tree of calls"):
        plots.icicle(ax, {"load": 1})
    with pytest.raises(ValueError, match="deepest"):
        plots.icicle(ax, TREE, deepest=0)


# Runs


def test_every_run_is_a_dot_at_its_time(ax):
    dots, middle, mean, *labels = plots.runs(ax, RUNS)
    assert list(dots.get_xdata()) == [1, 2, 3, 4, 5, 6]
    assert dots.get_ydata() == pytest.approx(RUNS * 1e3)
    assert middle.get_ydata()[0] == pytest.approx(np.median(RUNS) * 1e3)
    assert mean.get_ydata()[0] == pytest.approx(np.mean(RUNS) * 1e3)
    assert [label.get_text() for label in labels] == ["median", "mean"]
    assert ax.get_ylabel() == "time (ms)"
    assert ax.get_title(loc="left") == "6 runs of the same call: 400 µs to 2.50 ms"


@pytest.mark.parametrize(
    ("seconds", "unit"), [([1.5, 2], "s"), ([2e-3, 3e-3], "ms"), ([4e-6, 5e-6], "µs"), ([4e-9] * 2, "µs")]
)
def test_the_unit_fits_the_times(ax, seconds, unit):
    plots.runs(ax, seconds)
    assert ax.get_ylabel() == f"time ({unit})"


@pytest.mark.parametrize(
    ("seconds", "error", "says"),
    [
        ([1.0], ValueError, "at least 2 runs; got 1"),
        ([1.0, 0.0], ValueError, "above zero"),
        ([1.0, -1.0], ValueError, "above zero"),
        ([1.0, np.nan], ValueError, "finite"),
        ([[1.0, 2.0]], ValueError, "dimension"),
        ("fast", TypeError, "seconds"),
    ],
)
def test_runs_refuse_bad_times(ax, seconds, error, says):
    with pytest.raises(error, match=says):
        plots.runs(ax, seconds)


# Amdahl


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_the_curve_is_the_law_and_stays_below_its_limit(ax, share):
    curve, limit = plots.amdahl_curve(ax, share)
    factors, speedups = curve.get_data()
    assert speedups == pytest.approx(1 / (1 - share + share / factors))
    assert limit.get_ydata() == pytest.approx([1 / (1 - share)] * 2)
    assert (speedups <= limit.get_ydata()[0] * (1 + 1e-9)).all()


def test_a_part_that_is_everything_has_no_limit_in_the_picture(ax):
    curve, limit = plots.amdahl_curve(ax, 1)
    assert curve.get_ydata() == pytest.approx(curve.get_xdata())
    assert limit.get_ydata()[0] > ax.get_ylim()[1]


def test_a_share_above_one_is_refused(ax):
    with pytest.raises(ValueError, match="share"):
        plots.amdahl_curve(ax, 1.5)


def test_a_repair_shows_both_receipts_each_on_its_own_axis():
    _, axes = style.axes(2, 1, alt="A plot to test.")
    before, after = plots.repair(axes, TREE, Call("fast", 1e-3, 1e-3, 1))
    assert [ax.get_title(loc="left") for ax in axes] == [
        "Before: 400 ms, 90 % of it in load",
        "After: 1.00 ms in fast itself",
    ]
    assert [ax.get_xlim()[1] for ax in axes] == [0.4, 1e-3]
    assert len(before.boxes.get_paths()) == 5
    assert len(after.boxes.get_paths()) == 1
    with pytest.raises(ValueError, match="axes must be 2"):
        plots.repair(axes[:1], TREE, TREE)
    with pytest.raises(TypeError, match="call must be a tree of calls"):
        plots.repair(axes, TREE, None)
