"""The checkers of notebook B: right answers in every form, and each slip with its own hint."""

import itertools
import math

import numpy as np
import pytest
import torch

from coursekit import exercises, quantization
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG


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
        ((lambda q: bytes(low_first(q).tolist())), (lambda packed: bytes(in_a_loop(packed)))),
        (
            (lambda q: q.reshape(-1, 2) @ np.array([1, 16])),
            (lambda p: np.array([p % 16, p // 16]).ravel("F")),
        ),
        ((lambda q: low_first(q.astype(float))), (lambda p: np.vstack([p % 16, p // 16]).T.reshape(-1))),
        (
            (lambda q: torch.add(q[0::2], q[1::2], alpha=16)),
            (lambda packed: torch.stack([packed.bitwise_and(15), packed >> 4], 1).flatten()),
        ),
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
        ((low_first, (lambda packed: packed & 15)), "Each byte holds two"),
        ((low_first, (lambda packed: high_and_low(packed) & 7)), "leave of a byte"),
        ((low_first, (lambda packed: np.stack([packed % 16, packed / 16], 1).ravel())), "leave of a byte"),
        ((low_first, (lambda packed: np.stack([packed & 15, packed & 240], 1).ravel())), "masked off"),
        ((low_first, (lambda packed: (high_and_low(packed).astype(int) + 8) % 16 - 8)), "none is a sign"),
        ((low_first, (lambda packed: np.stack([packed & 15, packed >> 4], 1))), "into one row"),
        (((lambda q: low_first(q).astype(np.int8)), high_and_low), "0 to 255"),
        (((lambda q: q[0::2] | (q[1::2] << 3)), high_and_low), "up by four bits"),
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


def in_place(weight, inverse, column, rounded):
    error = weight[:, column : column + 1] - rounded[:, None]
    weight[:, column:] -= error * inverse[column, column:] / inverse[column, column]
    return weight


def in_single_precision(weight, inverse, column, rounded):
    return handed(*(each.astype(np.float32) for each in (weight, inverse)), column, rounded).tolist()


def turned(weight, inverse, column, rounded):
    rows = weight.T.copy()
    for j in range(len(rows) - 1, column, -1):
        rows[j] += (rounded - rows[column]) * inverse[j, column] / inverse[column, column]
    rows[column] = rounded
    return rows.T


@pytest.mark.parametrize("answer", [handed, in_loops, in_torch, in_place, in_single_precision, turned])
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


def too_late(weight, inverse, column, error, later):
    return undivided(weight, inverse, column, 0 * error, later)


def one_too_far(weight, inverse, column, error, later):
    later = slice(column + 2, None)
    weight[:, later] -= np.outer(error, inverse[column, later]) / inverse[column, column]
    return weight


def only_the_next(weight, inverse, column, error, later):
    weight[:, column + 1 : column + 2] -= (
        error[:, None] * inverse[column, column + 1 : column + 2] / inverse[column, column]
    )
    return weight


def not_inverted(weight, inverse, column, error, later):
    hessian = np.linalg.inv(inverse)
    weight[:, later] -= np.outer(error, hessian[column, later]) / hessian[column, column]
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
        (slipped(too_late), "before the column is overwritten"),
        (slipped(one_too_far), "do those behind it begin"),
        (slipped(only_the_next), "share the error"),
        (slipped(not_inverted), "not that of H"),
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
        lambda mean, alpha: [m**alpha / (min(mean) * max(mean)) ** (alpha / 2) for m in mean.tolist()],
        lambda mean, alpha: np.exp(
            alpha * (np.log(mean) - np.log(mean[[mean.argmin(), mean.argmax()]]).mean())
        ),
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
        (lambda p: p / p.mean(), "wrong number"),
        (lambda p: p / p.max(), "wrong number"),
        (lambda p: p * np.sqrt(p.min() * p.max()), "wrong number"),
        (lambda p: np.sqrt(p), "First the power"),
        (lambda p: 0 * p, ""),
    ],
)
def test_a_slip_in_the_scales_is_refused(change, said):
    verdict = exercises.check("B-awq-scales", lambda mean, alpha: change(mean**alpha))
    assert verdict.outcome == WRONG
    assert said in verdict.hint


def test_the_other_power_has_its_hint():
    def other(mean, alpha):
        powers = mean ** (1 - alpha)
        return powers / np.sqrt(powers.min() * powers.max())

    assert "alpha itself" in exercises.check("B-awq-scales", other).hint


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
        lambda w, s: w - (w - torch.floor(w / s + 0.5) * s).detach(),
        lambda w, s: w.double() + (torch.round(w.double() / s) * s - w.double()).detach(),
        lambda w, s: torch.fake_quantize_per_tensor_affine(w, s, 0, -128, 127),
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
        (lambda w, s: w.detach() + (torch.round(w / s) * s - w), "came in"),
        (lambda w, s: w.clamp(-1, 1) + (torch.round(w / s) * s - w.clamp(-1, 1)).detach(), "came in"),
        (lambda w, s: w + (torch.floor(w / s) * s - w).detach(), "should become other levels"),
        (lambda w, s: w + ((w / s).round().clamp(-7, 7) * s - w).detach(), "should become other levels"),
        (lambda w, s: torch.nn.Parameter(torch.round(w.detach() / s) * s), "gradient is 0"),
        (lambda w, s: np.round(w / s) * s, "raised"),
        (lambda w, s: (w + (torch.round(w / s) * s - w).detach()).tolist(), "tensor"),
    ],
)
def test_a_slip_in_fake_quantization_is_refused(answer, said):
    verdict = exercises.check("B-fake", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.message or "Nothing is rounded" in verdict.message


def overwritten(weight, scale):
    weight.data = torch.round(weight.data / scale) * scale
    return weight


def overwritten_in_part(weight, scale):
    weight.data[0] = 0.4
    return weight + (torch.round(weight / scale) * scale - weight).detach()


@pytest.mark.parametrize("answer", [overwritten, overwritten_in_part])
def test_the_weight_itself_has_to_stay(answer):
    verdict = exercises.check("B-fake", answer)
    assert verdict.outcome == WRONG
    assert "changes the weight" in verdict.message


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
        lambda *given: [float(bits) for bits in every_plan(*given)],
        lambda *given: (bits for bits in every_plan(*given)),
        lambda s, sizes, options, budget: min(
            (
                plan
                for plan in itertools.product(options[::-1], repeat=len(sizes))
                if np.average(plan, weights=sizes) <= budget
            ),
            key=lambda plan: sum(row[options.index(bits)] for row, bits in zip(s, plan, strict=True)),
        ),
    ],
)
def test_plans_in_every_form(answer):
    assert exercises.check("B-budget", answer).outcome == RIGHT


def step_by_step(sensitivity, sizes, options, budget, *, down, by_size=True):
    """Go up from the fewest bits, or down from the most, where a step is worth most or costs least."""
    picks = [len(options) - 1 if down else 0] * len(sizes)

    def spent(picks):
        return np.dot([options[pick] for pick in picks], sizes)

    while True:
        steps = []
        for layer, pick in enumerate(picks):
            other = pick - 1 if down else pick + 1
            after = [*picks[:layer], other, *picks[layer + 1 :]]
            if 0 <= other < len(options) and (down or spent(after) <= budget * sum(sizes)):
                worth = abs(sensitivity[layer][pick] - sensitivity[layer][other])
                steps.append((worth / sizes[layer] if by_size else worth, after))
        if not steps or (down and spent(picks) <= budget * sum(sizes)):
            return [options[pick] for pick in picks]
        picks = (min if down else max)(steps)[1]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("by_size", [False, True])
def test_going_step_by_step_is_refused(down, by_size):
    def answer(*given):
        return step_by_step(*given, down=down, by_size=by_size)

    assert "fit as well" in exercises.check("B-budget", answer).message


def weighted(sensitivity, sizes, options, budget):
    losses = [[loss * size for loss in row] for row, size in zip(sensitivity, sizes, strict=True)]
    return every_plan(losses, sizes, options, budget)


def the_first_that_fits(sensitivity, sizes, options, budget):
    plans = itertools.product(options[::-1], repeat=len(sizes))
    return next(plan for plan in plans if np.dot(plan, sizes) <= budget * sum(sizes))


def places(sensitivity, sizes, options, budget):
    return [options.index(bits) for bits in every_plan(sensitivity, sizes, options, budget)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (weighted, "fit as well"),
        (the_first_that_fits, "fit as well"),
        (places, "is expected for each"),
        (lambda s, sizes, options, budget: every_plan(s, sizes, [2, 3, 4], budget), "fit as well"),
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
