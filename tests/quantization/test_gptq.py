"""GPTQ against elimination of rows and columns by hand, against exhaustive search, and against itself."""

import itertools

import numpy as np
import pytest
import torch

from coursekit.quantization import gptq, hessian, output_error, round_matrix


def problem(seed, rows=5, columns=8, tokens=200):
    """Return a weight and correlated inputs."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(tokens, columns)) @ rng.normal(size=(columns, columns))
    return rng.normal(size=(rows, columns)).astype(np.float32), mixed.astype(np.float32)


def by_elimination(weight, h, scale, last, order, damping, sign=-1):
    """Optimal brain quantization in a given order: all errors handed on, the inverse shrunk each time."""
    h = np.asarray(h, np.float64)
    inverse = np.linalg.inv(h + damping * np.mean(np.diag(h)) * np.eye(len(h)))
    now, rounded = weight.astype(np.float64), np.zeros(weight.shape)
    for i in order:
        steps = np.rint(now[:, i].astype(np.float32) / scale[:, i])
        rounded[:, i] = np.clip(steps, -last, last) * scale[:, i]
        error = now[:, i] - rounded[:, i]
        now += sign * np.outer(error, inverse[i] / inverse[i, i])
        inverse = inverse - np.outer(inverse[:, i], inverse[i]) / inverse[i, i]
    return rounded


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("columns", [3, 8, 150])  # more than one block of columns
def test_it_is_elimination_of_rows_and_columns(act_order, sign, columns):
    for seed in range(6):
        w, x = problem(seed, columns=columns, tokens=3 * columns)
        h = hessian(x).numpy()
        found = gptq(w, h, 3, act_order=act_order, sign=sign, damping=0.02)
        order = np.argsort(-np.diag(h), kind="stable") if act_order else range(columns)
        scale = np.broadcast_to(np.abs(w).max(1, keepdims=True) / np.float32(3), w.shape)
        expected = by_elimination(w, h, scale, 3, order, 0.02, sign)
        assert np.allclose(found.dequantized(), expected, atol=1e-5)


@pytest.mark.parametrize("group_size", [6, 24, 48])  # inside blocks of columns, across their borders
def test_a_group_s_scale_is_that_of_its_weights_when_their_turn_comes(group_size):
    w, x = problem(3, columns=144, tokens=400)
    h = hessian(x).numpy()
    inverse = np.linalg.inv(h + 0.01 * np.mean(np.diag(h)) * np.eye(144))
    now, expected = w.astype(np.float64), np.zeros(w.shape)
    for i in range(144):
        if i % group_size == 0:
            scale = np.abs(now[:, i : i + group_size]).max(1).astype(np.float32) / np.float32(7)
        expected[:, i] = np.clip(np.rint(now[:, i].astype(np.float32) / scale), -7, 7) * scale
        now -= np.outer(now[:, i] - expected[:, i], inverse[i] / inverse[i, i])
        inverse = inverse - np.outer(inverse[:, i], inverse[i]) / inverse[i, i]
    assert np.allclose(gptq(w, h, 4, group_size).dequantized(), expected, atol=1e-5)


@pytest.mark.parametrize("scheme", [{}, {"group_size": 4}, {"symmetric": False}])
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_with_independent_inputs_it_is_plain_rounding(scheme, act_order, bits):
    w, _ = problem(1)
    plain = round_matrix(w, bits, **scheme)
    independent = np.diag(np.arange(1.0, 9))
    for h, sign in ((np.eye(8), -1), (np.eye(8), 1), (independent, -1)):
        found = gptq(w, h, bits, act_order=act_order, sign=sign, **scheme)
        assert torch.equal(found.q, plain.q)
        assert torch.equal(found.dequantized(), plain.dequantized())
        assert found.bits_per_weight == plain.bits_per_weight


def test_handing_nothing_on_is_plain_rounding_whatever_the_inputs():
    w, x = problem(2)
    assert torch.equal(gptq(w, hessian(x), 3, sign=0).dequantized(), round_matrix(w, 3).dequantized())


def test_it_lies_between_plain_rounding_and_the_best_of_all_integers():
    lost = {"plain": [], "gptq": [], "best": []}
    for seed, columns in itertools.product(range(30), (2, 3)):
        w, x = problem(seed, rows=1, columns=columns)
        h = hessian(x)
        scale = np.abs(w).max() / np.float32(3)
        every = np.array(list(itertools.product(range(-3, 4), repeat=columns)), np.float32) * scale
        lost["best"].append(min(output_error(w, each[None], h) for each in every))
        lost["plain"].append(output_error(w, round_matrix(w, 3).dequantized(), h))
        lost["gptq"].append(output_error(w, gptq(w, h, 3, damping=0).dequantized(), h))
    assert all(np.array(lost["best"]) <= np.array(lost["gptq"]) + 1e-12)
    assert np.mean(lost["best"]) <= np.mean(lost["gptq"]) <= np.mean(lost["plain"])
    assert np.mean(lost["gptq"]) < 0.8 * np.mean(lost["plain"])


@pytest.mark.parametrize(
    "scheme", [{"bits": 4}, {"bits": 3, "group_size": 16}, {"bits": 2, "symmetric": False}]
)
def test_outputs_lose_less_than_by_plain_rounding_and_more_with_the_wrong_sign(scheme):
    for seed in range(5):
        w, x = problem(seed, rows=32, columns=64, tokens=2000)
        h = hessian(x)
        found = [gptq(w, h, sign=sign, **scheme) for sign in (-1, 0, 1)]
        found.append(gptq(w, h, act_order=True, **scheme))
        right, plain, wrong, ordered = (output_error(w, each.dequantized(), h) for each in found)
        assert right < plain < wrong
        assert ordered < plain


def test_a_singular_hessian_is_refused_with_the_remedy():
    w, x = problem(0)
    few = hessian(x[:5])
    with pytest.raises(ValueError, match=r"its rank is 5 of 8.*damping=0.01, or calibrate with more tokens"):
        gptq(w, few, 4, damping=0)
    dead = x.copy()
    dead[:, [2, 6]] = 0
    with pytest.raises(ValueError, match=r"2 of 8 inputs are always 0.*damping=0.01"):
        gptq(w, hessian(dead), 4, damping=0)
    with pytest.raises(ValueError, match="nothing but zeros"):
        gptq(w, np.zeros((8, 8)), 4)
    with pytest.raises(ValueError, match="singular"):
        gptq(w, few, 4, damping=1e-17)
    # A factor exists, but one pivot is lost in the rounding of the others.
    with pytest.raises(ValueError, match="its rank is 7 of 8"):
        gptq(w, np.diag([1.0] * 7 + [1e-18]), 4, damping=0)
    for h in (few, hessian(dead)):
        assert output_error(w, gptq(w, h, 4).dequantized(), h) < 0.1
    # A dead input is rounded as it is: nothing depends on it.
    plain = round_matrix(w, 4).q
    assert torch.equal(gptq(w, hessian(dead), 4).q[:, [2, 6]], plain[:, [2, 6]])


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("hessian must be \\[in, in\\] with in = 8", {"hessian": np.eye(7)}),
        ("hessian must be symmetric", {"hessian": np.triu(np.ones((8, 8)))}),
        ("no negative number", {"hessian": -np.eye(8)}),
        ("damping", {"damping": -0.1}),
        ("sign", {"sign": 2}),
        ("bits", {"bits": 0}),
        ("group_size", {"group_size": 3}),
    ],
)
def test_what_does_not_fit_is_refused(match, arguments):
    with pytest.raises(ValueError, match=match):
        gptq(**{"weight": problem(0)[0], "hessian": np.eye(8), "bits": 4, **arguments})


def test_neither_the_weight_nor_the_hessian_is_changed():
    w, x = problem(0)
    h = hessian(x).numpy()
    before = w.copy(), h.copy()
    gptq(w, h, 4, act_order=True)
    assert np.array_equal(w, before[0])
    assert np.array_equal(h, before[1])
