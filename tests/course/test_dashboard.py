import math
from itertools import permutations
from pathlib import Path

import pytest

from coursekit import accuracy, exercises
from coursekit.course.dashboard.checks import CASES, CHECKERS, STEPS
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG

MASTER = Path(__file__).resolve().parents[2] / "notebooks/source/dashboard.py"
INT8 = [order for order in permutations(STEPS) if order.index("quantize") > order.index("distil")]


def verdict(id, answer):
    found = exercises.check(id, answer)
    return found.outcome, f"{found.message} {found.hint}"


def beats(a, b):
    return a[0] <= b[0] and a[1] <= b[1] and (a[0] < b[0] or a[1] < b[1])


def by_definition(points):
    return [n for n, p in points.items() if not any(beats(q, p) for q in points.values())]


def by_sweeping(points):
    best, found = float("inf"), set()
    for size in sorted({p[0] for p in points.values()}):
        fastest = min(p[1] for p in points.values() if p[0] == size)
        if fastest < best:
            found |= {n for n, p in points.items() if p == (size, fastest)}
            best = fastest
    return found


def as_generator(points):
    return (name for name in by_definition(points))


@pytest.mark.parametrize("answer", [by_definition, by_sweeping, as_generator])
def test_right_fronts_are_accepted(answer):
    assert verdict("dashboard-front", answer)[0] == RIGHT


def strictly(points):
    return [n for n, p in points.items() if not any(q[0] < p[0] and q[1] < p[1] for q in points.values())]


def with_itself(points):
    return [n for n, p in points.items() if not any(q[0] <= p[0] and q[1] <= p[1] for q in points.values())]


def without_draws(points):
    others = {n: [q for m, q in points.items() if m != n] for n in points}
    return [n for n, p in points.items() if not any(q[0] <= p[0] and q[1] <= p[1] for q in others[n])]


def smallest_and_fastest(points):
    return {min(points, key=lambda n: points[n][0]), min(points, key=lambda n: points[n][1])}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (strictly, "nowhere worse and somewhere better"),
        (with_itself, "beat itself"),
        (without_draws, "Two equal points"),
        (smallest_and_fastest, "lacks"),
        (lambda points: list(points), "your front holds"),
        (lambda points: list(points.values()), "not one of the names"),
        (lambda points: "a", "a list of names"),
        (lambda points: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_wrong_fronts_are_told_apart(answer, says):
    outcome, text = verdict("dashboard-front", answer)
    assert outcome == WRONG
    assert says in text


def test_the_cases_tell_the_mistakes_apart():
    for wrong in (strictly, with_itself, without_draws, smallest_and_fastest):
        assert any(set(wrong(case)) != set(by_definition(case)) for case in CASES)


@pytest.mark.parametrize(
    "answer",
    [
        INT8,
        [list(order) for order in reversed(INT8)],
        {*INT8},
        [" → ".join(order) for order in INT8],
        [", ".join(order) for order in INT8],
        [" -> ".join(order) for order in INT8],
        ["->".join(order) for order in INT8],
        [[f" {step.title()} " for step in order] for order in INT8],
        [" → ".join(order).upper() for order in INT8],
        [" then ".join(order) for order in INT8],
        [" > ".join(order) for order in INT8],
        ["+".join(order).replace("distil", "distill") for order in INT8],
        [[step.replace("ize", "ise") for step in order] for order in INT8],
    ],
)
def test_right_orders_are_accepted(answer):
    assert verdict("dashboard-orders", answer)[0] == RIGHT


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (list(permutations(STEPS)), "take over from its teacher"),
        ([order for order in INT8 if order[-1] == "quantize"], "stays INT8"),
        ([*INT8, ("quantize", "distil", "prune")], "ships FP32"),
        (INT8[:1], "2 are missing"),
        ([("distil", "prune")], "is not an order"),
        ([("distil", "prune", "prune")], "is not an order"),
        ("distil", "a list of orders"),
        (INT8[:2], "one is missing"),
        ([], "no order"),
        ([3], "a list of orders, each a list"),
    ],
)
def test_wrong_orders_are_told_apart(answer, says):
    outcome, text = verdict("dashboard-orders", answer)
    assert outcome == WRONG
    assert says in text


@pytest.mark.parametrize("id", list(CHECKERS))
def test_blanks_are_not_tried(id):
    assert verdict(id, ...)[0] == verdict(id, None)[0] == NOT_TRIED
    assert exercises.check("dashboard-orders", [["distil", "prune", "quantize"], ...]).outcome == NOT_TRIED


@pytest.mark.parametrize("differing", range(1, 26))
def test_the_exact_test_finds_nothing_where_nothing_is_at_least_as_often_as_the_prose_says(differing):
    labels, wrongly = [1] * differing, 0
    for a_right in range(differing + 1):  # how often the first is right of the answers that differ
        a = [1] * a_right + [0] * (differing - a_right)
        found = accuracy.mcnemar(a, [1 - answer for answer in a], labels).verdict
        wrongly += math.comb(differing, a_right) * (found != "same")
    assert wrongly / 2**differing < 0.05 if differing > 5 else wrongly == 0
    assert "in at most about one table of four (1 − 0.95⁶ = 0.26" in MASTER.read_text(encoding="utf-8")
