"""The checkers of notebook 03, profiling basics.

Work is counted, not timed: no busy machine can reject a right answer.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from coursekit import data
from coursekit.exercises.answers import as_array, as_integer, as_number, call, describe
from coursekit.exercises.effort import Comparisons, Counted, steps
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

RECEIPTS = (
    ({"read CSV": 1.8, "load pickle": 0.6, "predict": 0.001}, "read CSV"),
    ({"read CSV": 1.8, "load pickle": 0.6, "predict": 0.001}, "predict"),
    ({"a": 3.0, "b": 1.0}, "b"),
    ({"network": 40.0, "database": 50.0, "model": 10.0}, "database"),
)
LETTERS = 60
KNOWN = frozenset({"the", "you", "is", "for", "on", "to", "please", "thanks", "before", "ref", "report"})
FEWER = 10  # times less work is asked for
TEXTS, REPEATS = 400, 40
CENTRES, NUMBERS = 40, 16
STEPS_PER_PICTURE = 20
FEW_PICTURES, MANY_PICTURES = 10, 40


def without(answer: Any) -> Verdict:
    """A function that takes a dict of seconds and the name of a part and returns a factor."""
    for seconds, part in RECEIPTS:
        total = sum(seconds.values())
        found = as_number(call(answer, seconds, part), "the result")
        expected = total / (total - seconds[part])
        if not math.isclose(found, expected, rel_tol=1e-3):
            return _wrong_factor(found, expected, total, seconds[part], part)
    return right(
        "Reading the CSV takes three quarters of the time, so four times as fast is the most it can bring."
    )


def mystery_1(answer: Any) -> Verdict:
    """The pair (name of the slow function, faster function)."""
    faster = _named(answer, "known_words", {"unknown": _CALLER, "mystery_1": _CALLER})
    texts = [f"{text} Ref {i}" for i, text in enumerate(data.messages(LETTERS, seed=3).texts)]
    read = Counted(lambda: set(KNOWN))
    expected = [sum(word not in KNOWN for word in text.lower().split()) for text in texts]
    found = as_array(call(faster, texts, read), "the answers")
    source = "" if read.calls else " Take the known words from `read()`: the test has a list of its own."
    _same(found, expected, f"how many words of each message are unknown.{source}")
    if read.calls * FEWER > LETTERS:
        return wrong(
            f"The answers are right, but `read` is still called {read.calls} times for {LETTERS} messages.",
            "The list of words does not change from message to message. Where would you read it once?",
        )
    times = "once" if read.calls == 1 else f"{read.calls} times"
    return right(f"The same answers, and the list is read {times} instead of {LETTERS} times.")


def mystery_2(answer: Any) -> Verdict:
    """The pair (name of the slow function, faster function)."""
    faster = _named(answer, "drop_repeats", {"characters": _INNOCENT, "mystery_2": _CALLER})
    comparisons = Comparisons()
    different = [f"{text} Ref {i}" for i, text in enumerate(data.messages(TEXTS - REPEATS, seed=5).texts)]
    texts = [comparisons.text(text) for text in different + different[:REPEATS]]
    found = as_integer(call(faster, texts), "the answer")
    if found == sum(map(len, texts)):
        return wrong("These are the characters of all messages. Messages that arrive twice count once.")
    if found != sum(map(len, different)):
        return wrong(
            f"{found:,} characters, but {sum(map(len, different)):,} are right for the test's messages.",
            "Compare with `mystery_2(inbox)`: the answer must stay the same.",
        )
    usual = len(different) * (len(different) - 1) // 2
    if comparisons.count * FEWER > usual:
        return wrong(
            f"The answer is right, but {TEXTS} messages are still compared {comparisons.count:,} times.",
            "`in` looks through a whole list. Which collection finds an element without looking at all?",
        )
    return right(f"The same answer with {comparisons.count:,} comparisons of messages instead of {usual:,}.")


def mystery_3(answer: Any) -> Verdict:
    """The pair (name of the slow function, faster function)."""
    faster = _named(answer, "distance", {"nearest": _CALLER, "mystery_3": _CALLER})
    few, many = (_pictures(count) for count in (FEW_PICTURES, MANY_PICTURES))
    for pictures, centres, expected in (few, many):
        _same(
            as_array(call(faster, pictures, centres), "the answers"),
            expected,
            "the number of the nearest centre, counted from 0.",
        )
    # The first calls may have imported something; now only the work that grows with the pictures counts.
    counts = [steps(lambda: call(faster, *given[:2])) for given in (few, many)]  # noqa: B023
    each = (counts[1] - counts[0]) / (MANY_PICTURES - FEW_PICTURES)
    if each > STEPS_PER_PICTURE:
        return wrong(
            f"The answers are right, but Python still runs {each:,.0f} lines per picture.",
            "Subtract all centres at once: NumPy lines up shapes such as (n, 1, 64) and (1, 10, 64).",
        )
    return right("The same answers, and the arithmetic runs in NumPy instead of in Python.")


_CALLER = "It takes long because of what it calls. Sort by `tottime`: whose own work is it?"
_INNOCENT = "Look at `tottime` in the receipt: it takes next to nothing."


def _named(answer: Any, name: str, others: Mapping[str, str]) -> Callable[..., Any]:
    """Return the function of the pair (name, function); stop with a verdict if the name is not right."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Stop(
            wrong("Hand in both, in this order: the name of the slow function and your faster program.")
        )
    said, faster = answer
    said = getattr(said, "__name__", said)
    if not isinstance(said, str):
        raise Stop(wrong(f'The name should be text such as `"load"`, but it is {describe(said)}.'))
    if said.strip().rstrip("()").casefold() != name:
        hint = others.get(said.strip().rstrip("()").casefold(), 'Take the receipt with `by="tottime"`.')
        raise Stop(wrong(f"`{said}` is not the function whose own work takes the time.", hint))
    if not callable(faster):
        raise Stop(
            wrong(f"The second of the two should be your faster function, but it is {describe(faster)}.")
        )
    return faster


def _same(found: Any, expected: Any, what: str) -> None:
    expected = np.asarray(expected)
    if found.shape != expected.shape:
        raise Stop(wrong(f"{found.size} answers came for {expected.size}.", f"One number each: {what}"))
    different = np.count_nonzero(found != expected)
    if different:
        raise Stop(
            wrong(
                f"{different} of {expected.size} answers differ from those of the slow program.",
                f"Expected: {what}",
            )
        )


def _pictures(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures [count, 16], centres [40, 16], and which centre is nearest, by a wide margin."""
    rng = np.random.default_rng(count)
    centres = rng.integers(0, 16, (CENTRES, NUMBERS)).astype(np.float64)
    nearest = rng.integers(0, CENTRES, count)
    return centres[nearest] + rng.uniform(-0.4, 0.4, (count, NUMBERS)), centres, nearest


def _wrong_factor(found: float, expected: float, total: float, gone: float, part: str) -> Verdict:
    message = f"Without `{part}`, {gone:g} of {total:g} seconds, it returns {found:.4g}."
    reasons = {
        total / gone: "That is the whole divided by the part. What is left when the part is gone?",
        gone / total: "That is the part's share. How long does the rest take?",
        1 / expected: "That is the time that is left, as a share. The factor is the other way round.",
        total - gone: "These are the seconds that are left. How many times do they fit into the whole?",
        100 * (1 - 1 / expected): "That is how many per cent are saved. A factor is asked for.",
        1 - 1 / expected: "That is the share that is saved. A factor is asked for.",
    }
    hint = next((text for value, text in reasons.items() if math.isclose(found, value, rel_tol=1e-3)), "")
    return wrong(message, hint or "Divide the time before by the time after.")


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "03-without": without,
        "03-mystery-1": mystery_1,
        "03-mystery-2": mystery_2,
        "03-mystery-3": mystery_3,
    }
)
