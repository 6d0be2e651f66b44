"""Training: the steps are AdamW's, bytes as counted by hand, and equal gradients for fewer bytes."""

import copy

import pytest
import torch
from torch.nn import functional as F

from coursekit import accuracy, finetuning, language, memory
from coursekit.language.training import batches

TINY = language.Config(vocab_size=96, width=64, layers=3, heads=4, kv_heads=2, hidden=96, context=64)
TOKENS = torch.arange(900) * 7 % 96
RECIPE = language.Recipe(steps=4, batch_size=3, length=16, lr=0.01, warm_up=0.5, seed=3)


def by_hand(model):
    """Train with Adam's formulas."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    means, squares = ([torch.zeros_like(weight) for weight in learning] for _ in range(2))
    losses = []
    for step, batch in enumerate(batches(TOKENS, RECIPE), 1):
        loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        gradients = torch.autograd.grad(loss, learning)
        losses.append(loss.item())
        with torch.no_grad():
            for weight, gradient, mean, square in zip(learning, gradients, means, squares, strict=True):
                mean.mul_(0.9).add_(0.1 * gradient)
                square.mul_(0.99).add_(0.01 * gradient**2)
                size = (square / (1 - 0.99**step)).sqrt() + 1e-8
                weight -= 0.01 * RECIPE.rate(step - 1) * mean / (1 - 0.9**step) / size
    return losses


@pytest.mark.parametrize("rank", [0, 2])
def test_the_steps_are_adams(rank):
    start = language.Transformer(TINY, seed=1)
    one = finetuning.with_lora(start, rank) if rank else start
    other = copy.deepcopy(one)
    look = TOKENS[None, :33]
    found = finetuning.fine_tune(one, TOKENS, RECIPE, look=look, at=(0, 2, 4))
    assert found.losses == pytest.approx(by_hand(other), rel=1e-5)
    assert found.steps == (0, 2, 4)
    assert found.seen[-1] == pytest.approx(language.losses(other, look).mean, rel=1e-5)
    assert all(weight.grad is None for weight in one.parameters())


def test_bytes_are_those_of_the_tensors():
    start = language.Transformer(TINY, seed=1)
    adapted = finetuning.with_lora(start, 2)
    learned = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    frozen = sum(weight.numel() for weight in start.parameters())
    calls = []
    spent = finetuning.fine_tune(adapted, TOKENS, RECIPE, after=lambda: calls.append(1)).bytes
    assert len(calls) == 4
    assert (spent.learned, spent.gradients, spent.optimizer) == (learned, 4 * learned, 8 * learned)
    assert spent.weights == 4 * (learned + frozen)
    assert spent.learning == 12 * learned


def test_the_small_model_needs_the_bytes_that_the_notebook_claims():
    small = language.small().model
    for model, learned in ((finetuning.with_lora(small, 1), 8192), (small, 1_443_072)):
        recipe = language.Recipe(steps=1, batch_size=1, length=8, lr=1e-3)
        assert finetuning.fine_tune(model, torch.arange(20), recipe).bytes.learning == 12 * learned


def test_what_is_refused():
    frozen = language.Transformer(TINY).requires_grad_(False)
    with pytest.raises(ValueError, match="all of its are frozen"):
        finetuning.fine_tune(frozen, TOKENS, RECIPE)
    wild = language.Recipe(steps=9, batch_size=2, length=16, lr=1e30, warm_up=0.0)
    model = language.Transformer(TINY)
    with pytest.raises(ValueError, match="smaller lr"):
        finetuning.fine_tune(model, TOKENS, wild)
    for odd in (-100, 96):  # as a target, -100 would be passed over in silence
        text = TOKENS.clone()
        text[-1] = odd
        with pytest.raises(ValueError, match="tokens must lie between 0 and 95"):
            finetuning.fine_tune(language.Transformer(TINY), text, RECIPE)


# Fewer bytes


def test_recomputed_and_chunked_have_the_same_loss_and_gradients_for_fewer_bytes():
    model = language.Transformer(TINY, seed=2)
    batch = torch.stack([TOKENS[start : start + 33] for start in range(0, 800, 50)])
    read, wanted = batch[:, :-1], batch[:, 1:]

    def whole(said):
        return F.cross_entropy(F.linear(said, model.head).flatten(0, 1), wanted.flatten())

    def chunked(said):
        return finetuning.chunked_loss(said, model.head, wanted, chunk=100)

    ways = {
        (kept, loss): (lambda kept=kept, loss=loss: loss(kept(read)))
        for kept in (model.hidden, lambda tokens: finetuning.hidden_recomputed(model, tokens))
        for loss in (whole, chunked)
    }
    found, kept = [], []
    for way in ways.values():
        kept.append(memory.saved_bytes(way, model))
        model.zero_grad()
        loss = way()
        loss.backward()
        gradients = torch.cat([weight.grad.flatten() for weight in model.parameters()])
        found.append((loss.detach(), gradients))
    for loss, gradients in found[1:]:
        torch.testing.assert_close(loss, found[0][0], rtol=1e-5, atol=0)
        torch.testing.assert_close(gradients, found[0][1], rtol=0, atol=1e-5 * float(gradients.abs().max()))
    ordinary, no_logits, recomputed, both = kept
    logits, block_inputs = 4 * wanted.numel() * 96, 4 * wanted.numel() * 64
    assert ordinary - no_logits == pytest.approx(logits, rel=0.2)
    assert ordinary - recomputed > 3 * 4 * block_inputs
    assert both < ordinary - logits - 3 * 4 * block_inputs


def test_shapes_that_do_not_go_together():
    said, head, wanted = torch.zeros(2, 3, 8), torch.zeros(5, 8), torch.zeros(2, 3, dtype=torch.int64)
    finetuning.chunked_loss(said, head, wanted)
    for odd in ((said, head, wanted[:1]), (said, head[:, :4], wanted), (said, head[0], wanted)):
        with pytest.raises(ValueError, match="go"):
            finetuning.chunked_loss(*odd)


# Side by side


def row(name="rank 1", steps=(0, 5), losses=(4.0, 3.0), gained=(0.5, 0.4, 0.6)):
    return finetuning.RankRow(name, 10, 120, steps, losses, gained, (0.0, -0.1, 0.1))


def test_a_table_of_runs():
    spent = finetuning.TrainingBytes(100, 40, 80, 10)
    run = finetuning.Learned((4.0, 3.5), (0, 2), (4.1, 3.2), spent)
    gained, forgot = accuracy.paired([2.0, 2.2], [1.0, 1.1]), accuracy.paired([1.0, 1.1], [1.0, 1.0])
    made = finetuning.rank_row("rank 2", run, gained, forgot)
    assert (made.learned, made.bytes, made.steps, made.losses) == (10, 120, (0, 2), (4.1, 3.2))
    assert made.gained == (gained.mean, gained.low, gained.high)
    assert made.forgot == (forgot.mean, forgot.low, forgot.high)
    table = finetuning.RankTable([row(), row("full")])
    assert table.row("full").name == "full"
    assert "+0.500 (+0.400 to +0.600)" in str(table)
    with pytest.raises(ValueError, match="each name once"):
        finetuning.RankTable([row(), row()])
    with pytest.raises(ValueError, match="the same steps"):
        finetuning.RankTable([row(), row("full", steps=(0, 6))])
    with pytest.raises(ValueError, match="lie in its interval"):
        row(gained=(0.7, 0.4, 0.6))
    with pytest.raises(ValueError, match="losses must be one for each"):
        row(losses=(1.0,))
