import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (
    assert_keeps_the_rules,
    move,
    pixels,
    redrawn,
    sweep,
    texts_collide,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.timing import CrossoverGrid
from coursekit.widgets.crossover import crossover

WIDTHS, BATCHES = (64, 128, 256, 512, 1024, 2048), (1, 8, 32, 128)


def grid(factor=1.0, machine="a server CPU with a rather long name @ 2.70GHz, 2 cores", **changes):
    ratio = factor * np.array([[0.3 * (w / 128) ** 0.9 * b**0.3 for b in BATCHES] for w in WIDTHS])
    parts = {"widths": WIDTHS, "batches": BATCHES, "ratio": ratio, "low": ratio * 0.9, "high": ratio * 1.12}
    return CrossoverGrid(**{**parts, "machine": machine, **changes})


@pytest.fixture
def panel():
    return crossover(grid())


# The measurements


def column(ratios, spread=0.05):
    ratio = np.array(ratios, float)[:, None]
    widths = tuple(2**k for k in range(len(ratios)))
    return CrossoverGrid(widths, (1,), ratio, ratio * (1 - spread), ratio * (1 + spread))


@pytest.mark.parametrize(
    ("ratios", "width", "sentence"),
    [
        ([0.3, 0.9, 2.0, 3.0], 4, "At batch 1, INT8 pays off from width 4 on"),
        ([0.3, 0.9, 0.99, 3.0], 8, "At batch 1, INT8 pays off from width 8 on"),
        ([2.0, 3.0], 1, "At batch 1, INT8 pays off at every measured width"),
        ([2.0, 0.5, 2.0], 4, "At batch 1, INT8 pays off from width 4 on"),
        ([2.0, 3.0, 0.5], None, "At batch 1, INT8 pays off at 2 of 3 widths"),
        ([0.2, 0.3], None, "At batch 1, INT8 is slower at every measured width"),
        ([0.2, 1.01], None, "At batch 1, INT8 pays off at no measured width"),
        ([0.2, 1.0], None, "At batch 1, INT8 pays off at no measured width"),
    ],
)
def test_sentences_say_what_was_measured(ratios, width, sentence):
    assert column(ratios).crossover(1) == width
    assert column(ratios).sentence(1) == sentence


@given(st.lists(st.sampled_from([0.5, 0.98, 1.02, 2.0]), min_size=1, max_size=6))
def test_crossover_and_sentence_are_true_of_any_measurements(ratios):
    made = column(ratios)
    lows = dict(zip(made.widths, made.low[:, 0], strict=True))
    paying = [w for w in made.widths if all(lows[v] > 1 for v in made.widths if v >= w)]
    assert made.crossover(1) == (paying[0] if paying else None)
    sentence = made.sentence(1)
    if start := re.search(r"from width (\d+) on", sentence):
        assert all(low > 1 for width, low in lows.items() if width >= int(start[1]))
    elif share := re.search(r"at (\d) of (\d) widths", sentence):
        assert (int(share[1]), int(share[2])) == (sum(low > 1 for low in lows.values()), len(lows))
    else:
        every = all(low > 1 for low in lows.values())
        slower = (made.high < 1).all()
        assert sentence.endswith(
            "pays off at every measured width"
            if every
            else "is slower at every measured width"
            if slower
            else "pays off at no measured width"
        )
        assert every or not any(low > 1 for low in lows.values())


def test_verdicts_follow_the_interval():
    made = column([0.5, 1.02, 2.0])
    assert [made.verdict(width, 1) for width in made.widths] == ["slower", "same", "faster"]


def test_a_grid_is_made_of_ratios_in_any_order():
    keys = [(w, b) for b in (8, 1) for w in (256, 64)]
    ratios = {(w, b): SimpleNamespace(value=w / b, low=w / b - 1, high=w / b + 1) for w, b in keys}
    made = CrossoverGrid.of(ratios, "here")
    assert (made.widths, made.batches, made.machine) == ((64, 256), (1, 8), "here")
    assert made.at(256, 8) == (32.0, 31.0, 33.0)


def test_a_grid_prints_as_a_table():
    text = str(grid())
    assert text.splitlines()[0].split("  ")[0] == "width"
    assert len(text.splitlines()) == 2 + len(WIDTHS)
    assert repr(grid()) == text
    assert "a server CPU" in grid()._repr_html_()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"widths": ()}, ValueError, "widths"),
        ({"widths": (64, 64, 256, 512, 1024, 2048)}, ValueError, "widths"),
        ({"widths": (2048, 1024, 512, 256, 128, 64)}, ValueError, "widths"),
        ({"batches": (1, 8, 32, 12.5)}, TypeError, "batches"),
        ({"batches": (1, 8)}, ValueError, r"ratio must have shape \(6, 2\)"),
        ({"ratio": np.zeros((6, 4))}, ValueError, "ratio must be above zero"),
        ({"ratio": np.full((6, 4), np.nan)}, ValueError, "ratio must be finite"),
        ({"low": np.full((6, 4), 99.0)}, ValueError, "enclose"),
        ({"high": np.full((6, 4), 0.01)}, ValueError, "enclose"),
    ],
)
def test_bad_measurements_are_refused(changes, error, says):
    with pytest.raises(error, match=says):
        grid(**changes)


def test_missing_combinations_are_named():
    one = SimpleNamespace(value=1.0, low=0.9, high=1.1)
    with pytest.raises(ValueError, match=r"missing: \[\(64, 8\)\]"):
        CrossoverGrid.of({(64, 1): one, (128, 1): one, (128, 8): one})
    with pytest.raises(ValueError, match="ratios"):
        CrossoverGrid.of({})


@pytest.mark.parametrize(("width", "batch", "says"), [(65, 1, "width"), (64, 2, "batch")])
def test_what_was_not_measured_is_refused(width, batch, says):
    with pytest.raises(ValueError, match=f"{says} must be one of"):
        grid().at(width, batch)


# The panel


@pytest.mark.parametrize("name", ["width", "batch"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_numbers_are_those_measured(panel):
    results = grid()
    for (row, width), (number, batch) in itertools.product(enumerate(WIDTHS), enumerate(BATCHES)):
        shown = panel.view.update(width, batch)
        expected = [float(part[row, number]) for part in (results.ratio, results.low, results.high)]
        assert [shown["ratio"], shown["low"], shown["high"]] == expected
        faster = [w for w, low in zip(WIDTHS, results.low[:, number], strict=True) if low > 1]
        assert shown["crossover"] == faster[0]
        verdict = "faster" if expected[1] > 1 else "slower" if expected[2] < 1 else "same"
        assert shown["verdict"] == verdict
        assert panel.view.title.get_text() == f"At batch {batch}, INT8 pays off from width {faster[0]} on"
        assert {"faster": "is faster", "slower": "is slower", "same": "no difference"}[
            verdict
        ] in panel.view.reading.get_text()


def test_it_starts_where_int8_begins_to_pay(panel):
    assert panel.values["batch"] == 1
    assert panel.values["width"] == panel.values["crossover"] == 1024


def test_it_starts_somewhere_where_int8_never_pays():
    panel = crossover(grid(factor=0.01))
    assert panel.values["crossover"] is None
    assert panel.values["verdict"] == "slower"
    assert len(panel.view.from_here.get_xdata()) == 0


def test_only_the_chosen_batch_is_coloured(panel):
    move(panel, "batch", 32)
    colours = [line.get_color() for line in panel.view.drawn.lines]
    assert [colour == colours[2] for colour in colours] == [False, False, True, False]


@pytest.mark.parametrize("present", ["0", "1"])
@pytest.mark.parametrize("factor", [1.0, 0.001, 100.0])
def test_no_text_lies_on_another(monkeypatch, present, factor):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = crossover(grid(factor))
    for width, batch in itertools.product(WIDTHS, BATCHES):
        panel.view.update(width, batch)
        assert texts_collide(panel.view) == []


def test_no_text_lies_on_another_when_all_lines_end_together():
    even = np.ones((6, 4))
    panel = crossover(grid(ratio=even, low=even * 0.99, high=even * 1.01))
    assert texts_collide(panel.view) == []


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 10**6))
def test_any_grid_can_be_drawn(rows, columns, seed):
    random = np.random.default_rng(seed)
    ratio = np.exp(random.normal(0, 2, (rows, columns)))
    widths, batches = tuple(2 ** (k + 4) for k in range(rows)), tuple(4**k for k in range(columns))
    panel = crossover(CrossoverGrid(widths, batches, ratio, ratio * 0.8, ratio * 1.3))
    assert texts_collide(panel.view) == []
    low, high = panel.view.ring.axes.get_ylim()
    assert low < min(1, 0.8 * ratio.min())
    assert max(1, 1.3 * ratio.max()) < high


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("width", 64), ("batch", 128), ("width", 2048)), monkeypatch)


def test_without_a_measurement_there_is_no_button(panel):
    assert panel.buttons == {}


@pytest.mark.parametrize("given_", [None, {}, np.ones((2, 2))])
def test_results_must_be_a_grid(given_):
    with pytest.raises(TypeError, match="results must be a CrossoverGrid"):
        crossover(given_)


# Measuring again


def test_measuring_again_shows_the_new_numbers_on_fitting_axes():
    fractions = []

    def measure(progress):
        for done in (0.5, 1.0):
            progress(done)
            fractions.append(panel.progress.value)
        return grid(factor=40.0)

    panel = crossover(grid(), measure)
    before = pixels(panel)
    panel.buttons["Measure again"].click()
    assert panel.message.value == ""
    assert fractions == [0.5, 1.0]
    assert panel.values["ratio"] == pytest.approx(grid(40.0).at(1024, 1)[0])
    assert panel.view.title.get_text() == "At batch 1, INT8 pays off at every measured width"
    assert panel.view.ring.axes.get_ylim()[1] > grid(40.0).high.max()
    assert not np.array_equal(pixels(panel), before)
    assert texts_collide(panel.view) == []
    move(panel, "batch", 8)
    assert np.array_equal(pixels(panel), redrawn(panel))


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "TypeError: what measure returns must be a CrossoverGrid"),
        (column([1.0, 2.0]), "ValueError: measure must return widths"),
    ],
)
def test_a_wrong_result_is_named_and_changes_nothing(result, says):
    panel = crossover(grid(), lambda progress: result)
    before = panel.picture.value, panel.values
    panel.buttons["Measure again"].click()
    assert says in panel.message.value
    assert (panel.picture.value, panel.values) == before
