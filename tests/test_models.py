import contextlib
import copy
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from coursekit import data, dynamic, models, runtime
from coursekit.models import ensembles
from coursekit.models import training as training_room
from coursekit.models.ensembles import picker


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
    real = training_room.batch_orders
    for room in (training_room, ensembles):
        monkeypatch.setattr(room, "batch_orders", lambda *a: seen.append(torch.get_num_threads()) or real(*a))
    with runtime.threads(before + 1):
        for train in (
            lambda: models.fit(models.mlp((4, 2)), [[0] * 4], [0], epochs=epochs),
            lambda: models.fit_many((4, 2), [[0] * 4], [0], seeds=[0], epochs=epochs),
        ):
            with contextlib.suppress(ValueError):
                train()
            assert torch.get_num_threads() == before + 1
    assert seen == [1, 1] * epochs


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
    with pytest.raises(ValueError, match="a parameter that learns; got Sequential"):
        models.fit(nn.Sequential(nn.ReLU()), np.ones((1, 2)), [0])
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


class Halved(torch.autograd.Function):
    """Rounds to halves and passes the gradient straight through: written another way than the package's."""

    @staticmethod
    def forward(ctx, weight):
        return torch.round(2 * weight) / 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Halving(nn.Module):
    def forward(self, weight):
        return Halved.apply(weight)


def test_layers_compute_with_what_they_see_and_the_weight_behind_it_learns():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 5, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    alone = models.mlp((5, 6, 3), 4)
    nn.utils.parametrize.register_parametrization(alone[0], "weight", Halving())  # the second layer as it is
    models.fit(alone, x, y, epochs=3, batch_size=16, seed=7)
    numbers = []

    def halved(layer, weight):
        numbers.append(layer)
        return Halved.apply(weight) if layer == 0 else weight

    start, plan = models.start_many((5, 6, 3), [4, 5]), models.Schedule(3, batch_size=16)
    made = models.tune_many(start, x, y, seeds=[7, 7], schedule=plan, seen_as=halved)
    torch.testing.assert_close(
        made.weights[0][0], alone[0].parametrizations.weight.original, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(made.weights[1][0], alone[2].weight, rtol=0, atol=1e-5)
    assert numbers == [0, 1] * (3 * 3)
    assert (made.weights[0] != start.weights[0]).any()
    plain = models.tune_many(start, x, y, seeds=[7, 7], schedule=plan)
    assert (made.weights[0] - plain.weights[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("seen_as", "error", "says"),
    [
        (1, TypeError, "seen_as must be callable with the layer's number and its weights; got 1"),
        (lambda layer, weight: weight[0], ValueError, r"seen_as must return a tensor of shape \(1, 3, 5\)"),
        (
            lambda layer, weight: None,
            ValueError,
            r"seen_as must return a tensor of shape \(1, 3, 5\); got None",
        ),
    ],
)
def test_what_layers_see_is_checked(seen_as, error, says):
    with pytest.raises(error, match=says):
        models.tune_many(
            models.start_many((5, 3), [0]), np.ones((3, 5)), [0, 1, 0], seeds=[0], seen_as=seen_as
        )


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


# Networks of one's own


def conv():
    parts = (
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.LayerNorm(64),
    )
    return nn.Sequential(*parts, nn.Linear(64, 3))


class Reader(nn.Module):
    """Two layers of attention over token ids."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(20, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.layers, self.out = nn.TransformerEncoder(layer, 2), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.layers(self.tokens(x)).mean(1))


def problem(kind, count=65):
    """Return a network of the reader's, and examples that a class mean can tell apart."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(count) % 3
    torch.manual_seed(0)
    if kind == "tokens":
        return Reader(), y[:, None] * 6 + torch.randint(0, 6, (count, 5), generator=generator), y
    if kind == "bag":
        model = nn.Sequential(nn.EmbeddingBag(20, 8), nn.Linear(8, 3))
        return model, y[:, None] * 6 + torch.randint(0, 6, (count, 5), generator=generator), y
    shape = (count, 1, 6, 6) if kind == "pictures" else (count, 4)
    x = torch.randn(shape, generator=generator) + y.view(-1, *[1] * (len(shape) - 1))
    if kind == "pictures":
        return conv(), x, y
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), x, y


KINDS = ("tokens", "bag", "pictures", "batchnorm")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [lambda x: x, lambda x: x.numpy(), lambda x: x.tolist()])
def test_a_network_of_ones_own_learns_and_predicts(kind, form):
    model, x, y = problem(kind)
    history = models.fit(model, form(x), form(y), epochs=25, lr=1e-2, batch_size=64)  # a last batch of one
    assert history.losses[-1] < 0.7 * history.losses[0]
    with torch.no_grad():
        expected = model(x).argmax(1).numpy()
    assert np.array_equal(models.predict(model, form(x)), expected)
    assert (expected == y.numpy()).mean() > 0.6
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_fitting_is_adam_on_cross_entropy_in_the_order_of_the_seed(kind):
    model, x, y = problem(kind, 60)
    alone = copy.deepcopy(model)
    models.fit(model, x, y, epochs=2, lr=1e-3, batch_size=20, seed=5)
    optimizer = torch.optim.Adam(alone.train().parameters(), lr=1e-3)
    orders = torch.Generator().manual_seed(5)
    with runtime.threads(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for _ in range(2):
            for rows in torch.randperm(60, generator=orders).split(20):
                optimizer.zero_grad()
                functional.cross_entropy(alone(x[rows]), y[rows]).backward()
                optimizer.step()
    for ours, theirs in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_fixes_dropout_too_and_disturbs_no_other_numbers(kind):
    _, x, y = problem(kind)
    made = []
    for before in (3, 4):
        model, *_ = problem(kind)
        torch.manual_seed(before)
        expected = torch.rand(1)
        torch.manual_seed(before)
        models.fit(model, x, y, epochs=2)
        assert torch.equal(torch.rand(1), expected)
        made.append(torch.cat([part.flatten() for part in model.parameters()]))
    assert torch.equal(*made)


def test_a_last_batch_of_one_joins_the_one_before_only_where_it_must():
    orders = [list(map(len, training_room.batches(torch.arange(n), 64, least))) for n, least in BATCHES]
    assert orders == [[64, 1], [65], [64, 2], [64], [1], [64, 65]]
    assert torch.equal(torch.cat(training_room.batches(torch.arange(129), 64, 2)), torch.arange(129))


BATCHES = ((65, 1), (65, 2), (66, 2), (64, 2), (1, 2), (129, 2))


def test_one_example_per_batch_is_too_few_for_batchnorm_and_the_model_stays_as_it_was():
    model, x, y = problem("batchnorm")
    before = copy.deepcopy(model.state_dict())
    for given, size in ((x, 1), (x[:1], 64)):
        with pytest.raises(ValueError, match="BatchNorm, which needs at least 2 examples per batch; got 1"):
            models.fit(model, given, y[: len(given)], batch_size=size)
        assert model.training
        assert all(map(torch.equal, model.state_dict().values(), before.values()))


def unchanged(model, call, says):
    """Check that the call is refused and leaves numbers and modes alone."""
    model.train()
    model[0].eval()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    with pytest.raises((TypeError, ValueError), match=says) as error:
        call()
    assert "\n" not in str(error.value)
    assert all(map(torch.equal, model.state_dict().values(), before.values()))
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"lr": -1.0}, "lr must be from 0"),
        ({"lr": 1e308}, "lr must be from 0 to 1e.30; got 1e.308"),
        ({"lr": 1e29}, "lr, 1e.29, .*too large: the training diverged in epoch 2"),
        ({"schedule": 3}, "schedule must be a models.Schedule; got int"),
        ({"schedule": models.Schedule(), "epochs": 5}, "schedule must come without epochs"),
    ],
)
def test_a_refused_training_changes_nothing(options, says):
    model, x, y = problem("batchnorm")
    unchanged(model, lambda: models.fit(model, x, y, **options), says)
    many = {key: value for key, value in options.items() if key != "seed"}
    if many:
        with pytest.raises((TypeError, ValueError), match=says.partition(" in epoch")[0]):
            models.fit_many((4, 8, 8, 3), x, y, seeds=[0, 1], **many)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (torch.zeros(4, 5), [0] * 4, "x must have 4 features per row"),
        (torch.zeros(4), [0] * 4, "x must hold the examples first"),
        (torch.zeros(4, 4), [0, 1, 2, 3], "y must hold class numbers from 0 to 2; got 0 to 3"),
        (torch.zeros(4, 4), [0, 1, 2, -100], "y must hold class numbers from 0 to 2; got -100"),
        (torch.zeros(4, 4), [0], "equally many rows; got 4 and 1"),
        (torch.zeros(4, 4), ["a", "b", "c", "d"], "y must be an array of numbers"),
        (torch.full((4, 4), torch.nan), [0] * 4, "x must be finite"),
        (torch.zeros(4, 4, device="meta"), [0] * 4, "x must be"),
        (torch.eye(4).to_sparse(), [0] * 4, "x must be"),
        ("text", [0] * 4, "x must be an array of numbers"),
        (None, [0] * 4, "x must be an array of numbers"),
    ],
)
def test_examples_that_do_not_fit_change_nothing(x, y, says):
    model, *_ = problem("batchnorm")
    unchanged(model, lambda: models.fit(model, x, y), says)


def test_many_networks_refuse_the_same_examples_by_name():
    for x in (torch.zeros(4, 4, device="meta"), torch.eye(4).to_sparse(), "text", None):
        with pytest.raises((TypeError, ValueError), match=r"\bx must be"):
            models.fit_many((4, 3), x, [0] * 4, seeds=[0])


def test_a_training_that_an_error_ends_midway_is_undone():
    model, x, y = problem("bag")
    x[-1] = 99  # beyond the vocabulary, and not among the first two examples
    unchanged(model, lambda: models.fit(model, x, y), "model cannot take x, int64 of shape .* to 99: ")


def test_what_was_learned_until_an_interrupt_stays():
    model, x, y = problem("batchnorm")
    before, seen = copy.deepcopy(model.state_dict()), []

    def stop(*_):
        seen.append(1)
        if len(seen) > 9:
            raise KeyboardInterrupt

    model.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        models.fit(model, x, y, batch_size=10)
    assert all(module.training for module in model.modules())
    assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])


@pytest.mark.parametrize("many", [False, True])
def test_a_schedule_stands_for_the_single_options(many):
    _, x, y = problem("batchnorm")
    plan, found = models.Schedule(epochs=3, lr=1e-2, batch_size=16, seed=7), []
    for how in ({"schedule": plan}, {"epochs": 3, "lr": 1e-2, "batch_size": 16}):
        if many:
            found.append(models.fit_many((4, 5, 3), x, y, seeds=[7], **how).weights[0])
        else:
            model = models.mlp((4, 5, 3))
            models.fit(model, x, y, **how, **({} if "schedule" in how else {"seed": 7}))
            found.append(model[0].weight)
    assert torch.equal(*found)
    with pytest.raises(FrozenInstanceError):
        plan.epochs = 4
    assert models.Schedule(np.int64(3), np.float32(0.5)) == models.Schedule(3, 0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_of_another_type_keeps_it(dtype):
    _, x, y = problem("batchnorm")
    model = models.mlp((4, 3)).to(dtype)
    if dtype != torch.float16:
        models.fit(model, x, y, epochs=1)
    assert model[0].weight.dtype == dtype
    with torch.no_grad():
        assert np.array_equal(models.predict(model, x), model(x.to(dtype)).argmax(1).numpy())


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (None, "model must be an nn.Module; got NoneType"),
        (nn.Linear, "model must be an nn.Module; got the class Linear"),
        (nn.Linear(4, 3, device="meta"), "model must hold numbers; Linear is on the meta device"),
        (nn.Linear(4, 3).requires_grad_(False), "must have a parameter that learns"),
        (nn.LSTM(4, 3), "must return its logits, a tensor .*got tuple"),
        (
            nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3))),
            r"must return logits.*got shape \(2, 2, 3\)",
        ),
        (nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), r"must return logits.*got shape \(2,\)"),
        (nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), "it ends in Softmax"),
        (nn.Sequential(nn.Linear(4, 1), nn.Sequential(nn.Sigmoid())), "it ends in Sigmoid"),
    ],
)
def test_what_gives_no_logits_is_not_trained(model, says):
    with pytest.raises((TypeError, ValueError), match=says):
        models.fit(model, torch.rand(6, 4), [0, 1, 0, 1, 0, 1])


def test_a_network_with_nan_is_not_trained():
    model = models.mlp((4, 3))
    model[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="model must hold finite numbers"):
        models.fit(model, torch.rand(3, 4), [0, 1, 2])


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ([torch.full((1, 3, 4), 2.0)], r"masks\[0\] must hold True and False, or 1 and 0"),
        ([torch.full((1, 3, 4), torch.nan)], r"masks\[0\] must hold True and False, or 1 and 0"),
        ([torch.ones(3, 4)], r"masks\[0\] must have the shape \(1, 3, 4\)"),
        ([], "masks must hold 1 masks, one per layer; got 0"),
        (["x"], r"masks\[0\] must be an array of True and False"),
    ],
)
def test_masks_are_yes_and_no(masks, says):
    start, x, y = models.start_many((4, 3), [0]), torch.rand(6, 4), [0, 1, 2] * 2
    with pytest.raises((TypeError, ValueError), match=says):
        models.tune_many(start, x, y, seeds=[0], masks=masks)
    held = torch.rand(1, 3, 4) < 0.5
    found = [models.tune_many(start, x, y, seeds=[0], masks=[m]).weights[0] for m in (held, held.float())]
    assert torch.equal(*found)
    assert not found[0][~held].any()


def test_many_needs_an_ensemble_and_two_classes():
    with pytest.raises(TypeError, match=r"start must be a models.Ensemble; got NoneType"):
        models.tune_many(None, [[0.0]], [0], seeds=[0])
    with pytest.raises(ValueError, match="at least 2 classes"):
        models.fit_many((4, 1), torch.rand(3, 4), [0, 0, 0], seeds=[0])


# Labels


def line(weight=3.0, bias=0.0):
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, weight)
    nn.init.constant_(layer.bias, bias)
    return layer


class Squashed(nn.Module):
    def __init__(self, squash):
        super().__init__()
        self.layer, self.squash = line(), squash

    def forward(self, x):
        return self.squash(self.layer(x)).reshape(-1, 1)


X = torch.tensor([[-2.0], [-1.0], [0.1], [2.0]])


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(line()),
        line(),
        nn.Sequential(line(), nn.Sigmoid()),
        nn.Sequential(nn.Sequential(line(), nn.Sequential(nn.Sigmoid())), nn.Identity()),
        Squashed(torch.sigmoid),
        Squashed(torch.tanh),
        Squashed(torch.sigmoid).requires_grad_(False),
        dynamic.quantize_dynamic(nn.Sequential(line(), nn.Sigmoid())),
        dynamic.quantize_dynamic(nn.Sequential(line())),
        line().double(),
        line().bfloat16(),
    ],
    ids=range(11),
)
def test_one_logit_gives_the_class_that_its_loss_means(model):
    assert models.predict(model, X).tolist() == [0, 0, 1, 1]
    assert models.predict(model, X[2:]).tolist() == [1, 1]
    assert models.predict(model, X[:1]).dtype == np.int64


def test_one_logit_is_trained_with_the_binary_loss():
    y, model = [0, 0, 1, 1], line(0.0, 0.0)
    alone = copy.deepcopy(model)
    models.fit(model, X, y, epochs=60, lr=0.1)
    optimizer, orders = torch.optim.Adam(alone.parameters(), lr=0.1), torch.Generator().manual_seed(0)
    for _ in range(60):
        rows = torch.randperm(4, generator=orders)
        optimizer.zero_grad()
        nn.BCEWithLogitsLoss()(alone(X[rows])[:, 0], torch.tensor(y)[rows].float()).backward()
        optimizer.step()
    torch.testing.assert_close(model.weight, alone.weight)
    assert models.predict(model, X).tolist() == y
    with pytest.raises(ValueError, match="y must hold class numbers from 0 to 1"):
        models.fit(model, X, [0, 0, 1, 2])


class Says(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: 10 * x[:, 0] + 5, r"got float32 of shape \(4,\)"),  # a value, or a score?
        (lambda x: x.reshape(4, 1, 1), r"got float32 of shape \(4, 1, 1\)"),
        (lambda x: x.expand(4, 3).unsqueeze(1), r"got float32 of shape \(4, 1, 3\)"),
        (lambda x: x[:2].expand(2, 3), r"got float32 of shape \(2, 3\) for 4 examples"),
        (lambda x: x.new_zeros(4, 0), r"got float32 of shape \(4, 0\)"),
        (lambda x: x.mean(), r"got float32 of shape \(\)"),
        (lambda x: x.expand(4, 3).long(), r"got int64 of shape \(4, 3\)"),
        (lambda x: x.expand(4, 3).to(torch.complex64), "got complex64"),
        (lambda x: (x, x), "a tensor .*got tuple"),
        (lambda x: {"logits": x}, "a tensor .*got dict"),
        (lambda x: x.numpy(), "a tensor .*got ndarray"),
        (lambda x: x.log().expand(4, 3), "2 of 4 examples have NaN"),
        (lambda x: torch.where(x > 0, x, -torch.inf).expand(4, 2), "2 of 4 examples have NaN, or only -inf"),
        (lambda x: x.softmax(1), "ends in Softmax over one class"),
    ],
)
def test_what_is_not_a_score_gives_no_label(answer, says):
    with pytest.raises((TypeError, ValueError), match=says):
        models.predict(Says(answer), X)


def test_labels_that_a_model_gives_itself_are_kept():
    assert models.predict(Says(lambda x: (x[:, 0] * 10).long()), X).tolist() == [-20, -10, 1, 20]
    assert models.predict(Says(lambda x: x[:, 0] > 0), X).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("x", [torch.zeros(3, 5), torch.zeros(3), torch.zeros(3, 4, 4), np.zeros((3, 0))])
def test_predict_names_the_width_that_fits(x):
    with pytest.raises(ValueError, match="x must|model must return scores|x is empty"):
        models.predict(models.mlp((4, 3)), x)
    with pytest.raises(ValueError, match="model cannot take x, float32 of shape|x is empty|x must"):
        models.predict(conv(), x)


@pytest.mark.parametrize("odd", ["", "nowhere", "meta", "cuda:99", 3, (), 10**400, np.zeros(2), nn.Linear])
def test_networks_start_on_a_device_of_this_machine(odd):
    with pytest.raises((TypeError, ValueError), match=r"^device must be a") as refused:
        models.start_many((4, 3), [0], odd)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_networks_start_where_they_are_told(device):
    assert models.start_many((4, 3), [0], device).weights[0].device.type == "cpu"


@pytest.mark.parametrize("size", [2**63, 10**400, 2**41])
def test_a_batch_is_no_larger_than_a_machine_could_count(size):
    with pytest.raises(ValueError, match=r"^batch_size "):
        models.Schedule(batch_size=size)


# What holds probabilities, or values, by other operations than a Sigmoid at the very end.
UNCLEAR = {
    "clamp": lambda z: torch.sigmoid(z).clamp(1e-6, 1 - 1e-6),
    "times": lambda z: torch.sigmoid(z) * 1.01,
    "plus": lambda z: torch.sigmoid(z) + 0.01,
    "cat": lambda z: torch.cat([torch.sigmoid(z), torch.sigmoid(z)], 1)[:, :1],
    "mean": lambda z: torch.sigmoid(z).mean(1, keepdim=True),
    "by hand": lambda z: 1 / (1 + torch.exp(-z)),
    "by tanh": lambda z: 0.5 * (1 + torch.tanh(z / 2)),
    "softmax column": lambda z: torch.cat([torch.zeros_like(z), z], 1).softmax(1)[:, [1]],
    "exp of logsigmoid": lambda z: torch.nn.functional.logsigmoid(z).exp(),
    "logsigmoid": lambda z: torch.nn.functional.logsigmoid(z),
    "times one": lambda z: torch.sigmoid(z) * 1.0,
    "cat of one": lambda z: torch.cat([torch.sigmoid(z)]),
    "detached": lambda z: torch.sigmoid(z).detach(),
    "without gradients": torch.no_grad()(lambda z: torch.sigmoid(z)),
    "in place": lambda z: z.sigmoid_().mul_(1.0),
    "into a view": lambda z: (z[:, 0].sigmoid_(), z)[1],
    "numpy": lambda z: torch.from_numpy(1 / (1 + np.exp(-z.detach().numpy()))),
    "data": lambda z: torch.sigmoid(z).data,
    "out": lambda z: torch.sigmoid(z.detach(), out=torch.empty(len(z), 1)),
}
FOUR = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])


def right_or_refused(predict):
    try:
        assert predict().tolist() == [0, 0, 1, 1]
    except ValueError as error:
        assert "no logits" in str(error)  # noqa: PT017
        assert "take the values" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("squash", UNCLEAR.values(), ids=UNCLEAR)
def test_one_column_of_something_else_gives_no_label_that_nobody_gave(squash):
    right_or_refused(lambda: models.predict(Squashed(squash), FOUR))
    model = Squashed(squash)
    with pytest.raises(ValueError, match="model must return logits; it ") as caught:
        models.fit(model, FOUR, [0, 0, 1, 1], epochs=1)
    assert "\n" not in str(caught.value)


class Table(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.table, self.after = nn.Embedding.from_pretrained(3 * FOUR), after

    def forward(self, ids):
        return self.after(self.table(ids))


@pytest.mark.parametrize("after", [torch.sigmoid, nn.Sigmoid(), nn.Identity()], ids=range(3))
def test_a_frozen_embedding_into_a_sigmoid_gives_the_right_labels(after):
    assert models.predict(Table(after), torch.arange(4)).tolist() == [0, 0, 1, 1]


KEPT = {
    "scaled": lambda z: z / 2.0,
    "sum": lambda z: z + 0.5 * z.squeeze(1)[:, None],
    "mean": lambda z: torch.cat([z, z], 1).mean(1, keepdim=True),
    "detached": lambda z: z.detach(),
    "batch norm": nn.BatchNorm1d(1),
    "dropout": nn.Dropout(),
    "without gradients": torch.no_grad()(lambda z: z * 1.0),
}


@pytest.mark.parametrize("after", KEPT.values(), ids=KEPT)
def test_logits_stay_logits_through_sums_and_reshapes(after):
    assert models.predict(Squashed(after).eval(), FOUR).tolist() == [0, 0, 1, 1]
    assert models.predict(Squashed(after).eval(), FOUR[:1]).tolist() == [0]
    assert models.predict(Squashed(after).eval(), FOUR[2:]).tolist() == [1, 1]


def test_one_long_training_stands_for_all_shorter_ones():
    digits = data.digits()
    x, y, seeds = digits.train.x[:150], digits.train.y[:150], (3, 1, 3)
    kept, running = {}, []

    def after(epoch, networks):
        kept[epoch] = networks.copy()
        running.append(networks)

    made = models.fit_many((64, 6, 10), x, y, seeds=seeds, epochs=4, batch_size=40, after=after)
    assert sorted(kept) == [1, 2, 3, 4]
    for epoch, found in kept.items():
        short = models.fit_many((64, 6, 10), x, y, seeds=seeds, epochs=epoch, batch_size=40)
        for ours, theirs in zip(
            (*found.weights, *found.biases), (*short.weights, *short.biases), strict=True
        ):
            assert torch.equal(ours, theirs)
            assert not ours.requires_grad
    assert all(torch.equal(one, other) for one, other in zip(made.weights, running[0].weights, strict=True))
    assert not torch.equal(kept[1].weights[0], made.weights[0])  # a copy stays as it was
    assert torch.equal(made.weights[0][0], made.weights[0][2])  # equal seeds, equal networks


def test_what_is_called_after_an_epoch_can_be_called_and_may_raise():
    x, y = np.ones((3, 2)), [0, 1, 0]
    with pytest.raises(TypeError, match="after"):
        models.fit_many((2, 2), x, y, seeds=[0], after=3)

    def stop(epoch, networks):
        raise LookupError(str(epoch))

    with pytest.raises(LookupError, match="^1$"):
        models.fit_many((2, 2), x, y, seeds=[0], after=stop)


@pytest.mark.parametrize("shared", [False, True])
def test_rows_are_picked_as_two_indices_would(shared):
    examples = torch.randn(1 if shared else 4, 9, 3, 2)
    examples = examples.expand(4, 9, 3, 2)
    rows = torch.randint(0, 9, (4, 5))
    assert torch.equal(picker(examples)(rows), examples[torch.arange(4).unsqueeze(1), rows])


def test_the_first_networks_of_an_ensemble_are_the_same_networks():
    all_of_them = models.start_many((5, 4, 3), [0, 1, 2])
    two = all_of_them.first(2)
    assert str(two) == "2 networks 5-4-3"
    x = torch.randn(7, 5)
    assert torch.equal(two.logits(x), all_of_them.logits(x)[:2])
    for count in (0, 4, 1.5):
        with pytest.raises((TypeError, ValueError), match="count"):
            all_of_them.first(count)


def test_what_optimizers_import_late_is_there_before_a_cell_makes_its_own():
    """An interrupt inside that import, in a cell, would leave a torch without optimizers behind."""
    program = "import sys; from coursekit import models; models.mlp; print('torch._dynamo' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True"]
