"""A row rounded column by column: each state again, by least squares, and the end by the package's GPTQ."""

import numpy as np
import pytest

from coursekit.quantization import error_steps, gptq

HANDLINGS = {"kept": 0, "handed on": -1, "wrong sign": 1}


def problem(columns=9, examples=60, seed=0):
    random = np.random.default_rng(seed)
    causes = random.normal(size=(examples, 3)) @ random.normal(size=(3, columns))
    x = (causes + 0.5 * random.normal(size=(examples, columns))) * random.uniform(0.5, 2, columns)
    return random.normal(size=columns), x, x.T @ x / examples


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_what_waits_is_what_least_squares_would_make_of_it(bits, act_order):
    row, x, products = problem()
    steps = error_steps(row, products, bits, act_order=act_order, damping=0)
    for done in range(1, len(row)):
        waits = steps.order[done:]
        fixed = steps.order[:done]
        wanted = x @ row - x[:, fixed] @ steps.states[done, fixed]
        best = np.linalg.lstsq(x[:, waits], wanted, rcond=None)[0]
        np.testing.assert_allclose(steps.states[done, waits], best, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_end_is_what_gptq_gives(handling, act_order, seed):
    row, _, products = problem(seed=seed)
    row = row.astype(np.float32)
    steps = error_steps(row, products, 3, handling=handling, act_order=act_order)
    made = gptq(row[None], products, 3, act_order=act_order, sign=HANDLINGS[handling])
    np.testing.assert_allclose(steps.states[-1], np.asarray(made.dequantized())[0], atol=1e-5)


def test_errors_are_those_of_the_output():
    row, x, products = problem()
    for handling in HANDLINGS:
        steps = error_steps(row, products, 3, handling=handling)
        expected = [np.mean((x @ state - x @ row) ** 2) / np.mean((x @ row) ** 2) for state in steps.states]
        np.testing.assert_allclose(steps.errors, expected, rtol=1e-9, atol=1e-15)
        assert steps.errors[0] == 0


def test_each_column_is_rounded_once_and_then_stays():
    row, _, products = problem()
    steps = error_steps(row, products, 3, act_order=True)
    assert steps.order.tolist() == np.argsort(-np.diag(products), kind="stable").tolist()
    assert len(steps) == len(row)
    for turn, column in enumerate(steps.order):
        later = steps.states[turn + 1 :, column]
        assert (later == later[0]).all()
        level = later[0] / steps.scale
        assert level == pytest.approx(round(level))
        assert abs(round(level)) <= 3
    alone = error_steps(row, products, 3, handling="kept")
    np.testing.assert_allclose(alone.states[-1], np.clip(np.rint(row / alone.scale), -3, 3) * alone.scale)
    assert (alone.states[4, 4:] == row[4:]).all()


def test_the_sign_decides_on_average():
    ratios = []
    for seed in range(40):
        row, _, products = problem(14, 200, seed)
        alone, right, wrong = (
            error_steps(row, products, 3, handling=handling).errors[-1] for handling in HANDLINGS
        )
        ratios.append((right / alone, wrong / alone))
    right, wrong = np.median(ratios, axis=0)
    assert right < 0.7
    assert wrong > 1.5


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"weights": [0.0, 0.0]}, ValueError, "weights must hold"),
        ({"weights": [[1.0, 2.0]]}, ValueError, "weights"),
        ({"weights": [1.0, float("nan")]}, ValueError, "weights"),
        ({"hessian": np.eye(3)}, ValueError, r"hessian must be \[2, 2\], as weights are \[2\]; got \(3, 3\)"),
        ({"hessian": [[1.0, 0.5], [0.0, 1.0]]}, ValueError, "hessian must be symmetric"),
        ({"hessian": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "hessian must be positive definite: use more"),
        ({"hessian": np.ones((2, 2)), "damping": 0}, ValueError, "or a larger damping; got damping 0"),
        ({"bits": 1}, ValueError, "bits"),
        ({"handling": "thrown away"}, ValueError, "handling"),
        ({"act_order": 1}, TypeError, "act_order"),
        ({"damping": -1}, ValueError, "damping"),
    ],
)
def test_bad_input_is_named(change, error, says):
    given = {"weights": [1.0, -0.4], "hessian": np.eye(2), "bits": 3, **change}
    with pytest.raises(error, match=says):
        error_steps(given.pop("weights"), given.pop("hessian"), given.pop("bits"), **given)
