"""The checkers of notebook A: right answers in every form, and each slip with its own hint."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from judged import refused

from coursekit import exercises, language
from coursekit.course.nbA import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT


def softmax(logits):
    raised = np.exp(np.asarray(logits) - np.max(logits, axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def losses(logits, tokens):
    return np.array([-math.log(softmax(row)[token]) for row, token in zip(logits, tokens, strict=True)])


def in_torch(logits, tokens):
    return torch.nn.functional.cross_entropy(logits[:-1], tokens[1:]).exp()


def in_a_loop(logits, tokens):
    total = 0.0
    for row, token in zip(logits[:-1], tokens[1:], strict=True):
        total -= math.log(softmax(row)[token])
    return [math.exp(total / (len(tokens) - 1))]


def in_half_the_digits(logits, tokens):
    return torch.nn.functional.cross_entropy(logits.float()[:-1], tokens[1:].long()).exp().float()


@pytest.mark.parametrize("id", list(checks.CHECKERS))
def test_what_is_not_tried_is_not_wrong(id):
    assert exercises.check(id, ...).outcome == NOT_TRIED
    assert exercises.check(id, lambda *parts: ...).outcome == NOT_TRIED


def in_torchs_order_of_dimensions(logits, tokens):
    classes_first = logits[None, :-1].transpose(1, 2)  # of an array, this says something else
    return torch.nn.functional.cross_entropy(classes_first, tokens[None, 1:]).exp()


@pytest.mark.parametrize("answer", [in_torch, in_a_loop, in_half_the_digits, in_torchs_order_of_dimensions])
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
        (lambda each: np.exp(each.mean() / np.log(2)), "a loss in bits"),
        (lambda each: np.exp(each.sum() / (len(each) + 1)), "how many were predicted"),
        (lambda each: 1.0, "Which share"),
    ],
)
def test_a_slip_in_the_perplexity_has_its_hint(reduce, hint):
    refused("A-perplexity", lambda logits, tokens: reduce(losses(logits[:-1], tokens[1:])), hint)


def test_rows_beside_the_wrong_tokens_are_told_apart():
    refused("A-perplexity", lambda logits, tokens: np.exp(losses(logits, tokens).mean()), "its own token")
    refused(
        "A-perplexity",
        lambda logits, tokens: np.exp(losses(logits[1:], tokens[:-1]).mean()),
        "the token before it",
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda parameters, bits, cache, bandwidth: bandwidth / (parameters * bits / 8 + cache),
        lambda p, b, c, w: np.float32(8 * w / (p * b + 8 * c)),
        lambda p, b, c, w: torch.tensor(1 / (p * (b / 8) / w + c / w)),
    ],
)
def test_the_roof_in_every_form(answer):
    assert exercises.check("A-roof", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda p, b, c, w: (p * b / 8 + c) / w, "seconds per token"),
        (lambda p, b, c, w: w / (p * b + c), "Bits are not bytes"),
        (lambda p, b, c, w: w / (p * b / 8), "what else"),
        (lambda p, b, c, w: w / (p + c), "How many bytes does a weight take"),
        (lambda p, b, c, w: 8 * w / (p * b + c), "in bytes already"),
        (lambda p, b, c, w: round(w / (p * b / 8 + c)), "Do not round"),
        (lambda p, b, c, w: 3.0, "Divide what can be read"),
    ],
)
def test_a_slip_in_the_roof_has_its_hint(answer, hint):
    refused("A-roof", answer, hint)


def attended(q, keys, values, scale=None):
    return softmax(keys @ q / (math.sqrt(len(q)) if scale is None else scale)) @ values


def grown(k, v, keys, values):
    return np.vstack([keys, k]), np.vstack([values, v])


def in_numpy(q, k, v, keys, values):
    keys, values = grown(k, v, keys, values)
    return attended(q, keys, values), keys, values


def cat(q, k, v, keys, values):
    keys, values = torch.cat([keys, k[None]]), torch.cat([values, v[None]])
    return torch.softmax(keys @ q / len(q) ** 0.5, dim=0) @ values, keys, values


def in_torchs_own(q, k, v, keys, values):
    keys, values = (torch.cat([a, b.unsqueeze(0)]).float() for a, b in ((keys, k), (values, v)))
    seen = torch.nn.functional.scaled_dot_product_attention(q[None].float(), keys, values)
    return seen[0], keys, values


def with_lists(q, k, v, keys, values):
    keys, values = [*keys.tolist(), k.tolist()], [*values.tolist(), v.tolist()]
    raised = [math.exp(sum(a * b for a, b in zip(q, row, strict=True)) / math.sqrt(len(q))) for row in keys]
    output = [sum(w * row[i] for w, row in zip(raised, values, strict=True)) / sum(raised) for i in range(3)]
    return [output, keys, values]


@pytest.mark.parametrize("answer", [in_numpy, cat, in_torchs_own, with_lists])
def test_the_cache_in_every_form(answer):
    assert exercises.check("A-cache", answer).outcome == RIGHT


def changed(output=attended, grow=grown):
    def answer(q, k, v, keys, values):
        new = grow(k, v, keys, values)
        return output(q, *new), *new

    return answer


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda q, k, v, keys, values: (attended(q, keys, values), *grown(k, v, keys, values)),
            "append first",
        ),
        (changed(lambda q, keys, values: attended(q, keys, values, 1.0)), "are not divided"),
        (changed(lambda q, keys, values: attended(q, keys, values, len(q))), "square root is meant"),
        (changed(lambda q, keys, values: attended(q, keys, values, len(keys) ** 0.5)), "number of tokens"),
        (changed(lambda q, keys, values: keys @ q / len(q) ** 0.5 @ values), "made into shares"),
        (changed(lambda q, keys, values: attended(q, keys, keys)), "not the keys"),
        (changed(lambda q, keys, values: attended(q, keys, values)[:2]), "one number per column"),
        (changed(lambda q, keys, values: attended(q, keys, values)[None]), "return the row"),
        (changed(lambda q, keys, values: attended(q, keys, keys)[None]), "one number per column"),
        (changed(lambda q, keys, values: 2 * attended(q, keys, values)), "mean of the values"),
        (changed(grow=lambda k, v, keys, values: (k[None], v[None])), "none is replaced"),
        (changed(grow=lambda k, v, keys, values: (keys, values)), "none is replaced"),
        (changed(grow=lambda k, v, keys, values: (np.vstack([k, keys]), np.vstack([v, values]))), "in front"),
        (changed(grow=lambda k, v, keys, values: grown(v, k, keys, values)), "the new one comes last"),
        (lambda q, k, v, keys, values: attended(q, *grown(k, v, keys, values)), "three things"),
    ],
)
def test_a_slip_in_the_cache_has_its_hint(answer, hint):
    refused("A-cache", answer, hint)


def rule(target, draft, token, u):
    missing = np.maximum(target - draft, 0)
    return u < target[token] / draft[token], missing / missing.sum()


def rule_in_torch(target, draft, token, u):
    missing = (target - draft).clamp(min=0)
    return u * draft[token] < target[token], missing / missing.sum()


def rule_in_a_loop(target, draft, token, u):
    missing = [max(a - b, 0.0) for a, b in zip(target, draft, strict=True)]
    return bool(u <= min(1, target[token] / draft[token])), [each / sum(missing) for each in missing]


def rule_of_the_package(target, draft, token, u):
    return language.accepts(target, draft, token, u), language.leftover(target, draft)


def rule_of_one_element(target, draft, token, u):
    kept, shares = rule_in_torch(target, draft, [token], u)
    return [bool(kept)], shares.float()


@pytest.mark.parametrize(
    "answer", [rule, rule_in_torch, rule_in_a_loop, rule_of_the_package, rule_of_one_element]
)
def test_the_rule_in_every_form(answer):
    assert exercises.check("A-accept", answer).outcome == RIGHT


def other(keep=None, rest=None):
    def answer(target, draft, token, u):
        kept, shares = rule(target, draft, token, u)
        return (
            kept if keep is None else keep(target[token], draft[token], u),
            shares if rest is None else rest(target, draft),
        )

    return answer


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (other(lambda target, draft, u: u >= target / draft), "always kept"),
        (other(lambda target, draft, u: u < draft / max(target, 1e-9)), "divided by which"),
        (other(lambda target, draft, u: target > draft), ""),
        (other(lambda target, draft, u: True), "more often it is kept"),
        (other(lambda target, draft, u: u < target), ""),
        (other(rest=lambda target, draft: target), "That is the target"),
        (other(rest=lambda target, draft: np.maximum(target - draft, 0)), "add up to 1"),
        (other(rest=lambda target, draft: target - draft), "has to become 0"),
        (other(rest=lambda target, draft: abs(target - draft) / abs(target - draft).sum()), "turn the sign"),
        (
            other(rest=lambda t, d: np.maximum(d - t, 0) / np.maximum(d - t, 0).sum()),
            "the other way round",
        ),
        (other(rest=lambda target, draft: np.full(4, 0.25)), "divided by its sum"),
        (lambda target, draft, token, u: (u < target / draft, target), "Only the drafted token is judged"),
        (lambda target, draft, token, u: rule(target, draft, token, u)[::-1], "Only the drafted token"),
        (other(rest=lambda target, draft: 0.5), "What you return second has shape"),
        (lambda target, draft, token, u: u < target[token] / draft[token], "two things"),
        (other(lambda target, draft, u: "yes"), "True or False"),
    ],
)
def test_a_slip_in_the_rule_has_its_hint(answer, hint):
    refused("A-accept", answer, hint)


def test_the_rule_that_is_taught_draws_the_targets_shares():
    """All ways to a token, added up: by its draft, and after a refusal of any other."""
    target, draft = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.2, 0.3, 0.1, 0.4])
    chance = Counter()
    for token, drawn in enumerate(draft):
        kept = np.mean([rule(target, draft, token, u)[0] for u in (np.arange(1000) + 0.5) / 1000])
        chance[token] += drawn * kept
        for second, share in enumerate(rule(target, draft, token, 0.5)[1]):
            chance[second] += drawn * (1 - kept) * share
    np.testing.assert_allclose([chance[n] for n in range(4)], target, atol=1e-9)
