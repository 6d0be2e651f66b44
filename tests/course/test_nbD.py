"""The checkers of notebook D: right answers in every form, and each slip with its own hint."""

import math

import numpy as np
import pytest
import torch
from judged import refused

from coursekit import exercises, kv_cache
from coursekit.course.nbD import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT


@pytest.mark.parametrize("id", list(checks.CHECKERS))
def test_what_is_not_tried_is_not_wrong(id):
    assert exercises.check(id, ...).outcome == NOT_TRIED
    assert exercises.check(id, lambda *parts: ...).outcome == NOT_TRIED


# Pages


@pytest.mark.parametrize(
    "answer",
    [
        lambda tokens, size: -(-tokens // size),
        lambda tokens, size: (tokens + size - 1) // size,
        lambda tokens, size: math.ceil(tokens / size),
        lambda tokens, size: np.ceil(tokens / size),
        lambda tokens, size: tokens // size + (tokens % size > 0),
        kv_cache.pages,
    ],
)
def test_pages_in_every_form(answer):
    assert exercises.check("D-pages", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda tokens, size: tokens // size, "do not fill a page"),
        (lambda tokens, size: tokens // size + 1, "exactly full"),
        (lambda tokens, size: round(tokens / size), "do not fill a page"),
        (lambda tokens, size: -(-tokens // size) * size, "slots"),
        (lambda tokens, size: tokens / size, "whole number"),
        (lambda tokens, size: 42, "How often"),
    ],
)
def test_a_slip_in_the_pages_has_its_hint(answer, said):
    refused("D-pages", answer, said)


# Waste


def in_a_loop(lengths, size):
    reserved = filled = 0
    for length in lengths:
        while length > 0:
            reserved, filled, length = reserved + size, filled + min(size, length), length - size
    return (reserved - filled) / reserved


@pytest.mark.parametrize(
    "answer",
    [
        in_a_loop,
        lambda lengths, size: 1 - lengths.sum() / (np.ceil(lengths / size).sum() * size),
        lambda lengths, size: (-lengths % size).sum() / (lengths + -lengths % size).sum(),
        lambda lengths, size: kv_cache.allocate(lengths, "paged", page_size=size).waste,
        lambda lengths, size: torch.tensor([in_a_loop(lengths.tolist(), size)]),
    ],
)
def test_waste_in_every_form(answer):
    assert exercises.check("D-waste", answer).outcome == RIGHT


def reserved(lengths, size):
    return np.ceil(np.asarray(lengths) / size) * size


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, size: sum(x) / reserved(x, size).sum(), "is filled"),
        (lambda x, size: reserved(x, size).sum() / sum(x) - 1, "reserved, or those"),
        (lambda x, size: reserved(x, size).sum() - sum(x), "These are slots"),
        (lambda x, size: 1 - sum(x) / reserved([sum(x)], size).sum(), "round up before you add"),
        (lambda x, size: np.mean(1 - x / reserved(x, size)), "then divide"),
        (lambda x, size: 1 - sum(x) / ((x // size + 1) * size).sum(), "exactly full page"),
        (lambda x, size: sum(size - x % size) / reserved(x, size).sum(), "leaves no slot empty"),
        (lambda x, size: 100 * (1 - sum(x) / reserved(x, size).sum()), "percent"),
        (lambda x, size: 1 - sum(x) / np.ceil(x / size).sum(), "how many slots"),
        (lambda x, size: 0.5, "Slots reserved minus"),
        (lambda x, size: "much", "number"),
    ],
)
def test_a_slip_in_the_waste_has_its_hint(answer, said):
    refused("D-waste", answer, said)


# Prefixes


def by_slices(prompt, known, size):
    best = 0
    for text in known:
        for n in range(0, min(len(prompt), len(text)) + 1, size):
            best = max(best, n if prompt[:n] == text[:n] else 0)
    return best


def by_the_tree(prompt, known, size):
    manager = kv_cache.BlockManager(100, size)
    tree = kv_cache.PrefixTree(manager)
    for text in known:
        manager.append(tuple(text), len(text))
        tree.insert(text, manager.tables[tuple(text)])
    return size * len(tree.match(prompt))


def by_hand(prompt, known, size):
    shared = [kv_cache.longest_shared_prefix(prompt, text) for text in known]
    return max([n - n % size for n in shared] or [0])


@pytest.mark.parametrize("answer", [by_slices, by_the_tree, by_hand])
def test_prefixes_in_every_form(answer):
    assert exercises.check("D-prefix", answer).outcome == RIGHT


def equal(prompt, text):
    return kv_cache.longest_shared_prefix(prompt, text)


def equal_anywhere(prompt, text):
    return sum(one == other for one, other in zip(prompt, text, strict=False))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p, known, size: max((equal(p, t) for t in known), default=0), "not full"),
        (lambda p, known, size: equal(p, known[0]) // size * size if known else 0, "only the first"),
        (lambda p, known, size: by_hand(p, known, size) // size, "These are pages"),
        (
            lambda p, known, size: max((equal_anywhere(p, t) // size * size for t in known), default=0),
            "first difference",
        ),
        (lambda p, known, size: by_hand(p, known[-1:], size), "only the last"),
        (lambda p, known, size: by_hand(p, known[:2], size), "only the first"),
        (lambda p, known, size: by_hand(p, [t for t in known if len(t) <= len(p)], size), "only the first"),
        (lambda p, known, size: len(p) - by_hand(p, known, size), "left to compute"),
        (lambda p, known, size: 9, "from the beginning"),
        (lambda p, known, size: None, ""),
    ],
)
def test_a_slip_in_the_prefix_has_its_hint(answer, said):
    verdict = exercises.check("D-prefix", answer)
    assert verdict.outcome != RIGHT
    assert said in verdict.message + verdict.hint


# Rotations


def by_gram_schmidt(normal):
    rows = []
    for row in normal:
        for other in rows:
            row = row - (row @ other) * other
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


@pytest.mark.parametrize(
    "answer",
    [
        lambda normal: np.linalg.qr(normal)[0],
        lambda normal: np.linalg.qr(normal).Q.T,
        lambda normal: np.linalg.svd(normal)[0],
        lambda normal: torch.linalg.qr(torch.as_tensor(normal, dtype=torch.float32))[0],
        by_gram_schmidt,
    ],
)
def test_rotations_in_every_form(answer):
    assert exercises.check("D-rotation", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda normal: normal, "orthogonal part"),
        (lambda normal: np.linalg.qr(normal)[1], "Which of them"),
        (lambda normal: normal / np.linalg.norm(normal, axis=1, keepdims=True), "right angles"),
        (lambda normal: 3 * np.linalg.qr(normal)[0], "factor"),
        (lambda normal: np.eye(len(normal)), "stands out"),
        (lambda normal: np.eye(len(normal))[np.argsort(normal[0])], "stands out"),
        (lambda normal: np.linalg.qr(np.random.default_rng(0).normal(size=normal.shape))[0], "same rotation"),
        (lambda normal: np.linalg.qr(np.random.default_rng().normal(size=normal.shape))[0], "that is given"),
        (lambda normal: normal @ normal, "orthogonal part"),
        (lambda normal: np.linalg.qr(normal), ""),
        (lambda normal: np.eye(3), "shape"),
    ],
)
def test_a_slip_in_the_rotation_has_its_hint(answer, said):
    refused("D-rotation", answer, said)
