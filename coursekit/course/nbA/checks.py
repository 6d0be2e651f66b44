"""The checkers of notebook A."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, as_number, call, call_either
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

Array = NDArray[np.float64]

CLOSE = 1e-4  # relative: FP32 is good enough
# [tokens, vocabulary]: no two rows and no two classes alike, so that a mean in the wrong place shows.
LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [-1.0, 0.0, 3.0], [1.0, 1.0, -2.0], [0.3, -0.7, 2.2]])
TOKENS = np.array([1, 0, 2, 2, 1])
# Parameters, bits, bytes of the cache, bytes per second: the cache counts in one of them only.
ROOFS = ((7e9, 16, 0, 100e9), (1e6, 4, 2e6, 50e6), (1e6, 32, 1e6, 1e9))
STEPS, HEAD = 4, 3  # tokens read one by one, numbers per head
TARGET = np.array([0.5, 0.3, 0.2, 0.0])
DRAFTS = (np.array([0.2, 0.3, 0.1, 0.4]), np.array([0.7, 0.1, 0.1, 0.1]))
DRAWS = (0.03, 0.31, 0.55, 0.97)  # none of them near a limit of the rule


def perplexity(answer: Any) -> Verdict:
    """A function of (logits, tokens) that returns one number."""
    found = as_number(call_either(answer, LOGITS, TOKENS), "what your function returns")
    losses = _losses(LOGITS[:-1], TOKENS[1:])
    if math.isclose(found, math.exp(losses.mean()), rel_tol=CLOSE):
        return right("The mean comes first, the exponential after it: a geometric mean of 1 / share.")
    return wrong(
        f"For a text of {len(TOKENS)} tokens your function returns {found:.4g}.", _slip(found, losses)
    )


def roof(answer: Any) -> Verdict:
    """A function of (parameters, bits, cache_bytes, bandwidth) that returns tokens per second."""
    for parameters, bits, cache, bandwidth in ROOFS:
        found = as_number(call(answer, parameters, bits, cache, bandwidth), "what your function returns")
        nbytes = parameters * bits / 8 + cache
        if not math.isclose(found, bandwidth / nbytes, rel_tol=CLOSE):
            case = f"{parameters:g} parameters of {bits} bits, a cache of {cache:g} B, {bandwidth:g} B/s"
            return wrong(
                f"For {case} your function returns {found:.4g}.",
                _roof_slip(found, parameters, bits, cache, bandwidth),
            )
    return right("What has to be read for a token, over what can be read in a second, turned round.")


def cache(answer: Any) -> Verdict:
    """A function of (q, k, v, keys, values) that returns the output, the keys and the values."""
    draw = np.random.default_rng(5)
    queries, keys, values = (draw.normal(size=(STEPS, HEAD)) for _ in range(3))
    kept = keys[:1], values[:1]
    for n in range(1, STEPS):
        result = call_either(answer, queries[n], keys[n], values[n], *kept)
        if not isinstance(result, tuple | list) or len(result) != 3:
            return wrong("Your function should return three things: the output, the keys and the values.")
        output, *grown = (as_array(part, name) for part, name in zip(result, NAMES, strict=True))
        _check_grown(grown, (keys, values), n + 1)
        expected = _attended(queries[n], keys[: n + 1], values[: n + 1])
        if output.shape != expected.shape or not np.allclose(output, expected, rtol=CLOSE, atol=CLOSE):
            return _wrong_output(output, queries[n], keys[: n + 1], values[: n + 1])
        kept = keys[: n + 1], values[: n + 1]
    return right("Token by token the same as all at once, and nothing is computed twice.")


def accept(answer: Any) -> Verdict:
    """A function of (target, draft, token, u) that returns whether it is kept, and shares."""
    for draft in DRAFTS:
        missing = np.maximum(TARGET - draft, 0)
        for token in range(len(TARGET)):
            for u in DRAWS:
                keep, rest = _judged(call_either(answer, TARGET, draft, token, u))
                if keep != (u < TARGET[token] / draft[token]):
                    return _wrong_keep(keep, draft, token, u)
                if not np.allclose(rest, missing / missing.sum(), atol=CLOSE):
                    return _wrong_rest(rest, draft)
    return right(
        "A token comes by its draft or after a refusal: the chances of both add up to the target's share."
    )


NAMES = ("the output", "the keys", "the values")


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits)
    total: Array = raised / raised.sum(axis=-1, keepdims=True)
    return total


def _losses(logits: Array, tokens: NDArray[np.int64]) -> Array:
    losses: Array = -np.log(_softmax(logits)[np.arange(len(tokens)), tokens])
    return losses


def _slip(found: float, losses: Array) -> str:
    slips: dict[str, Any] = {
        "Each row was set beside its own token, already seen. Which token comes after it?": (
            math.exp(_losses(LOGITS, TOKENS).mean())
        ),
        "That sets a row beside the token before it. Which one is left out at which end?": math.exp(
            _losses(LOGITS[1:], TOKENS[:-1]).mean()
        ),
        "That is the loss. What is left to do?": losses.mean(),
        "A sum grows with the text. Which average does not?": math.exp(losses.sum()),
        "What is averaged: the losses, or their exponentials?": np.exp(losses).mean(),
        "The loss is in nats. Which number is raised to it?": 2 ** losses.mean(),
        "A larger share should give a smaller perplexity.": math.exp(-losses.mean()),
        "That raises e to a loss in bits. Which loss belongs to e?": math.exp(losses.mean() / math.log(2)),
        "For so many tokens, how many were predicted?": math.exp(losses.sum() / len(TOKENS)),
    }
    named = [hint for hint, value in slips.items() if math.isclose(found, value, rel_tol=CLOSE)]
    return named[0] if named else "Which share did the token get that really came?"


def _roof_slip(found: float, parameters: float, bits: int, cache: float, bandwidth: float) -> str:
    nbytes = parameters * bits / 8 + cache
    slips = {
        "That is seconds per token. Which way round is tokens per second?": nbytes / bandwidth,
        "Bits are not bytes: how many bits has a byte?": bandwidth / (parameters * bits + cache),
        "The weights are read, and what else?": bandwidth / (parameters * bits / 8),
        "How many bytes does a weight take, at so many bits?": bandwidth / (parameters + cache),
        "The cache is counted in bytes already, only the weights in bits.": (
            bandwidth / (parameters * bits / 8 + cache / 8)
        ),
        "Do not round: a roof need not be a whole number.": round(bandwidth / nbytes),
    }
    named = [hint for hint, value in slips.items() if math.isclose(found, value, rel_tol=CLOSE)]
    return named[0] if named else "Divide what can be read in a second by what one token needs."


def _attended(q: Array, keys: Array, values: Array, scale: float | None = None) -> Array:
    output: Array = _softmax(keys @ q / (math.sqrt(len(q)) if scale is None else scale)) @ values
    return output


def _check_grown(grown: list[Array], full: tuple[Array, Array], length: int) -> None:
    """Stop with a verdict unless keys and values have one row more, in order."""
    for name, found, rows in zip(NAMES[1:], grown, full, strict=True):
        expected = rows[:length]
        if found.shape != expected.shape:
            message = f"After a new token {name} have shape `{found.shape}` instead of `{expected.shape}`."
            raise Stop(wrong(message, "One row more than before: the new one is appended, none is replaced."))
        if not np.allclose(found, expected, rtol=CLOSE, atol=CLOSE):
            last_first = np.allclose(found, np.concatenate([expected[-1:], expected[:-1]]), atol=CLOSE)
            hint = (
                "The new row stands in front. The cache is in the order of the text."
                if last_first
                else "The earlier rows stay as they are, and the new one comes last."
            )
            raise Stop(wrong(f"There are enough rows, but {name} are not the right ones.", hint))


def _wrong_output(output: Array, q: Array, keys: Array, values: Array) -> Verdict:
    message = f"With {len(keys)} tokens the output is not what attention over all of them gives."
    if output.shape != values[0].shape:
        hint = "The shares weigh the rows of the values: one number per column is left."
        if output.shape == (1, len(q)) and np.allclose(output[0], _attended(q, keys, values), atol=CLOSE):
            hint = "These are the right numbers, as a matrix of one row: return the row."
        return wrong(f"The output has shape `{output.shape}` instead of `{values[0].shape}`.", hint)
    slips = {
        "The token does not see itself: append first, then look.": _attended(q, keys[:-1], values[:-1]),
        "The products are not divided by the square root of d.": _attended(q, keys, values, 1.0),
        "The products are divided by d. Its square root is meant.": _attended(q, keys, values, len(q)),
        "The square root is that of d, the length of a key, not of the number of tokens.": _attended(
            q, keys, values, math.sqrt(len(keys))
        ),
        "The products were not made into shares.": keys @ q / math.sqrt(len(q)) @ values,
        "The shares weigh the values, not the keys.": _softmax(keys @ q / math.sqrt(len(q))) @ keys,
    }
    named = [hint for hint, value in slips.items() if np.allclose(output, value, rtol=CLOSE, atol=CLOSE)]
    return wrong(message, named[0] if named else "Softmax of keys · q / √d, then the mean of the values.")


def _judged(result: Any) -> tuple[bool, Array]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Stop(wrong("Your function should return two things: True or False, and the shares."))
    try:
        keep = np.asarray(result[0], np.float64)
    except (TypeError, ValueError, RuntimeError):
        keep = np.empty(0)
    if keep.size > 1:
        hint = "Only the drafted token is judged: divide its two shares, not all of them."
        raise Stop(wrong(f"The first thing should be one True or False; it has {keep.size} numbers.", hint))
    if keep.size != 1 or keep.item() not in (0, 1):
        raise Stop(wrong("The first thing should be True or False.", "Compare `u` with target / draft."))
    return bool(keep.item()), as_array(result[1], "what you return second", shape=TARGET.shape)


def _wrong_keep(keep: bool, draft: Array, token: int, u: float) -> Verdict:
    shares = f"a target of {TARGET[token]:g}, a draft of {draft[token]:g} and u = {u:g}"
    said = "kept" if keep else "refused"
    if keep == (u >= TARGET[token] / draft[token]):
        hint = "The larger target / draft, the more often it is kept. What has to be below what?"
        if draft[token] <= TARGET[token]:
            hint = "What the draft gives too seldom is always kept. Which share is divided by which?"
        return wrong(f"With {shares} your function says that the token is {said}.", hint)
    return wrong(f"With {shares} your function says that the token is {said}.")


def _wrong_rest(rest: Array, draft: Array) -> Verdict:
    message = "The token is judged well, but after a refusal other shares are needed."
    missing = np.maximum(TARGET - draft, 0)
    slips = {
        "They do not add up to 1 yet.": missing,
        "That is the target. What the draft gave already would then come too often.": TARGET,
        "That is what the draft gave too much. The difference is the other way round.": np.maximum(
            draft - TARGET, 0
        )
        / missing.sum(),
        "Where the draft gave too much, nothing is missing: cut off at 0, do not turn the sign.": np.abs(
            TARGET - draft
        )
        / np.abs(TARGET - draft).sum(),
        "What is negative has to become 0.": TARGET - draft,
    }
    named = [hint for hint, value in slips.items() if np.allclose(rest, value, atol=CLOSE)]
    return wrong(message, named[0] if named else "max(target − draft, 0), divided by its sum.")


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {"A-perplexity": perplexity, "A-roof": roof, "A-cache": cache, "A-accept": accept}
)
