"""The checkers of notebook E: right answers in every form, and each slip with its own hint."""

import numpy as np
import pytest
import torch

from coursekit import exercises, finetuning, memory
from coursekit.course.nbE import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)


def refused(id, answer, said):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert said in verdict.message + verdict.hint


@pytest.mark.parametrize("id", list(checks.CHECKERS))
def test_what_is_not_tried_is_not_wrong(id):
    assert exercises.check(id, ...).outcome == NOT_TRIED
    assert exercises.check(id, lambda *parts: ...).outcome == NOT_TRIED


# What Adam keeps


def from_tensors(learned, frozen):
    weights = [torch.nn.Parameter(torch.zeros(count), count is learned) for count in (learned, frozen)]
    learning = [weight for weight in weights if weight.requires_grad and len(weight)]
    bytes = 0
    if learning:
        optimizer = torch.optim.AdamW(learning)
        learning[0].sum().backward()
        optimizer.step()
        bytes = finetuning.training_bytes(torch.nn.ParameterList(learning), optimizer).learning
    return bytes + memory.tensor_bytes(weights)


@pytest.mark.parametrize(
    "answer",
    [
        lambda learned, frozen: 16 * learned + 4 * frozen,
        lambda learned, frozen: 4.0 * (learned + frozen) + 4.0 * learned + 8.0 * learned,
        lambda learned, frozen: torch.tensor(16 * learned + 4 * frozen),
        lambda learned, frozen: np.array([16 * learned + 4 * frozen]),
        from_tensors,
    ],
)
def test_bytes_in_every_form(answer):
    assert exercises.check("E-adam", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n, m: 12 * n, "what learning adds"),
        (lambda n, m: 16 * (n + m), "has no gradient"),
        (lambda n, m: 12 * n + 4 * m, "two numbers for each"),
        (lambda n, m: 4 * n + m, "How many bytes"),
        (lambda n, m: 4 * (n + m), "beside them"),
        (lambda n, m: 16 * n, "in memory as well"),
        (lambda n, m: 42, "which of them"),
        (lambda n, m: 0.5, "whole number"),
    ],
)
def test_a_slip_in_the_bytes_has_its_hint(answer, said):
    refused("E-adam", answer, said)


# The forward pass


def row_by_row(x, W, A, B, s):
    return [[float(a + s * b) for a, b in zip(W @ row, B @ (A @ row), strict=True)] for row in x]


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, W, A, B, s: x @ W.T + s * (x @ A.T) @ B.T,
        lambda x, W, A, B, s: x @ (W + s * B @ A).T,
        lambda x, W, A, B, s: (W @ x.T + s * B @ A @ x.T).T,
        lambda x, W, A, B, s: torch.nn.functional.linear(
            torch.tensor(x), torch.tensor(W + s * B @ A)
        ).float(),
        row_by_row,
    ],
)
def test_the_forward_pass_in_every_form(answer):
    assert exercises.check("E-forward", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, W, A, B, s: x @ W.T, "layer alone"),
        (lambda x, W, A, B, s: s * x @ A.T @ B.T, "adapter alone"),
        (lambda x, W, A, B, s: x @ W.T + x @ A.T @ B.T, "happened to s"),
        (lambda x, W, A, B, s: s * (x @ W.T + x @ A.T @ B.T), "the adapter only"),
        (lambda x, W, A, B, s: (x @ (W + s * B @ A).T).T, "rows or columns"),
        (lambda x, W, A, B, s: x @ W.T - s * x @ A.T @ B.T, "formula"),
        (lambda x, W, A, B, s: (x @ (W + s * B @ A).T)[:2], "shape"),
    ],
)
def test_a_slip_in_the_forward_pass_has_its_hint(answer, said):
    refused("E-forward", answer, said)


# Parameters


@pytest.mark.parametrize(
    "answer",
    [
        lambda shapes, r: sum(r * (a + b) for a, b in shapes),
        lambda shapes, r: r * int(np.sum(shapes)),
        lambda shapes, r: sum(np.zeros((r, i)).size + np.zeros((o, r)).size for o, i in shapes),
    ],
)
def test_parameters_in_every_form(answer):
    assert exercises.check("E-parameters", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda shapes, r: sum(o * i for o, i in shapes), "layers themselves"),
        (lambda shapes, r: sum(r * o * i for o, i in shapes), "not multiplied"),
        (lambda shapes, r: sum(o + i for o, i in shapes), "the rank do"),
        (lambda shapes, r: 42, "How many numbers"),
        (lambda shapes, r: sum(o + i for o, i in shapes[:1]) * r, "first layer"),
        (lambda shapes, r: sum(r * i for _, i in shapes), "There is B"),
        (lambda shapes, r: sum(r * o for o, _ in shapes), "There is A"),
        (lambda shapes, r: 0.5, "whole number"),
    ],
)
def test_a_slip_in_the_parameters_has_its_hint(answer, said):
    refused("E-parameters", answer, said)


# Merging


@pytest.mark.parametrize(
    "answer",
    [
        lambda W, A, B, s: W + s * B @ A,
        lambda W, A, B, s: (W.T + s * A.T @ B.T).T,
        lambda W, A, B, s: torch.tensor(W) + s * torch.tensor(B) @ torch.tensor(A),
        lambda W, A, B, s: (W + s * np.einsum("or,ri->oi", B, A)).astype(np.float32).tolist(),
    ],
)
def test_merging_in_every_form(answer):
    assert exercises.check("E-merge", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda W, A, B, s: W + B @ A, "happened to s"),
        (lambda W, A, B, s: s * (W + B @ A), "the adapter only"),
        (lambda W, A, B, s: s * B @ A, "change alone"),
        (lambda W, A, B, s: W, "as it was"),
        (lambda W, A, B, s: W - s * B @ A, "taken away"),
        (lambda W, A, B, s: (W + s * B @ A).T, "shape [out, in]"),
        (lambda W, A, B, s: 3 * W, "formula"),
        (lambda W, A, B, s: W[:2], "shape"),
    ],
)
def test_a_slip_in_merging_has_its_hint(answer, said):
    refused("E-merge", answer, said)
