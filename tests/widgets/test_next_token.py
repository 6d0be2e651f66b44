"""The panel on the next token: shares by another route, every control, and what a reader may type."""

import numpy as np
import pytest
import torch
from helpers import assert_keeps_the_rules, move, pixels, sweep, texts_collide

from coursekit import language, widgets
from coursekit.widgets.next_token import SHOWN, START

SMALL = language.small()
TEXTS = ("", " ", "def f(x):\n", "x" * 300, "naïve 漢字 🙂", "Return the number of items in the list. ")


@pytest.fixture
def panel():
    return widgets.next_token(SMALL)


def expected(text, temperature, top_k):
    """Return the shares by token, in float64 and without the package's functions."""
    tokens = SMALL.tokenizer.encode(text) or [SMALL.tokenizer.end]
    with torch.no_grad():
        logits = SMALL.model(torch.tensor([tokens]))[0, -1].double().numpy()
    order = np.argsort(-logits, kind="stable")
    kept = np.full(len(logits), -np.inf)
    chosen = order[: top_k or len(order)]
    kept[chosen] = logits[chosen]
    raised = np.exp((kept - kept.max()) / temperature)
    return order, raised / raised.sum()


@pytest.mark.parametrize("name", ["temperature", "top_k"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.3, 0), (2.0, 5), (1.0, 1)])
def test_the_shares_are_those_of_the_definition(panel, text, temperature, top_k):
    shown = panel.view.update(text, temperature, top_k)
    order, found = expected(text, temperature, top_k)
    np.testing.assert_allclose(shown["shares"], found[order[:SHOWN]], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose([bar.get_width() for bar in panel.view.bars], 100 * shown["shares"])
    if top_k:
        assert shown["kept"] == top_k
    entropy = -sum(share * np.log(share) for share in found if share)
    assert shown["perplexity"] == pytest.approx(np.exp(entropy), rel=1e-3)


def test_each_model_says_its_own():
    fresh = language.Transformer(SMALL.model.config, seed=3).eval()
    view = widgets.next_token(SMALL, language.LanguageModel("fresh", fresh, SMALL.tokenizer)).view
    ours, theirs = (view.update(TEXTS[2], 1.0, 0, model) for model in (0, 1))
    with torch.no_grad():
        wanted = fresh(torch.tensor([SMALL.tokenizer.encode(TEXTS[2])]))[0, -1].softmax(-1)
    np.testing.assert_allclose(theirs["shares"], wanted.topk(SHOWN).values, rtol=1e-4)
    assert (ours["model"], theirs["model"]) == (SMALL.name, "fresh")
    assert ours["shares"][0] > 2 * theirs["shares"][0]


def test_temperature_0_gives_all_to_the_first(panel):
    shown = panel.view.update(START, 0.0, 7)
    assert shown["shares"].tolist() == [1.0] + [0.0] * (SHOWN - 1)
    assert shown["kept"] == 1


def test_the_model_is_asked_once_per_text(panel, monkeypatch):
    asked = []
    forward = language.Transformer.forward
    monkeypatch.setattr(language.Transformer, "forward", lambda *parts: asked.append(1) or forward(*parts))
    for temperature in (0.2, 0.5, 2.0):
        move(panel, "temperature", temperature)
    assert not asked
    move(panel, "text", "another text")
    assert len(asked) == 1


def test_what_is_typed_changes_the_bars_and_never_breaks_the_panel(panel):
    for text in TEXTS:
        before = pixels(panel)
        move(panel, "text", text)
        assert not np.array_equal(pixels(panel), before)
        assert texts_collide(panel.view) == []
    panel.controls["text"].value = "x" * 2001
    assert "2,001 characters" in panel.message.value
    move(panel, "text", START)


def test_a_text_longer_than_the_context_loses_its_beginning():
    config = language.Config(vocab_size=1024, width=32, layers=1, heads=2, kv_heads=2, hidden=32, context=8)
    short = language.LanguageModel("short", language.Transformer(config), SMALL.tokenizer)
    view = widgets.next_token(short).view
    end = "the very same last tokens of a longer text"
    assert view.update("something before " + end, 1.0)["tokens"] == view.update("other " + end, 1.0)["tokens"]


def test_several_models_can_be_chosen_from(panel):
    other = language.with_outliers(SMALL)
    both = widgets.next_token(SMALL, other)
    shown = [move(both, "model", number)["model"] for number in (1, 0)]
    assert shown == [other.name, SMALL.name]
    assert "model" not in panel.controls


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    moves = [("temperature", 0.5), ("top_k", 3), ("text", "Return")]
    assert_keeps_the_rules(panel, moves, monkeypatch)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="models must be"):
        widgets.next_token("small")
    with pytest.raises(TypeError, match="text must be"):
        widgets.next_token(SMALL, text=3)
