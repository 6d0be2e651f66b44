"""Which series of runs come to rest: drawn at random, a hundred of each kind, and judged."""

import numpy as np
import pytest

from coursekit.timing.steadiness import DRIFTS, SETTLES, TWO_LEVELS, levels, steadiness

RUNS, SERIES = 200, 100
STEPS = np.arange(RUNS)
KINDS = {
    "bell curve": (SETTLES, lambda rng: 1 + 0.03 * rng.standard_normal(RUNS)),
    "skewed": (SETTLES, lambda rng: rng.gamma(9, 1, RUNS)),
    "even": (SETTLES, lambda rng: rng.uniform(1, 1.3, RUNS)),
    "strays": (SETTLES, lambda rng: 1 + 0.03 * rng.random(RUNS) + 5 * (rng.random(RUNS) < 0.06)),
    "slow start": (SETTLES, lambda rng: 1 + 0.03 * rng.standard_normal(RUNS) + 0.8 * np.exp(-STEPS / 5)),
    "drift": (DRIFTS, lambda rng: np.linspace(1, 1.2, RUNS) * (1 + 0.02 * rng.standard_normal(RUNS))),
    "getting faster": (
        DRIFTS,
        lambda rng: np.linspace(1.4, 1, RUNS) * (1 + 0.02 * rng.standard_normal(RUNS)),
    ),
    "another speed at the end": (
        DRIFTS,
        lambda rng: (
            np.where(STEPS < 140, 1, 1.15 + 0.3 * np.exp(-(STEPS - 140) / 15)) * rng.normal(1, 0.05, RUNS)
        ),
    ),
    "two at random": (TWO_LEVELS, lambda rng: rng.choice([1, 1.3], RUNS) * rng.normal(1, 0.01, RUNS)),
    "one jump": (TWO_LEVELS, lambda rng: np.where(STEPS < 80, 1, 1.3) * rng.normal(1, 0.02, RUNS)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_told_nearly_always(kind):
    expected, draw = KINDS[kind]
    rng = np.random.default_rng(5)
    told = [steadiness(draw(rng), 5).verdict for _ in range(SERIES)]
    assert told.count(expected) >= 0.97 * SERIES, {verdict: told.count(verdict) for verdict in told}


def test_the_levels_are_the_medians_on_both_sides():
    found = levels(np.r_[np.full(60, 1.0), np.full(140, 2.0)])
    assert found == pytest.approx((1.0, 2.0, 0.3))


def test_levels_within_the_tolerance_are_one():
    times = np.where(STEPS % 2, 1.0, 1.04)
    assert steadiness(times, 2).verdict == TWO_LEVELS
    assert steadiness(times, 5).verdict == SETTLES


@pytest.mark.parametrize(
    ("seconds", "tolerance", "says"),
    [
        ([1.0] * 9, 5, "10 or more times above 0"),
        ([1.0] * 9 + [0.0], 5, "above 0"),
        ([1.0] * 10, -1, "tolerance"),
    ],
)
def test_bad_input_is_named(seconds, tolerance, says):
    with pytest.raises(ValueError, match=says):
        steadiness(seconds, tolerance)
