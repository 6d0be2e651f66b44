"""The checkers of notebook B: right answers in every form, and each slip with its own hint."""

import itertools
import math

import numpy as np
import pytest
import torch

from coursekit import exercises, quantization
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)


def blank(*args): ...


@pytest.mark.parametrize("id", ["B-hand-on", "B-awq-scales", "B-fake", "B-budget"])
def test_a_blank_is_not_tried(id):
    assert exercises.check(id, blank).outcome == NOT_TRIED


def test_two_blanks_are_not_tried():
    assert exercises.check("B-pack", (blank, blank)).outcome == NOT_TRIED


# Packing


def low_first(q):
    return q[0::2] + 16 * q[1::2]


def high_and_low(packed):
    return np.stack([packed & 15, packed >> 4], axis=1).ravel()


def in_a_loop(packed):
    return [part for byte in packed.tolist() for part in (byte % 16, byte // 16)]


@pytest.mark.parametrize(
    "pair",
    [
        (low_first, high_and_low),
        (
            (lambda q: quantization.pack(q, 4)),
            (lambda packed: quantization.unpack(packed, 4, 2 * len(packed))),
        ),
        ((lambda q: (q[1::2] << 4) | q[0::2]), in_a_loop),
    ],
)
def test_packing_in_every_form(pair):
    assert exercises.check("B-pack", pair).outcome == RIGHT


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (((lambda q: 16 * q[0::2] + q[1::2]), high_and_low), "low four bits"),
        (((lambda q: q[0::2] + q[1::2]), high_and_low), "How far up"),
        (((lambda q: q[: len(q) // 2] + 16 * q[len(q) // 2 :]), high_and_low), "Neighbours"),
        (((lambda q: q), high_and_low), "share one byte"),
        ((low_first, (lambda packed: np.concatenate([packed & 15, packed >> 4]))), "order of the pairs"),
        ((low_first, (lambda packed: np.stack([packed >> 4, packed & 15], 1).ravel())), "come first"),
        ((low_first, (lambda packed: np.stack([packed, packed >> 4], 1).ravel())), "masked off"),
        ((low_first, (lambda packed: packed & 15)), "leave of a byte"),
    ],
)
def test_a_slip_in_packing_has_its_hint(pair, said):
    verdict = exercises.check("B-pack", pair)
    assert verdict.outcome == WRONG
    assert said in verdict.hint


def test_one_function_is_not_two():
    assert exercises.check("B-pack", low_first).outcome == WRONG


# GPTQ's step


def handed(weight, inverse, column, rounded):
    weight = weight.copy()
    error = weight[:, column] - rounded
    weight[:, column:] -= np.outer(error, inverse[column, column:]) / inverse[column, column]
    return weight


def in_loops(weight, inverse, column, rounded):
    out = [list(row) for row in weight]
    for row, target in zip(out, rounded, strict=True):
        error = row[column] - target
        row[column] = target
        for j in range(column + 1, len(row)):
            row[j] -= error * inverse[column][j] / inverse[column][column]
    return out


def in_torch(weight, inverse, column, rounded):
    weight, inverse, rounded = map(torch.as_tensor, (weight, inverse, rounded))
    error = weight[:, column] - rounded
    return weight - torch.outer(error, inverse[column] / inverse[column, column]) * (
        torch.arange(weight.shape[1]) >= column
    )


@pytest.mark.parametrize("answer", [handed, in_loops, in_torch])
def test_the_step_in_every_form(answer):
    assert exercises.check("B-hand-on", answer).outcome == RIGHT


def test_the_step_is_the_least_squares_one():
    """The columns behind are those that change the output least, found here by solving for them."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))
    hessian = inputs.T @ inputs / 60
    weight = rng.normal(size=(2, 4))
    rounded = np.round(weight[:, 0])
    later = -np.linalg.solve(hessian[1:, 1:], hessian[1:, :1] * (rounded - weight[:, 0]))
    wanted = np.column_stack([rounded, weight[:, 1:] + later.T])
    assert np.allclose(handed(weight, np.linalg.inv(hessian), 0, rounded), wanted)


def slipped(change):
    def answer(weight, inverse, column, rounded):
        weight, later = weight.copy(), slice(column + 1, None)
        error = weight[:, column] - rounded
        weight[:, column] = rounded
        return change(weight, inverse, column, error, later)

    return answer


def plus(weight, inverse, column, error, later):
    weight[:, later] += np.outer(error, inverse[column, later]) / inverse[column, column]
    return weight


def undivided(weight, inverse, column, error, later):
    weight[:, later] -= np.outer(error, inverse[column, later])
    return weight


def own_diagonal(weight, inverse, column, error, later):
    weight[:, later] -= np.outer(error, inverse[column, later]) / inverse.diagonal()[later]
    return weight


def everywhere(weight, inverse, column, error, later):
    kept = weight[:, column].copy()
    weight -= np.outer(error, inverse[column]) / inverse[column, column]
    weight[:, column] = kept
    return weight


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (slipped(plus), "lecture's sign"),
        (slipped(undivided), "divided"),
        (slipped(own_diagonal), "which entry"),
        (slipped(everywhere), "stay as they are"),
        (slipped(lambda weight, *_: weight), "Where does the error go"),
        (slipped(lambda weight, i, c, e, later: weight * 1.01), ""),
    ],
)
def test_a_slip_in_the_step_has_its_hint(answer, said):
    verdict = exercises.check("B-hand-on", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.hint


# AWQ's scale


@pytest.mark.parametrize(
    "answer",
    [
        lambda mean, alpha: mean**alpha / np.sqrt((mean**alpha).min() * (mean**alpha).max()),
        lambda mean, alpha: (mean / np.sqrt(mean.min() * mean.max())) ** alpha,
        lambda mean, alpha: mean.pow(alpha) / (mean.pow(alpha).min() * mean.pow(alpha).max()).sqrt(),
    ],
)
def test_scales_in_every_form(answer):
    assert exercises.check("B-awq-scales", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p, "smallest times their largest"),
        (lambda p: np.sqrt(p.min() * p.max()) / p, "larger or smaller"),
        (lambda p: p / (p.min() * p.max()), "d²"),
        (lambda p: p / p.mean(), ""),
        (lambda p: p / p.max(), ""),
    ],
)
def test_a_slip_in_the_scales_is_refused(change, said):
    verdict = exercises.check("B-awq-scales", lambda mean, alpha: change(mean**alpha))
    assert verdict.outcome == WRONG
    assert said in verdict.hint


# Fake quantization


class Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, scale):
        return torch.round(weight / scale) * scale

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@pytest.mark.parametrize(
    "answer",
    [
        lambda w, s: w + (torch.round(w / s) * s - w).detach(),
        lambda w, s: (torch.round(w / s) * s).detach() + w - w.detach(),
        lambda w, s: Through.apply(w, s),
    ],
)
def test_fake_quantization_in_every_form(answer):
    assert exercises.check("B-fake", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, s: torch.round(w / s) * s, "gradient is 0"),
        (lambda w, s: (torch.round(w / s) * s).detach(), "no gradient comes back"),
        (lambda w, s: w, "should become other levels"),
        (lambda w, s: w + (torch.round(w / s) - w).detach(), "integers"),
        (lambda w, s: w + (torch.round(w) - w).detach(), "whole numbers"),
        (lambda w, s: 2 * w + (torch.round(w / s) * s - 2 * w).detach(), "came in"),
        (lambda w, s: (w + (torch.round(w / s) * s - w).detach()).tolist(), "tensor"),
    ],
)
def test_a_slip_in_fake_quantization_is_refused(answer, said):
    verdict = exercises.check("B-fake", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.message or "Nothing is rounded" in verdict.message


# Bits under a budget


def every_plan(sensitivity, sizes, options, budget):
    best, least = None, math.inf
    for picks in itertools.product(range(len(options)), repeat=len(sizes)):
        bits = [options[pick] for pick in picks]
        loss = sum(row[pick] for row, pick in zip(sensitivity, picks, strict=True))
        if np.dot(bits, sizes) <= budget * sum(sizes) and loss < least:
            best, least = bits, loss
    return best


@pytest.mark.parametrize(
    "answer",
    [
        every_plan,
        lambda *given: quantization.allocate_bits(*given).bits,
        lambda *given: np.array(every_plan(*given)),
    ],
)
def test_plans_in_every_form(answer):
    assert exercises.check("B-budget", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda s, sizes, options, budget: [max(options)] * len(sizes), "the budget is"),
        (lambda s, sizes, options, budget: [min(options)] * len(sizes), "fit as well"),
        (lambda s, sizes, options, budget: [int(budget)] * len(sizes), "fit as well"),
        (lambda s, sizes, options, budget: [min(options)], "is expected for each"),
        (lambda s, sizes, options, budget: [5] * len(sizes), "is expected for each"),
        (lambda s, sizes, options, budget: 3, "list of bits"),
        (lambda s, sizes, options, budget: every_plan(s, [1] * len(sizes), options, budget), ""),
    ],
)
def test_a_plan_that_is_not_the_best_is_refused(answer, said):
    verdict = exercises.check("B-budget", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.message
