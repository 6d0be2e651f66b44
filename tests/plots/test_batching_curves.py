import numpy as np
import pytest

from coursekit import batching, roofline
from coursekit.batching import Curve, Hockney, Served
from coursekit.plots import batching as pictures
from coursekit.plots import roofline as chart
from coursekit.plots import style

BATCHES = (1, 4, 16, 64, 256, 1024)


def curve(a=1e-3, b=1e-4, batches=BATCHES):
    median = a + b * np.array(batches)
    return Curve(batches, median, 0.8 * median, 1.5 * median)


@pytest.fixture
def ax():
    return style.axes(alt="a test")[1]


def drawn(ax):
    """Draw the picture and return the texts of the axes' labels and ticks."""
    ax.figure.png()
    return [label.get_text() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())]


def test_latency_is_drawn_with_its_quartiles_and_units(ax):
    made = curve()
    line, band = pictures.latency(ax, {"CPU": made}, title="A larger batch takes longer")
    assert line.get_xydata() == pytest.approx(np.column_stack([made.batches, made.median]))
    edges = band.get_paths()[0].vertices
    assert edges[:, 1].min() == pytest.approx(made.low.min())
    assert edges[:, 1].max() == pytest.approx(made.high.max())
    labels = drawn(ax)
    assert "256" in labels
    assert {"1 ms", "10 ms", "100 ms"} <= set(labels)
    assert ax.get_title(loc="left") == "A larger batch takes longer"


def test_hockneys_line_is_drawn_over_the_batches_and_named(ax):
    *_, dashed = pictures.latency(ax, {"CPU": curve()}, Hockney(2e-3, 3e-4))
    assert dashed.get_ydata() == pytest.approx(2e-3 + 3e-4 * np.array(BATCHES))
    assert ax.get_legend().get_texts()[0].get_text() == "2.00 ms + 300 µs · B"


def test_throughput_starts_at_zero_and_its_band_fits(ax):
    made = curve()
    line, band = pictures.throughput(ax, {"": made})
    assert line.get_ydata() == pytest.approx(np.array(BATCHES) / made.median)
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx((np.array(BATCHES) / made.low).max())
    assert heights.min() == pytest.approx((np.array(BATCHES) / made.high).min())
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] > heights.max()


def test_two_machines_stand_side_by_side_with_their_names(ax):
    gpu = curve(1e-4, 1e-7, (*BATCHES, 65_536))
    made = pictures.throughput(ax, {"CPU": curve(), "GPU": gpu})
    assert [artist.get_text() for artist in made if hasattr(artist, "get_text")] == ["CPU", "GPU"]
    assert ax.get_yscale() == "log"
    assert {"1", "16", "256"} <= set(drawn(ax))
    with pytest.raises(ValueError, match="curves must hold 1 to 4; got 0"):
        pictures.latency(ax, {})


def test_residuals_are_signed_per_cent_and_inside_the_axes(ax):
    made, line = curve(), Hockney(2e-3, 1e-4)
    stems, dots, zero = pictures.residuals(ax, made, line)
    errors = 100 * (made.median - 2e-3 - 1e-4 * np.array(BATCHES)) / made.median
    assert dots.get_ydata() == pytest.approx(errors)
    assert [segment[1][1] for segment in stems.get_segments()] == pytest.approx(errors)
    low, high = ax.get_ylim()
    assert low < errors.min()
    assert errors.max() < high == -low


def test_answered_marks_median_and_p99_on_its_curves(ax):
    when = batching.arrivals(100, 200)
    served = {
        f"{batch}": batching.simulate(when, curve(batches=(1, 8)), max_batch=batch, max_wait=0.01)
        for batch in (1, 8)
    }
    made = pictures.answered(ax, served, "a title")
    for number, each in enumerate(served.values()):
        line, marks = made[2 * number : 2 * number + 2]
        assert line.get_xdata() == pytest.approx(1e3 * np.sort(each.latencies))
        assert line.get_ydata()[-1] == 100
        assert marks.get_xydata() == pytest.approx(np.array([[1e3 * each.p50, 50], [1e3 * each.p99, 99]]))
    assert made[0].get_color() == made[2].get_color()
    assert made[0].get_linestyle() != made[2].get_linestyle()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1", "8"]


def test_share_within_says_how_many_took_at_most_so_long():
    served = Served("x", np.zeros(4), np.array([0.3, 0.1, 0.2, 0.1]), np.array([4]))
    times, shares = pictures.share_within(served)
    for time, share in zip(times, shares, strict=True):
        assert share <= 100 * (served.latencies * 1e3 <= time + 1e-9).mean()
    assert shares[-1] == 100


def test_a_roofline_has_a_slope_a_ridge_and_a_flat_part(ax):
    roof = roofline.Roof(40e9, {"fp32": 200e9, "int8": 800e9}, 120e9)
    work = roofline.linear(512, 512, 8)
    points = [roofline.Point(8, "fp32", source, work, 1e-3) for source in ("cache", "memory")]
    made = chart.roofline(ax, roof, points, "fp32")
    xs, ys = made.roof.get_data()
    assert ys == pytest.approx(np.minimum(200, 40 * xs))
    assert made.other.get_ydata() == pytest.approx(np.minimum(200, 120 * xs))
    assert made.points.get_xydata().tolist() == [[work.intensity, points[0].rate / 1e9]]
    assert [label.get_text() for label in made.labels.values()] == ["FP32 200 GFLOP/s", "INT8 800 GFLOP/s"]
    assert xs[0] < roof.ridge("fp32") < roof.ridge("int8") < xs[-1]
    assert "10" in drawn(ax)
    with pytest.raises(ValueError, match="precision must be one of"):
        chart.roofline(ax, roof, points, "bf16")


def test_titles_say_what_the_curves_say(ax):
    falling = Curve((1, 8, 64), [1e-3, 2e-3, 32e-3], [1e-3, 2e-3, 32e-3], [1e-3, 2e-3, 32e-3])
    pictures.latency(ax, {"CPU": falling}, title=None)
    assert ax.get_title(loc="left") == "64 at once: 32.0× the time"
    pictures.throughput(ax, {"CPU": falling}, title=None)
    assert ax.get_title(loc="left") == "Most at 8: 4.00×"
    pictures.residuals(ax, falling, Hockney(0.5e-3, 0.5e-3))
    assert ax.get_title(loc="left") == "At 8: -125 %"


def test_the_title_of_answers_divides_real_by_simulated(ax):
    served = {
        name: Served(name, np.zeros(2), np.array([1.0, 1.0]) * factor, np.array([2]))
        for name, factor in {"1, simulated": 4, "1, real": 2, "64, simulated": 1, "64, real": 1.2}.items()
    }
    pictures.answered(ax, served)
    assert ax.get_title(loc="left") == "Real p50 by simulated p50: 0.50 (1), 1.2 (64)"


def test_limits_stand_on_the_roof_and_say_so(ax):
    roof = roofline.Roof(2e12, {"fp16": 312e12})
    made = chart.limits(ax, roof, {"1 chat": 1.0, "200 chats": 200.0})
    marks = [line.get_xydata()[0] for line in ax.get_lines() if line.get_marker() == "o"]
    assert marks == [pytest.approx([1, 2000]), pytest.approx([200, 312_000])]
    assert [text.get_text() for text in ax.texts] == ["1 chat: at most 0.6 %", "200 chats: at most 100 %"]
    assert ax.get_title(loc="left") == "At most 0.6 % of the peak for 1 chat, 100 % for 200 chats"
    assert len(made) == 5
    with pytest.raises(ValueError, match="intensities must hold at least one"):
        chart.limits(ax, roof, {})
    with pytest.raises(ValueError, match="precision must be"):
        chart.limits(ax, roof, {"1 chat": 1.0}, "fp32")
