import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from coursekit import data, models, runtime
from coursekit.models import networks


def test_mlp_has_the_lectures_parameter_count_and_keeps_the_global_seed():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    model = models.mlp((64, 128, 10))
    assert torch.equal(torch.rand(1), expected)
    assert sum(p.numel() for p in model.parameters()) == 64 * 128 + 128 + 128 * 10 + 10 == 9610


def test_mlp_leaves_the_gpus_seeds_alone_and_draws_what_the_global_seed_would(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = nn.Linear(4, 3)
    assert seeded.pop() == 5
    made = models.mlp((4, 3), seed=5)[0]
    assert not seeded
    assert torch.equal(made.weight, expected.weight)
    assert torch.equal(made.bias, expected.bias)


def test_same_seed_same_network_other_seed_another():
    x = data.digits().test.x
    same = [models.mlp(seed=1)(torch.from_numpy(x)) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], models.mlp(seed=2)(torch.from_numpy(x)))


@pytest.mark.parametrize("epochs", [1, 0])
def test_training_takes_one_thread_and_gives_the_others_back(monkeypatch, epochs):
    before, seen = torch.get_num_threads(), []
    real = networks.batch_orders
    monkeypatch.setattr(networks, "batch_orders", lambda *a: seen.append(torch.get_num_threads()) or real(*a))
    with runtime.threads(before + 1):
        for train in (
            lambda: models.fit(models.mlp((4, 2)), [[0] * 4], [0], epochs=epochs),
            lambda: models.fit_many((4, 2), [[0] * 4], [0], seeds=[0], epochs=epochs),
        ):
            with contextlib.suppress(ValueError):
                train()
            assert torch.get_num_threads() == before + 1
    assert seen == [1, 1]


def test_fit_learns_the_digits():
    digits = data.digits()
    model = models.mlp()
    history = models.fit(model, digits.train.x, digits.train.y, epochs=20)
    assert history.losses[-1] < history.losses[0] / 5
    assert (models.predict(model, digits.validation.x) == digits.validation.y).mean() > 0.93


@pytest.mark.parametrize("widths", [(64, 10), (64, 32, 10), (64, 24, 16, 10)])
def test_many_seeds_at_once_equal_separate_trainings(widths):
    digits = data.digits()
    x, y, seeds = digits.train.x[:200], digits.train.y[:200], (0, 7, 5)
    ensemble = models.fit_many(widths, x, y, seeds=seeds, epochs=3, batch_size=48)
    for index, seed in enumerate(seeds):
        alone = models.mlp(widths, seed=seed)
        models.fit(alone, x, y, epochs=3, batch_size=48, seed=seed)
        expected = alone(torch.from_numpy(digits.test.x)).detach()
        assert torch.allclose(ensemble.logits(digits.test.x)[index], expected, atol=1e-4)
        assert torch.allclose(ensemble.model(index)(torch.from_numpy(digits.test.x)), expected, atol=1e-4)


def test_ensemble_accuracy_is_the_mean_of_right_answers():
    digits = data.digits()
    ensemble = models.fit_many((64, 16, 10), digits.train.x, digits.train.y, seeds=range(3), epochs=2)
    expected = [
        (models.predict(ensemble.model(i), digits.test.x) == digits.test.y).mean()
        for i in range(len(ensemble))
    ]
    assert ensemble.accuracy(digits.test.x, digits.test.y) == pytest.approx(expected)


@pytest.mark.parametrize(("rows", "labels"), [(50, 1), (1, 50), (50, 49)])
def test_ensemble_accuracy_refuses_labels_that_do_not_fit(rows, labels):
    test, ensemble = data.digits().test, models.start_many((64, 10), [0, 1])
    with pytest.raises(ValueError, match=f"equally many rows; got {rows} and {labels}"):
        ensemble.accuracy(test.x[:rows], test.y[:labels])


class Fails(nn.Module):
    def forward(self, x):
        raise ZeroDivisionError("on purpose")


def test_predict_answers_in_eval_mode_and_puts_every_modules_mode_back():
    x = np.random.default_rng(0).standard_normal((200, 8))
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 4)).train()
    model[2].eval()  # as one does to hold its statistics
    modes = [module.training for module in model.modules()]
    first, again = models.predict(model, x), models.predict(model, x)
    assert [module.training for module in model.modules()] == modes == [True, True, True, False, True]
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(x).float()).argmax(-1).numpy()
    assert np.array_equal(first, expected)
    assert np.array_equal(again, expected)
    failing = nn.Sequential(nn.Linear(8, 8), Fails()).train()
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        models.predict(failing, x)
    assert all(module.training for module in failing.modules())


def test_predict_is_argmax_and_takes_lists_arrays_and_tensors():
    model, x = models.mlp((3, 4)), np.eye(3, dtype=np.float32)
    expected = model(torch.from_numpy(x)).argmax(-1).numpy()
    for form in (x, x.tolist(), torch.from_numpy(x)):
        assert np.array_equal(models.predict(model, form), expected)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": np.full((4, 64), np.nan)}, ValueError, "NaN"),
        ({"x": np.ones((4, 63))}, ValueError, "64 features"),
        ({"x": np.ones((5, 64))}, ValueError, "equally many"),
        ({"y": [0, 1, 2, 10]}, ValueError, "0 to 9"),
        ({"y": [0, 1, 2, 0.5]}, ValueError, "class numbers"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"batch_size": 2.0}, TypeError, "batch_size"),
        ({"lr": float("inf")}, ValueError, "lr"),
    ],
)
def test_fit_refuses_bad_input(change, error, says):
    arguments = {"x": np.ones((4, 64)), "y": [0, 1, 2, 3], "epochs": 1} | change
    x, y = arguments.pop("x"), arguments.pop("y")
    with pytest.raises(error, match=says):
        models.fit(models.mlp(), x, y, **arguments)
    with pytest.raises(error, match=says):
        models.fit_many((64, 10), x, y, seeds=[0], **arguments)


def test_models_refuse_impossible_shapes():
    with pytest.raises(ValueError, match="widths"):
        models.mlp((64,))
    with pytest.raises(ValueError, match="widths"):
        models.mlp((64, 0, 10))
    with pytest.raises(ValueError, match=r"nn\.Linear"):
        models.fit(nn.Sequential(nn.ReLU()), np.ones((1, 1)), [0])
    with pytest.raises(ValueError, match="seeds"):
        models.fit_many((64, 10), np.ones((1, 64)), [0], seeds=[])


def test_networks_trained_on_their_own_examples_equal_separate_trainings():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 60, 5, generator=generator)
    y = torch.randint(0, 4, (3, 60), generator=generator)
    seeds = [4, 5, 6]
    networks = torch.arange(3).unsqueeze(1)

    def loss(outputs, rows):
        assert [tuple(part.shape[2:]) for part in outputs] == [(7,), (4,)]
        assert (outputs[0] >= 0).all()
        logits = outputs[-1].flatten(0, 1)
        return functional.cross_entropy(logits, y[networks, rows].flatten(), reduction="sum") / rows.shape[1]

    start = models.start_many((5, 7, 4), seeds)
    before = [part.clone() for part in (*start.weights, *start.biases)]
    made = models.train_many(start, x, loss, seeds=seeds, epochs=4, batch_size=16)
    assert all(
        torch.equal(old, new) for old, new in zip(before, (*start.weights, *start.biases), strict=True)
    )
    for i, seed in enumerate(seeds):
        alone = models.mlp((5, 7, 4), seed)
        models.fit(alone, x[i], y[i], epochs=4, batch_size=16, seed=seed)
        torch.testing.assert_close(made.model(i)(x[i]), alone(x[i]), rtol=1e-4, atol=1e-4)


def test_masked_weights_stay_zero_and_extra_tensors_learn():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 5, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    start = models.start_many((5, 6, 3), [0, 1])
    start = models.Ensemble(start.weights, tuple(part + 5 for part in start.biases))  # no neuron is dead
    masks = [torch.rand(part.shape, generator=generator) < 0.5 for part in start.weights]
    masks[1][:, 0] = True  # and each is heard
    gain = torch.ones(1, requires_grad=True)

    def loss(outputs, rows):
        logits = gain * outputs[-1].flatten(0, 1)
        return functional.cross_entropy(logits, y[rows].flatten(), reduction="sum") / rows.shape[1]

    made = models.train_many(start, x, loss, seeds=[0, 1], epochs=3, masks=masks, extra=[gain])
    for weight, old, mask in zip(made.weights, start.weights, masks, strict=True):
        assert (weight[~mask] == 0).all()
        assert (weight[mask] != old[mask]).all()
    assert gain.item() != 1


def test_training_on_names_what_does_not_fit():
    start = models.start_many((5, 3), [0, 1])
    with pytest.raises(ValueError, match="one seed per network, 2; got 1"):
        models.train_many(start, np.ones((4, 5)), None, seeds=[0])
    with pytest.raises(ValueError, match=r"\[2, n, 5\] or \[n, 5\]; got \(3, 4, 5\)"):
        models.train_many(start, np.ones((3, 4, 5)), None, seeds=[0, 1])
    with pytest.raises(ValueError, match="equally many rows; got 4 and 3"):
        models.tune_many(start, np.ones((4, 5)), [0, 1, 0], seeds=[0, 1])
    with pytest.raises(ValueError, match="class numbers from 0 to"):
        models.tune_many(start, np.ones((4, 5)), [0, 1, 0, 9], seeds=[0, 1])


@pytest.mark.parametrize("left_by_an_interrupt", [torch.no_grad, torch.inference_mode])
def test_training_finds_gradients_whatever_ran_before(left_by_an_interrupt):
    x, y = torch.rand(8, 4), torch.arange(8) % 2
    expected, found = models.mlp((4, 3, 2)), models.mlp((4, 3, 2))
    models.fit(expected, x, y, epochs=2)
    many = models.fit_many((4, 3, 2), x, y, seeds=[0, 1], epochs=2)
    with left_by_an_interrupt():
        models.fit(found, x, y, epochs=2)
        again = models.fit_many((4, 3, 2), x, y, seeds=[0, 1], epochs=2)
        assert not torch.is_grad_enabled()
    for a, b in zip(
        [*expected.parameters(), *many.weights], [*found.parameters(), *again.weights], strict=True
    ):
        assert torch.equal(a, b)
