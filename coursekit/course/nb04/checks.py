"""The checkers of notebook 04, batching benchmark."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from coursekit import batching
from coursekit.exercises.answers import as_integer, as_number, call
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

# Exercise 2: the batch with the highest throughput under 5 ms is not the largest one that fits.
TABLE_BATCHES = (1, 8, 32, 64, 96, 128, 160, 512)
TABLE_MS = (0.9, 1.1, 1.5, 1.9, 2.2, 3.6, 4.8, 9.3)
BUDGET_MS = 5.0
# Exercise 3: the network 256-512-512-10 in FP32 on 100 MB.
WIDTHS = (256, 512, 512, 10)
ROOM = 100_000_000
# Exercise 1: relative errors of a measured-looking curve; its ends are off, so two points are not enough.
NOISE = np.array([0.12, -0.03, 0.02, -0.04, 0.03, 0.02, -0.10])
CLOSE = 0.02


def fit(answer: Any) -> Verdict:
    """A function of batches and seconds that returns a, b."""
    sizes = np.array([1, 2, 4, 8, 16, 32, 64])
    for a, b in ((50e-6, 9e-6), (2e-3, 150e-6)):
        _check_line(answer, sizes, a + b * sizes, a, b)
    noisy = (1e-3 + 50e-6 * sizes) * (1 + NOISE)
    found = np.array(_line(answer, sizes, noisy))
    if not any(np.allclose(found, each, rtol=CLOSE) for each in _least_squares(sizes, noisy)):
        return wrong(
            "On points that lie exactly on a line you are right, on noisy ones you are off.",
            "Let all points have a say, not two of them: `np.polyfit(batches, seconds, 1)`.",
        )
    return right("The overhead a in seconds per call, and b in seconds per example.")


def budget(answer: Any) -> Verdict:
    """A batch of the table."""
    batch = as_integer(answer)
    rates = dict(zip(TABLE_BATCHES, np.array(TABLE_BATCHES) / np.array(TABLE_MS) * 1000, strict=True))
    times = dict(zip(TABLE_BATCHES, TABLE_MS, strict=True))
    fitting = [each for each in TABLE_BATCHES if times[each] <= BUDGET_MS]
    best = max(fitting, key=lambda each: rates[each])
    if batch == best:
        return right(f"Batch {best} takes {times[best]} ms and answers {rates[best]:,.0f} per second.")
    if batch not in rates:
        return wrong(
            f"{batch:,} is not a batch of the table.",
            "The batch itself is asked for, not its place or its rate.",
        )
    if batch not in fitting:
        return wrong(f"Batch {batch} takes {times[batch]} ms: over the budget of 5 ms.")
    comment = "the largest that fits" if batch == max(fitting) else "one that fits"
    return wrong(
        f"Batch {batch} is {comment}, but another one that fits answers more examples per second.",
        "Divide each batch by its time.",
    )


def memory(answer: Any) -> Verdict:
    """Bytes per example and the largest batch, as a pair."""
    try:
        per_example, batch = answer
    except (TypeError, ValueError):
        return wrong("A pair is expected: `(bytes_per_example, largest_batch)`.")
    numbers = sum(WIDTHS)
    _check_example(as_number(per_example, "bytes_per_example"), numbers)
    return _judge_batch(as_number(batch, "largest_batch"), 4 * numbers)


def flush(answer: Any) -> Verdict:
    """A function of (waiting, oldest_age, max_batch, max_wait) that returns a number of requests."""
    cases = (
        ((3, 0.001, 8, 0.01), 0, "Nobody has waited long, and the batch is not full: wait."),
        ((8, 0.001, 8, 0.01), 8, "A full batch goes at once, however young it is."),
        ((3, 0.02, 8, 0.01), 3, "The oldest has waited long enough, so the batch goes, full or not."),
        ((20, 0.001, 8, 0.01), 8, "No batch may be larger than max_batch; the others stay in the queue."),
        ((20, 0.02, 8, 0.01), 8, "No batch may be larger than max_batch; the others stay in the queue."),
        ((0, 0.0, 8, 0.0), 0, "Where nobody waits there is nothing to take, also with max_wait 0."),
        ((1, 0.0, 1, 0.01), 1, "With max_batch 1 every request is a full batch."),
        ((5, 0.1, 64, 0.25), 0, "The limits are arguments: use max_batch and max_wait as they are given."),
        ((2, 0.25, 8, 0.25), 2, "After exactly max_wait it has waited long enough."),
        ((5, 0.3, 64, 0.25), 5, "The limits are arguments: use max_batch and max_wait as they are given."),
    )
    for arguments, expected, hint in cases:
        result = call(answer, *arguments)
        _check_taken(result, arguments, expected, hint)
    return right("Full or overdue: go, with at most max_batch requests.")


def _check_line(answer: Any, sizes: np.ndarray, seconds: np.ndarray, a: float, b: float) -> None:
    found_a, found_b = _line(answer, sizes, seconds)
    if np.allclose((found_a, found_b), (a, b), rtol=1e-6):
        return
    called = f"For a = {a:g} s and b = {b:g} s your function returns ({found_a:.4g}, {found_b:.4g})."
    log_b, log_a = np.polyfit(np.log(sizes), np.log(seconds), 1)
    through_zero = (sizes @ seconds) / (sizes @ sizes)
    reasons = (
        ((b, a), "The two are swapped: `np.polyfit` returns the highest power first."),
        ((0.0, through_zero), "A line through the origin has no overhead. Let it start where it wants."),
        ((1e3 * a, 1e3 * b), "The times come in seconds, and so should a and b go."),
        ((1e6 * a, 1e6 * b), "The times come in seconds, and so should a and b go, not in µs."),
        (
            (np.exp(log_a), log_b),
            "In logarithms the line is another model, a power law. Fit the times themselves.",
        ),
        ((1 / a, 1 / b), "Those are the inverses: a and b are times, not rates."),
        ((seconds[0], b), "t(1) is a + b, so it holds one example as well."),
    )
    hint = next((text for pair, text in reasons if np.allclose((found_a, found_b), pair, rtol=1e-4)), "")
    raise Stop(wrong(called, hint or "t(B) = a + b · B: where does the line start, and how steep is it?"))


def _line(answer: Any, sizes: np.ndarray, seconds: np.ndarray) -> tuple[float, float]:
    result = call(answer, sizes, seconds)
    pair: Any = (result.a, result.b) if isinstance(result, batching.Hockney) else result
    pair = pair.tolist() if hasattr(pair, "tolist") else pair  # an array or a tensor
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise Stop(wrong("The function should return two numbers, a and b."))
    return as_number(pair[0], "a"), as_number(pair[1], "b")


def _least_squares(sizes: np.ndarray, seconds: np.ndarray) -> list[tuple[float, float]]:
    """Return (a, b) by plain errors, by relative ones, and by a weight in between: all three are sensible."""
    plain = np.polyfit(sizes, seconds, 1)
    relative = np.polyfit(sizes, seconds, 1, w=1 / seconds)
    root = np.polyfit(sizes, seconds, 1, w=1 / np.sqrt(seconds))
    return [(a, b) for b, a in (plain, relative, root)]


def _check_example(number: float, numbers: int) -> None:
    if number == 4 * numbers:
        return
    reasons: dict[float, tuple[str, str]] = {
        numbers: ("That is how many numbers it is.", "In FP32 a number takes 4 bytes."),
        4 * (numbers - WIDTHS[0]): ("The inputs are missing.", "They are kept as well."),
        4 * (numbers - WIDTHS[-1]): (
            "The last layer's outputs are missing.",
            "There are three Linear layers.",
        ),
        4 * sum(WIDTHS[1:-1]): ("Inputs and final outputs are missing.", "They are kept as well."),
        4 * max(WIDTHS): ("That is the largest layer alone.", "All of them are kept at the same time."),
        4 * (numbers + _parameters()): (
            "The weights are in it.",
            "They are there once, not once per example.",
        ),
        4 * _parameters(): ("Those are the weights.", "An example brings activations, not weights."),
        8 * numbers: ("That is FP64.", "In FP32 a number takes 4 bytes."),
    }
    default = (f"{number:g} bytes per example is not it.", "Add up 256, 512, 512 and 10 numbers of 4 bytes.")
    message, hint = reasons.get(number, default)
    raise Stop(wrong(message, hint))


def _judge_batch(batch: float, per_example: int) -> Verdict:
    free = ROOM - 4 * _parameters()
    largest = free // per_example
    if batch == largest:
        left = free - largest * per_example
        return right(f"{largest:,} examples fit, and {left:,} bytes are left over.")
    reasons: dict[float, tuple[str, str]] = {
        ROOM // per_example: ("The weights and biases need their place, too.", "Take them off first."),
        # So many fit beside the weights without their biases, too.
        largest + 1: (
            f"{largest + 1:,} examples do not fit any more.",
            "Round down. And did you count the biases? Every neuron has one.",
        ),
        (2**20 * 100 - 4 * _parameters()) // per_example: ("That is 100 MiB.", "1 MB is 1,000,000 bytes."),
        (ROOM - _parameters()) // per_example: ("Every weight takes 4 bytes.", "FP32, as the activations."),
    }
    if batch != int(batch) and int(batch) == largest:
        return wrong("The number is right, but there is no fraction of an example.", "Round down.")
    default = (
        f"{batch:,g} is not the largest batch.",
        "What do the weights leave, and how often does an example fit?",
    )
    return wrong(*reasons.get(batch, default))


def _parameters() -> int:
    return sum(n * m + m for n, m in zip(WIDTHS[:-1], WIDTHS[1:], strict=True))


def _check_taken(result: Any, arguments: tuple[Any, ...], expected: int, hint: str) -> None:
    names = ("waiting", "oldest_age", "max_batch", "max_wait")
    given = ", ".join(f"{name}={value:g}" for name, value in zip(names, arguments, strict=True))
    if isinstance(result, bool | np.bool_):
        raise Stop(
            wrong("The function returns yes or no.", "Return how many requests to take; 0 means wait.")
        )
    taken = as_number(result, "what flush returns")
    if taken != expected:
        raise Stop(wrong(f"`flush({given})` returns {taken:g} instead of {expected}.", hint))


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {"04-fit": fit, "04-budget": budget, "04-memory": memory, "04-flush": flush}
)
