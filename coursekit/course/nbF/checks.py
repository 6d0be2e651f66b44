"""The checkers of notebook F."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.course.nbF.browser_cases import LEVELS, OFFERS, SIDE, colleagues_page
from coursekit.exercises.answers import as_array, as_integer, call, call_either, run
from coursekit.exercises.effort import EndlessError, Limited
from coursekit.exercises.verdicts import Verdict, right, wrong

__all__ = ["CHECKERS"]

Array = NDArray[Any]

CLOSE = 1e-5
MOST_LINES = 5_000_000  # after so many a function counts as one that never ends: some seconds
BUDGETS = (
    (math.inf, math.inf, "ONNX Runtime in C"),
    (20e6, math.inf, "ONNX Runtime in a browser"),
    (100e6, 0.3, "ONNX Runtime in C"),
    (10e6, 1.0, None),
    (29e6, 0.04, "ONNX Runtime in C"),
)
# Without the one that is best in everything: now the budget decides.
OTHERS = (
    (64e6, 0.28, "ONNX Runtime in Python"),
    (63e6, 1.0, "ONNX Runtime in Node"),
    (200e6, 0.2, "ONNX Runtime in Node"),
    (30e6, 1.0, "ONNX Runtime in a browser"),
    (30e6, 0.5, None),
)
# Seconds per batch, seconds per request in it, requests per second, replicas; and the smallest batch.
LOADS = (
    (0.010, 0.001, 500, 2, 4),
    (0.010, 0.001, 1000, 2, 10),
    (0.010, 0.001, 1000, 4, 4),
    (0.002, 0.0005, 100, 1, 1),
    (0.010, 0.001, 2000, 2, None),
    (0.010, 0.001, 2500, 2, None),
    (0.004, 0.001, 667, 2, 3),
)


def choose(answer: Any) -> Verdict:
    """A function of (offers, most_bytes, most_start) that returns a name, or None where nothing fits."""
    without = tuple(offer for offer in OFFERS if offer[0] != "ONNX Runtime in C")
    cases = [(OFFERS, *budget) for budget in BUDGETS] + [(without, *budget) for budget in OTHERS]
    for offers, most_bytes, most_start, wanted in cases:
        found = run(answer, list(offers), most_bytes, most_start)
        name = found[0] if isinstance(found, tuple | list) and found else found
        if name != wanted:
            told = (
                f"With at most {most_bytes / 1e6:g} MB and {most_start:g} s, of {len(offers)} offers "
                f"{wanted or 'none'} is right; your function returns {name!r}."
            )
            return wrong(told, _choice_slip(name, offers, most_bytes, most_start, wanted))
    return right("First what is allowed, then what is fast. A budget may leave nothing.")


def pixels(answer: Any) -> Verdict:
    """A function of (data, side) that returns the 64 numbers that the network gets."""
    for side in (32, 16, 64):
        drawing = _drawing(side)
        data = np.stack([drawing, drawing, drawing, np.full_like(drawing, 255)], -1).ravel().tolist()
        found = as_array(call(answer, list(data), side), "what your function returns").ravel()
        wanted = _shares(drawing)
        if found.shape != wanted.shape:
            told = f"The network takes 64 numbers; your function returns {found.size}."
            return wrong(told, "One number for each square of the 8 × 8.")
        if not np.allclose(found, wanted, atol=CLOSE):
            told = f"For a drawing of {side} × {side} pixels the 64 numbers are not those that Python gives."
            return wrong(told, _pixel_slip(found, drawing, data))
    return right("Four numbers per pixel, row by row, and shares from 0 to 1: as the network was trained.")


def batch(answer: Any) -> Verdict:
    """A function of (a, b, rate, replicas) that returns the smallest batch that keeps up, or None."""
    limited = Limited(answer, MOST_LINES) if callable(answer) else answer
    for a, b, rate, replicas, wanted in LOADS:
        told = (
            f"A batch of n takes {1e3 * a:g} + {1e3 * b:g}·n ms, and {rate} requests come per second: "
            f"the smallest batch for {replicas} replica(s) is {wanted}; "
        )
        try:
            given = run(limited, a, b, rate, replicas)
        except EndlessError:
            return wrong(f"{told}your function does not end.", "Look before the loop: can it end at all?")
        found = None if given is None else as_integer(given, "what your function returns")
        if found != wanted:
            told = f"{told}your function returns {found}."
            return wrong(told, _batch_slip(found, a, b, rate, replicas, wanted))
    return right(
        "A large enough batch shares the fixed cost. What each request costs, no batch makes smaller."
    )


def disagree(answer: Any) -> Verdict:
    """A function of what the colleague's page hands over [n, 64] that returns the pictures themselves."""
    pictures = np.random.default_rng(4).integers(0, LEVELS - 3, (5, SIDE * SIDE)) / LEVELS
    pictures = pictures.astype(np.float32)
    seen = colleagues_page(pictures)
    found = as_array(call_either(answer, seen.copy()), "what your function returns", shape=seen.shape)
    if np.allclose(found, pictures, atol=CLOSE):
        return right("Rows and columns were exchanged, and the numbers went from 0 to 16.")
    return wrong("This is not what Python hands to the network.", _repair_slip(found, pictures, seen))


def _choice_slip(name: Any, offers: Any, most_bytes: float, most_start: float, wanted: str | None) -> str:
    by_name = {offer[0]: offer for offer in offers}
    if name not in by_name:
        if name is not None:
            return "Return a name of the list, or None."
        return _too_strict(wanted, by_name, most_bytes, most_start)
    _, size, start, _ = by_name[name]
    if size > most_bytes or start > most_start:
        return f"Does {name} stay within both limits?"
    return "Several fit. Which of them answers fastest?"


def _too_strict(wanted: str | None, by_name: Mapping[str, Any], most_bytes: float, most_start: float) -> str:
    assert wanted is not None  # else None would have been right
    _, size, start, _ = by_name[wanted]
    if size == most_bytes or start == most_start:
        return f"{wanted} is within the limits: at most means that exactly as much is allowed."
    return f"{wanted} is within the limits. Does your function return what it finds?"


def _drawing(side: int) -> Array:
    """Return a drawing that is like none of its mirror images."""
    rows, columns = np.mgrid[:side, :side] / side
    grey = np.where(columns < 0.45 * rows + 0.2, 255, np.where(rows < 0.2, 90, 0))
    grey[: side // 8 + 1, side // 2 :] = 200
    return grey.astype(int)


def _shares(drawing: Array) -> Array:
    step = len(drawing) // SIDE
    return (drawing > 127).reshape(SIDE, step, SIDE, step).mean((1, 3)).ravel()


def _pixel_slip(found: Array, drawing: Array, data: list[int]) -> str:
    shares, step = _shares(drawing), len(drawing) // SIDE
    grey = drawing.reshape(SIDE, step, SIDE, step).mean((1, 3)).ravel()
    first = np.array(data[: drawing.size]).reshape(drawing.shape)
    slips = {
        "Rows first, then columns: pixel (row, column) is number row · side + column.": _shares(drawing.T),
        "Each pixel takes four numbers in data: red, green, blue, opacity.": _shares(first),
        "These are counts. The network was trained on shares from 0 to 1.": shares * step**2,
        "These go from 0 to 16. The network was trained on 0 to 1.": shares * LEVELS,
        "These go from 0 to 255. The network was trained on 0 to 1.": shares * 255,
        "White is ink. Is more than 127 counted, or the rest?": 1 - shares,
        "A pixel has ink or has none: count those above 127.": grey / 255,
        "A pixel has ink or has none, and the network was trained on 0 to 1.": grey,
        "The fourth number is opacity, 255 everywhere. Take the first.": np.ones(SIDE * SIDE),
    }
    named = [hint for hint, value in slips.items() if np.allclose(found, value, atol=CLOSE)]
    return named[0] if named else "Count the pixels above 127 in each square, and divide by how many it has."


def _batch_slip(found: int | None, a: float, b: float, rate: float, replicas: int, wanted: int | None) -> str:
    each = rate / replicas
    if found is None:
        return (
            "There is one: try 1, 2, 3 … until so many replicas answer as many per second as come, "
            "and return it."
        )
    if wanted is None:
        return "Even an endless batch answers at most 1/b requests per second and replica. Return None then."
    if found < 1:
        return "A batch has at least one request."
    if found == _needed(a, b, rate) and replicas > 1:
        return "The requests are shared between the replicas."
    if found == wanted + 1:
        return "It is enough to answer as many as come: not more."
    if found / (a + b * found) < each:
        return "So many in a batch do not keep up. If you divided, round up."
    return "That keeps up. Is there a smaller one that does?"


def _needed(a: float, b: float, each: float) -> int | None:
    return None if each * b >= 1 else max(1, math.ceil(round(each * a / (1 - each * b), 9)))


def _repair_slip(found: Array, pictures: Array, seen: Array) -> str:
    def turned(x: Array) -> Array:
        return x.reshape(-1, SIDE, SIDE).transpose(0, 2, 1).reshape(x.shape)

    slips = {
        "That is what came. What should come?": seen,
        "Now they lie right. Compare the largest numbers.": turned(seen),
        "Now they go from 0 to 1. Look at one as a picture.": seen / LEVELS,
        "They lie right. But who says that the largest number is 255?": turned(seen) / 255,
        "They lie right. Not every picture has a full square: what is the largest possible number?": (
            turned(seen) / seen.max(1, keepdims=True)
        ),
        "They lie right. What is the largest possible number, not the largest that came?": (
            turned(seen) / seen.max()
        ),
    }
    named = [hint for hint, value in slips.items() if np.allclose(found, value, atol=CLOSE)]
    if named:
        return named[0]
    if np.allclose(found.sum(1), pictures.sum(1), atol=CLOSE):
        return "The numbers are right, their places are not: draw one of both, 8 × 8."
    return "Draw the first picture of both as 8 × 8, and print the largest number of both."


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {"F-choose": choose, "F-pixels": pixels, "F-disagree": disagree, "F-batch": batch}
)
