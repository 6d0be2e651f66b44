"""The checkers of notebook D."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, as_integer, as_number, call, call_either
from coursekit.exercises.verdicts import Verdict, right, wrong

__all__ = ["CHECKERS"]

Array = NDArray[Any]

CLOSE = 1e-6
SAME = 1e-3  # of a unit vector: FP32 is good enough
LENGTHS = ((37, 16, 100), (1, 2, 3, 4, 5), (64, 64), (7,))
DIM, MOST_SPREAD = 64, 0.8  # what a turned unit vector may keep in one coordinate
PREFIXES: tuple[tuple[list[int], list[list[int]], int, str], ...] = (
    ([5, 6, 7, 8, 9, 1, 2, 3, 4, 5], [[5, 6, 7, 0], [5, 6, 7, 8, 9, 1, 2]], 2, "not the last page"),
    ([1, 2, 3, 4, 5, 6, 7], [[1, 2, 3, 9], [1, 8], [1, 2, 3, 4, 5, 6, 9, 9, 9], [2, 3]], 3, "the third"),
    ([1, 2, 3, 4], [[2, 3, 4], [9, 1, 2, 3, 4]], 2, "in the middle"),
    ([4, 4, 4, 4, 4, 4], [[4, 4, 4, 4], [4, 4, 4, 4, 4, 4, 4, 4]], 4, "whole pages"),
    ([1, 2, 3], [], 2, "nothing is known"),
    ([1, 2, 3, 4, 5, 6, 7, 8, 9], [[1, 2, 3, 9, 5, 6, 7, 8]], 1, "after a difference"),
)


def pages(answer: Any) -> Verdict:
    """A function of (tokens, page_size) that returns the number of pages."""
    for page_size in (16, 1, 10):
        for tokens in (1, page_size - 1, page_size, page_size + 1, 7 * page_size, 100, 3 * page_size + 2):
            if not tokens:
                continue
            found = as_integer(call(answer, tokens, page_size), "what your function returns")
            wanted = -(-tokens // page_size)
            if found != wanted:
                told = f"{tokens} tokens in pages of {page_size} take {wanted}, not {found}."
                return wrong(told, _pages_slip(found, tokens, page_size))
    return right("Rounded up: only the last page can have empty slots.")


def waste(answer: Any) -> Verdict:
    """A function of (lengths, page_size) that returns the share of the reserved slots that stay empty."""
    for lengths in LENGTHS:
        for page_size in (16, 4, 1):
            given = call_either(answer, np.array(lengths), page_size)
            found = as_number(given, "what your function returns")
            full = sum(-(-length // page_size) * page_size for length in lengths)
            if not math.isclose(found, 1 - sum(lengths) / full, rel_tol=CLOSE, abs_tol=CLOSE):
                told = (
                    f"Requests of {list(lengths)} tokens in pages of {page_size} reserve {full} slots and "
                    f"fill {sum(lengths)}; your function returns {found:.4g}."
                )
                return wrong(told, _waste_slip(found, lengths, page_size))
    return right("Of what is reserved, what no token fills. A page of one token wastes nothing.")


def prefix(answer: Any) -> Verdict:
    """A function of (prompt, known, page_size) that returns how many tokens need not be computed."""
    for prompt, known, page_size, about in PREFIXES:
        given = call(answer, list(prompt), [list(text) for text in known], page_size)
        found = as_integer(given, "what your function returns")
        wanted = max((_shared(prompt, text) // page_size * page_size for text in known), default=0)
        if found != wanted:
            told = (
                f"With pages of {page_size}, {prompt} shares {wanted} tokens in whole pages with {known}; "
                f"your function returns {found}."
            )
            return wrong(told, _prefix_slip(found, prompt, known, page_size, about))
    return right("Whatever two texts have in common from the beginning, as far as pages are full.")


def rotation(answer: Any) -> Verdict:
    """A function of a random normal matrix [d, d] that returns an orthogonal one."""
    turns = []
    for seed in (3, 4):
        normal = np.random.default_rng(seed).normal(size=(DIM, DIM))
        given = call_either(answer, normal)
        turn = as_array(given, "what your function returns", shape=(DIM, DIM))
        if not np.allclose(turn @ turn.T, np.eye(DIM), atol=SAME):
            return _wrong_rotation(turn, normal)
        if np.abs(turn).max(axis=0).max() > MOST_SPREAD:
            hint = "Where does one large coordinate go? It should end up a little in all of them."
            return wrong("Inner products stay, but what stands out still stands out.", hint)
        turns.append(turn)
    again = as_array(call_either(answer, normal), "what your function returns", shape=(DIM, DIM))
    if not np.allclose(again, turns[-1], atol=SAME):
        return wrong("The same random matrix gives another rotation each time.", "Use the one that is given.")
    if np.allclose(turns[0], turns[1], atol=SAME):
        told = "Two different random matrices give the same rotation."
        return wrong(told, "Nobody should know beforehand which vector is unlucky: use what is drawn.")
    return right("All lengths and inner products stay, and no coordinate stands out.")


def _pages_slip(found: int, tokens: int, page_size: int) -> str:
    if found == tokens // page_size:
        return "Where do the tokens go that do not fill a page?"
    if found == tokens // page_size + 1:
        return "If the last page is exactly full, no further one is needed."
    if found == -(-tokens // page_size) * page_size:
        return "These are slots. How many pages are they?"
    return "How often does the page size fit into the tokens, and is something left?"


def _waste_slip(found: float, lengths: Sequence[int], page_size: int) -> str:
    filled, requests = sum(lengths), len(lengths)
    pages_of = [-(-length // page_size) for length in lengths]
    full = sum(pages_of) * page_size
    one_text = -(-filled // page_size) * page_size
    slips = {
        "That is the share that is filled.": filled / full,
        "Empty slots of which: those that are reserved, or those that are filled?": (full - filled) / filled,
        "These are slots. Which share of the reserved ones are they?": full - filled,
        "Each request has pages of its own: round up before you add.": 1 - filled / one_text,
        "Long requests reserve more: add up slots first, then divide.": (
            sum(1 - length / (n * page_size) for length, n in zip(lengths, pages_of, strict=True)) / requests
        ),
        "An exactly full page needs no empty one behind it.": (
            1 - filled / (sum(length // page_size + 1 for length in lengths) * page_size)
        ),
        "An exactly full page leaves no slot empty.": (
            sum(page_size - length % page_size for length in lengths) / full
        ),
        "In percent? A share is a number from 0 to 1.": 100 * (1 - filled / full),
        "Tokens over pages: how many slots are these pages?": 1 - filled / sum(pages_of),
    }
    named = [hint for hint, value in slips.items() if math.isclose(found, value, rel_tol=CLOSE)]
    return named[0] if named else "Slots reserved minus slots filled, over slots reserved."


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _prefix_slip(
    found: int, prompt: Sequence[int], known: Sequence[Sequence[int]], page_size: int, about: str
) -> str:
    lengths = [_shared(prompt, text) for text in known]
    if found == max(lengths, default=0):
        return "A page that is not full will still be written: it cannot be shared."
    if lengths and found == lengths[0] // page_size * page_size:
        return "Is it the best of all known texts, or only the first?"
    if about == "not the last page" and found == len(prompt) - max(lengths) // page_size * page_size:
        return "That is what is left to compute. How many tokens need not be computed?"
    if lengths and found == lengths[-1] // page_size * page_size:
        return "Is it the best of all known texts, or only the last?"
    if lengths and found == max(lengths) // page_size:
        return "These are pages. How many tokens are they?"
    if about == "after a difference" and found > max(lengths):
        return "After the first difference nothing counts: keys and values depend on all tokens before them."
    if about == "in the middle" and found:
        return "Only what stands at the beginning of both: a token's keys and values depend on its place."
    return "For every known text: how many tokens are equal from the beginning, rounded down to whole pages?"


def _wrong_rotation(turn: Array, normal: Array) -> Verdict:
    told = "This matrix does not keep inner products: its rows are not all of length 1 and at right angles."
    lengths = np.linalg.norm(turn, axis=1)
    if np.allclose(turn, normal):
        return wrong(told, "A normal matrix is the beginning. Which decomposition has an orthogonal part?")
    if np.allclose(turn, np.triu(turn), atol=SAME):
        return wrong(told, "QR gives two matrices. Which of them is orthogonal?")
    if np.allclose(lengths, 1, atol=SAME):
        return wrong(told, "All rows have length 1. They should also be at right angles to each other.")
    if np.allclose(lengths, lengths[0], rtol=SAME):
        return wrong(told, "All rows are equally long: is only a factor missing?")
    return wrong(told, "Which decomposition of a matrix has an orthogonal part?")


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {"D-pages": pages, "D-waste": waste, "D-prefix": prefix, "D-rotation": rotation}
)
