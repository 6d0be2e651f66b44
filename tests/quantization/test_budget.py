"""Bits per layer under a budget, against exhaustive search."""

import itertools

import numpy as np
import pytest

from coursekit.quantization import allocate_bits, budget


def best(sensitivity, sizes, options, limit):
    """Return the least loss of all plans that keep to the budget."""
    plans = itertools.product(range(len(options)), repeat=len(sizes))
    total = sum(sizes)
    return min(
        sum(sensitivity[layer][pick] for layer, pick in enumerate(plan))
        for plan in plans
        if sum(sizes[layer] * options[pick] for layer, pick in enumerate(plan)) <= limit * total + 1e-9
    )


def problem(seed):
    rng = np.random.default_rng(seed)
    options = sorted(rng.choice(np.arange(1, 9), rng.integers(2, 5), replace=False).tolist())
    layers = int(rng.integers(1, 6))
    sizes = rng.integers(1, 50, layers).tolist()
    limit = rng.uniform(options[0], options[-1] + 0.5)
    # Falling with the bits as a rule, but not always: measured losses are noisy.
    losses = rng.exponential(size=(layers, len(options))) * 2.0 ** -np.array(options)
    return losses, sizes, options, limit


@pytest.mark.parametrize("seed", range(60))
def test_the_plan_is_the_best_of_all(seed):
    losses, sizes, options, limit = problem(seed)
    plan = allocate_bits(losses, sizes, options, limit)
    assert plan.loss == pytest.approx(best(losses, sizes, options, limit))
    assert plan.gap == 0
    picks = [options.index(each) for each in plan.bits]
    assert plan.loss == pytest.approx(sum(losses[layer][pick] for layer, pick in enumerate(picks)))
    assert plan.bits_per_weight == pytest.approx(np.average(plan.bits, weights=sizes))
    assert plan.bits_per_weight <= limit + 1e-9


@pytest.mark.parametrize("seed", range(60))
def test_where_the_search_is_too_large_the_gap_holds_the_best(seed, monkeypatch):
    monkeypatch.setattr(budget, "MOST_STATES", 0)
    losses, sizes, options, limit = problem(seed)
    plan = allocate_bits(losses, sizes, options, limit)
    least = best(losses, sizes, options, limit)
    assert plan.bits_per_weight <= limit + 1e-9
    assert least - 1e-12 <= plan.loss <= least + plan.gap + 1e-12
    if plan.gap:
        assert "within" in str(plan)


def test_a_model_of_two_hundred_layers_is_planned_exactly():
    rng = np.random.default_rng(0)
    sizes = rng.choice([331_776, 110_592, 884_736], 210).tolist()
    losses = rng.exponential(size=(210, 4)) * np.array([1.0, 0.2, 0.05, 0.001])
    plan = allocate_bits(losses, sizes, [2, 3, 4, 8], 3.5)
    assert plan.gap == 0
    assert 3.4 < plan.bits_per_weight <= 3.5
    assert "the best there is" in str(plan)


def test_equal_losses_take_fewer_bits():
    plan = allocate_bits([[1.0, 1.0], [1.0, 0.5]], [10, 10], [2, 4], 4)
    assert plan.bits == (2, 4)
    assert allocate_bits([[3.0, 1.0]], [10], [2, 4], 3.9).bits == (2,)
    assert allocate_bits([[3.0, 1.0]], [10], [2, 4], 1e308).bits == (4,)


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("budget must be at least the smallest of the options, 2; got 1.5", {"budget": 1.5}),
        ("sensitivity must be", {"sizes": [3]}),
        ("options must ascend", {"options": [4, 2]}),
        ("sizes", {"sizes": [0, 1]}),
        ("sensitivity must be finite", {"sensitivity": [[1.0, np.nan], [1.0, 0.5]]}),
    ],
)
def test_what_does_not_fit_is_refused(match, arguments):
    given = {"sensitivity": [[1.0, 0.5], [1.0, 0.5]], "sizes": [1, 2], "options": [2, 4], "budget": 3}
    with pytest.raises(ValueError, match=match):
        allocate_bits(**{**given, **arguments})
