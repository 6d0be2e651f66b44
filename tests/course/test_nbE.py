"""The checkers of notebook E: right answers in every form, and each slip with its own hint."""

import ast
import copy
import math
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from judged import refused
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from coursekit import distillation, exercises, finetuning, language, memory
from coursekit.course.nbE import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT

MASTER = Path(__file__).parents[2] / "notebooks/beyond/source/E-fine-tuning-with-lora-and-qlora.py"
DEFINED = {"Adapter", "with_adapters", "hidden", "chunked_loss", "whole_loss"}
DEFINED |= {"shares_gap", "hidden_gap", "looks_gap"}


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
        lambda x, W, A, B, s: x.half() @ W.half().T + s * (x.half() @ A.half().T) @ B.half().T,
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
        lambda W, A, B, s: (W + s * B @ A).astype(np.float16),
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


# The notebook's own definitions


@pytest.fixture(scope="module")
def defined():
    tree = ast.parse(MASTER.read_text(encoding="utf-8"))
    found = [node for node in tree.body if getattr(node, "name", "") in DEFINED]
    assert len(found) == len(DEFINED)
    names = {
        "torch": torch,
        "math": math,
        "copy": copy,
        "F": F,
        "checkpoint": checkpoint,
        "language": language,
    }
    exec(compile(ast.Module(found, []), str(MASTER), "exec"), names)
    lines = next(node for node in found if node.name == "Adapter")
    assert lines.end_lineno - lines.lineno < 25
    return types.SimpleNamespace(**names)


def test_the_notebooks_adapter_is_coursekits(defined):
    small = language.small().model
    ours, theirs = defined.with_adapters(small, 3), finetuning.with_lora(small, 3)
    parts = finetuning.adapters(theirs)
    named = dict(ours.named_modules())
    for name, part in parts.items():
        torch.nn.init.normal_(part.b, std=0.1)
        with torch.no_grad():
            named[name].A.copy_(part.a)
            named[name].B.copy_(part.b)
    tokens = torch.arange(40)[None]
    torch.testing.assert_close(ours(tokens), theirs(tokens))
    learned = [sum(w.numel() for w in each.parameters() if w.requires_grad) for each in (ours, theirs)]
    assert learned[0] == learned[1]


def test_the_notebooks_ways_to_keep_less_are_coursekits(defined):
    model = language.Transformer(finetuning.STUDENT)
    tokens = torch.arange(80).view(2, 40)
    for keep in (True, False):
        torch.testing.assert_close(defined.hidden(model, tokens, keep), model.hidden(tokens))
    assert torch.equal(finetuning.hidden_recomputed(model, tokens), defined.hidden(model, tokens, False))
    said, targets = model.hidden(tokens).detach(), tokens + 1
    wanted = finetuning.chunked_loss(said, model.head, targets, 32)
    torch.testing.assert_close(defined.chunked_loss(said, model.head, targets, 32), wanted)
    torch.testing.assert_close(defined.whole_loss(said, model.head, targets), wanted)


def test_the_notebooks_gaps_are_coursekits(defined):
    draw = torch.Generator().manual_seed(1)
    logits, wanted = (torch.randn(2, 5, 11, generator=draw) for _ in range(2))
    rows = [part.flatten(0, 1) for part in (logits, wanted)]
    taught = distillation.loss(*rows, None, temperature=2.0, alpha=1.0)
    torch.testing.assert_close(defined.shares_gap(logits, wanted), taught, rtol=1e-4, atol=1e-6)
    project = torch.nn.Linear(11, 11)
    expected = finetuning.hidden_gap(logits, wanted, project)
    torch.testing.assert_close(defined.hidden_gap(logits, wanted, project), expected)
    looks = [torch.randn(2, heads, 5, 5, generator=draw).log_softmax(-1) for heads in (4, 8)]
    torch.testing.assert_close(defined.looks_gap(*looks), finetuning.attention_gap(*looks))
