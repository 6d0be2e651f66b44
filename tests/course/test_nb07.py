import copy
import math
import re
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from coursekit import data, exercises, models, pruning, timing
from coursekit.course.nb07 import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG, Stop

MASTER = Path(__file__).resolve().parents[2] / "notebooks/source/07-pruning-basics.py"


# Prune by hand


def ranked(weights, sparsity):
    pruned = weights.copy()
    order = np.argsort(np.abs(weights), axis=None)
    pruned.flat[order[: round(sparsity * weights.size)]] = 0
    return pruned


def ranked_backwards(weights, sparsity):  # takes other ones where magnitudes tie
    order = np.argsort(-np.abs(weights).ravel(), kind="stable")[::-1]
    mask = np.ones(weights.size)
    mask[order[: round(sparsity * weights.size)]] = 0
    return (weights * mask.reshape(weights.shape)).tolist()


def with_torch(weights, sparsity):
    weights = torch.from_numpy(weights)
    gone = weights.abs().flatten().topk(round(sparsity * weights.numel()), largest=False).indices
    return weights.flatten().index_fill(0, gone, 0.0).reshape(weights.shape)


def in_place(weights, sparsity):
    weights[np.unravel_index(np.argsort(np.abs(weights), axis=None), weights.shape)] *= np.arange(
        weights.size
    ) >= round(sparsity * weights.size)
    return weights


def in_place_with_torch(weights, sparsity):
    flat = torch.from_numpy(weights).view(-1)
    flat[flat.abs().argsort()[: round(sparsity * len(flat))]] = 0
    return weights


def with_pytorchs_own(weights, sparsity):
    layer = nn.Linear(1, 1)
    layer.weight = nn.Parameter(torch.from_numpy(weights))
    prune.l1_unstructured(layer, "weight", amount=round(sparsity * weights.size))
    return layer.weight


def by_rank(order, count):
    def pruned(weights, sparsity):
        result = weights.copy()
        result.flat[order(weights)[: count(sparsity, weights.size)]] = 0
        return result

    return pruned


def smallest_first(weights):
    return np.argsort(np.abs(weights), axis=None)


def rounded(sparsity, size):
    return round(sparsity * size)


def threshold(weights, sparsity):
    return np.where(np.abs(weights) < np.percentile(np.abs(weights), 100 * sparsity), 0, weights)


def ranked_threshold(weights, sparsity):
    count = round(sparsity * weights.size)
    if count == 0:
        return weights
    return np.where(np.abs(weights) <= np.sort(np.abs(weights), axis=None)[count - 1], 0, weights)


def percentile_and_what_lies_on_it(weights, sparsity):
    return np.where(np.abs(weights) <= np.percentile(np.abs(weights), 100 * sparsity), 0, weights)


def above_the_quantile(weights, sparsity):
    return weights * (np.abs(weights) > np.quantile(np.abs(weights), sparsity))


def per_row(weights, sparsity):
    rows = weights.reshape(-1, weights.shape[-1])
    return np.stack([ranked(row, sparsity) for row in rows]).reshape(weights.shape)


# Break-even


def density(rows, columns, number_bytes, index_bytes):
    size = rows * columns
    return (size * number_bytes - (rows + 1) * index_bytes) / (number_bytes + index_bytes) / size


def off(change):
    """Return the right density changed by ``change(rows, columns, number, index)``."""
    return lambda rows, columns, number, index: change(rows, columns, number, index)


def whole(rounding):
    return lambda r, c, n, i: rounding(density(r, c, n, i) * r * c) / (r * c)


def counted_up(rows, columns, number_bytes, index_bytes):
    dense, starts = rows * columns * number_bytes, (rows + 1) * index_bytes
    stored = next(k for k in range(rows * columns) if k * (number_bytes + index_bytes) + starts >= dense)
    return stored / (rows * columns)


# Fold


def folded(w1, b1, w2, b2, keep):
    return w1[keep], b1[keep], w2[:, keep], b2 + w2[:, ~keep] @ np.maximum(b1[~keep], 0)


def folded_with_torch(w1, b1, w2, b2, keep):
    w1, b1, w2, b2, keep = map(torch.from_numpy, (w1, b1, w2, b2, keep))
    return [w1[keep], b1[keep], w2[:, keep], b2 + w2[:, ~keep] @ torch.relu(b1[~keep])]


def folded_for_tensors(w1, b1, w2, b2, keep):  # raises TypeError for arrays
    return w1[keep], b1[keep], w2[:, keep], b2 + w2[:, ~keep] @ torch.relu(b1[~keep])


def folded_with_methods(w1, b1, w2, b2, keep):  # raises AttributeError for arrays
    return w1[keep], b1[keep], w2[:, keep], b2 + w2[:, ~keep] @ b1[~keep].clamp(min=0)


def folded_by_index(w1, b1, w2, b2, keep):
    order = np.flatnonzero(keep)[::-1]  # the order of the neurons does not matter
    b2 = b2.copy()
    for neuron in np.flatnonzero(~keep):
        b2 += w2[:, neuron] * max(b1[neuron], 0)
    return tuple(part.tolist() for part in (w1[order], b1[order], w2[:, order], b2))


def second_bias(change):
    def remove(w1, b1, w2, b2, keep):
        return w1[keep], b1[keep], w2[:, keep], change(w2, b1, b2, keep)

    return remove


def parts(*numbers):
    return lambda *args: tuple(folded(*args)[number] for number in numbers)


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("07-prune", ranked),
        ("07-prune", ranked_backwards),
        ("07-prune", with_torch),
        ("07-prune", with_pytorchs_own),
        ("07-break-even", density),
        ("07-break-even", lambda *case: torch.tensor([density(*case)], dtype=torch.float64)),
        ("07-break-even", lambda *case: np.float32(density(*case))),
        *[("07-break-even", lambda *case, d=d: round(density(*case), d)) for d in (4, 5, 6, 8)],
        ("07-fold", folded),
        ("07-fold", folded_with_torch),
        ("07-fold", folded_for_tensors),
        ("07-fold", folded_with_methods),
        ("07-fold", folded_by_index),
    ],
)
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("07-prune", threshold, "threshold"),
        ("07-prune", ranked_threshold, "threshold"),
        ("07-prune", by_rank(lambda w: np.argsort(w, axis=None), rounded), "most negative"),
        ("07-prune", by_rank(lambda w: smallest_first(w)[::-1], rounded), "largest weights went"),
        ("07-prune", by_rank(smallest_first, lambda s, n: int(s * n)), "cut the fraction off"),
        ("07-prune", by_rank(smallest_first, lambda s, n: n - round(s * n)), "That many should stay"),
        ("07-prune", by_rank(smallest_first, lambda s, n: round(s * n) + 1), "Take the first"),
        ("07-prune", by_rank(smallest_first, lambda s, n: math.ceil(s * n - 1e-6)), "`round` makes 4 of 4.5"),
        ("07-prune", by_rank(smallest_first, lambda s, n: int(s * n + 0.5)), "`round` makes 4 of 4.5"),
        ("07-prune", percentile_and_what_lies_on_it, "`<=` takes one more"),
        ("07-prune", above_the_quantile, "`<=` takes one more"),
        ("07-prune", per_row, "Rank all weights"),
        ("07-prune", in_place, "changed the matrix that it was given"),
        ("07-prune", in_place_with_torch, "changed the matrix that it was given"),
        ("07-prune", lambda w, s: ranked(w, s) != 0, "mask"),
        ("07-prune", lambda w, s: torch.from_numpy(ranked(w, s) != 0), "mask"),
        ("07-prune", lambda w, s: np.abs(ranked(w, s)), "have changed"),
        ("07-prune", lambda w, s: ranked(w, s).ravel(), "shape"),
        ("07-prune", 0.5, "a function"),
        ("07-break-even", off(lambda r, c, n, i: n / (n + i)), "starts of the rows are missing"),
        (
            "07-break-even",
            off(lambda r, c, n, i: (r * c * n - (r + 1) * i) / (r * c * n)),
            "indices are missing",
        ),
        ("07-break-even", off(lambda r, c, n, i: (r * c * n - r * i) / (n + i) / (r * c)), "One start"),
        (
            "07-break-even",
            off(lambda r, c, n, i: (r * c * n - (c + 1) * i) / (n + i) / (r * c)),
            "per column",
        ),
        (
            "07-break-even",
            off(lambda r, c, n, i: (r * c * n - (r + 1) * i) / (n + 2 * i) / (r * c)),
            "two indices",
        ),
        ("07-break-even", off(lambda *case: 1 - density(*case)), "share of zeros"),
        ("07-break-even", off(lambda *case: 100 * density(*case)), "per cent"),
        ("07-break-even", off(lambda r, c, n, i: density(r, c, n, i) * r * c), "how many values"),
        ("07-break-even", off(lambda r, c, n, i: density(r, c, 4, i)), "`number_bytes`"),
        ("07-break-even", off(lambda r, c, n, i: density(r, c, n, 4)), "`index_bytes`"),
        ("07-break-even", lambda *case: round(density(*case), 2), "your density is 0.11"),
        ("07-break-even", whole(round), "you rounded"),
        ("07-break-even", whole(math.floor), "you rounded"),
        ("07-break-even", whole(math.ceil), "you rounded"),
        ("07-break-even", counted_up, "you rounded"),
        ("07-break-even", off(lambda *case: 0.3), "set them equal"),
        ("07-break-even", off(lambda *case: "half"), "a number"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2), "still output"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2 + w2[:, ~k] @ b1[~k]), "does not pass"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2 - w2[:, ~k] @ relu(b1[~k])), "not taken off"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2 + relu(b1[~k]).sum()), "through its weight"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2 + w2[:, k] @ relu(b1[k])), "neurons that stay"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2 + w2 @ relu(b1)), "dead neurons only"),
        (
            "07-fold",
            second_bias(lambda w2, b1, b2, k: b2 + abs(w2[:, ~k]) @ relu(b1[~k])),
            "keep their signs",
        ),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2 + 1), "see the formula"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: b2 - w2[:, ~k] @ torch.relu(b1[~k])), "not taken off"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: np.maximun(b1, 0)), "no attribute"),
        ("07-fold", second_bias(lambda w2, b1, b2, k: torch.relu(b1) + "b"), "not numpy.ndarray"),
        ("07-fold", lambda w1, b1, w2, b2, k: (w1[k], b1[k], w2, b2), "drop their columns"),
        ("07-fold", lambda w1, b1, w2, b2, k: (w1, b1, w2, b2), "a row of `w1`"),
        ("07-fold", lambda w1, b1, w2, b2, k: folded(w1, b1, w2, b2, ~k), "shape"),
        (
            "07-fold",
            lambda w1, b1, w2, b2, k: (*folded(w1, b1, np.roll(w2, 1, 1), b2, k)[:3], b2),
            "not those that `keep` names",
        ),
        ("07-fold", parts(0, 1, 2), "four arrays"),
        ("07-fold", parts(0), "four arrays"),
        ("07-quarter", 0.97, "a network"),
        ("07-quarter", lambda x: x, "a network"),
    ],
)
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


@pytest.mark.parametrize(("weights", "sparsity"), checks._matrices())
def test_whoever_is_one_off_is_not_told_to_keep_what_should_go(weights, sparsity):
    asked = round(sparsity * weights.size)
    for zeros in (asked - 1, asked + 1):
        with pytest.raises(Stop) as stopped:
            checks._check_count(zeros, weights, sparsity)
        assert "should stay" not in str(stopped.value.verdict)


def blank(weights, sparsity): ...


def half_done(w1, b1, w2, b2, keep):
    return w1[keep], b1[keep], w2[:, keep], b2 + w2[:, ~keep] @ ...


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("07-prune", blank),
        ("07-break-even", lambda rows, columns, number_bytes, index_bytes: ...),
        ("07-fold", lambda w1, b1, w2, b2, keep: ...),
        ("07-fold", second_bias(lambda w2, b1, b2, k: torch.relu(b1[~k]) @ ...)),
        ("07-quarter", ...),
    ],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


def test_every_case_of_the_folding_has_a_dead_neuron_that_speaks_and_one_that_is_silent():
    for w1, b1, w2, _, keep in checks._layers()[:2]:
        assert not w1[~keep].any()
        assert (b1[~keep] > 0).any()
        assert (b1[~keep] < 0).any()
        assert np.abs(w2[:, ~keep] @ relu(b1[~keep])).max() > 0.1


@pytest.mark.parametrize("case", [(1024, 512, 4, 4), (300, 200, 1, 4), (64, 4096, 1, 8), (100, 30, 4, 2)])
def test_at_the_expected_density_both_formats_take_the_same_bytes(case):
    rows, columns, number, index = case
    stored = checks._density(*case) * rows * columns
    assert stored * (number + index) + (rows + 1) * index == pytest.approx(rows * columns * number)


def test_every_recognised_slip_in_the_density_can_be_told_from_the_right_answer():
    case = (64, 4096, 1, 8)
    values = [value for value, _, _ in checks._density_mistakes(*case)]
    assert len({float(f"{value:.5g}") for value in values}) == len(values)
    for value in values:
        assert value != pytest.approx(checks._density(*case), rel=1e-5)


# A quarter of the parameters


@pytest.fixture(scope="module")
def dense():
    model = models.mlp((64, 128, 10))
    models.fit(model, *data.digits().train.tensors("cpu"), epochs=10, batch_size=128, lr=5e-3)
    return model


@pytest.fixture(scope="module")
def small(dense):
    network = pruning.shrink(pruning.structured(dense, 1 - 31 / 128))
    models.fit(network, *data.digits().train.tensors("cpu"), epochs=20, batch_size=128, lr=5e-3)
    return network


class Wrapped(nn.Module):
    """A network of the student's own, with other names and a softmax at the end."""

    def __init__(self, network):
        super().__init__()
        self.hidden, self.out = copy.deepcopy(network[0]), copy.deepcopy(network[2])

    def forward(self, x):
        return functional.softmax(self.out(torch.relu(self.hidden(x))), dim=1)


class Convolution(nn.Module):
    """The same layers, the first as a convolution over the whole picture."""

    def __init__(self, network):
        super().__init__()
        hidden = network[0]
        self.look = nn.Conv2d(1, hidden.out_features, 8)
        self.look.weight.data = hidden.weight.detach().reshape(-1, 1, 8, 8).clone()
        self.look.bias.data = hidden.bias.detach().clone()
        self.out = copy.deepcopy(network[2])

    def forward(self, x):
        return self.out(torch.relu(self.look(x.reshape(-1, 1, 8, 8))).flatten(1))


@pytest.mark.parametrize(
    "form",
    [
        copy.deepcopy,
        Wrapped,
        Convolution,
        lambda m: copy.deepcopy(m).double(),
        lambda m: copy.deepcopy(m).requires_grad_(False),
        lambda m: nn.Sequential(*copy.deepcopy(m)[:2], nn.Dropout(0.5), copy.deepcopy(m)[2]).train(),
        lambda m: nn.Sequential(*copy.deepcopy(m), nn.LogSoftmax(1)),
        lambda m: torch.jit.trace(copy.deepcopy(m), torch.rand(2, 64)),
    ],
)
def test_small_networks_are_accepted_in_every_form(small, form):
    verdict = exercises.check("07-quarter", form(small))
    assert verdict.outcome == RIGHT, str(verdict)
    assert "2,335 parameters" in str(verdict)


def test_a_check_leaves_the_network_as_it_was(small):
    network = copy.deepcopy(small).train()
    exercises.check("07-quarter", network)
    assert network.training
    assert all(map(torch.equal, network.state_dict().values(), small.state_dict().values()))


class WeightsElsewhere(nn.Module):
    """A network that computes with another one, which is not registered, and has one parameter of its own."""

    def __init__(self, network):
        super().__init__()
        self.kept, self.factor = [copy.deepcopy(network)], nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.kept[0](x) * self.factor


def attached(model):
    model = copy.deepcopy(model)
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", amount=0.8)
    return model


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda m: m, "How many neurons fit"),
        (lambda m: pruning.apply(m, pruning.masks(m, 0.8)), "zeros are still parameters"),
        (attached, "zeros are still parameters"),
        (lambda m: pruning.structured(m, 0.8), "zeros are still parameters"),
        (lambda m: pruning.shrink(pruning.structured(m, 0.7)), "How many neurons fit"),
        (lambda m: pruning.shrink(pruning.structured(m, 0.95)), "Train the small network on"),
        (lambda m: models.mlp((64, 16, 10)), "Train the small network on"),
        (lambda m: models.mlp((64, 16, 4)), "returned shape"),
        (lambda m: models.mlp((32, 16, 10)), "raised"),
        (lambda m: nn.ReLU(), "no parameters"),
        (lambda m: WeightsElsewhere(m), "all among its `parameters()`"),
        (lambda m: torch.ao.quantization.quantize_dynamic(m, {nn.Linear}), "FP32 network"),
        (lambda m: (m, 0.97), "a network"),
        (lambda m: m.half(), "How many neurons fit"),
        (lambda m: m.state_dict(), "a network"),
    ],
)
def test_networks_that_miss_the_target_are_told_why(dense, answer, says):
    verdict = exercises.check("07-quarter", answer(dense))
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


# The notebook's own definitions


@pytest.fixture(scope="module")
def defined():
    """Return what the notebook's cells with definitions define; the masks and the GPU cell among them."""
    text = MASTER.read_text(encoding="utf-8")
    pattern = r"^def (?:global_masks|two_four|csr_times|compare_two_four|dropped)\b"
    cells = [cell for cell in text.split("\n# %%") if re.search(pattern, cell, re.MULTILINE)]
    names = {"np": np, "torch": torch, "nn": nn, "functional": functional, "warnings": warnings}
    names["copy"] = copy
    names |= {"pruning": pruning, "timing": timing, "models": models}
    for cell in cells:
        body = cell.partition("\n")[2]
        wanted = re.findall(r"^def .*?(?=^\S|\Z)", body, re.MULTILINE | re.DOTALL)
        for definition in wanted:
            exec(definition, names)
    return types.SimpleNamespace(**names)


@pytest.mark.parametrize("sparsity", [0.0, 0.31, 0.5, 0.9, 1.0])
def test_the_notebooks_masks_are_coursekits(defined, sparsity):
    model = models.mlp((64, 32, 10), seed=3)
    by_hand = defined.global_masks([model[0].weight, model[2].weight], sparsity)
    assert all(map(torch.equal, by_hand, pruning.masks(model, sparsity)))
    weight = torch.round(model[0].weight * 50)  # with ties
    assert torch.equal(defined.two_four(weight), pruning.two_four(weight))


def test_the_notebooks_csr_product_is_the_product(defined):
    weight = torch.randn(9, 7, generator=torch.Generator().manual_seed(1))
    weight[pruning.masks(weight, 0.6)[0].logical_not()] = 0
    weight[4] = 0
    csr, x = pruning.to_csr(weight), np.arange(7.0)
    y = defined.csr_times(csr.values().numpy(), csr.col_indices().numpy(), csr.crow_indices().numpy(), x)
    assert y == pytest.approx(weight.double().numpy() @ x, rel=1e-5)


def test_dropping_rows_changes_outputs_by_what_the_dead_neurons_said(defined):
    zeroed = pruning.structured(models.mlp((64, 16, 10), seed=2), 0.5)
    dead = (zeroed[0].weight == 0).all(dim=1)
    x = torch.rand(5, 64)
    missing = zeroed[2].weight[:, dead] @ torch.relu(zeroed[0].bias[dead])
    assert torch.allclose(defined.dropped(zeroed, ~dead)(x) + missing, zeroed(x), atol=1e-5)


def test_the_gpu_cell_measures_where_the_pattern_is_known_and_says_nothing_elsewhere(defined, monkeypatch):
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", lambda dense: dense.clone())
    timed = defined.compare_two_four(64, torch.device("cpu"))
    assert set(timed.measurements) == {"dense", "2:4"}
    assert timed.baseline == "dense"

    def unknown(dense):
        raise RuntimeError("not supported on this device")

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", unknown)
    assert defined.compare_two_four(64, torch.device("cpu")) is None


@pytest.mark.parametrize("digits", [4, 5, 6])
@pytest.mark.parametrize(
    "slip",
    [
        lambda r, c, n, i: (r * c * n - r * i) / (n + i) / (r * c),
        lambda r, c, n, i: n / (n + i),
        lambda r, c, n, i: (r * c * n - (c + 1) * i) / (n + i) / (r * c),
        lambda r, c, n, i: (r * c * n - (r + 1) * i) / (n + 2 * i) / (r * c),
        lambda r, c, n, i: 1 - density(r, c, n, i),
    ],
)
def test_a_slip_is_found_although_its_density_is_rounded(slip, digits):
    assert exercises.check("07-break-even", lambda *case: round(slip(*case), digits)).outcome == WRONG


@pytest.mark.parametrize("case", checks.CASES)
def test_no_hint_on_a_density_hides_another_or_the_right_one(case):
    values = [value for value, *_ in checks._density_mistakes(*case)] + [density(*case)]
    alike = {(a, b) for a in values for b in values if a is not b and math.isclose(a, b, rel_tol=1e-6)}
    assert not alike or case != checks.CASES[0]
