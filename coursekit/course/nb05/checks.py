"""The checkers of notebook 05, PyTorch dynamic quantization."""

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import quantization
from coursekit.course.nb05 import integer_layer
from coursekit.exercises.answers import as_array, as_integer, as_number, call
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

FILE_WIDTHS = (64, 96, 48, 10)
FILE_CLOSE = 0.05
Array = NDArray[Any]


def file_size(answer: Any) -> Verdict:
    """A number of bytes."""
    guess, size = as_number(answer), _file_bytes()
    error = abs(guess / size - 1)
    if error <= FILE_CLOSE:
        return right(f"The file has {size:,} bytes; you are {100 * error:.1f} % off.")
    for value, message, hint in _file_mistakes(size):
        if math.isclose(guess, value, rel_tol=1e-3):
            return wrong(message, hint)
    direction = "too small" if guess < size else "too large"
    return wrong(
        f"{guess:,.0f} bytes is {direction}: off by {100 * error:.0f} %.",
        "Add up three things: the weights, the biases, and a box for three layers.",
    )


def dynamic_linear(answer: Any) -> Verdict:
    """A function of x, weight_q, weight_scale, bias and top that returns y."""
    return integer_layer.judge(answer)


def per_channel(answer: Any) -> Verdict:
    """A function of weight and bits that returns the integers and one scale per row."""
    for weight, bits in _matrices():
        result = call(answer, weight, bits)
        if not isinstance(result, tuple | list) or len(result) != 2:
            return wrong("Your function should return two things: the integers and the scales.")
        q, scale = as_array(result[0], "the integers"), as_array(result[1], "the scales")
        _check_scales(scale, weight, bits)
        if q.shape != weight.shape:
            hint = "One integer for each weight: `weight / scale[:, None]` lines up rows and scales."
            return wrong(
                f"There are integers of shape `{q.shape}` for weights of shape `{weight.shape}`.", hint
            )
        if not np.array_equal(q, quantization.quantize(weight, bits, axis=0).q):
            return _wrong_integers(q, weight, scale.reshape(-1, 1))
    return right("One scale per row, and every row uses the whole range of integers.")


def bits(answer: Any) -> Verdict:
    """A function of accuracy, weights and budget that returns the bits of each layer."""
    for accuracy, weights, budget in _budgets():
        chosen = _choice(call(answer, accuracy, weights, budget), accuracy)
        size = _packed(chosen, weights)
        if size > budget:
            return wrong(
                f"Bits {chosen} take {size:,.10g} bytes, but the budget is {budget:,}.",
                "Bits per weight times weights, divided by 8, summed over the layers.",
            )
        fitting = {key: value for key, value in accuracy.items() if _packed(key, weights) <= budget}
        best = max(fitting, key=lambda bits: fitting[bits])
        if fitting[chosen] < fitting[best]:
            return _not_best(chosen, best, fitting, weights, budget)
    return right("The best accuracy that fits, whichever layer needs the bits.")


@functools.cache
def _file_bytes() -> int:
    from coursekit import dynamic, models

    return dynamic.state_dict_size(dynamic.quantize_dynamic(models.mlp(FILE_WIDTHS)))


def _file_mistakes(size: int) -> list[tuple[float, str, str]]:
    """Return (value, message, hint) for guesses with something missing."""
    from coursekit import dynamic, models

    weights = sum(a * b for a, b in zip(FILE_WIDTHS[:-1], FILE_WIDTHS[1:], strict=True))
    biases = sum(FILE_WIDTHS[1:])
    fp32 = dynamic.state_dict_size(models.mlp(FILE_WIDTHS))
    small_box = fp32 - 4 * (weights + biases)
    return [
        (size / 1000, "That looks like kilobytes.", "The answer is asked for in bytes."),
        (size / 1024, "That looks like kibibytes.", "The answer is asked for in bytes."),
        (
            weights + 4 * biases,
            "That is what the layers hold. The box around it is missing.",
            "Measure one.",
        ),
        (
            weights + biases,
            "One byte for each parameter: but biases are not quantized.",
            "What is not INT8?",
        ),
        (weights, "These are the weights alone.", "Biases and box come on top."),
        (fp32 / 4, "A quarter of the FP32 file: not everything in it shrinks.", "What stays as it is?"),
        (fp32, "That is the FP32 file.", "How many bytes does an INT8 weight take?"),
        (
            weights + 4 * biases + small_box,
            "That box is from an FP32 file. The INT8 file has more entries: scales, zero points, types.",
            "Quantize the tiny network, too, before you measure its box.",
        ),
    ]


@functools.cache
def _matrices() -> tuple[tuple[Array, int], ...]:
    """Return (weight, bits) whose values lie clear of ties; the rows differ in size."""
    rng = np.random.default_rng(3)
    sizes = np.array([[0.02], [1.0], [0.3], [5.0]])
    cases = []
    for bits in (8, 4):
        top = 2 ** (bits - 1) - 1
        steps = rng.integers(-top + 1, top, (4, 6)) + rng.uniform(-0.3, 0.3, (4, 6))
        steps[:, 2] = -top, top, -top, -top
        cases.append(((steps * sizes / top).astype(np.float32), bits))
    return tuple(cases)


def _check_scales(scale: Array, weight: Array, bits: int) -> None:
    """Stop with a verdict unless there is the right scale for each row."""
    rows, columns = weight.shape
    largest, top = np.abs(weight).max(axis=1), 2 ** (bits - 1) - 1
    if scale.size == 1:
        raise Stop(wrong("There is one scale for the whole matrix.", "The maximum of each row: `axis=1`."))
    if scale.size == columns:
        raise Stop(wrong("There is one scale per column.", "A row of the weights is one output channel."))
    if scale.shape not in ((rows,), (rows, 1)):
        raise Stop(wrong(f"The scales have shape `{scale.shape}`; {rows} are expected, one per row."))
    reasons: list[tuple[Array, str]] = [
        (largest / (top + 1), "The largest integer is one less than 2 to the power bits - 1."),
        (largest / (2 * top + 1), "Half of the integers are for negative weights."),
        (np.abs(weight.max(axis=1)) / top, "Which weight of a row is the largest if you ignore the sign?"),
        (largest / 127, "127 is right for 8 bits only."),
        (top / largest, "That is the inverse: the scale is what one step is worth."),
        (largest, "The largest weight of a row should become the largest integer."),
    ]
    found, expected = scale.reshape(rows), largest / top
    if np.allclose(found, expected, rtol=1e-4):
        return
    hint = next((text for value, text in reasons if np.allclose(found, value, rtol=1e-4)), "")
    message = f"For bits={bits} the first row's scale is {found[0]:.4g} instead of {expected[0]:.4g}."
    raise Stop(wrong(message, hint or "Largest weight of the row, without its sign, by the largest integer."))


def _wrong_integers(q: Array, weight: Array, scale: Array) -> Verdict:
    if np.allclose(q, np.round(weight / scale) * scale, atol=1e-6):
        return wrong("These are the restored weights.", "Return the integers, before you multiply back.")
    if (q != np.round(q)).any():
        return wrong("The integers are not whole numbers.", "Divide by the scale, then round.")
    ratio = weight / scale
    inside = np.abs(ratio - np.round(ratio)) > 0.01  # whole numbers stay what they are, up to float rounding
    if np.array_equal(q[inside], np.trunc(ratio)[inside]):
        return wrong("The numbers are cut off, not rounded.", "`astype` drops the fraction; round first.")
    if np.array_equal(q[inside], np.floor(ratio)[inside]):
        return wrong("The numbers are rounded down, not to the nearest.", "Use `np.round`.")
    return wrong("The scales are right, but the integers are not.", "Divide each row by its own scale.")


@functools.cache
def _budgets() -> tuple[tuple[dict[tuple[int, int], float], tuple[int, int], int], ...]:
    """Return (accuracy, weights, budget): the bits belong in layer 1, in layer 2, tight, a bit too tight."""
    pairs = [(a, b) for a in range(2, 9) for b in range(2, 9)]
    first = {(a, b): 0.9 - 0.8 * 2.0**-a - 0.1 * 2.0**-b for a, b in pairs}
    second = {(a, b): 0.9 - 0.1 * 2.0**-a - 0.8 * 2.0**-b for a, b in pairs}
    flat = {(a, b): 0.5 + (a == 4 and b == 6) * 0.4 - 0.01 * 2.0**-a for a, b in pairs}
    return (
        (first, (800, 800), 900),
        (second, (8192, 1280), 3000),
        (flat, (800, 400), 700),
        (flat, (803, 401), 702),  # the best takes a quarter of a byte too much
    )


def _packed(bits: tuple[int, int], weights: tuple[int, int]) -> float:
    return sum(b * n for b, n in zip(bits, weights, strict=True)) / 8


def _choice(result: Any, accuracy: Mapping[tuple[int, int], float]) -> tuple[int, int]:
    """Return the student's choice as a key of ``accuracy``; anything else stops with a verdict."""
    if not hasattr(result, "__len__") and as_number(result) in accuracy.values():
        raise Stop(wrong("That is the best accuracy, not the bits.", "Return the key, not the value."))
    if isinstance(result, dict) or not hasattr(result, "__len__") or len(result) != 2:
        raise Stop(wrong("Your function should return two numbers, the bits of each layer."))
    first, second = (as_integer(part, "the bits of a layer") for part in result)
    chosen = first, second
    if chosen not in accuracy:
        raise Stop(wrong(f"{chosen} is not one of the combinations in `accuracy`."))
    return chosen


def _not_best(
    chosen: tuple[int, int],
    best: tuple[int, int],
    fitting: Mapping[tuple[int, int], float],
    weights: tuple[int, int],
    budget: int,
) -> Verdict:
    message = f"Bits {chosen} fit, but {best} fit as well and are more accurate."
    below = {key: value for key, value in fitting.items() if _packed(key, weights) < budget}
    if chosen == min(fitting, key=lambda key: _packed(key, weights)):
        return wrong(message, "The smallest is not asked for: use the budget.")
    if fitting[chosen] == max(below.values()):
        return wrong(message, "A model that fills the budget exactly still fits.")
    if chosen[0] == chosen[1]:
        return wrong(message, "The layers may have different bits.")
    if _packed(chosen, weights) == max(_packed(key, weights) for key in fitting):
        return wrong(message, "The largest that fits need not be the best.")
    return wrong(message, "Of all combinations that fit, take the one with the highest accuracy.")


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "05-file-size": file_size,
        "05-dynamic-linear": dynamic_linear,
        "05-per-channel": per_channel,
        "05-bits": bits,
    }
)
