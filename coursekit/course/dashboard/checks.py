"""The checkers of the dashboard."""

import re
from collections.abc import Callable, Mapping
from itertools import permutations
from types import MappingProxyType
from typing import Any

from coursekit.exercises.answers import call
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong
from coursekit.variants.rows import dominates

__all__ = ["CHECKERS"]

STEPS = ("distil", "prune", "quantize")
_SPELT = {"distill": "distil", "quantise": "quantize"}
Points = Mapping[str, tuple[float, float]]
CASES: tuple[Points, ...] = (
    {"a": (40.0, 15.0), "b": (14.0, 44.0), "c": (39.0, 6.0), "d": (11.0, 7.5), "e": (3.0, 7.4)},
    {"a": (1.0, 3.0), "b": (2.0, 2.0), "c": (3.0, 1.0)},
    {"a": (1.0, 2.0), "b": (1.0, 3.0), "c": (2.0, 2.0)},
    {"a": (2.0, 2.0), "b": (2.0, 2.0), "c": (3.0, 3.0), "d": (1.0, 5.0)},
    {"only": (5.0, 5.0)},
)


def front(answer: Any) -> Verdict:
    """A function of points, a dict of name: (size, time), that returns the names on the Pareto front."""
    for points in CASES:
        found = _names(call(answer, dict(points)), points)
        expected = {n for n, p in points.items() if not any(dominates(q, p) for q in points.values())}
        if found != expected:
            return _wrong_front(points, found, expected)
    return right("Nothing on your front is beaten, and nothing off it is unbeaten.")


def orders(answer: Any) -> Verdict:
    """A list of orders, each a list of the three steps."""
    found = {_order(one) for one in _items(answer, "a list of orders, each with the three steps")}
    expected = {order for order in permutations(STEPS) if order.index("quantize") > order.index("distil")}
    if found == expected:
        return right("INT8 is left where nothing started anew after it: quantize comes after distil.")
    if not found:
        return wrong("Your list holds no order.", "Some orders do ship integers: go through all six.")
    if len(found) == 6:
        return wrong("Not every order ships integers.", "What does a student take over from its teacher?")
    if found == {order for order in expected if order[-1] == "quantize"}:
        return wrong(
            "These two are right, but one is missing.",
            "Does pruning turn integers back into floats? Here, the pruned INT8 network stays INT8.",
        )
    if found - expected:
        name = " → ".join(sorted(found - expected)[0])
        return wrong(f"{name} ships FP32.", "The last step that makes new weights decides their format.")
    missing = len(expected - found)
    verb = "one is" if missing == 1 else f"{missing} are"
    return wrong(f"These are right, but {verb} missing.", "Go through all six orders.")


def _wrong_front(points: Points, found: set[str], expected: set[str]) -> Verdict:
    case = ", ".join(f"{name} {point}" for name, point in points.items())
    extra, missing = sorted(found - expected), sorted(expected - found)
    if not found:
        return wrong(
            f"For {case} your front is empty, but some variant is always unbeaten.",
            "Does a variant beat itself in your code? To beat means: nowhere worse and somewhere better.",
        )
    if missing:
        return wrong(
            f"For {case} your front lacks {missing[0]}, which no other beats.",
            "Two equal points do not beat each other, and being best in one number is not needed.",
        )
    return wrong(
        f"For {case} your front holds {extra[0]}, but another one is nowhere worse and somewhere better.",
        "A draw in one number is enough if the other number is smaller.",
    )


def _names(result: Any, points: Points) -> set[str]:
    names = set(_items(result, "a list of names"))
    strange = [name for name in names if name not in points]
    if strange:
        raise Stop(
            wrong(f"Your front holds `{strange[0]!r}`, which is not one of the names.", "Return names.")
        )
    return names


def _items(value: Any, expected: str) -> list[Any]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise Stop(wrong(f"The answer should be {expected}.", "Square brackets around it, commas between."))
    return list(value)


def _order(one: Any) -> tuple[str, ...]:
    parts = re.findall(r"\w+", one) if isinstance(one, str) else _items(one, "a list of orders, each a list")
    typed = [str(part).strip().casefold() for part in parts]
    words = [_SPELT.get(word, word) for word in typed if word != "then"]
    if sorted(words) != sorted(STEPS):
        raise Stop(
            wrong(f"`{one!r}` is not an order of {', '.join(STEPS)}.", "Each of the three steps comes once.")
        )
    return tuple(words)


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {"dashboard-front": front, "dashboard-orders": orders}
)
