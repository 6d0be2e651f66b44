"""The checkers of notebook A: right answers in every form, and each slip with its own hint."""

import math

import numpy as np
import pytest
import torch

from coursekit import exercises
from coursekit.exercises.verdicts import RIGHT, WRONG


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)


def softmax(logits):
    raised = np.exp(np.asarray(logits) - np.max(logits, axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def losses(logits, tokens):
    return np.array([-math.log(softmax(row)[token]) for row, token in zip(logits, tokens, strict=True)])


def in_torch(logits, tokens):
    return torch.nn.functional.cross_entropy(logits, tokens).exp()


@pytest.mark.parametrize(
    "answer",
    [
        lambda logits, temperature: softmax(logits / temperature),
        lambda logits, temperature: (logits / temperature).softmax(dim=0),
        lambda logits, temperature: softmax(np.asarray(logits) / temperature).tolist(),
    ],
)
def test_shares_in_every_form(answer):
    assert exercises.check("A-shares", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda logits, temperature: softmax(logits), "do not depend"),
        (lambda logits, temperature: softmax(logits * temperature), "more likely, or less"),
        (lambda logits, temperature: softmax(logits) / temperature, "add up to 1"),
        (lambda logits, temperature: np.exp(logits / temperature), "add up to 1"),
        (lambda logits, temperature: softmax(logits) ** 0 / 5, "before the exponential, or after"),
    ],
)
def test_a_slip_in_the_shares_has_its_hint(answer, hint):
    verdict = exercises.check("A-shares", answer)
    assert verdict.outcome == WRONG
    assert hint in verdict.hint


@pytest.mark.parametrize(
    "answer", [in_torch, lambda logits, tokens: float(np.exp(losses(logits, tokens).mean()))]
)
def test_perplexity_in_every_form(answer):
    assert exercises.check("A-perplexity", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("reduce", "hint"),
    [
        (np.mean, "That is the loss"),
        (lambda each: np.exp(each.sum()), "grows with the text"),
        (lambda each: np.exp(each).mean(), "or their exponentials"),
        (lambda each: 2 ** each.mean(), "in nats"),
        (lambda each: np.exp(-each.mean()), "smaller perplexity"),
        (lambda each: 1.0, "Which share"),
    ],
)
def test_a_slip_in_the_perplexity_has_its_hint(reduce, hint):
    verdict = exercises.check("A-perplexity", lambda logits, tokens: reduce(losses(logits, tokens)))
    assert verdict.outcome == WRONG
    assert hint in verdict.hint


@pytest.mark.parametrize("answer", [1.35, 1.3465, 2.8 / 3 / math.log(2)])
def test_bits_to_two_decimals(answer):
    assert exercises.check("A-bits", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"), [(2.8 / 3, "nats per character"), (4.04, "bits per token"), (7.0, "7 is not it")]
)
def test_a_slip_in_the_bits_is_named(answer, said):
    verdict = exercises.check("A-bits", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.message
