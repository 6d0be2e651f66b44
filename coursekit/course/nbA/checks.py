"""The checkers of notebook A."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, as_number, call_either
from coursekit.exercises.verdicts import Verdict, right, wrong

__all__ = ["CHECKERS"]

LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -2.0])
TEMPERATURES = (1.0, 0.5, 3.0)
# [tokens, vocabulary]: no two rows and no two classes alike, so that a mean in the wrong place shows.
TEXT = np.array([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [-1.0, 0.0, 3.0], [1.0, 1.0, -2.0]])
CAME = np.array([0, 2, 2, 1])
CLOSE = 1e-4  # relative: FP32 is good enough
TOKENS, CHARACTERS, LOSS = 300, 900, 2.8
BITS, BITS_WITHIN = TOKENS * LOSS / math.log(2) / CHARACTERS, 0.006  # two decimals will do


def shares(answer: Any) -> Verdict:
    """A function of (logits, temperature) that returns the shares, with a sum of 1."""
    for temperature in TEMPERATURES:
        given = call_either(answer, LOGITS, temperature)
        found = as_array(given, "what your function returns", shape=LOGITS.shape)
        if not np.allclose(found, _shares(LOGITS / temperature), rtol=CLOSE):
            return _wrong_shares(found, temperature)
    return right("Dividing by the temperature comes first, the exponential after it.")


def perplexity(answer: Any) -> Verdict:
    """A function of (logits, tokens) that returns one number."""
    found = as_number(call_either(answer, TEXT, CAME), "what your function returns")
    losses = -np.log(_shares(TEXT)[np.arange(len(CAME)), CAME])
    if math.isclose(found, math.exp(losses.mean()), rel_tol=CLOSE):
        return right("The mean comes first, the exponential after it: a geometric mean of 1 / share.")
    return wrong(f"For a text of {len(CAME)} tokens your function returns {found:.4g}.", _slip(found, losses))


def bits(answer: Any) -> Verdict:
    """A number: bits per character, to two decimals at least."""
    found = as_number(answer, "the bits per character")
    if abs(found - BITS) <= BITS_WITHIN:
        return right("All nats of the text, in bits, spread over its characters.")
    if math.isclose(found, LOSS * TOKENS / CHARACTERS, rel_tol=0.01):
        return wrong("That is nats per character.", "How many nats is a bit?")
    if math.isclose(found, LOSS / math.log(2), rel_tol=0.01):
        return wrong("That is bits per token.", "How many tokens are there for each character?")
    return wrong(f"{found:.4g} is not it.", "How many nats is the whole text?")


def _shares(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits)
    return raised / raised.sum(axis=-1, keepdims=True)


def _wrong_shares(found: NDArray[np.float64], temperature: float) -> Verdict:
    told = f"At temperature {temperature:g} the shares should be others."
    if not math.isclose(found.sum(), 1, rel_tol=CLOSE):
        return wrong(f"At temperature {temperature:g} the sum is {found.sum():.4g}.", "Shares add up to 1.")
    if np.allclose(found, _shares(LOGITS), rtol=CLOSE):
        return wrong(told, "Yours do not depend on the temperature.")
    if np.allclose(found, _shares(LOGITS * temperature), rtol=CLOSE):
        return wrong(told, "Does a high temperature make the first choice more likely, or less?")
    return wrong(told, "Where does the temperature enter: before the exponential, or after it?")


def _slip(found: float, losses: NDArray[np.float64]) -> str:
    slips = {
        "That is the loss. What is left to do?": losses.mean(),
        "A sum grows with the text. Which average does not?": math.exp(losses.sum()),
        "What is averaged: the losses, or their exponentials?": np.exp(losses).mean(),
        "The loss is in nats. Which number is raised to it?": 2 ** losses.mean(),
        "A larger share should give a smaller perplexity.": math.exp(-losses.mean()),
    }
    named = [hint for hint, value in slips.items() if math.isclose(found, value, rel_tol=CLOSE)]
    return named[0] if named else "Which share did the token get that really came?"


CHECKERS = {"A-shares": shares, "A-perplexity": perplexity, "A-bits": bits}
