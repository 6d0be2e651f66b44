"""Fake quantization: the values of quantize, the straight-through gradient, and models trained with it."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from coursekit import models, quantization
from coursekit.quantization import baked, fake_quantize, with_fake_weights

SCHEMES = [
    ({"axis": 0}, {"axis": 0}),
    ({"axis": 1}, {"axis": 1}),
    ({"axis": None}, {}),
    ({"group_size": 4}, {"group": 4}),
]


def weight(seed=0, shape=(6, 8)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("ours", "theirs"), SCHEMES)
def test_values_are_those_of_quantize_to_the_last_bit(bits, symmetric, ours, theirs):
    for seed in range(20):
        w = weight(seed) * 10.0 ** (seed - 10)
        w[2] = 0
        expected = quantization.quantize(w, bits, symmetric=symmetric, **theirs).dequantize()
        assert np.array_equal(fake_quantize(w, bits, symmetric=symmetric, **ours).numpy(), expected)


def test_values_are_those_of_torch():
    w, bits = weight(3), 4
    scale = w.abs().amax(1) / 7
    expected = torch.fake_quantize_per_channel_affine(w, scale, torch.zeros(6, dtype=torch.int32), 0, -7, 7)
    assert torch.allclose(fake_quantize(w, bits), expected, atol=1e-6)
    clipped = torch.fake_quantize_per_channel_affine(
        w, scale * 0.5, torch.zeros(6, dtype=torch.int32), 0, -7, 7
    )
    assert torch.allclose(fake_quantize(w, bits, clip=0.5), clipped, atol=1e-6)


def test_asymmetric_clipping_shrinks_the_range_from_both_ends():
    w = torch.tensor([[-1.0, -0.4, 0.0, 0.3, 3.0]])
    got = fake_quantize(w, 2, symmetric=False, clip=0.5)  # from -0.5 to 1.5 in steps of 2/3
    assert torch.allclose(got, torch.tensor([[-2 / 3, -2 / 3, 0, 0, 4 / 3]]))


def test_one_bit_has_two_levels_at_the_mean_magnitude_and_zero_is_positive():
    w = torch.tensor([[1.0, -3.0, 0.0, -0.0], [0.5, 0.5, -0.5, 2.5]])
    assert fake_quantize(w, 1).tolist() == [[1, -1, 1, 1], [1, 1, -1, 1]]
    assert torch.equal(fake_quantize(w, 1, None).abs(), torch.ones(2, 4))
    # The mean magnitude is the scale with the least squared error.
    for factor in (0.9, 1.1):
        best = (w - fake_quantize(w, 1)).square().sum()
        assert (w - factor * fake_quantize(w, 1)).square().sum() > best


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_gradient_passes_straight_through(bits, symmetric):
    w, up = weight().requires_grad_(), weight(1)
    (fake_quantize(w, bits, symmetric=symmetric) * up).sum().backward()
    assert torch.equal(w.grad, up)


def test_clipped_values_have_no_gradient_as_in_torch():
    w, up = weight().requires_grad_(), weight(1)
    (fake_quantize(w, 4, clip=0.6) * up).sum().backward()
    ours, w.grad = w.grad, None
    scale = w.detach().abs().amax(1) * 0.6 / 7
    zero = torch.zeros(6, dtype=torch.int32)
    (torch.fake_quantize_per_channel_affine(w, scale, zero, 0, -7, 7) * up).sum().backward()
    # Torch passes the gradient where the rounded quotient lies in the range, half a step further out.
    edge = ((w / scale[:, None]).abs() > 7) & ((w / scale[:, None]).abs() < 7.5)
    assert torch.equal(ours[~edge], w.grad[~edge])
    assert (ours == 0).sum() > 5


def test_the_lecture_s_weight_moves_up_against_its_gradient():
    # Gradient -0.05 at learning rate 0.005: 0.37 becomes 0.37025, towards 0.4, not 0.36975.
    w = torch.tensor([0.37, 1.0], dtype=torch.float64, requires_grad=True)
    scale = 0.1
    rounded = fake_quantize(w, 4, None)
    assert rounded[0].item() == pytest.approx(round(0.37 * 7) / 7)
    (rounded * torch.tensor([-0.05, 0.0])).sum().backward()
    assert (w - 0.005 * w.grad)[0].item() == pytest.approx(0.37025)
    assert round(0.37 / scale) * scale == pytest.approx(0.4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_weight_is_kept(dtype):
    w = weight().to(dtype)
    got = fake_quantize(w, 4)
    assert got.dtype == dtype
    assert torch.allclose(got.float(), fake_quantize(w.float(), 4), rtol=0.01)


def test_it_works_under_vmap():
    stacked = torch.stack([weight(0), weight(1)])
    got = torch.func.vmap(lambda w: fake_quantize_unchecked(w))(stacked)
    assert torch.equal(got, fake_quantize(stacked, 3, group_size=8))


def fake_quantize_unchecked(w):
    return quantization.FakeWeight(3)(w)


@pytest.mark.parametrize(
    ("error", "given"),
    [
        (ValueError, {"bits": 0}),
        (TypeError, {"bits": 4.5}),
        (ValueError, {"bits": 4, "axis": 2}),
        (ValueError, {"bits": 4, "group_size": 3}),
        (ValueError, {"bits": 4, "group_size": 0}),
        (ValueError, {"bits": 4, "clip": 0}),
        (ValueError, {"bits": 4, "clip": 1.5}),
        (ValueError, {"bits": 1, "clip": 0.5}),
        (TypeError, {"bits": 4, "symmetric": "yes"}),
        (TypeError, {"bits": 4, "weight": [1.0]}),
        (TypeError, {"bits": 4, "weight": torch.ones(2, 2, dtype=torch.int8)}),
        (ValueError, {"bits": 4, "weight": torch.full((2, 2), float("nan"))}),
        (ValueError, {"bits": 4, "weight": torch.zeros(0, 2)}),
        (ValueError, {"bits": 4, "weight": torch.tensor(1.0)}),
    ],
)
def test_what_does_not_fit_is_refused_on_one_line(error, given):
    with pytest.raises(error) as caught:
        fake_quantize(**{"weight": weight(), **given})
    assert "\n" not in str(caught.value)
    assert any(name in str(caught.value) for name in given)


class Tied(nn.Module):
    """An embedding whose matrix is the output's too, and two layers that share one weight."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(12, 8), nn.Linear(8, 12, bias=False)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.head.weight, self.b.weight = self.embed.weight, self.a.weight

    def forward(self, x):
        return self.head(self.norm(self.b(self.a(self.embed(x)).relu())))


def test_a_model_sees_rounded_weights_and_stays_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    before, x = copy.deepcopy(model.state_dict()), torch.randn(5, 8)
    fake = with_fake_weights(model, 3)
    by_hand = copy.deepcopy(model)
    for layer in (by_hand[0], by_hand[2]):
        layer.weight.data = fake_quantize(layer.weight.data, 3)
    assert torch.equal(fake(x), by_hand(x))
    assert torch.equal(baked(fake)(x), by_hand(x))
    assert torch.equal(fake(x), by_hand(x))  # still
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert list(baked(fake).state_dict()) == list(before)
    assert fake.left_in_float == {}


def test_tied_weights_are_rounded_once_and_the_embedding_never_silently():
    torch.manual_seed(0)
    model = Tied()
    fake = with_fake_weights(model, 2)
    assert fake.left_in_float == {"embed.weight": "shared by Embedding and head"}
    assert torch.equal(fake.embed.weight, model.embed.weight)
    assert fake.a.parametrizations.weight.original is fake.b.parametrizations.weight.original
    assert sum(p.numel() for p in fake.parameters()) == sum(p.numel() for p in model.parameters())
    plain = baked(fake)
    assert plain.a.weight is plain.b.weight
    assert plain.head.weight is plain.embed.weight
    assert torch.equal(plain.a.weight, fake_quantize(model.a.weight, 2))
    asked = with_fake_weights(model, 2, include=["head"])
    assert set(asked.left_in_float) == {"a.weight"}
    assert torch.equal(asked.head.weight, fake_quantize(model.head.weight, 2))


def test_names_choose_layers_and_one_that_fits_none_is_refused():
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    fake = with_fake_weights(model, 3, exclude=["2"])
    assert fake.left_in_float == {"2.weight": "left out"}
    with pytest.raises(ValueError, match=r"exclude must fit layers of the model \(0, 2, …\); got 'last'"):
        with_fake_weights(model, 3, exclude=["last"])
    with pytest.raises(ValueError, match="no Linear"):
        with_fake_weights(model, 3, exclude=["*"])
    with pytest.raises(ValueError, match="group_size must divide"):
        with_fake_weights(model, 3, group_size=4)
    with pytest.raises(ValueError, match=r"quantization\.baked"):
        with_fake_weights(fake, 3)
    with pytest.raises(ValueError, match="with_fake_weights"):
        baked(model)


def test_a_single_layer_and_a_convolution_are_models_too():
    layer = nn.Linear(8, 3)
    assert torch.equal(baked(with_fake_weights(layer, 4)).weight, fake_quantize(layer.weight, 4))
    filters = nn.Sequential(nn.Conv2d(2, 3, 3))
    assert torch.equal(with_fake_weights(filters, 4)[0].weight, fake_quantize(filters[0].weight, 4))


def test_training_moves_the_weights_below_and_the_rounded_ones_stay_on_few_levels():
    x, y = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32), np.arange(200) % 2
    x[y == 1] += 1
    torch.manual_seed(0)
    fake = with_fake_weights(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), 1)
    with torch.no_grad():
        before = nn.functional.cross_entropy(fake(torch.tensor(x)), torch.tensor(y))
    models.fit(fake, x, y, epochs=20, lr=0.01)
    plain = baked(fake)
    with torch.no_grad():
        after = nn.functional.cross_entropy(plain(torch.tensor(x)), torch.tensor(y))
    assert after < before - 0.2
    assert all(len(row.abs().unique()) == 1 for row in plain[0].weight)
    assert len(fake[0].parametrizations.weight.original.abs().unique()) > 16
