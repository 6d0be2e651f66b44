"""The checkers of notebook 03, profiling basics.

Work is counted, not timed: no busy machine can reject a right answer.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
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
ROUNDED = 0.05 + 1e-9  # a factor with one decimal is a right answer
LETTERS = 60
KNOWN = frozenset({"the", "you", "is", "for", "on", "to", "please", "thanks", "before", "ref", "report"})
MORE_WORDS = 500  # that no message holds: only a search through all known words meets them
MANY_WORDS = 20_000  # so long a list that looking through it takes far longer than all else
LIKE_A_SEARCH = 0.25  # of the time that a search through all words takes; finding at once takes a hundredth
FEWER = 10  # times less work is asked for
TEXTS, REPEATS = 400, 40
CENTRES, NUMBERS = 40, 16
STEPS_PER_PICTURE = 20
FEW_PICTURES, MANY_PICTURES = 10, 40
MARGIN = 1.02  # between the two smallest squared distances


def without(answer: Any) -> Verdict:
    """A function that takes a dict of seconds and the name of a part and returns a factor."""
    for seconds, part in RECEIPTS:
        total = sum(seconds.values())
        found = as_number(call(answer, seconds, part), "the result")
        expected = total / (total - seconds[part])
        if not abs(found - expected) <= ROUNDED:
            return _wrong_factor(found, expected, total, seconds[part], part)
    return right(
        "Reading the CSV takes three quarters of the time, so four times as fast is the most it can bring."
    )


def mystery_1(answer: Any) -> Verdict:
    """The pair (name of the slow function, faster function)."""
    faster = _named(answer, "known_words", {"unknown": _CALLER, "mystery_1": _CALLER})
    texts = [f"{text} Ref {i}" for i, text in enumerate(data.messages(LETTERS, seed=3).texts)]
    comparisons = Comparisons()
    words = [*KNOWN, *(f"word{number}" for number in range(MORE_WORDS))]
    known = {comparisons.text(word) for word in words}
    read = Counted(lambda: set(known))
    expected = [sum(word not in KNOWN for word in text.lower().split()) for text in texts]
    found = as_array(call(faster, texts, read), "the answers")
    source = "" if read.calls else " Take the known words from `read()`: the test has a list of its own."
    _same(found, expected, f"how many words of each message are unknown.{source}")
    if not read.calls:
        return wrong(
            "The answers are right for these words only: `read` is never called.",
            "The list may be another one tomorrow. Take the known words from `read()`, once.",
        )
    if read.calls * FEWER > LETTERS:
        return wrong(
            f"The answers are right, but `read` is still called {read.calls} times for {LETTERS} messages.",
            "The list of words does not change from message to message. Where would you read it once?",
        )
    times = "once" if read.calls == 1 else f"{read.calls} times"
    looked_up = sum(len(text.split()) for text in texts)
    if comparisons.count * FEWER > looked_up * len(words) / 2:
        return wrong(
            f"The list is read only {times}, but for {looked_up:,} words {comparisons.count:,} "
            "comparisons are made.",
            "`in` looks through a whole list. `read()` gives a set, which finds a word at once: keep it one.",
        )
    if _time_of_lookups(faster, texts) > LIKE_A_SEARCH * _time_of_lookups(_through_an_array, texts):
        return wrong(
            f"The list is read only {times}, but every message still goes through all of it.",
            "`in` looks through an array, too. Keep the set that `read()` gives: it finds a word at once.",
        )
    return right(f"The same answers, and the list is read {times} instead of {LETTERS} times.")


def mystery_2(answer: Any) -> Verdict:
    """The pair (name of the slow function, faster function)."""
    faster = _named(answer, "drop_repeats", {"characters": _INNOCENT, "mystery_2": _CALLER})
    comparisons = Comparisons()
    different = _different_messages()
    texts = [comparisons.text(text) for text in different + different[:REPEATS]]
    found = as_integer(call(faster, texts), "the answer")
    if found == sum(map(len, texts)):
        return wrong("These are the characters of all messages. Messages that arrive twice count once.")
    for change, hint in _ALIKE.items():
        if found == sum(map(len, {change(text) for text in different})):
            return wrong(f"{found:,} characters: messages that differ were taken for the same.", hint)
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
        answers = as_array(call(faster, pictures, centres), "the answers")
        _other_distance(answers, pictures, centres, expected)
        _same(answers, expected, "the number of the nearest centre, counted from 0.")
    # The first calls may have imported something; now only the work that grows with the pictures counts.
    counts = [steps(lambda: call(faster, *given[:2])) for given in (few, many)]  # noqa: B023
    each = (counts[1] - counts[0]) / (MANY_PICTURES - FEW_PICTURES)
    if each > STEPS_PER_PICTURE:
        return wrong(
            f"The answers are right, but Python still runs {each:,.0f} lines per picture.",
            "Subtract all centres at once: NumPy lines up shapes such as (pictures, 1, numbers) and "
            "(1, centres, numbers).",
        )
    return right("The same answers, and the arithmetic runs in NumPy instead of in Python.")


def _through_an_array(texts: Sequence[str], read: Callable[[], set[str]]) -> list[int]:
    known = np.array(list(read()))
    return [sum(word not in known for word in text.lower().split()) for text in texts]


def _time_of_lookups(program: Callable[..., Any], texts: Sequence[str]) -> float:
    """Return the CPU seconds that the words of ``texts`` take beyond one text, so without reading the list.

    What NumPy compares cannot be counted. A search through all takes some hundred times as long as a set, so
    this thread's own time tells them apart on any machine, however busy.
    """
    known = {*KNOWN, *(f"word{number}" for number in range(MANY_WORDS))}

    def seconds(given: Sequence[str]) -> float:
        start = time.thread_time()
        call(program, given, lambda: known)
        return time.thread_time() - start

    return min(seconds(texts) for _ in range(2)) - min(seconds(texts[:1]) for _ in range(2))


_ALIKE: Mapping[Callable[[str], str], str] = MappingProxyType(
    {
        str.lower: "A capital letter makes another message: compare them as they are.",
        str.strip: "A space at the end makes another message: compare them as they are.",
        lambda text: " ".join(
            text.lower().split()
        ): "Compare the messages as they are, capitals and spaces included.",
    }
)
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


def _different_messages() -> list[str]:
    """Return messages that all differ, some of them by a capital letter or by a space at the end only."""
    half = (TEXTS - REPEATS) // 2
    texts = [f"{text} Ref {i}" for i, text in enumerate(data.messages(TEXTS - REPEATS, seed=5).texts)]
    for number in range(half - half // 4, half):
        texts[number + half] = texts[number].swapcase() if number % 2 else f"{texts[number]} "
    return texts


def _pictures(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures [count, 16], centres [40, 16], and which centre is nearest, by a clear margin.

    By every other measure in ``_distances`` another centre would be the nearest.
    """
    rng = np.random.default_rng(count)
    centres = rng.integers(0, 16, (CENTRES, NUMBERS)).astype(np.float64)
    found: list[np.ndarray] = []
    while len(found) < count:
        pictures = rng.uniform(0, 16, (200, NUMBERS))
        right_one, *others = (values.argmin(axis=1) for values in _distances(pictures, centres).values())
        nearest_two = np.sort(_distances(pictures, centres)[""], axis=1)[:, :2]
        clear = nearest_two[:, 1] > MARGIN * nearest_two[:, 0]
        found += list(pictures[clear & np.all([other != right_one for other in others], axis=0)])
    kept = np.array(found[:count])
    return kept, centres, _distances(kept, centres)[""].argmin(axis=1)


def _distances(pictures: np.ndarray, centres: np.ndarray) -> dict[str, np.ndarray]:
    """Return squared distances [pictures, centres], and what is taken for them, by the hint against it."""
    differences = pictures[:, None, :] - centres[None, :, :]
    products = pictures @ centres.T
    lengths = np.linalg.norm(centres, axis=1)
    return {
        "": (differences**2).sum(axis=2),
        "These are sums of differences; `distance` squares each difference first.": np.abs(differences).sum(
            axis=2
        ),
        "The squares are missing: positive and negative differences cancel.": np.abs(differences.sum(axis=2)),
        "That takes the largest difference alone; `distance` adds up the squares of all.": np.abs(
            differences
        ).max(axis=2),
        "The largest product is not the smallest distance: a bright centre wins every time.": -products,
        "That compares directions; `distance` compares the numbers themselves.": -products / lengths,
    }


def _other_distance(
    found: np.ndarray, pictures: np.ndarray, centres: np.ndarray, expected: np.ndarray
) -> None:
    """Stop with a verdict if the answers are the nearest centres by another measure."""
    for hint, values in _distances(pictures, centres).items():
        if hint and found.shape == expected.shape and np.array_equal(found, values.argmin(axis=1)):
            raise Stop(wrong("These are the nearest centres by another distance.", hint))


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
    if not hint and found == round(expected):
        hint = "Rounded to a whole number, too little is left of it: return the factor as it is."
    return wrong(message, hint or "Divide the time before by the time after.")


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "03-without": without,
        "03-mystery-1": mystery_1,
        "03-mystery-2": mystery_2,
        "03-mystery-3": mystery_3,
    }
)
