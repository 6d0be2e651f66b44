"""The transformer against one written out in numpy, and its cache against the whole text."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from coursekit import language
from coursekit.language import Config, KVCache, Transformer

TINY = Config(vocab_size=50, width=24, layers=2, heads=6, kv_heads=2, hidden=40, context=64)
UNTIED = Config(
    50, 16, 3, 4, 4, 24, context=32, rope_base=1e6, norm_eps=1e-6, head_dim=6, qkv_bias=True, tied=False
)


def made(config, seed=0):
    """Return a model whose weights are all drawn, norms and biases too."""
    model = Transformer(config, seed=seed).eval()
    draw = torch.Generator().manual_seed(seed + 1)
    for weight in model.parameters():
        nn.init.normal_(weight, 1.0 if weight.dim() == 1 else 0.0, 0.3, generator=draw)
    return model


def tokens(config, n, batch=1, seed=5):
    return torch.randint(0, config.vocab_size, (batch, n), generator=torch.Generator().manual_seed(seed))


def norm(x, weight, eps):
    return x / math.sqrt((x**2).mean() + eps) * weight


def turned(x, position, base):
    """Turn the pairs (x[i], x[i + half]) by complex numbers."""
    half = len(x) // 2
    turns = np.exp(1j * position * base ** (-np.arange(half) / half))
    pairs = (x[:half] + 1j * x[half:]) * turns
    return np.concatenate([pairs.real, pairs.imag])


def by_hand(model, text):
    """Return the logits [n, vocab_size], token by token, head by head, in float64."""
    config, size = model.config, model.config.per_head
    w = {name: weight.detach().double().numpy() for name, weight in model.state_dict().items()}
    stream = [w["embed_tokens.weight"][token] for token in text]
    for layer in range(config.layers):
        at = f"layers.{layer}."

        def project(name, x, at=at):
            return w[f"{at}self_attn.{name}.weight"] @ x + w.get(f"{at}self_attn.{name}.bias", 0)

        inside = [norm(x, w[f"{at}input_layernorm.weight"], config.norm_eps) for x in stream]
        q = [project("q_proj", x).reshape(config.heads, size) for x in inside]
        k = [project("k_proj", x).reshape(config.kv_heads, size) for x in inside]
        v = [project("v_proj", x).reshape(config.kv_heads, size) for x in inside]
        for n in range(len(text)):
            heads = []
            for head in range(config.heads):
                shared = head // (config.heads // config.kv_heads)
                query = turned(q[n][head], n, config.rope_base)
                scores = [query @ turned(k[m][shared], m, config.rope_base) for m in range(n + 1)]
                weights = np.exp(np.array(scores) / math.sqrt(size))
                heads.append(sum(a * v[m][shared] for m, a in enumerate(weights / weights.sum())))
            stream[n] = stream[n] + w[f"{at}self_attn.o_proj.weight"] @ np.concatenate(heads)
        for n, x in enumerate(stream):
            y = norm(x, w[f"{at}post_attention_layernorm.weight"], config.norm_eps)
            gate, up = w[f"{at}mlp.gate_proj.weight"] @ y, w[f"{at}mlp.up_proj.weight"] @ y
            stream[n] = x + w[f"{at}mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * up)
    head = w.get("lm_head.weight", w["embed_tokens.weight"])
    return np.array([head @ norm(x, w["norm.weight"], config.norm_eps) for x in stream])


@pytest.mark.parametrize("config", [TINY, UNTIED], ids=["grouped, tied", "biases, own head"])
@pytest.mark.parametrize("n", [1, 2, 17])
def test_logits_are_those_of_the_formulas(config, n):
    model, text = made(config), tokens(config, n)
    expected = by_hand(model, text[0].tolist())
    np.testing.assert_allclose(
        model(text)[0].detach().numpy(), expected, rtol=0, atol=2e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize("config", [TINY, UNTIED], ids=["grouped, tied", "biases, own head"])
@pytest.mark.parametrize("cuts", [[1] * 20, [7, 1, 1, 11], [19, 1], [1, 19], [20]], ids=str)
def test_with_a_cache_every_position_has_the_same_logits(config, cuts):
    model, text = made(config), tokens(config, 20, batch=3)
    cache = KVCache(config, batch=3)
    with torch.no_grad():
        parts = [model(part, cache) for part in text.split(cuts, dim=1)]
        assert torch.cat(parts, dim=1) == pytest.approx(model(text), abs=1e-5)
    assert cache.length == 20
    assert cache.room == config.context - 20


def test_a_shortened_cache_has_forgotten_the_rest():
    model, text, other = made(TINY), tokens(TINY, 12), tokens(TINY, 12, seed=8)
    cache = KVCache(TINY)
    with torch.no_grad():
        model(text, cache)
        cache.length = 4
        seen = model(other[:, 4:], cache)
        assert seen == pytest.approx(model(torch.cat([text[:, :4], other[:, 4:]], 1))[:, 4:], abs=1e-5)


def test_no_token_sees_what_comes_after_it():
    model, text = made(TINY), tokens(TINY, 10)
    changed = text.clone()
    changed[0, 6] = (text[0, 6] + 1) % TINY.vocab_size
    gap = (model(text) - model(changed)).abs().amax(-1)[0]
    assert bool((gap[:6] == 0).all())
    assert bool((gap[6:] > 0).all())


def test_positions_count_by_their_distance_only():
    """Rotary scores depend on m - n: a text read behind a prefix that nobody may see has the same scores."""
    x = torch.randn(1, 1, 1, 8, generator=torch.Generator().manual_seed(0))
    y = torch.randn(1, 1, 1, 8, generator=torch.Generator().manual_seed(1))
    config = Config(50, 8, 1, 1, 1, 8, context=64)

    def score(n, m):
        turn = [language.transformer.rotations(config, at, at + 1, x.device, torch.float64) for at in (n, m)]
        return float(
            (
                language.transformer.rotated(x.double(), *turn[0])
                * language.transformer.rotated(y.double(), *turn[1])
            ).sum()
        )

    assert score(3, 1) == pytest.approx(score(40, 38), abs=1e-12)
    assert score(3, 1) != pytest.approx(score(3, 2), abs=1e-3)


def test_the_cache_costs_what_the_formula_says():
    cache = KVCache(TINY, context=10)
    assert (
        cache.keys.nbytes + cache.values.nbytes == 10 * TINY.cache_bytes_per_token == 10 * 2 * 2 * 2 * 4 * 4
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "heads must be a multiple of kv_heads; got 5 and 2"),
        ({"width": 25}, "width must be a multiple of heads; got 25 and 6"),
        ({"width": 18}, "head_dim must be even, because positions turn pairs; got 3"),
        ({"layers": 0}, "layers must be"),
        ({"norm_eps": 0}, "norm_eps must be"),
    ],
)
def test_sizes_that_do_not_fit_are_errors(change, message):
    sizes = {**TINY.__dict__, "head_dim": None, **change}
    with pytest.raises(ValueError, match=message):
        Config(**sizes)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ([[1, 2]], TypeError, r"tokens must be an int64 tensor \[batch, n\]; got list"),
        (torch.ones(1, 3), TypeError, "got torch.float32"),
        (
            torch.ones(3, dtype=torch.int64),
            ValueError,
            r"must have shape \[batch, n\], n from 1 on; got \[3\]",
        ),
        (torch.ones(1, 0, dtype=torch.int64), ValueError, r"got \[1, 0\]"),
        (torch.ones(1, 65, dtype=torch.int64), ValueError, "reads at most 64 tokens; got 65"),
        (torch.full((1, 2), 50), ValueError, "between 0 and 49; got 50 to 50"),
        (torch.full((1, 2), -1), ValueError, "between 0 and 49; got -1 to -1"),
    ],
)
def test_what_is_no_text_is_an_error(text, error, message):
    with pytest.raises(error, match=message):
        made(TINY)(text)


def test_a_full_cache_says_so():
    cache = KVCache(TINY, context=3)
    with pytest.raises(ValueError, match="the cache holds 3 tokens; got 4: make a larger one"):
        made(TINY)(tokens(TINY, 4), cache)


def test_one_seed_makes_one_model():
    one, same, other = (Transformer(TINY, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embed_tokens.weight"], other["embed_tokens.weight"])


SIZES = Config(vocab_size=20, width=8, layers=1, heads=2, kv_heads=1, hidden=8, context=16)


def test_no_new_token_takes_no_look():
    nothing = language.speculate(Transformer(SIZES), [1], 0, language.Trigrams([1, 2, 3]))
    assert (nothing.tokens, nothing.looks, nothing.tokens_per_look) == ([], 0, 0.0)
    assert "0 tokens in 0 looks" in str(nothing)


def test_a_draft_may_use_up_the_text_that_it_is_given():
    def careless(text, count):
        text.append(3)
        return [3] * count

    model = Transformer(SIZES)
    assert language.speculate(model, [1, 2], 6, careless).tokens == language.generate(model, [1, 2], 6)


def test_a_cache_for_another_number_of_texts_is_refused():
    model, pair = Transformer(SIZES), torch.tensor([[1], [2]])
    with pytest.raises(ValueError, match="the cache is for 1 texts at once; got 2"):
        model(pair, KVCache(SIZES))
    assert model(pair, KVCache(SIZES, batch=2)).shape == (2, 1, 20)


def test_no_window_has_no_loss():
    with pytest.raises(ValueError, match="as language.windows makes it"):
        language.losses(Transformer(SIZES), torch.zeros(0, 5, dtype=torch.int64))
