"""Rounding by tensor, row and group, packing, NF4 and clipping, against other implementations."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coursekit import quantization
from coursekit.quantization import nf4, nf4_levels, pack, round_clipped, round_matrix, unpack

# As published with the QLoRA paper (Dettmers et al. 2023, appendix E).
PUBLISHED = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
]


def weight(seed=0, shape=(6, 16)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Rounding


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rows_are_rounded_as_torch_does(bits):
    w, last = weight(), 2 ** (bits - 1) - 1
    found = round_matrix(w, bits)
    zero = torch.zeros(6, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(w, found.scale[:, 0], zero, 0, -last, last)
    assert torch.allclose(found.dequantized(), expected, atol=1e-6)
    assert found.scale.shape == (6, 1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_groups_are_rounded_as_torch_rounds_rows(bits):
    w, last = weight(1), 2**bits - 1
    found = round_matrix(w, bits, group_size=4, symmetric=False)
    expected = torch.fake_quantize_per_channel_affine(
        w.reshape(-1, 4), found.scale.flatten(), found.zero_point.flatten(), 0, 0, last
    )
    assert torch.allclose(found.dequantized(), expected.reshape(w.shape), atol=1e-6)
    assert found.scale.shape == found.zero_point.shape == (6, 4)
    assert found.q.min() == 0
    assert found.q.max() == last


def test_the_whole_matrix_is_rounded_as_torch_does():
    w = weight(2)
    found = round_matrix(w, 4, axis=None)
    expected = torch.fake_quantize_per_tensor_affine(w, found.scale.item(), 0, -7, 7)
    assert torch.allclose(found.dequantized(), expected, atol=1e-6)
    assert found.scale.item() == pytest.approx(w.abs().max().item() / 7)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("scheme", [{}, {"axis": None}, {"group_size": 4}, {"group_size": 16}])
def test_rounding_and_fake_quantization_give_the_same_numbers(symmetric, scheme):
    for bits, seed in itertools.product(range(1, 9), range(5)):
        w = weight(seed)
        w[3] = 0
        fake = quantization.fake_quantize(w, bits, symmetric=symmetric, **scheme)
        assert torch.equal(fake, round_matrix(w, bits, symmetric=symmetric, **scheme).dequantized())


def test_bits_per_weight_count_scales_as_fp16_and_zero_points():
    w = weight(shape=(8, 64))
    assert round_matrix(w, 4).bits_per_weight == 4 + 16 / 64
    assert round_matrix(w, 4, group_size=32).bits_per_weight == 4.5  # as GGUF's Q4_0
    assert round_matrix(w, 3, group_size=16, symmetric=False).bits_per_weight == 3 + 19 / 16
    assert round_matrix(w, 8, axis=None).bits_per_weight == 8 + 16 / 512
    found = round_matrix(w, 4, group_size=32)
    assert found.nbytes == found.packed().size + 2 * found.scale.numel() == 288
    assert "a scale for" in str(found)
    assert "32 weights of a row (16 in all)" in found._repr_html_()


def test_scales_as_fp16_change_a_weight_by_a_rounding_of_eleven_bits():
    found = round_matrix(weight(), 4)
    half = found.with_half_scales()
    assert torch.equal(half.scale, half.scale.half().float())
    change = (half.dequantized() - found.dequantized()).abs()
    assert (change <= 2.0**-11 * found.dequantized().abs() * 1.001).all()
    assert change.max() > 0
    with pytest.raises(ValueError, match="scale must lie within"):
        round_matrix(weight() * 1e-6, 4).with_half_scales()


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, "bits", {"bits": 0}),
        (ValueError, "bits", {"bits": 9}),
        (ValueError, "axis", {"bits": 4, "axis": 1}),
        (ValueError, "group_size must divide the 16 columns", {"bits": 4, "group_size": 5}),
        (ValueError, "weight", {"bits": 4, "weight": torch.ones(3)}),
        (ValueError, "weight must be finite", {"bits": 4, "weight": torch.full((2, 2), torch.inf)}),
        (TypeError, "symmetric", {"bits": 4, "symmetric": 1}),
    ],
)
def test_what_does_not_fit_a_matrix_is_refused(error, match, arguments):
    with pytest.raises(error, match=match):
        round_matrix(**{"weight": weight(), **arguments})


# Packing


@given(st.integers(1, 8), st.integers(1, 3), st.integers(1, 40), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_a_row_is_one_number_in_little_endian_bytes(bits, rows, length, random):
    values = [[random.randrange(2**bits) for _ in range(length)] for _ in range(rows)]
    packed = pack(values, bits)
    for row, given_row in zip(packed, values, strict=True):
        number = sum(value << (bits * place) for place, value in enumerate(given_row))
        assert row.tobytes() == number.to_bytes(-(-length * bits // 8), "little")
    assert unpack(packed, bits, length).tolist() == values


def test_the_low_nibble_comes_first_and_a_row_is_filled_up():
    assert pack([0x1, 0x2, 0x3], 4).tolist() == [0x21, 0x03]
    assert pack([3, 0, 1, 2], 2).tolist() == [0b10_01_00_11]
    assert pack([[1, 2], [3, 4]], 4).tolist() == [[0x21], [0x43]]
    assert unpack([0x21, 0x03], 4, 3).tolist() == [1, 2, 3]


def test_rounded_matrices_come_back_from_their_bytes():
    for bits, symmetric in itertools.product(range(1, 9), (True, False)):
        found = round_matrix(weight(), bits, symmetric=symmetric)
        back = unpack(found.packed(), bits, 16).astype(int)
        if symmetric:
            back = back * 2 - 1 if bits == 1 else back - 2 ** (bits - 1)
        assert np.array_equal(back, found.q.numpy())


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: pack([16], 4), "values must lie from 0 to 15 for 4 bits; got 16 to 16"),
        (lambda: pack([-1, 3], 4), "adding 8"),
        (lambda: pack([0.5], 4), "whole numbers"),
        (lambda: pack(3, 4), "axis"),
        (lambda: pack([1], 9), "bits"),
        (lambda: unpack([1, 2], 4, 5), "length must fit the bytes of a row: 5 values of 4 bits take 3 bytes"),
        (lambda: unpack([1, 2], 4, 2), "length must fit"),
        (lambda: unpack([256], 4, 2), "packed"),
    ],
)
def test_what_cannot_be_packed_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


# NF4


def test_the_levels_are_the_published_ones_and_those_of_scipy_s_quantiles():
    assert np.array_equal(nf4_levels(), np.array(PUBLISHED, np.float32))
    outermost = 1 - (1 / 30 + 1 / 32) / 2
    above = stats.norm.ppf(np.linspace(0.5, outermost, 9))[1:]
    below = stats.norm.ppf(np.linspace(1 - outermost, 0.5, 8))
    assert np.allclose(nf4_levels(), np.append(below, above) / above[-1], atol=3e-7)


def test_codes_are_the_nearest_levels_of_each_block():
    w = weight(4, (4, 128))
    w[0, :64] = 0
    found = nf4(w)
    blocks = w.reshape(-1, 64)
    largest = blocks.abs().amax(1)
    shares = blocks / largest.clamp(min=1e-30)[:, None]
    nearest = (shares[..., None] - torch.tensor(PUBLISHED)).abs().argmin(-1)
    assert torch.equal(found.codes, nearest.reshape(w.shape).to(torch.uint8))
    assert torch.allclose(
        found.dequantized(), (torch.tensor(PUBLISHED)[nearest] * largest[:, None]).reshape(w.shape)
    )
    assert found.bits_per_weight == 4.25
    assert "4.25 bits per weight" in str(found)
    with pytest.raises(ValueError, match="block must divide"):
        nf4(weight(0, (3, 5)))


def test_normal_weights_lose_less_in_nf4_than_in_four_equal_steps():
    for seed in range(5):
        w = weight(seed, (64, 64))
        equal = (w - round_matrix(w, 4, group_size=64).dequantized()).square().mean()
        assert (w - nf4(w).dequantized()).square().mean() < equal


# Clipping


@pytest.mark.parametrize(("bits", "symmetric"), [(2, True), (3, True), (4, True), (1, False), (3, False)])
@pytest.mark.parametrize("group_size", [None, 8])
def test_the_clip_of_each_group_is_the_best_of_all_tried(bits, symmetric, group_size):
    factors = [0.3, 0.45, 0.6, 0.75, 0.9, 1.0]
    w = weight(bits).exp() * weight(9).sign()
    found = round_clipped(w, bits, group_size, symmetric=symmetric, factors=factors).dequantized()
    size = group_size or 16
    for block, got in zip(w.reshape(-1, size), found.reshape(-1, size), strict=True):
        tries = [
            quantization.fake_quantize(block[None], bits, symmetric=symmetric, clip=factor)[0]
            for factor in factors
        ]
        errors = [(block - each).square().sum().item() for each in tries]
        assert (block - got).square().sum().item() == pytest.approx(min(errors), rel=1e-5)


def test_clipping_never_loses_and_the_best_share_depends_on_how_many_share_a_scale():
    ratios = {}
    for size in (64, 1024):
        w = weight(7, (64, size))
        plain, clipped = round_matrix(w, 4), round_clipped(w, 4)
        lost, least = ((w - each.dequantized()).square().sum(1) for each in (plain, clipped))
        assert (least <= lost * (1 + 1e-6)).all()
        ratios[size] = (clipped.scale / plain.scale).mean().item()
    assert ratios[1024] < ratios[64] - 0.05


def test_factors_that_do_not_fit_are_refused():
    for factors in ([], [0.0, 1.0], [1.0, 0.5], [0.5, 1.5]):
        with pytest.raises(ValueError, match="factors"):
            round_clipped(weight(), 4, factors=factors)
    with pytest.raises(ValueError, match="bits"):
        round_clipped(weight(), 1)
