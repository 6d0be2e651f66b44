import itertools

import ipywidgets
import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit.memory import DEVICES, fits, need
from coursekit.widgets.context_growth import BATCHES, TALKING, context_growth

START = {"model": "LLaMA-7B", "device": "laptop", "bits": 4, "kv_bits": 16, "batch": 1}


@pytest.fixture(scope="module")
def shared():
    return context_growth()


@pytest.fixture
def panel(shared):
    with shared.hold():
        for name, value in START.items():
            shared.controls[name].value = value
    return shared


@pytest.mark.parametrize("name", ["model", "bits", "kv_bits", "batch"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_devices_of_another_size_move_numbers_and_picture(panel):
    sweep(panel, "device", ["phone", "T4", "RTX 4090", "H100", "H200"])


@pytest.mark.parametrize("kv_bits", [16, 8, 4])
@pytest.mark.parametrize("batch", [1, 8, 256])
def test_numbers_agree_with_an_own_account(panel, kv_bits, batch):
    shown = panel.view.update("LLaMA-7B", "H200", 8, kv_bits, batch)
    per_token = 2 * 32 * 4096 * batch * (kv_bits + 0.125 * (kv_bits < 16)) / 8
    assert shown["per_token"] == per_token
    assert shown["weights"] == pytest.approx(6_738_415_616 * 8.125 / 8)
    assert shown["even"] == np.ceil(shown["weights"] / per_token)
    # beside the weights and the cache there are a few dozen MB of working values
    assert shown["longest"] == pytest.approx((141e9 - shown["weights"]) / per_token, rel=0.01)


def test_the_longest_context_is_the_last_that_fits(panel):
    for model, batch in itertools.product(("Llama 3.2 1B", "LLaMA-13B"), (1, 16)):
        shown = panel.view.update(model, "RTX 4090", 4, 8, batch)
        here, beyond = (need(model, 4, 8, shown["longest"] + more, batch) for more in (0, 1))
        assert fits(here, "RTX 4090").verdict == "fits"
        assert fits(beyond, "RTX 4090").verdict == "does not fit"


def test_lines_marks_and_words_agree_with_the_numbers(panel):
    shown, view = panel.values, panel.view
    assert set(view.weights.get_ydata()) == {shown["weights"]}
    assert (np.diff(view.cache.get_ydata()) > 0).all()
    assert (np.array(view.sum.get_ydata()) > np.add(view.weights.get_ydata(), view.cache.get_ydata())).all()
    assert view.ring.get_xdata() == [shown["longest"]]
    assert view.ring.get_ydata() == [16e9] == list(view.ceiling.get_ydata())[:1]
    assert view.even.get_xdata() == [shown["even"]]
    assert view.title.get_text() == f"LLaMA-7B on a laptop: room for {shown['longest']:,} tokens"
    assert view.reading.get_text().startswith("Each token adds 524 kB; past 6,628 the cache")
    at_ring = np.interp(np.log(shown["longest"]), np.log(view.sum.get_xdata()), np.log(view.sum.get_ydata()))
    assert np.exp(at_ring) == pytest.approx(16e9, rel=0.02)


def test_what_does_not_fit_at_all_has_no_ring(panel):
    shown = move(panel, "model", "GPT-3 175B")
    assert shown["longest"] == 0
    assert len(panel.view.ring.get_xdata()) == 0
    assert panel.view.title.get_text() == "GPT-3 175B on a laptop: not even one token fits"


def test_several_sequences_are_named(panel):
    move(panel, "batch", 4)
    assert "room for 4 × " in panel.view.title.get_text()
    assert panel.view.reading.get_text().startswith("Each 4 tokens add 2.10 MB")


def test_articles_are_english(panel):
    panel.view.update("LLaMA-7B", "H100", 4, 16, 1)
    assert "on an H100:" in panel.view.title.get_text()
    panel.view.update("LLaMA-7B", "Raspberry Pi 5", 4, 16, 1)
    assert "on a Raspberry Pi 5:" in panel.view.title.get_text()


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = context_growth()
    for model, device, batch in itertools.product(TALKING, DEVICES, (1, BATCHES[-1])):
        panel.view.update(model, device, 4, 4, batch)
        assert texts_collide(panel.view) == [], (model, device, batch)


def test_it_keeps_the_rules_of_panels(monkeypatch):
    moves = (("batch", 64), ("device", "H200"), ("model", "LLaMA-70B"), ("kv_bits", 4))
    assert_keeps_the_rules(context_growth(), moves, monkeypatch)


def test_every_control_stands_above_the_picture(panel):
    shown = [
        child for row in panel.root.children if isinstance(row, ipywidgets.HBox) for child in row.children
    ]
    assert set(shown) == set(panel.controls.values())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"model": "BERT-base"}, ValueError, "model must be one of Llama 3.2 1B"),
        ({"device": "fridge"}, ValueError, "device must be one of"),
        ({"bits": 5}, ValueError, "bits must be one of"),
        ({"kv_bits": 32}, ValueError, "kv_bits must be one of"),
        ({"batch": 3}, ValueError, "batch must be one of"),
        ({"batch": "1"}, TypeError, "batch must be a whole number"),
    ],
)
def test_bad_input_is_named(arguments, error, says):
    with pytest.raises(error, match=says):
        context_growth(**arguments)
