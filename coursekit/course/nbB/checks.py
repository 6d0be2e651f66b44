"""The checkers of notebook B."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, as_integer, call, call_either, is_blank
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

CLOSE = 1e-4  # relative: FP32 is good enough
NIBBLES = 16
Array = NDArray[Any]


def pack(answer: Any) -> Verdict:
    """Two functions: integers from 0 to 15 to bytes, and bytes to integers."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return wrong("Two functions are expected: `pack` and `unpack`.")
    packer, unpacker = answer
    rng = np.random.default_rng(4)
    for values in (np.array([3, 10]), np.arange(NIBBLES), rng.integers(0, NIBBLES, 64)):
        wanted = values[0::2] + NIBBLES * values[1::2]
        found = as_array(_from_bytes(call_either(packer, values.astype(np.uint8))), "what `pack` returns")
        if found.shape != wanted.shape:
            many = f"{len(wanted)} byte{'s' * (len(wanted) != 1)}"
            told = f"{len(values)} integers should become {many}; `pack` returns {found.size}."
            return wrong(told, "Two numbers share one byte.")
        if not np.array_equal(found, wanted):
            return _wrong_bytes(found, values)
        back = as_array(_from_bytes(call_either(unpacker, wanted.astype(np.uint8))), "what `unpack` returns")
        if back.shape != values.shape or not np.array_equal(back, values):
            return _wrong_integers(back, values)
    return right("Half the bytes, and not a bit is lost.")


def hand_on(answer: Any) -> Verdict:
    """A function of weight, inverse, column and rounded that returns the whole matrix."""
    for weight, inverse, column in _columns():
        rounded = np.round(weight[:, column])
        given = call_either(answer, weight, inverse, column, rounded)
        found = as_array(given, "what your function returns", shape=weight.shape)
        error = weight[:, column] - rounded
        wanted = weight.copy()
        wanted[:, column:] -= np.outer(error, inverse[column, column:] / inverse[column, column])
        if not np.allclose(found, wanted, rtol=CLOSE, atol=CLOSE):
            return _wrong_column(found, wanted, weight, inverse, column)
    return right("The error leaves the column and is spread over those behind it, against its own direction.")


def awq_scales(answer: Any) -> Verdict:
    """A function of mean magnitudes [in] and alpha that returns the scales [in]."""
    for mean in (np.array([0.5, 2.0, 0.1, 8.0, 1.0]), np.array([3.0, 3.0, 0.75])):
        for alpha in (0.0, 0.5, 1.0):
            found = as_array(call_either(answer, mean, alpha), "what your function returns", shape=mean.shape)
            powers = mean**alpha
            if np.allclose(found, powers / math.sqrt(powers.min() * powers.max()), rtol=CLOSE):
                continue
            return _wrong_scales(found, mean, alpha)
    return right("At alpha 0 all scales are 1, which is plain rounding: the search can only gain.")


def fake_quantize(answer: Any) -> Verdict:
    """A function of weight and scale whose result is rounded and whose gradient is 1."""
    import torch

    for scale in (0.1, 0.25):
        values = [0.37, -1.21, 0.02, 0.88]
        weight = torch.tensor(values, requires_grad=True)
        result = _called_uncopied(answer, weight, scale)
        if not isinstance(result, torch.Tensor):
            return wrong("Your function should return a tensor, so that it has a gradient.")
        if not torch.equal(weight.detach(), torch.tensor(values)):
            return wrong(
                "Your function changes the weight that it is given.",
                "That weight moves by small steps while it is trained. Only what you return is rounded.",
            )
        found = as_array(result.detach(), "what your function returns", shape=(len(values),))
        if not np.allclose(found, np.round(np.array(values) / scale) * scale, atol=1e-5):
            return _wrong_levels(found, np.array(values), scale)
        if not result.requires_grad:
            return wrong("The levels are right, but no gradient comes back.", "What does `detach` cut off?")
        (gradient,) = torch.autograd.grad((result * torch.arange(1.0, 5)).sum(), weight, allow_unused=True)
        if gradient is None or not torch.allclose(gradient, torch.arange(1.0, 5)):
            return _wrong_gradient(gradient)
    return right("Rounded on the way forward, and on the way back as if it had not been.")


def budget(answer: Any) -> Verdict:
    """A function of sensitivity, sizes, options and budget that returns the bits of each layer."""
    for loss, sizes, options, most in _plans():
        given = _listed(call(answer, loss, sizes, options, most))
        found = [as_integer(each, "each number of bits") for each in given]
        if len(found) != len(sizes) or not set(found) <= set(options):
            told = f"One of {list(options)} is expected for each of {len(sizes)} layers; you return {found}."
            return wrong(
                told, "Return the bits, `options[k]`, and not `k`." if _positions(found, options) else ""
            )
        spent = float(np.dot(found, sizes)) / sum(sizes)
        if spent > most * (1 + 1e-9):
            told = f"Bits {found} are {spent:.3g} per weight, and the budget is {most:g}."
            return wrong(told, "A layer of many weights takes more of the budget than a small one.")
        best, least = _best(loss, sizes, options, most)
        lost = sum(loss[layer][options.index(bits)] for layer, bits in enumerate(found))
        if lost > least * (1 + 1e-9):
            return wrong(
                f"Bits {found} lose {lost:.4g} in all; {list(best)} fit as well and lose {least:.4g}.",
                "Which of all plans that fit has the smallest sum?",
            )
    return right("The bits go where they are worth most for each weight.")


def _from_bytes(found: Any) -> Any:
    return list(found) if isinstance(found, bytes | bytearray) else found


def _wrong_bytes(found: Array, values: Array) -> Verdict:
    if np.array_equal(found, NIBBLES * values[0::2] + values[1::2]):
        return wrong(
            "The two of each pair are the other way round.", "The first goes into the low four bits."
        )
    if np.array_equal(found, values[0::2] + values[1::2]):
        return wrong("The two of each pair lie on top of each other.", "How far up does the second one move?")
    half = len(values) // 2
    if np.array_equal(found, values[:half] + NIBBLES * values[half:]):
        return wrong("You pair the first half with the second.", "Neighbours share a byte here.")
    at = int(np.flatnonzero(found != values[0::2] + NIBBLES * values[1::2])[0])
    pair, byte = f"{values[2 * at]} and {values[2 * at + 1]}", values[2 * at] + NIBBLES * values[2 * at + 1]
    hint = "A byte goes from 0 to 255." if found.min() < 0 else "The second one moves up by four bits."
    return wrong(f"{pair} should become {byte}, not {found[at]:g}.", hint)


def _wrong_integers(back: Array, values: Array) -> Verdict:
    if back.shape == values.shape and np.array_equal(back, np.r_[values[0::2], values[1::2]]):
        return wrong(
            "All the low halves come first, then all the high ones.", "Restore the order of the pairs."
        )
    if back.shape == values.shape and np.array_equal(np.sort(back), np.sort(values)):
        return wrong("`unpack` returns the right integers in another order.", "Which four bits come first?")
    if back.max() >= NIBBLES:
        return wrong("`unpack` returns numbers above 15.", "Which bits have to be masked off?")
    if back.min() < 0:
        return wrong("`unpack` returns negative numbers.", "Four bits hold 0 to 15 here: none is a sign.")
    if back.size == values.size and back.shape != values.shape:
        told = f"`unpack` returns {list(back.shape)} where [{len(values)}] is expected."
        return wrong(told, "Put the pairs into one row.")
    if back.shape != values.shape:
        told = f"`unpack` returns {back.size} integers; {values.size} are expected."
        return wrong(told, "Each byte holds two.")
    at = int(np.flatnonzero(back != values)[0])
    told = f"Integer {at} of those unpacked should be {values[at]}, not {back[at]:g}."
    return wrong(told, "What do `& 15` and `>> 4` leave of a byte?")


def _columns() -> list[tuple[Array, Array, int]]:
    rng = np.random.default_rng(9)
    cases = []
    for column in (0, 2, 4):
        inputs = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5))
        cases.append(
            (rng.normal(0, 3, (3, 5)), np.linalg.inv(inputs.T @ inputs / 40 + 0.1 * np.eye(5)), column)
        )
    return cases


def _wrong_column(found: Array, wanted: Array, weight: Array, inverse: Array, column: int) -> Verdict:
    rounded, later = wanted[:, column], slice(column + 1, None)
    error = weight[:, column] - rounded
    if not np.allclose(found[:, :column], weight[:, :column], atol=CLOSE):
        return wrong(
            "Columns before this one have changed.", "They are rounded already, and stay as they are."
        )
    if not np.allclose(found[:, column], rounded, atol=CLOSE):
        return wrong("The column itself should hold the rounded values.")
    if np.allclose(found[:, later], weight[:, later], atol=CLOSE):
        hint = "Where does the error go? (Take it before the column is overwritten: afterwards it is 0.)"
        return wrong("The columns behind are as they were.", hint)
    step, hessian = np.outer(error, inverse[column, later]), np.linalg.inv(inverse)
    slips = {
        "That is the lecture's sign.": weight[:, later] + step / inverse[column, column],
        "Something is left out: by what is the row of the inverse divided?": weight[:, later] - step,
        "By which entry of the diagonal is it divided?": weight[:, later]
        - step / inverse.diagonal()[None, later],
        "`inverse` is H⁻¹ already. Take its row, not that of H.": weight[:, later]
        - np.outer(error, hessian[column, later]) / hessian[column, column],
    }
    if np.allclose(found[:, column + 1], weight[:, column + 1], atol=CLOSE):
        return wrong("The next column is as it was.", "At which column do those behind it begin?")
    if np.allclose(found[:, column + 2 :], weight[:, column + 2 :], atol=CLOSE) and column + 2 < len(inverse):
        return wrong("Only the next column has changed.", "All that are left share the error.")
    hints = [
        hint for hint, value in slips.items() if np.allclose(found[:, later], value, rtol=CLOSE, atol=CLOSE)
    ]
    hint = hints[0] if hints else "error × row `column` of the inverse / its entry on the diagonal."
    return wrong("The columns behind it are not what is best for the output.", hint)


def _wrong_scales(found: Array, mean: Array, alpha: float) -> Verdict:
    powers = mean**alpha
    told = f"At alpha {alpha:g}, mean magnitudes {mean.tolist()} give other scales."
    if np.allclose(found, powers, rtol=CLOSE):
        return wrong(told, "The powers are right. Their smallest times their largest should be 1.")
    if np.allclose(found * powers * math.sqrt(1 / (powers.min() * powers.max())), 1, rtol=CLOSE):
        return wrong(told, "Should a column that meets large inputs become larger or smaller?")
    if np.allclose(found, powers / (powers.min() * powers.max()), rtol=CLOSE):
        return wrong(told, "Dividing both by d divides their product by d².")
    if np.allclose(found * powers[0], powers * found[0], rtol=CLOSE):
        return wrong(told, "Divided by the wrong number: the smallest times the largest should be 1.")
    if np.allclose(found * powers * mean[0], mean * powers[0] * found[0], rtol=CLOSE):
        return wrong(told, "The power is alpha itself: at 0 all scales should be equal.")
    return wrong(told, "First the power, then the division.")


def _called_uncopied(function: Any, weight: Any, scale: float) -> Any:
    """Call with the very tensor whose gradient is asked for: a copy would have none."""
    if not callable(function) or is_blank(function):
        return call(function, weight, scale)

    @functools.wraps(function)
    def uncopied(*_copies: Any) -> Any:
        return function(weight, scale)

    return call(uncopied, weight, scale)


def _wrong_levels(found: Array, values: Array, scale: float) -> Verdict:
    if np.allclose(found, np.round(values / scale), atol=1e-5):
        return wrong("These are the integers.", "Multiply back: training goes on in real numbers.")
    if np.allclose(found, values, atol=1e-5):
        return wrong(
            "Nothing is rounded.", "Which of the two terms is the rounded one, and which is detached?"
        )
    if np.allclose(found, np.round(values), atol=1e-5):
        return wrong("These are whole numbers, not multiples of the scale.")
    return wrong(
        f"With scale {scale:g}, {values.tolist()} should become other levels.", "Which are the nearest?"
    )


def _wrong_gradient(gradient: Any) -> Verdict:
    if gradient is None or not gradient.any():
        return wrong(
            "The levels are right, but the gradient is 0.", "Let the weight itself be a term of the sum."
        )
    return wrong(
        f"The gradient is {[round(g, 3) for g in gradient.tolist()]} where [1, 2, 3, 4] came in.",
        "It should pass as if nothing had been rounded.",
    )


Plan = tuple[list[list[float]], list[int], list[int], float]


def _plans() -> list[Plan]:
    """Return cases that equal bits, ignoring the sizes, and going step by step (up or down) get wrong."""
    return [
        ([[9.0, 3.0, 1.0], [4.0, 2.0, 1.5]], [100, 100], [2, 3, 4], 3.0),
        ([[8.0, 2.0, 0.5], [6.0, 2.0, 0.4], [3.0, 1.0, 0.2]], [100, 600, 100], [2, 3, 4], 2.5),
        (
            [[5.0, 4.9, 0.1], [4.0, 1.0, 0.9], [3.0, 0.8, 0.7], [1.0, 0.5, 0.3]],
            [50, 80, 80, 200],
            [2, 3, 4],
            2.6,
        ),
        (
            [[7.1, 4.1, 0.7], [7.8, 7.1, 2.7], [8.8, 6.4, 1.8], [7.3, 2.6, 2.3]],
            [80, 100, 200, 300],
            [2, 4, 8],
            4.0,
        ),
    ]


def _best(loss: Any, sizes: Sequence[int], options: list[int], most: float) -> tuple[tuple[int, ...], float]:
    plans = [
        plan
        for plan in itertools.product(options, repeat=len(sizes))
        if np.dot(plan, sizes) <= most * sum(sizes)
    ]
    sums = {
        plan: float(sum(loss[layer][options.index(bits)] for layer, bits in enumerate(plan)))
        for plan in plans
    }
    best = min(sums, key=lambda plan: sums[plan])
    return best, sums[best]


def _positions(found: list[int], options: list[int]) -> bool:
    """Tell whether these may be places in the options."""
    return set(found) <= set(range(len(options)))


def _listed(found: Any) -> list[Any]:
    try:
        return list(found)
    except TypeError:
        raise Stop(wrong("A list of bits is expected, one for each layer.")) from None


CHECKERS = {
    "B-pack": pack,
    "B-hand-on": hand_on,
    "B-awq-scales": awq_scales,
    "B-fake": fake_quantize,
    "B-budget": budget,
}
