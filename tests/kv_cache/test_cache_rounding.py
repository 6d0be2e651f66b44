"""TurboQuant against exact integrals and published figures; the other roundings against loops."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from coursekit import kv_cache, language
from coursekit.kv_cache import TurboQuant
from coursekit.language import Config, Transformer

PUBLISHED = {1: 0.36, 2: 0.117, 3: 0.03, 4: 0.009}  # the third is a hard rounding of 0.0345
FULL = {1: 0.3634, 2: 0.1175, 3: 0.0345, 4: 0.0095}


def density(dim):
    """Return the density of a coordinate of a random unit vector, times sqrt(dim); None is the normal one."""
    if dim is None:
        return stats.norm.pdf
    scaled = stats.beta((dim - 1) / 2, (dim - 1) / 2, loc=-math.sqrt(dim), scale=2 * math.sqrt(dim))
    return scaled.pdf


def pieces(levels, dim):
    end = 12 if dim is None else math.sqrt(dim)
    cuts = [-end, *((a + b) / 2 for a, b in zip(levels, levels[1:], strict=False)), end]
    return zip(levels, cuts, cuts[1:], strict=False)


@pytest.mark.parametrize("dim", [None, 8, 64])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_levels_are_the_means_of_their_cells_and_lose_what_the_integral_says(bits, dim):
    levels, pdf = kv_cache.levels(bits, dim), density(dim)
    exact = 0.0
    for level, low, high in pieces(levels, dim):
        mass, mean, error = (
            integrate.quad(lambda x, k=k, level=level: pdf(x) * (1, x, (x - level) ** 2)[k], low, high)[0]
            for k in range(3)
        )
        assert level == pytest.approx(mean / mass, abs=2e-3)
        exact += error
    assert kv_cache.distortion(bits, dim) == pytest.approx(exact, rel=2e-3)
    low, high = kv_cache.distortion_bounds(bits)
    assert low < exact < high


@pytest.mark.parametrize("bits", FULL)
def test_the_published_distortions(bits):
    found = kv_cache.distortion(bits)
    assert found == pytest.approx(FULL[bits], abs=5e-5)
    assert found == pytest.approx(PUBLISHED[bits], rel=0.02 if bits in (1, 2) else 0.16)
    low, high = kv_cache.distortion_bounds(bits)
    assert (low, high) == pytest.approx((4.0**-bits, 2.72 * 4.0**-bits), rel=1e-3)


def vectors(dim, count=4000, seed=0):
    """Return vectors that are anything but random: a few large numbers, always in the same places."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, dim)) * np.where(np.arange(dim) % 16 == 0, 20, 1)
    return torch.tensor(x, dtype=torch.float32)


@pytest.mark.parametrize("dim", [32, 128])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_turboquant_loses_what_the_integral_says_on_vectors_with_outliers(bits, dim):
    x = torch.cat([vectors(dim, 1000, seed) for seed in range(3)])
    found = []
    for seed in range(6):
        error = TurboQuant(dim, bits, seed).rounded(x) - x
        found.append(float(((error.norm(dim=-1) / x.norm(dim=-1)) ** 2).mean()))
    low, high = kv_cache.distortion_bounds(bits)
    assert np.mean(found) == pytest.approx(kv_cache.distortion(bits, dim), rel=0.03)
    assert low < np.mean(found) < high


def slope(coder, pairs):
    """Return mean and standard error of <q, rounded k> - <q, k>, as a share of the mean <q, k>."""
    q, k = pairs
    exact = (q * k).sum(-1)
    gaps = (q * coder.rounded(k)).sum(-1) - exact
    return float(gaps.mean() / exact.mean()), float(gaps.std() / len(gaps) ** 0.5 / exact.mean().abs())


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_inner_products_shrink_by_the_distortion_and_do_not_with_the_signs_of_the_rest(bits):
    dim = 64
    k = torch.nn.functional.normalize(vectors(dim, 3000), dim=-1)
    q = torch.nn.functional.normalize(k + 0.1 * torch.randn(k.shape, generator=torch.manual_seed(1)), dim=-1)
    plain, signs = [], []
    for seed in range(12):  # the bias is a mean over rotations
        plain.append(slope(TurboQuant(dim, bits, seed), (q, k))[0])
        signs.append(slope(TurboQuant(dim, bits, seed, residual=True), (q, k))[0])
    assert np.mean(plain) == pytest.approx(-kv_cache.distortion(bits, dim), rel=0.05)
    if bits == 1:
        assert 1 + np.mean(plain) == pytest.approx(2 / math.pi, rel=0.02)
    half = stats.t.ppf(0.9995, len(signs) - 1) * stats.sem(signs)
    assert abs(np.mean(signs)) < half
    assert half < 0.05


def test_a_rotation_keeps_inner_products():
    turn = kv_cache.random_rotation(32, 5)
    assert torch.allclose(turn @ turn.T, torch.eye(32), atol=1e-5)
    x, y = vectors(32, 10), vectors(32, 10, 1)
    assert torch.allclose((x @ turn.T * (y @ turn.T)).sum(-1), (x * y).sum(-1), rtol=1e-3, atol=1e-2)
    assert not torch.equal(turn, kv_cache.random_rotation(32, 6))


def test_no_direction_is_likelier_than_another():
    corners = torch.stack([kv_cache.random_rotation(8, seed) for seed in range(300)])
    assert corners.mean(0).abs().max() < 5 * (8 * 300) ** -0.5
    assert corners.std(0).numpy() == pytest.approx(8**-0.5, rel=0.2)


def in_a_loop(row, bits):
    low, high = min(row), max(row)
    step = (high - low) / (2**bits - 1)
    levels = [low + n * step for n in range(2**bits)]
    return [min(levels, key=lambda level: abs(level - x)) for x in row]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_rounding_by_token_and_by_channel_against_a_loop(bits):
    x = vectors(8, 11)
    assert torch.allclose(
        kv_cache.by_token(x, bits), torch.tensor([in_a_loop(r, bits) for r in x.tolist()]), atol=1e-4
    )
    found = kv_cache.by_channel(x, bits, group=4)
    for first in (0, 4):
        wanted = [in_a_loop(column, bits) for column in x[first : first + 4].T.tolist()]
        assert torch.allclose(found[first : first + 4].T, torch.tensor(wanted), atol=1e-4)
    assert torch.equal(found[8:], x[8:])
    assert torch.equal(kv_cache.by_channel(x, bits, group=100), x)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_short_floats_are_rounded_as_long_ones_are(kind):
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(9)).to(kind)
    x[:32], x[40] = 3.0, 0.0
    x[41, :2] = torch.tensor([-4e4, 4e4])
    coders = [TurboQuant(8, 3).rounded, TurboQuant(8, 3, residual=True).rounded]
    for rounded in (lambda x: kv_cache.by_token(x, 3), lambda x: kv_cache.by_channel(x, 3), *coders):
        assert torch.equal(rounded(x), rounded(x.float()).to(kind))
        assert rounded(x).isfinite().all()


def test_what_does_not_vary_stays():
    x = torch.full((4, 8), 3.0)
    assert torch.equal(kv_cache.by_token(x, 2), x)
    assert torch.equal(TurboQuant(8, 2).rounded(torch.zeros(3, 8)), torch.zeros(3, 8))


@pytest.mark.parametrize("method", kv_cache.METHODS)
def test_bits_with_all_that_is_stored(method):
    """Counted: numbers, scales and offsets of 16 bits, or lengths."""
    bits, dim, tokens = 3, 64, 32
    token, turbo = bits * dim + 32, bits * dim + 16
    keys, values = {
        "per token": (tokens * token, tokens * token),
        "keys per channel": (dim * (bits * tokens + 32), tokens * token),
        "TurboQuant": (tokens * turbo, tokens * turbo),
        "TurboQuant + QJL": (tokens * (turbo + 16), tokens * turbo),
    }[method]
    found = kv_cache.cache_rounding(method, bits, dim).bits_per_number
    assert found == (keys + values) / (2 * dim * tokens)


def test_a_rounded_cache_gives_what_rounding_keys_and_values_inside_gives():
    """A layer's attention is done again by hand on its rounded keys and values."""
    config = Config(vocab_size=50, width=24, layers=1, heads=3, kv_heads=3, hidden=40, context=64)
    model = Transformer(config).eval()
    tokens = torch.arange(20)[None]
    rounding = kv_cache.cache_rounding("per token", 2, 8)
    block = model.blocks[0]

    class Rounding(nn.Module):
        def __init__(self, inner, round_it):
            super().__init__()
            self.inner, self.round_it = inner, round_it

        def forward(self, x):
            out = self.inner(x)
            return self.round_it(out.view(1, 20, 3, 8).transpose(1, 2)).transpose(1, 2).reshape(1, 20, 24)

    with torch.no_grad():
        through_cache = kv_cache.RoundedCacheModel(
            model, kv_cache.CacheRounding(lambda k: k, rounding.values, 2)
        )(tokens)
        block.self_attn.v_proj = Rounding(block.self_attn.v_proj, rounding.values)
        assert torch.allclose(model(tokens), through_cache, atol=1e-5)


def test_more_bits_are_nearer_on_the_small_model():
    small = language.small()
    data = language.windows(small.tokenizer.encode(language.text()), 128, 4)
    reference = language.Reference(small, data)
    for method in kv_cache.METHODS:
        far = [
            reference.distance(kv_cache.with_rounded_cache(small.model, method, bits)).mean_kl[0]
            for bits in (8, 4, 2)
        ]
        assert far[0] < far[1] < far[2]
        assert far[0] < 1e-2


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: kv_cache.levels(0), "bits"),
        (lambda: kv_cache.levels(2, 3), "dim"),
        (lambda: TurboQuant(64, 9), "bits"),
        (lambda: TurboQuant(64, 2, residual=1), "residual"),
        (lambda: TurboQuant(64, 2).rounded(torch.zeros(2, 32)), "x must hold"),
        (lambda: kv_cache.cache_rounding("KIVI", 2, 64), "method"),
        (lambda: kv_cache.with_rounded_cache(None, "per token", 2), "model"),
        (lambda: kv_cache.random_rotation(0), "dim"),
    ],
)
def test_what_makes_no_sense_is_refused(call, named):
    with pytest.raises((TypeError, ValueError), match=named):
        call()
