"""Adapters: equal to the formula, to their merged model, and to torch's own count of what learns."""

import copy
import math

import pytest
import torch
from torch import nn

from coursekit import finetuning, language, memory, quantization

TINY = language.Config(vocab_size=96, width=64, layers=2, heads=4, kv_heads=2, hidden=96, context=64)
MATRICES = 2 * 7


@pytest.fixture(scope="module")
def model():
    return language.Transformer(TINY, seed=1).eval()


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(96, (3, 20), generator=torch.Generator().manual_seed(2))


def stirred(model):
    """Give every adapter a B that is not zero."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for part in finetuning.adapters(model).values():
            part.b.normal_(0, 0.1, generator=draw)
    return model


def test_at_the_start_nothing_changes(model, tokens):
    adapted = finetuning.with_lora(model, 3)
    assert torch.equal(adapted(tokens), model(tokens))
    assert len(finetuning.adapters(adapted)) == MATRICES


def test_only_the_adapters_learn_and_the_original_stays_as_it_is(model, tokens):
    before = copy.deepcopy(model.state_dict())
    adapted = finetuning.with_lora(model, 3)
    names = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert names == {f"{layer}.{part}" for layer in finetuning.adapters(adapted) for part in "ab"}
    adapted(tokens).sum().backward()
    assert {name for name, weight in adapted.named_parameters() if weight.grad is not None} == names
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("alpha", [None, 8.0])
def test_an_adapter_is_the_formula(alpha):
    layer = nn.Linear(10, 6)
    adapter = finetuning.LoRA(layer, 2, alpha)
    nn.init.normal_(adapter.b)
    x = torch.randn(5, 10)
    scale = 1 if alpha is None else alpha / 2
    rows = [layer.weight @ row + layer.bias + scale * adapter.b @ (adapter.a @ row) for row in x]
    torch.testing.assert_close(adapter(x), torch.stack(rows))
    torch.testing.assert_close(adapter.merged()(x), torch.stack(rows))


def test_a_rank_costs_the_sides_of_every_matrix():
    adapted = finetuning.with_lora(language.Transformer(TINY), 5)
    learned = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    square, thin, mlp = 64 + 64, 64 + 32, 64 + 96
    assert learned == 2 * 5 * (2 * square + 2 * thin + 3 * mlp)
    large = memory.MODELS["LLaMA-7B"]
    wide = 4 * 2 * large.hidden + 3 * (large.hidden + large.mlp)
    assert memory.lora_parameters(large, 5) == large.layers * 5 * wide


@pytest.mark.parametrize("coarse", [False, True])
def test_merged_computes_the_same(model, tokens, coarse):
    start = finetuning.in_nf4(model) if coarse else model
    adapted = stirred(finetuning.with_lora(start, 4, alpha=2.0))
    plain = finetuning.merged(adapted)
    with torch.no_grad():
        logits = adapted(tokens)
    assert (logits - start(tokens)).abs().max() > 0.01
    torch.testing.assert_close(plain(tokens), logits, rtol=0, atol=1e-5 * float(logits.abs().max()))
    assert {*plain.state_dict()} == {*model.state_dict()}
    assert finetuning.adapters(adapted)  # the adapted model is still one


def test_patterns_choose_the_layers(model):
    some = finetuning.with_lora(model, 2, include=["*.q_proj", "*.v_proj"], exclude=["layers.0.*"])
    assert {*finetuning.adapters(some)} == {f"layers.1.self_attn.{name}_proj" for name in "qv"}
    with pytest.raises(ValueError, match=r"must fit layers of the model .* got '\*\.x'"):
        finetuning.with_lora(model, 2, include=["*.x"])
    with pytest.raises(ValueError, match="leave no layer"):
        finetuning.with_lora(model, 2, exclude=["*"])


def test_seeds_and_layers_differ():
    parts = [
        part.a.detach()
        for seed in (0, 1)
        for part in finetuning.adapters(
            finetuning.with_lora(language.Transformer(TINY), 2, seed=seed)
        ).values()
    ]
    square = [each for each in parts if each.shape == (2, 64)]
    assert len({tuple(each.flatten().tolist()) for each in square}) == len(square)
    assert torch.cat(square).std() == pytest.approx(1 / math.sqrt(64), rel=0.1)


def test_what_is_refused(model):
    with pytest.raises(ValueError, match="rank"):
        finetuning.with_lora(model, 33)
    with pytest.raises(ValueError, match="must have adapters"):
        finetuning.merged(model)
    with pytest.raises(ValueError, match="must have no adapters yet"):
        finetuning.with_lora(finetuning.with_lora(model, 2), 2)
    with pytest.raises(TypeError, match="layer must be a Linear"):
        finetuning.LoRA(nn.ReLU(), 2)


# Weights in NF4


def test_frozen_layers_hold_nf4_two_to_a_byte(model):
    coarse = finetuning.in_nf4(model)
    for name, layer in coarse.named_modules():
        if isinstance(layer, finetuning.NF4Linear):
            weight = model.get_submodule(name).weight.detach()
            assert torch.equal(layer.weight, quantization.nf4(weight).dequantized())
            assert layer.codes.nbytes == weight.numel() / 2
            assert layer.largest.numel() == weight.numel() / 64
    assert not any(weight.requires_grad for weight in coarse.parameters())


def test_the_way_back_through_nf4_is_that_of_the_unpacked_weights(model):
    layer = finetuning.NF4Linear(nn.Linear(64, 32), block=32)
    x, same = (torch.randn(4, 64, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    x.requires_grad_()
    same.requires_grad_()
    layer(x).square().sum().backward()
    nn.functional.linear(same, layer.weight, layer.bias).square().sum().backward()
    torch.testing.assert_close(x.grad, same.grad)
    assert memory.saved_bytes(lambda: layer(x).sum(), x, layer) == 0


def test_a_block_must_divide_the_weights():
    with pytest.raises(ValueError, match="block must divide"):
        finetuning.NF4Linear(nn.Linear(10, 3))
