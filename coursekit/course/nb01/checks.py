"""The checkers of notebook 01, floating-point basics."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from coursekit import floats, quantization
from coursekit.exercises.answers import as_array, as_bits, as_integer, as_number, call
from coursekit.exercises.verdicts import Stop, Verdict, not_tried, right, wrong

__all__ = ["CHECKERS"]

LECTURE_WEIGHTS = np.array([-0.81, -0.42, -0.05, 0.12, 0.47, 0.79])
SKEWED = np.array([0.35, -1.20, 0.80, -0.50, 1.50, 0.05])
UNSIGNED_ZERO_POINT = 113


def encode(answer: Any) -> Verdict:
    """The 32 bits of 3.25 as text, e.g. '0 00000000 000…'."""
    bits = as_bits(
        answer, 32, hint="1 for the sign, 8 for the exponent, 23 for the mantissa: fill up with zeros."
    )
    if bits == floats.fields(3.25, "fp32").bits.replace(" ", ""):
        return right("3.25 is 1.101 in binary times 2, so the exponent 1 is stored as 128.")
    sign, exponent, mantissa = bits[0], int(bits[1:9], 2), bits[9:]
    if sign == "1":
        return wrong("The sign bit is 1, but 3.25 is positive.", "0 stands for plus.")
    if exponent == 1:
        return wrong(
            "The exponent is right but stored without its bias.", "Add 127 before you write it down."
        )
    if exponent == 129:
        return wrong(
            "An exponent field of 129 means times 4; that was 6.5.", "How often did you slide the point?"
        )
    if exponent != 128:
        return wrong(
            f"The exponent field is {exponent}: that means times 2 to the power {exponent - 127}.",
            "3.25 = 1.625 x 2.",
        )
    if mantissa.startswith("1101"):
        return wrong(
            "The mantissa starts with the hidden 1.", "The 1 before the point is not stored; start after it."
        )
    value = floats.decode(bits, "fp32")
    return wrong(f"Sign and exponent are right, but these bits mean {value:g}.", "3.25 is 11.01 in binary.")


def decode(answer: Any) -> Verdict:
    """The number as a float."""
    number = as_number(answer)
    mistakes = {
        0.75: ("The size is right, the sign is not.", "The first bit is 1."),
        -0.25: ("The hidden 1 is missing.", "The mantissa 1000… means 1.1 in binary, not 0.1."),
        -3.0: ("The exponent went the wrong way.", "126 - 127 is -1: halve, do not double."),
        -1.5: ("The exponent is missing.", "126 is not the bias 127."),
        -0.5: ("The mantissa is missing.", "Its first bit stands for a half: 1.1 in binary is 1.5."),
        -1.5 * 2.0**126: ("The bias is still in it.", "Subtract 127 from the stored exponent."),
    }
    if number == -0.75:
        return right("Minus 1.5 times 2 to the power -1.")
    message, hint = mistakes.get(
        number, (f"{number:g} is not it.", "Sign: bit 1. Exponent: next 8 bits minus 127. Then 1.m.")
    )
    return wrong(message, hint)


def first_missing(answer: Any) -> Verdict:
    """A whole number."""
    number = as_integer(answer)
    if number == 2**24 + 1:
        return right("16,777,217 needs 25 binary digits. FP32 rounds it to 16,777,216.")
    if number < 1:
        return wrong("A positive whole number is asked for.")
    if floats.decode(floats.encode(number, "fp32"), "fp32") == number:
        hint = (
            "A power of two needs one digit only."
            if number & (number - 1) == 0
            else "Count the hidden 1, too."
        )
        return wrong(f"FP32 holds {number:,} exactly.", hint)
    return wrong(
        f"FP32 does not hold {number:,}, but a smaller number is missing as well.",
        "How many digits are there?",
    )


def quantize(answer: Any) -> Verdict:
    """The two functions as a pair: (quantize, dequantize)."""
    try:
        forward, back = answer
    except (TypeError, ValueError):
        return wrong("Both functions are expected: `(quantize, dequantize)`.")
    rng = np.random.default_rng(1)
    for values, bits in (
        (LECTURE_WEIGHTS, 8),
        (-LECTURE_WEIGHTS, 8),
        (rng.normal(size=50), 4),
        (rng.normal(size=9), 3),
    ):
        _check_pair(forward, back, values.astype(np.float32), bits)
    return right("The same integers as `coursekit.quantization`, and the way back within half a scale.")


def zero_point(answer: Any) -> Verdict:
    """The six integers q."""
    q = as_array(answer, "q", shape=(6,))
    scale = (SKEWED.max() - SKEWED.min()) / 255
    centred = np.round(SKEWED / scale)
    if np.array_equal(q, np.clip(centred + UNSIGNED_ZERO_POINT, -128, 127)):
        return not_tried()
    if np.array_equal(q, quantization.quantize(SKEWED, 8, symmetric=False).q):
        return right(
            "With zero point -15, -1.20 becomes -128 and 1.50 becomes 127: the range is used to the end."
        )
    if np.array_equal(q, centred + UNSIGNED_ZERO_POINT):
        return wrong(
            "These integers run from 0 to 255. INT8 runs from -128 to 127.",
            "Change the zero point, not the clip.",
        )
    if (np.abs(q) > 128).any() or q.max() > 127:
        return wrong(f"q holds {q.min():g} to {q.max():g}, but INT8 ends at -128 and 127.", "Keep the clip.")
    if len(set(q.tolist())) < 6:
        return wrong(
            "Different values share an integer: some are still clipped.",
            "The smallest value should become -128.",
        )
    return wrong(
        f"The smallest value, -1.20, becomes {q[1]:g} and the largest, 1.50, becomes {q[4]:g}.",
        "The smallest value should become the smallest integer of INT8. Which zero point does that?",
    )


def _check_pair(forward: Any, back: Any, values: np.ndarray, bits: int) -> None:
    """Stop with a verdict if the student's pair of functions is wrong for these values."""
    result = call(forward, values, bits)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Stop(wrong("`quantize` should return two things: the integers and the scale."))
    q, scale = as_array(result[0], "the integers"), as_number(result[1], "the scale")
    expected = quantization.quantize(values, bits)
    _check_scale(scale, values, bits, float(expected.scale))
    if (q != np.round(q)).any():
        raise Stop(wrong("The integers are not whole numbers.", "Divide by the scale, then round."))
    if q.shape != values.shape or not np.array_equal(q, expected.q):
        raise Stop(_wrong_integers(q, values, scale))
    restored = as_array(call(back, result[0], result[1]), "what dequantize returns")
    if restored.shape != values.shape or not np.allclose(
        restored, expected.dequantize(), rtol=1e-4, atol=1e-6
    ):
        raise Stop(
            wrong("`dequantize` does not lead back to the values.", "Multiply the integers by the scale.")
        )


def _check_scale(scale: float, values: np.ndarray, bits: int, expected: float) -> None:
    if math.isclose(scale, expected, rel_tol=1e-4):
        return
    largest = np.abs(values).max()
    called = f"For bits={bits} the scale is {scale:.4g} instead of {expected:.4g}."
    reasons = {
        largest / 2 ** (bits - 1): "The largest integer is one less than 2 to the power bits - 1.",
        largest / (2**bits - 1): "Half of the patterns are for negative numbers.",
        values.max() / (2 ** (bits - 1) - 1): "Which weight is the largest if you ignore the sign?",
        largest / 127: "127 is right for 8 bits only.",
        1 / expected: "That is the inverse: the scale is what one step is worth.",
    }
    hint = next((text for value, text in reasons.items() if math.isclose(scale, value, rel_tol=1e-4)), "")
    raise Stop(
        wrong(called, hint or "The largest weight, without its sign, should map to the largest integer.")
    )


def _wrong_integers(q: np.ndarray, values: np.ndarray, scale: float) -> Verdict:
    if q.shape != values.shape:
        return wrong(f"There are {q.size} integers for {values.size} values.")
    if np.array_equal(q, np.trunc(values / scale)):
        return wrong(
            "The numbers are cut off, not rounded.", "`astype(int)` drops the fraction; round first."
        )
    if np.array_equal(q, np.floor(values / scale)):
        return wrong("The numbers are rounded down, not to the nearest.", "Use `np.round`.")
    return wrong(
        "The scale is right, but the integers are not.",
        "Divide each value by the scale and round to the nearest.",
    )


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "01-encode": encode,
        "01-decode": decode,
        "01-first-missing": first_missing,
        "01-quantize": quantize,
        "01-zero-point": zero_point,
    }
)
