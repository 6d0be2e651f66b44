"""QAT against rounding: every number again, by an own rounding and an own training, one network at a time."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.utils import parametrize

from coursekit import data, models, quantization
from coursekit.quantization.aware import CLIPS, METHODS, AwareTraining, aware_training, round_many

SEEDS = (3, 4, 5)
BITS = (8, 2, 1)
PLAN = models.Schedule(2, 3e-3, 64)


def nearest(matrix, bits, clip=1.0):
    """Round a matrix row by row in numpy."""
    rows = np.asarray(matrix, np.float32)
    if bits == 1:
        return np.where(rows < 0, -1, 1) * np.abs(rows).mean(1, keepdims=True)
    last = 2 ** (bits - 1) - 1
    scale = clip * np.abs(rows).max(1, keepdims=True) / last
    return np.clip(np.rint(rows / scale), -last, last) * scale


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, bits):
        return torch.from_numpy(nearest(weight.detach().numpy(), bits)).to(weight.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Seen(nn.Module):
    def __init__(self, bits):
        super().__init__()
        self.bits = bits

    def forward(self, weight):
        return Straight.apply(weight, self.bits)


def rounded_alone(model, bits):
    with torch.no_grad():
        for layer in (part for part in model if isinstance(part, nn.Linear)):
            layer.weight.copy_(torch.from_numpy(nearest(layer.weight.numpy(), bits)))
    return model


def trained_alone(model, bits, seed, x, y):
    """Train one network with fake weights and round what comes out."""
    layers = [part for part in model if isinstance(part, nn.Linear)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", Seen(bits))
    models.fit(model, x, y, epochs=2, lr=3e-3, batch_size=64, seed=seed)
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return model


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture(scope="module")
def start(digits):
    return models.fit_many((64, 16, 10), digits.train.x, digits.train.y, seeds=SEEDS, epochs=4)


@pytest.fixture(scope="module")
def result(digits, start):
    parts = digits.train.x, digits.train.y, digits.test.x, digits.test.y
    return aware_training(start, *parts, seeds=SEEDS, bits=BITS, schedule=PLAN)


def right(model, split):
    return float((models.predict(model, split.x) == split.y).mean())


@pytest.mark.parametrize("bits", BITS)
def test_each_accuracy_is_that_of_one_network_alone(digits, start, result, bits):
    x, y = digits.train.x, digits.train.y
    for number, seed in enumerate(SEEDS):
        longer = start.model(number)
        models.fit(longer, x, y, epochs=2, lr=3e-3, batch_size=64, seed=seed)
        assert result.start[number] == right(start.model(number), digits.test)
        assert result.trained_on[number] == pytest.approx(right(longer, digits.test), abs=0.003)
        expected = {
            "ptq": rounded_alone(start.model(number), bits),
            "control": rounded_alone(longer, bits),
            "qat": trained_alone(start.model(number), bits, seed, x, y),
        }
        for method, model in expected.items():
            # A picture or three may fall on the other side: sums are taken in another order.
            found = result.accuracy(method, bits)[number]
            assert found == pytest.approx(right(model, digits.test), abs=0.009), method


def test_after_is_called_after_each_training_and_what_it_raises_goes_through(digits, start):
    few = digits.train.x[:64], digits.train.y[:64], digits.test.x[:10], digits.test.y[:10]
    told, plan = [], models.Schedule(1, 1e-3)
    told_so = functools.partial(told.append, 1)
    aware_training(start, *few, seeds=SEEDS, bits=(8, 2), schedule=plan, after=told_so)
    assert len(told) == 3

    def stop():
        told.append(1)
        raise KeyboardInterrupt

    told.clear()
    with pytest.raises(KeyboardInterrupt):
        aware_training(start, *few, seeds=SEEDS, bits=(8, 2), schedule=plan, after=stop)
    assert len(told) == 1
    with pytest.raises(TypeError, match="after must be callable without arguments"):
        aware_training(start, *few, seeds=SEEDS, after=3)


def test_differences_are_paired_and_in_points(result):
    for method, over in (("qat", "ptq"), ("qat", "control"), ("control", "ptq")):
        a, b = result.accuracy(method, 2), result.accuracy(over, 2)
        found = result.difference(2, method, over)
        low, high = stats.t.interval(0.95, len(a) - 1, 100 * (a - b).mean(), stats.sem(100 * (a - b)))
        assert (found.mean, found.low, found.high) == pytest.approx((100 * (a - b).mean(), low, high))
    mean, low, high = result.mean("qat", 1)
    values = 100 * result.accuracy("qat", 1)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values)))


def test_it_shows_pairs_and_conditions(result):
    text = str(result)
    assert "QAT − control" in text
    assert f"3 networks, {100 * result.start.mean():.1f} % before in float, trained on for 2 epochs" in text
    assert "<table>" in result._repr_html_()
    assert len(result) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.bits = ()


def test_rounding_many_is_rounding_each_and_keeps_the_networks(start):
    before = [weight.clone() for weight in start.weights]
    for bits in (16, 8, 4, 3, 2, 1):
        rounded = round_many(start, bits)
        for made, weight in zip(rounded.weights, start.weights, strict=True):
            for number in range(len(start)):
                np.testing.assert_allclose(made[number], nearest(weight[number], bits), atol=1e-6)
        assert rounded.biases is start.biases
    assert all(torch.equal(*pair) for pair in zip(before, start.weights, strict=True))


def test_clipping_takes_the_best_share_for_each_row(start):
    for bits in (4, 2):
        made = round_many(start, bits, clipped=True)
        for layer, weight in zip(made.weights, start.weights, strict=True):
            for rows, found in zip(weight.numpy(), layer.numpy(), strict=True):
                tried = np.array([((nearest(rows, bits, clip) - rows) ** 2).sum(1) for clip in CLIPS])
                np.testing.assert_allclose(((found - rows) ** 2).sum(1), tried.min(0), rtol=1e-4)
    plain, clipped = (round_many(start, 1, clipped=clipped).weights[0] for clipped in (False, True))
    assert torch.equal(plain, clipped)


def test_rows_of_zeros_stay_zero(start):
    weights = [weight.clone() for weight in start.weights]
    weights[0][0, 1] = 0
    for bits in (4, 1):
        for clipped in (False, True):
            made = round_many(start.replace(weights), bits, clipped=clipped).weights[0]
            assert not made[0, 1].any()
            assert torch.isfinite(made).all()


def test_the_course_finds_it_where_it_looks():
    assert quantization.aware_training is aware_training
    assert {field.name for field in dataclasses.fields(AwareTraining)} >= set(METHODS)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"start": models.mlp((64, 16, 10))}, TypeError, "start must be a models.Ensemble; got Sequential"),
        ({"start": models.start_many((64, 10), [0])}, ValueError, "start must hold at least 2 networks"),
        ({"bits": (4, 4)}, ValueError, r"bits must name each number once; got \(4, 4\)"),
        ({"bits": (0,)}, ValueError, "bits"),
        ({"bits": (17,)}, ValueError, "bits"),
        ({"seeds": (1,)}, ValueError, "seeds must hold one seed per network, 3; got 1"),
        ({"schedule": 3}, TypeError, "schedule must be"),
        ({"x_test": np.ones((5, 3))}, ValueError, "64 features"),
    ],
)
def test_bad_input_is_named(digits, start, change, error, says):
    given = {"start": start, "x": digits.train.x, "y": digits.train.y, "x_test": digits.test.x}
    given |= {"y_test": digits.test.y, "seeds": SEEDS, "bits": (2,), "schedule": PLAN, **change}
    with pytest.raises(error, match=says):
        aware_training(**given)


def test_what_was_not_measured_is_named(result, start):
    with pytest.raises(ValueError, match="bits must be one of 8, 2, 1; got 4"):
        result.accuracy("qat", 4)
    with pytest.raises(ValueError, match="method"):
        result.accuracy("other", 2)
    with pytest.raises(ValueError, match="networks must hold finite weights"):
        round_many(start.replace([weight / 0 for weight in start.weights]), 4)
