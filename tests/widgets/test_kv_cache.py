"""The panel on the cache of keys and values: the numbers are those measured and those of the arithmetic."""

import examples
import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit import timing, widgets

CONFIG, MEASURED = examples.arguments("kv_cache")


@pytest.fixture
def panel():
    return widgets.kv_cache(CONFIG, MEASURED)


def test_the_context_moves_numbers_and_picture(panel):
    sweep(panel, "context")


@pytest.mark.parametrize("context", MEASURED)
def test_the_numbers_are_those_measured(panel, context):
    shown = panel.view.update(context)
    both = MEASURED[context]
    assert (shown["ratio"], shown["low"], shown["high"]) == tuple(vars(both.ratio("with")).values())
    for way in ("with", "without"):
        speed = 1 / np.median(both.measurements[way].samples)
        assert shown[f"tokens_per_second_{way}"] == pytest.approx(speed)
    assert shown["cache_bytes"] == 2 * 2 * 2 * 8 * 4 * context, "both, layers, heads, numbers, bytes"
    assert panel.view.measured_ring.get_xdata()[0] == context


def test_it_starts_at_the_longest_context_and_says_what_was_found(panel):
    assert panel.values["context"] == 1024
    assert panel.view.title.get_text().startswith("1,024 tokens: the cache is faster, ")
    slow = {
        n: timing.Comparison(m.measurements, "without", {**m.ratios, "with": timing.Ratio(1.0, 0.9, 1.1)}, 20)
        for n, m in MEASURED.items()
    }
    assert "no difference shown" in widgets.kv_cache(CONFIG, slow).view.title.get_text()


def test_nothing_collides(panel):
    for context in MEASURED:
        move(panel, "context", context)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, [("context", 64), ("context", 256)], monkeypatch)


def test_other_measurements_are_refused():
    both = MEASURED[16]
    swapped = timing.Comparison(both.measurements, "with", both.ratios, 20)
    with pytest.raises(ValueError, match="at least two contexts"):
        widgets.kv_cache(CONFIG, {16: both})
    with pytest.raises(ValueError, match="to the baseline 'without'"):
        widgets.kv_cache(CONFIG, {16: both, 64: swapped})
    with pytest.raises(TypeError, match="measured must be"):
        widgets.kv_cache(CONFIG, {16: both, 64: 3.0})
    with pytest.raises(TypeError, match="config must be"):
        widgets.kv_cache(None, MEASURED)
