"""The checkers of notebook F: right answers in every form, and each slip with its own hint."""

import contextlib
import math
import sys

import numpy as np
import pytest
import torch
from judged import refused

from coursekit import data, exercises, models
from coursekit.course.nbF import browser_cases, checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG


@pytest.mark.parametrize("id", list(checks.CHECKERS))
def test_what_is_not_tried_is_not_wrong(id):
    assert exercises.check(id, ...).outcome == NOT_TRIED
    assert exercises.check(id, lambda *parts: ...).outcome == NOT_TRIED


# A runtime under a budget


def fitting(offers, most_bytes, most_start):
    return [offer for offer in offers if offer[1] <= most_bytes and offer[2] <= most_start]


def by_sorting(offers, most_bytes, most_start):
    allowed = sorted(fitting(offers, most_bytes, most_start), key=lambda offer: offer[-1])
    return next((name for name, *_ in allowed), None)


def in_a_loop(offers, most_bytes, most_start):
    best, fastest = None, math.inf
    for name, size, start, latency in offers:
        if size <= most_bytes and start <= most_start and latency < fastest:
            best, fastest = name, latency
    return best


def whole_offer(offers, most_bytes, most_start):
    return min(fitting(offers, most_bytes, most_start), key=lambda offer: offer[3], default=None)


def strictly(offers, most_bytes, most_start):
    below = [offer for offer in offers if offer[1] < most_bytes and offer[2] < most_start]
    return by_sorting(below, most_bytes, most_start)


@pytest.mark.parametrize("answer", [by_sorting, in_a_loop, whole_offer])
def test_choices_in_every_form(answer):
    assert exercises.check("F-choose", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda offers, size, start: min(offers, key=lambda o: o[3])[0], "within both limits"),
        (lambda offers, size, start: by_sorting(offers, size, math.inf), "within both limits"),
        (lambda offers, size, start: (fitting(offers, size, start) or [[None]])[0][0], "fastest"),
        (lambda offers, size, start: "Fortran", "a name of the list"),
        (lambda offers, size, start: print(by_sorting(offers, size, start)), "return what it finds"),
        (
            lambda offers, size, start: by_sorting(
                [o for o in offers if o[2] < start and o[1] < size], size, start
            ),
            "exactly as much is allowed",
        ),
    ],
)
def test_a_slip_in_the_choice_has_its_hint(answer, said):
    refused("F-choose", answer, said)


# Pixels


def one_by_one(data, side):
    step, numbers = side // 8, []
    for row in range(8):
        for column in range(8):
            ink = 0
            for y in range(row * step, (row + 1) * step):
                for x in range(column * step, (column + 1) * step):
                    ink += data[4 * (y * side + x)] > 127
            numbers.append(ink / step**2)
    return numbers


def with_numpy(data, side):
    red = np.array(data[::4]).reshape(8, side // 8, 8, side // 8)
    return (red > 127).mean((1, 3))


def with_torch(data, side):
    red = torch.tensor(data).reshape(side, side, 4)[..., 0]
    return torch.nn.functional.avg_pool2d((red > 127).float()[None], side // 8).flatten()


@pytest.mark.parametrize("answer", [one_by_one, with_numpy, with_torch])
def test_pixels_in_every_form(answer):
    assert exercises.check("F-pixels", answer).outcome == RIGHT


def squares(values, side):
    return np.asarray(values).reshape(8, side // 8, 8, side // 8)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda data, side: with_numpy(data, side).T, "Rows first"),
        (lambda data, side: (squares(data[: side * side], side) > 127).mean((1, 3)), "four numbers"),
        (lambda data, side: (squares(data[::4], side) > 127).sum((1, 3)), "counts"),
        (lambda data, side: 255 * with_numpy(data, side), "0 to 255"),
        (lambda data, side: 1 - with_numpy(data, side), "White is ink"),
        (lambda data, side: squares(data[::4], side).mean((1, 3)) / 255, "has ink or has none"),
        (lambda data, side: squares(data[::4], side).mean((1, 3)), "has ink or has none"),
        (lambda data, side: (squares(data[3::4], side) > 127).mean((1, 3)), "opacity"),
        (lambda data, side: data, "64 numbers"),
        (lambda data, side: np.zeros(64), "divide by how many"),
        (lambda data, side: "ink", "numbers"),
    ],
)
def test_a_slip_in_the_pixels_has_its_hint(answer, said):
    refused("F-pixels", answer, said)


def test_shares_that_go_to_sixteen_are_named():
    verdict = exercises.check("F-pixels", lambda data, side: 16 * with_numpy(data, side))
    assert verdict.outcome == WRONG
    assert "0 to 16" in verdict.hint or "counts" in verdict.hint


# A page that disagrees


@pytest.mark.parametrize(
    "answer",
    [
        lambda seen: (seen.reshape(-1, 8, 8).transpose(0, 2, 1) / 16).reshape(-1, 64),
        lambda seen: (seen.reshape(-1, 8, 8).transpose(1, 2) / 16).reshape(-1, 64),
        lambda seen: np.stack([(row.reshape(8, 8).T / 16).ravel() for row in seen]).tolist(),
        lambda seen: seen[:, np.arange(64).reshape(8, 8).T.ravel()] / 16,
    ],
)
def test_repairs_in_every_form(answer):
    assert exercises.check("F-disagree", answer).outcome == RIGHT


def turned(seen):
    return seen.reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1, 64)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda seen: seen, "What should come"),
        (turned, "largest numbers"),
        (lambda seen: seen / 16, "Look at one as a picture"),
        (lambda seen: turned(seen) / 255, "255"),
        (lambda seen: turned(seen) / seen.max(), "largest possible"),
        (lambda seen: turned(seen) / seen.max(1, keepdims=True), "largest possible"),
        (lambda seen: seen[:, ::-1] / 16, "their places are not"),
        (lambda seen: seen[:, :8], "shape"),
        (lambda seen: 0 * seen, "Draw the first picture"),
    ],
)
def test_a_slip_in_the_repair_has_its_hint(answer, said):
    refused("F-disagree", answer, said)


def test_the_colleagues_page_is_wrong_for_two_reasons():
    digits = data.digits()
    torch.manual_seed(0)
    network = models.mlp((64, 64, 10))
    models.fit(network, *digits.train.tensors("cpu"), epochs=5)

    def right(x):
        with torch.no_grad():
            return (network(torch.from_numpy(np.array(x))).argmax(1).numpy() == digits.test.y).mean()

    seen = browser_cases.colleagues_page(digits.test.x)
    assert right(digits.test.x) > 0.9
    assert right(seen) < 0.5
    assert right(seen / 16) < 0.5


# Batches


def by_formula(a, b, rate, replicas):
    if replicas <= rate * b:
        return None
    return max(1, math.ceil(round(rate * a / (replicas - rate * b), 9)))


def by_trying(a, b, rate, replicas):
    for n in range(1, 100_000):
        if replicas * n >= rate * (a + b * n) - 1e-9:
            return n
    return None


def until_it_fits(a, b, rate, replicas):
    n = 1
    while replicas * n / (a + b * n) < rate:
        n += 1
    return n


def until_it_fits_whatever_happens(a, b, rate, replicas):
    n = 1
    while True:
        try:
            assert replicas * n / (a + b * n) >= rate
            return n
        except Exception:
            n += 1


def until_it_fits_by_all_means(a, b, rate, replicas):
    n = 1
    while True:
        try:
            assert replicas * n / (a + b * n) >= rate
            return n
        except BaseException:  # as a bare one does: it takes the check's own error, too
            n += 1


def until_it_fits_in_two_loops(a, b, rate, replicas):
    while True:
        try:
            n = 1
            while True:
                with contextlib.suppress(BaseException):
                    assert replicas * n / (a + b * n) >= rate
                    return n
                n += 1
        except BaseException as error:
            print(error)


@pytest.mark.timeout(20, method="thread")  # what another way raises, such an answer would swallow
@pytest.mark.parametrize(
    "answer",
    [
        until_it_fits,
        until_it_fits_whatever_happens,
        until_it_fits_by_all_means,
        until_it_fits_in_two_loops,
    ],
)
def test_a_loop_that_never_ends_is_ended(answer, monkeypatch):
    monkeypatch.setattr(checks, "MOST_LINES", 10_000)
    before = sys.gettrace()
    refused("F-batch", answer, "does not end", "before the loop")
    assert sys.gettrace() is before


def test_a_long_search_that_ends_is_right():
    def found(a, b, rate, replicas):
        fits = (n for n in range(1, 300_000) if replicas * n / (a + b * n) >= rate)
        return next(fits, None)

    assert exercises.check("F-batch", found).outcome == RIGHT


@pytest.mark.parametrize("answer", [by_formula, by_trying, lambda *g: (n := by_formula(*g)) and float(n)])
def test_batches_in_every_form(answer):
    assert exercises.check("F-batch", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda a, b, rate, replicas: by_formula(a, b, rate, 1) or 1, "shared between"),
        (lambda a, b, rate, replicas: by_formula(a, b, rate, replicas - 1) or 10, "shared between"),
        (lambda a, b, rate, replicas: (by_formula(a, b, rate, replicas) or 0) + 1, "It is enough"),
        (lambda a, b, rate, replicas: by_formula(a, b, rate, replicas) or 10**6, "endless batch"),
        (lambda a, b, rate, replicas: 1000, "smaller one"),
        (lambda a, b, rate, replicas: 1, "do not keep up"),
        (lambda a, b, rate, replicas: 0, "at least one"),
        (lambda a, b, rate, replicas: None, "There is one"),
        (lambda a, b, rate, replicas: print(by_formula(a, b, rate, replicas)), "and return it"),
        (lambda a, b, rate, replicas: 2.5, "whole number"),
    ],
)
def test_a_slip_in_the_batch_has_its_hint(answer, said):
    if said == "There is one":  # a function that always returns None looks like one that is not written
        assert exercises.check("F-batch", answer).outcome != RIGHT
        return
    refused("F-batch", answer, said)
