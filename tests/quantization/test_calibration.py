"""Calibration, AWQ, SmoothQuant and whole models: by their definitions and by brute force."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from coursekit import quantization
from coursekit.quantization import (
    awq,
    calibrate,
    fake_quantize,
    fold_scales,
    gptq,
    hessian,
    layer_inputs,
    observed,
    output_error,
    round_matrix,
    rounded,
    smoothed,
    smoothing_scales,
    with_rounded_inputs,
)


class Block(nn.Module):
    """A small language model: tied embedding, a norm with two readers, and a layer after them."""

    def __init__(self, outliers=1.0):
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 16), nn.Linear(16, 20, bias=False)
        self.norm = nn.RMSNorm(16)
        self.up, self.gate, self.down = nn.Linear(16, 32), nn.Linear(16, 32, bias=False), nn.Linear(32, 16)
        self.head.weight = self.embed.weight
        with torch.no_grad():
            self.norm.weight[3] *= outliers
            for layer in (self.up, self.gate):
                layer.weight[:, 3] /= outliers

    def forward(self, tokens, scale=1.0):
        x = self.embed(tokens) * scale
        y = self.norm(x)
        return self.head(x + self.down(self.up(y).relu() * self.gate(y)))


def block(seed=0, outliers=1.0):
    torch.manual_seed(seed)
    return Block(outliers).eval()


def tokens(seed=1, count=6):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 20, (4, 12), generator=generator) for _ in range(count)]


# Calibration


def test_the_hessian_is_the_mean_outer_product_added_up_in_float64():
    x = torch.randn(3, 5000, 6, generator=torch.Generator().manual_seed(0))  # more than one batch of tokens
    rows = x.reshape(-1, 6).double()
    assert torch.allclose(hessian(x), rows.T @ rows / len(rows), rtol=1e-12)
    found = observed(x)
    assert found.hessian.dtype == torch.float64
    assert found.tokens == 15000
    assert torch.allclose(found.mean, rows.abs().mean(0).float())
    assert torch.equal(found.largest, x.reshape(-1, 6).abs().amax(0))
    assert "15000 tokens of 6 inputs" in str(found)


def test_the_output_error_is_that_of_the_outputs():
    x, w = torch.randn(100, 6).double(), torch.randn(4, 6).double()
    rounded_ = w + 0.1 * torch.randn(4, 6)
    expected = (x @ (w - rounded_).T).square().mean() / (x @ w.T).square().mean()
    assert output_error(w, rounded_, hessian(x)) == pytest.approx(expected.item(), rel=1e-4)
    assert output_error(w, w, hessian(x)) == 0
    assert output_error(w, 0 * w, hessian(x)) == pytest.approx(1)
    with pytest.raises(ValueError, match="no output"):
        output_error(0 * w, w, hessian(x))


def test_layers_are_watched_as_they_are_called():
    model, batches = block(), tokens()
    found, inputs = calibrate(model, batches), layer_inputs(model, batches)
    assert list(found) == list(inputs) == ["up", "gate", "down"]
    x = model.embed(torch.cat(batches))
    y = model.norm(x).detach().reshape(-1, 16)
    assert torch.allclose(inputs["up"], y, atol=1e-6)
    hidden = (model.up(y).relu() * model.gate(y)).detach()
    for name, expected in (("up", y), ("gate", y), ("down", hidden)):
        assert found[name].tokens == len(y)
        assert torch.allclose(found[name].hessian, hessian(expected), rtol=1e-4, atol=1e-7)
        assert torch.equal(found[name].hessian, hessian(inputs[name])) or torch.allclose(
            found[name].hessian, hessian(inputs[name]), rtol=1e-12
        )
    assert torch.equal(found["up"].hessian, found["gate"].hessian)
    assert list(calibrate(model, batches, include=["*"])) == ["head", "up", "gate", "down"]
    assert list(calibrate(model, [(each, 2.0) for each in batches], exclude=["up", "gate"])) == ["down"]


def test_a_tensor_that_is_changed_between_two_layers_is_not_taken_for_the_same():
    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            first = self.a(x)
            x *= 2
            return first + self.b(x)

    found = calibrate(Changing(), [torch.ones(3, 4)])
    assert torch.allclose(found["b"].hessian, 4 * found["a"].hessian)


def test_layers_that_share_a_weight_are_watched_together():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    x = torch.randn(10, 4)
    found = calibrate(model, [x])
    assert list(found) == ["0"]
    both = torch.cat([x, model[0](x).relu().detach()])
    assert torch.allclose(found["0"].hessian, hessian(both), rtol=1e-5)


def hooks(model):
    return sum(len(part._forward_pre_hooks) + len(part._forward_hooks) for part in model.modules())


def test_hooks_and_modes_are_as_before_even_after_an_error():
    model = block().train()
    calibrate(model, tokens())
    assert hooks(model) == 0
    assert model.norm.training

    def failing():
        yield tokens()[0]
        raise RuntimeError("no more text")

    with pytest.raises(RuntimeError, match="no more text"):
        calibrate(model, failing())
    with pytest.raises(IndexError):
        layer_inputs(model, [torch.full((1, 2), 99)])
    assert hooks(model) == 0
    assert model.up.training


@pytest.mark.parametrize(
    ("error", "match", "batches", "names"),
    [
        (TypeError, "batches must be a list", torch.ones(2, 3), {}),
        (TypeError, "batches must be a list", None, {}),
        (ValueError, "at least one batch", [], {}),
        (ValueError, "include must fit layers", tokens(), {"include": ["nothing"]}),
        (TypeError, "include must be a list of texts", tokens(), {"include": "up"}),
    ],
)
def test_what_cannot_be_calibrated_is_refused(error, match, batches, names):
    with pytest.raises(error, match=match):
        calibrate(block(), batches, **names)


def test_layers_without_inputs_and_inputs_that_are_not_finite_are_refused():
    model = block()
    model.unused = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="unused was given no input"):
        calibrate(model, tokens())
    with pytest.raises(TypeError, match="batches must give 0 a Tensor to take"):
        calibrate(nn.Sequential(nn.Linear(2, 2)), [3])
    with pytest.raises(ValueError, match="inputs of 0 finite"):
        calibrate(nn.Sequential(nn.Linear(2, 2)), [torch.full((1, 2), torch.nan)])


# AWQ


def with_outliers(seed=0):
    torch.manual_seed(seed)
    x, w = torch.randn(400, 16) @ torch.randn(16, 16) * 0.3, torch.randn(8, 16)
    x[:, [2, 9]] *= 30
    w[:, [2, 9]] /= 30
    return w, x


def test_alpha_zero_is_plain_rounding_to_the_last_bit():
    w, x = with_outliers()
    for bits, group_size, symmetric in ((4, None, True), (3, 8, False), (1, 8, True)):
        found = awq(w, observed(x), bits, group_size, symmetric=symmetric, alphas=[0.0])
        plain = round_matrix(w, bits, group_size=group_size, symmetric=symmetric)
        assert torch.equal(found.dequantized(), plain.dequantized())
        assert found.errors == (output_error(w, plain.dequantized(), hessian(x)),)
        assert found.bits_per_weight == plain.bits_per_weight


def test_the_best_alpha_is_that_of_a_search_over_the_outputs_themselves():
    for seed in range(5):
        w, x = with_outliers(seed)
        found = awq(w, observed(x), 3, 8)
        errors = []
        for alpha in found.alphas:
            s = x.abs().mean(0) ** alpha
            s = s / (s.min() * s.max()).sqrt()
            w_hat = fake_quantize(w * s, 3, group_size=8) / s
            errors.append(((x @ (w - w_hat).T).square().mean() / (x @ w.T).square().mean()).item())
        assert np.allclose(found.errors, errors, rtol=1e-3)
        assert found.alpha == found.alphas[int(np.argmin(found.errors))]
        assert output_error(w, found.dequantized(), hessian(x)) == pytest.approx(min(found.errors), rel=1e-4)
        assert found.alpha > 0
        assert (found.scales.min() * found.scales.max()).item() == pytest.approx(1)
        assert min(found.errors) < 0.5 * found.errors[0]
        assert "without" in str(found)


def test_folded_into_the_norm_the_scales_change_nothing_but_a_rounding():
    model, x = block(outliers=20.0), tokens()
    before = model(x[0])
    scales = torch.linspace(0.2, 5, 16)
    folded = copy.deepcopy(model)
    fold_scales(folded.norm, [folded.up, folded.gate], scales)
    assert torch.allclose(folded(x[0]), before, atol=1e-6)
    assert torch.allclose(folded.norm.weight, model.norm.weight / scales)
    norm, layer = nn.LayerNorm(4), nn.Linear(4, 3)
    nn.init.normal_(norm.bias)
    chain, y = nn.Sequential(norm, layer), torch.randn(5, 4)
    out = chain(y)
    fold_scales(norm, [layer], [1.0, 2, 3, 4])
    assert torch.allclose(chain(y), out, atol=1e-6)
    first = nn.Linear(6, 4)
    chain, y = nn.Sequential(first, nn.ReLU(), layer), torch.randn(5, 6)
    out = chain(y)
    fold_scales(first, [layer], [1.0, 2, 3, 4])
    assert torch.allclose(chain(y), out, atol=1e-6)


def test_scales_that_do_not_fit_change_nothing():
    norm, layer = nn.LayerNorm(4), nn.Linear(4, 3)
    before = copy.deepcopy(layer.weight)
    for given, match in (
        ((norm, [layer], [1.0, 2, 3]), "norm must have a weight for each of the 3"),
        ((norm, [layer, nn.Linear(5, 2)], [1.0, 2, 3, 4]), "layers must have 4 inputs"),
        ((norm, [layer], [1.0, 2, 3, 0]), "scales must be more than 0"),
        ((nn.ReLU(), [layer], [1.0, 2, 3, 4]), "norm must have a weight"),
    ):
        with pytest.raises(ValueError, match=match):
            fold_scales(*given)
    assert torch.equal(layer.weight, before)
    assert torch.equal(norm.weight, torch.ones(4))


def test_calibrations_that_do_not_fit_are_refused():
    w, x = with_outliers()
    with pytest.raises(ValueError, match="calibration must be of the 16 inputs"):
        awq(w, observed(x[:, :8]), 4)
    with pytest.raises(ValueError, match="other than 0"):
        awq(w, observed(0 * x), 4)
    with pytest.raises(TypeError, match="calibration must be a Calibration"):
        awq(w, hessian(x), 4)
    with pytest.raises(ValueError, match="alphas"):
        awq(w, observed(x), 4, alphas=[0.5, 0.2])


# SmoothQuant


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_smoothed_model_computes_the_same(alpha):
    model, x = block(outliers=30.0).double(), tokens()
    calibration = calibrate(model, x)
    smooth = smoothed(model, calibration, alpha)
    assert (smooth(x[0]) - model(x[0])).abs().max() <= 1e-12
    in_float = smoothed(block(outliers=30.0), calibration, alpha)
    assert torch.allclose(in_float(x[0]), model(x[0]).float(), rtol=1e-6, atol=1e-5)
    after = calibrate(smooth, x)
    assert torch.equal(smooth.up.smoothing, smooth.gate.smoothing)
    stacked = torch.cat([model.up.weight, model.gate.weight]).abs().amax(0)
    expected = calibration["up"].largest ** alpha / stacked.float() ** (1 - alpha)
    assert torch.allclose(smooth.up.smoothing.float(), expected, rtol=1e-5)
    if alpha == 1:
        assert torch.allclose(after["up"].largest, torch.ones(16), atol=1e-5)
    if alpha == 0.5:  # inputs and weights have the same maxima then, column by column
        largest = torch.maximum(smooth.up.weight.abs().amax(0), smooth.gate.weight.abs().amax(0))
        assert torch.allclose(after["up"].largest, largest.float(), rtol=1e-4)
    assert hooks(model) == 0


def test_inputs_are_rounded_with_one_scale_for_the_tensor():
    layer, x = nn.Linear(6, 4), torch.randn(10, 6)
    by_call = with_rounded_inputs(nn.Sequential(layer), 4)
    assert torch.allclose(by_call(x), layer(fake_quantize(x, 4, None)), atol=1e-6)
    fixed = with_rounded_inputs(nn.Sequential(layer), 4, calibration=calibrate(nn.Sequential(layer), [x]))
    assert torch.allclose(fixed(x), by_call(x), atol=1e-6)
    assert torch.allclose(
        fixed(100 * x[:1]), fixed(x.abs().max() * x[:1].sign() * (x[:1].abs() > 0)), atol=1e-4
    )
    assert by_call(0 * x).isfinite().all()


def test_smoothing_takes_back_what_one_scale_for_all_inputs_costs():
    for seed in range(5):
        plain, spiked = block(seed), block(seed, outliers=30.0)
        text, other = tokens(seed), tokens(seed + 100)[0]
        calibration = calibrate(spiked, text)
        exact = plain(other)
        assert torch.allclose(spiked(other), exact, atol=1e-5)
        lost = [
            (with_rounded_inputs(each, 6)(other) - exact).square().mean().item()
            for each in (plain, spiked, smoothed(spiked, calibration))
        ]
        assert lost[1] > 3 * lost[0]
        assert lost[2] < 0.5 * lost[1]


def test_what_cannot_be_smoothed_is_refused():
    model, x = block(), tokens()
    calibration = calibrate(model, x)
    with pytest.raises(ValueError, match="alpha"):
        smoothed(model, calibration, 1.5)
    with pytest.raises(TypeError, match="calibration must be what calibrate returned"):
        smoothed(model, None)
    with pytest.raises(ValueError, match="calibration must name nn.Linear layers of model; got 'norm'"):
        smoothed(model, {"norm": calibration["up"]})
    with pytest.raises(ValueError, match="calibration must be of the 32 inputs"):
        smoothing_scales(model.down.weight, calibration["up"])
    with pytest.raises(ValueError, match="it lacks down"):
        with_rounded_inputs(model, calibration={"up": calibration["up"]}, include=["up", "down"])


# Whole models


METHODS = ["nearest", "clipped", "gptq", "awq", "nf4"]


@pytest.mark.parametrize("method", METHODS)
def test_each_layer_is_rounded_by_the_method_and_the_model_stays(method):
    model, text = block(), tokens()
    before = copy.deepcopy(model.state_dict())
    calibration = calibrate(model, text)
    found = rounded(model, 4, method=method, calibration=calibration)
    assert [layer.name for layer in found.layers] == ["up", "gate", "down"]
    by_hand = {
        "nearest": lambda n, w: round_matrix(w, 4),
        "clipped": lambda n, w: quantization.round_clipped(w, 4),
        "gptq": lambda n, w: gptq(w, calibration[n].hessian, 4),
        "nf4": lambda n, w: quantization.nf4(w),
    }
    for layer in found.layers:
        weight, got = before[f"{layer.name}.weight"], found.model.get_submodule(layer.name).weight
        if method != "awq":
            assert torch.equal(got, by_hand[method](layer.name, weight).dequantized())
        error = ((weight - got).square().sum() / weight.square().sum()).sqrt().item()
        assert layer.weight_error == pytest.approx(error, rel=1e-4)
        expected = output_error(weight, got.detach(), calibration[layer.name].hessian) ** 0.5
        assert layer.output_error == pytest.approx(expected, rel=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(found.model.embed.weight, model.embed.weight)
    assert found.left == {"embed.weight": "shared by Embedding and head"}
    assert "embed.weight stays in float: shared by Embedding and head" in str(found)


def test_layers_with_the_same_inputs_share_the_scales_of_awq():
    model, text = block(outliers=30.0), tokens()
    calibration = calibrate(model, text)
    found = rounded(model, 3, 8, method="awq", calibration=calibration)
    both = torch.cat([model.up.weight, model.gate.weight]).detach()
    joint = awq(both, calibration["up"], 3, 8)
    got = torch.cat([found.model.up.weight, found.model.gate.weight]).detach()
    assert torch.equal(got, joint.dequantized())


def test_the_report_counts_every_parameter_once():
    model = block()
    found = rounded(model, 4, 8)
    sizes = {"up": 512, "gate": 512, "down": 512}
    assert found.weights == sum(sizes.values())
    assert found.left_weights == sum(p.numel() for p in model.parameters()) - found.weights
    assert found.bits_per_weight == 6
    total = 6 * found.weights + 16 * found.left_weights
    assert found.bits_per_parameter == pytest.approx(total / (found.weights + found.left_weights))
    assert all(layer.output_error is None for layer in found.layers)
    mixed = rounded(model, {"up": 2, "gate": 4, "down": 8})
    assert [layer.bits_per_weight for layer in mixed.layers] == [3, 5, 8.5]
    assert mixed.bits_per_weight == pytest.approx((3 + 5 + 8.5) / 3)


def test_a_tied_output_is_rounded_once_and_only_where_it_is_asked_for():
    model = block()
    found = rounded(model, 4, include=["head", "up"])
    assert found.model.head.weight is found.model.embed.weight
    assert torch.equal(found.model.head.weight, round_matrix(model.head.weight, 4).dequantized())
    assert found.left == {"gate.weight": "left out", "down.weight": "left out"}
    assert [layer.name for layer in found.layers] == ["head", "up"]


@pytest.mark.parametrize("include", [["up"], ["head", "up"]])
def test_what_is_not_rounded_is_shared_only_where_it_is_asked_for(include):
    model = block()
    model.register_buffer("mean", torch.ones(3))
    before = copy.deepcopy(model.state_dict())
    apart, found = rounded(model, 4, include=include), rounded(model, 4, include=include, share=True)
    for name, tensor in model.state_dict(keep_vars=True).items():
        shared, copied = (one.model.state_dict(keep_vars=True)[name] for one in (found, apart))
        kept = name not in ("up.weight", *("head.weight", "embed.weight") * ("head" in include))
        assert (shared is tensor) == kept, name
        assert copied.data_ptr() != tensor.data_ptr()
        assert torch.equal(shared, copied)
        assert torch.equal(tensor, before[name])
    assert found.model.norm is not model.norm


def test_a_method_of_one_s_own_is_called_with_the_calibration():
    model, text = block(), tokens()
    calibration = calibrate(model, text)
    found = rounded(
        model,
        3,
        calibration=calibration,
        method=lambda w, c: gptq(w, c.hessian, 3, act_order=True, damping=0.1),
    )
    expected = gptq(model.up.weight, calibration["up"].hessian, 3, act_order=True, damping=0.1)
    assert torch.equal(found.model.up.weight, expected.dequantized())
    with pytest.raises(TypeError, match="method must return what has dequantized"):
        rounded(model, 3, method=lambda w, c: w)
    single = nn.Linear(4, 3)
    assert torch.equal(rounded(single, 4).model.weight, round_matrix(single.weight, 4).dequantized())


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("method must be one of nearest", {"method": "best"}),
        ("calibration must be given for gptq", {"method": "gptq"}),
        ("bits must be 4 for nf4", {"method": "nf4", "bits": 3}),
        ("axis must be 0", {"method": "clipped", "axis": None}),
        ("bits must have one entry for each layer", {"bits": {"up": 4}}),
        ("exclude must fit", {"exclude": ["lm_head"]}),
        ("it lacks up", {"calibration": {"down": observed(np.eye(32))}}),
        ("group_size", {"group_size": 5}),
    ],
)
def test_what_cannot_be_rounded_is_refused(match, arguments):
    with pytest.raises(ValueError, match=match):
        rounded(block(), **{"bits": 4, **arguments})
