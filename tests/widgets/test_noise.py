import statistics

import ipywidgets
import numpy as np
import pytest
from helpers import (
    assert_keeps_the_rules,
    pixels,
    redrawn,
    span,
    sweep,
    texts_collide,
)
from scipy.stats import binom

from coursekit.timing.medians import running_medians, settled, sign_test_rank
from coursekit.widgets.noise import noise


def some_runs(count=80, seed=3):
    rng = np.random.default_rng(seed)
    times = 4e-4 * (1 + rng.gamma(1.2, 0.12, count))
    times[rng.integers(0, count, count // 16)] *= rng.uniform(2, 9, count // 16)
    times.flags.writeable = False
    return times


@pytest.fixture(scope="module")
def shared():
    return noise(some_runs())


@pytest.fixture
def panel(shared):
    with shared.hold():
        for name, value in (("runs", 30), ("tolerance", 5)):
            shared.controls[name].value = value
    return shared


@pytest.mark.parametrize("name", ["runs", "tolerance"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("runs", [1, 2, 5, 6, 30, 80])
def test_the_numbers_are_those_of_the_first_runs(panel, runs):
    shown = panel.view.update(runs, 5)
    first = some_runs()[:runs].tolist()
    assert shown["median"] == pytest.approx(statistics.median(first))
    assert shown["mean"] == pytest.approx(statistics.fmean(first))
    assert shown["slowest"] == max(first)


@pytest.mark.parametrize("runs", range(1, 81, 7))
def test_the_interval_is_the_sign_tests(panel, runs):
    shown = panel.view.update(runs, 5)
    first = np.sort(some_runs()[:runs])
    # How likely is it that the true median lies outside [first[k], first[-1-k]]?
    outside = [2 * binom.cdf(k, runs, 0.5) for k in range(runs // 2)]
    allowed = [k for k, risk in enumerate(outside) if risk <= 0.05]
    if not allowed:
        assert np.isnan(shown["low"])
        assert np.isnan(shown["high"])
        return
    assert (shown["low"], shown["high"]) == (first[allowed[-1]], first[-1 - allowed[-1]])


def test_the_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(8)
    for count in (6, 15, 40):
        runs = rng.lognormal(size=(4000, count))
        ordered = np.sort(runs, axis=1)
        rank = sign_test_rank(count, 0.025)
        inside = (ordered[:, rank - 1] <= 1) & (ordered[:, count - rank] >= 1)  # the true median is 1
        assert inside.mean() >= 0.94


@pytest.mark.parametrize("tolerance", [2, 5, 20])
def test_from_the_run_it_names_on_the_median_stays_and_not_earlier(panel, tolerance):
    settled = panel.view.update(10, tolerance)["settled"]
    times = some_runs().tolist()
    final = statistics.median(times)
    off = [abs(statistics.median(times[:count]) / final - 1) > tolerance / 100 for count in range(1, 81)]
    assert not any(off[settled - 1 :])
    assert settled == 1 or off[settled - 2]


def test_settling_of_steady_runs_is_at_once():
    assert settled([2.0, 2.0, 2.0], 5) == 1
    assert settled([3.0, 2.05, 2.0], 5) == 2


def test_a_looser_tolerance_never_settles_later(panel):
    settled = [panel.view.update(30, tolerance)["settled"] for tolerance in (2, 5, 10, 20)]
    assert settled == sorted(settled, reverse=True)


def test_drift_does_not_settle():
    panel = noise(np.linspace(1e-3, 1.5e-3, 200))
    assert (panel.values["verdict"], panel.values["settled"]) == ("drifts", None)
    assert panel.view.title.get_text() == "The runs drift: the last quarter is 36 % slower than the first"


@pytest.mark.parametrize("mixed", [False, True])
def test_two_speeds_do_not_settle(mixed):
    rng = np.random.default_rng(0)
    slow = rng.random(200) < 0.5 if mixed else np.arange(200) >= 100
    panel = noise(np.where(slow, 1.3e-3, 1e-3) * (1 + 0.01 * rng.standard_normal(200)))
    assert (panel.values["verdict"], panel.values["settled"]) == ("two levels", None)
    share = 100 * (1 - slow.mean())
    assert panel.view.title.get_text().startswith(f"Two levels: {share:.0f} % of runs at ")
    assert panel.view.title.get_text().endswith("the rest at 1.30 ms")
    assert texts_collide(panel.view) == []


def test_a_median_that_rests_at_the_very_end_only_has_not_come_to_rest():
    panel = noise(np.r_[[2e-3] * 5, [1e-3] * 5])
    assert panel.values["verdict"] != "settles"
    assert panel.values["settled"] is None


def test_dots_median_and_stripe_show_what_counts(panel):
    shown = panel.view.update(30, 5)
    view, factor = panel.view, panel.view.factor
    assert len(view.counted.get_xdata()) == 30
    assert len(view.later.get_xdata()) == 50
    assert view.median.get_ydata()[-1] * factor == pytest.approx(shown["median"])
    low, high = view.stripe.get_y(), view.stripe.get_y() + view.stripe.get_height()
    final = statistics.median(some_runs().tolist()) / factor
    assert (low, high) == pytest.approx((0.95 * final, 1.05 * final))
    bottom, top = view.figure.axes[0].get_ylim()
    assert bottom < low < high < top


def test_runs_above_the_picture_are_counted_in_words(panel):
    ax = panel.view.figure.axes[0]
    hidden = (some_runs() / panel.view.factor > ax.get_ylim()[1]).sum()
    assert hidden > 0
    assert any(text.get_text() == f"↑ {hidden} slower" for text in ax.texts)


@pytest.mark.parametrize("present", ["0", "1"])
@pytest.mark.parametrize("count", [80, 1000])
def test_the_words_stand_where_no_run_can_lie(monkeypatch, present, count):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    for seed in (1, 3, 18):
        view = noise(some_runs(count, seed) * 80).view
        view.update(count, 20)
        ax = view.figure.axes[0]
        (words,) = [text for text in ax.texts if "slower" in text.get_text()]
        assert words.get_window_extent().y0 > ax.bbox.y1
        assert texts_collide(view) == []


def test_the_axes_have_names_and_units(panel):
    ax = panel.view.figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("runs", "time (µs)")
    assert noise(some_runs() * 1e3).view.figure.axes[0].get_ylabel() == "time (ms)"


def test_the_title_and_the_reading_say_what_is_shown(panel):
    settled = panel.values["settled"]
    assert panel.view.title.get_text().startswith(f"From run {settled} on, the median stays within ±5 %")
    assert panel.view.reading.get_text().startswith("30 runs: median 4")


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    for factor in (1, 1e-3, 1e4):
        panel = noise(some_runs() * factor)
        for runs in span(panel.controls["runs"], 5):
            panel.view.update(runs, 20)
            assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("runs", 1), ("runs", 80), ("tolerance", 20), ("runs", 7)), monkeypatch)


def test_measuring_again_draws_the_new_runs_on_axes_that_fit():
    shares = []

    def measure(progress):
        progress(0.5)
        shares.append(panel.progress.value)
        return some_runs(seed=9) * 100

    panel = noise(some_runs(), measure=measure)
    before = pixels(panel)
    panel.controls["runs"].value = 50
    panel.buttons["Measure again"].click()
    assert shares == [0.5]
    assert panel.values["runs"] == 50
    assert panel.values["median"] == pytest.approx(np.median(some_runs(seed=9)[:50]) * 100)
    assert not np.array_equal(before, pixels(panel))
    assert np.array_equal(pixels(panel), redrawn(panel))
    bottom, top = panel.view.figure.axes[0].get_ylim()
    assert bottom < panel.values["median"] / panel.view.factor < top
    label = panel.view.figure.axes[0].get_xlabel()
    ratio = np.median(some_runs(seed=9)) * 100 / np.median(some_runs()) - 1
    assert label.endswith(f"this one's {100 * ratio:+.1f} %)")
    panel.buttons["Measure again"].click()
    assert np.array_equal(panel.view.earlier, some_runs())
    assert texts_collide(panel.view) == []


def test_runs_that_were_handed_in_have_no_second_series_and_the_panel_says_so():
    stored = noise(some_runs())
    assert not stored.buttons
    said = [row.value for row in stored.root.children if isinstance(row, ipywidgets.HTML)]
    assert any("no second series" in text for text in said)
    assert "Measure again" in noise().buttons


@pytest.mark.parametrize(
    ("again", "says"), [(some_runs(79), "80 runs; got 79"), ([1.0] * 79 + [0], "above zero")]
)
def test_new_runs_that_do_not_fit_are_refused(again, says):
    panel = noise(some_runs(), measure=lambda progress: again)
    with pytest.raises(ValueError, match=says):
        panel.view.adopt(again)


def test_without_runs_it_times_something_here():
    panel = noise()
    assert panel.values["median"] > 0
    assert len(panel.view.times) == 200


def test_few_runs_are_all_shown():
    assert noise([1e-3 + i * 1e-5 for i in range(12)]).values["runs"] == 12


@pytest.mark.parametrize(
    ("seconds", "error", "says"),
    [
        ([1.0] * 9, ValueError, "at least 10 runs; got 9"),
        ([1.0] * 9 + [0.0], ValueError, "above zero"),
        ([1.0] * 9 + [np.nan], ValueError, "finite"),
        ("1.0", TypeError, "seconds"),
        (np.ones((5, 5)), ValueError, "dimension"),
    ],
)
def test_bad_input_is_named(seconds, error, says):
    with pytest.raises(error, match=says):
        noise(seconds)


@pytest.mark.parametrize(
    ("runs", "error"),
    [("a", TypeError), (2.5, TypeError), (True, TypeError), (0, ValueError), (-5, ValueError)],
)
def test_a_bad_number_of_runs_is_named(runs, error):
    with pytest.raises(error, match="runs must be .*got"):
        noise(some_runs(), runs=runs)


def test_equal_runs_can_be_drawn():
    panel = noise([2e-3] * 20)
    assert panel.values["settled"] == 1
    assert running_medians(np.full(20, 2e-3)).median.tolist() == [2e-3] * 20
