"""The checkers of notebook 07, pruning basics."""

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.exercises.answers import as_array, as_number, call, call_either, describe, said
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

Array = NDArray[Any]
MOST_PARAMETERS = 9610 // 4
LEAST_ACCURACY = 0.95
FEWEST_PARAMETERS = 100  # with fewer, the weights are not among them: quantized, or kept in another place
FP32_ASKED = "Hand in an FP32 network whose weights are all among its `parameters()`."
MANY_ZEROS = 0.1  # a share of the parameters that no training makes exactly zero
CLASSES = 10
CLOSE = 1e-6
DECIMALS = range(4, 13)  # of a rounded density; the last case tells even its smallest slips apart
ROUNDING = 1e-4  # of an output: float32 sums in another order
# Rows, columns, bytes of a number, of an index. The first tells rounding from a start that is missing.
CASES = ((64, 4096, 1, 8), (1024, 512, 4, 4), (300, 200, 1, 4), (100, 30, 4, 2))


def magnitude_prune(answer: Any) -> Verdict:
    """A function of weights and sparsity that returns the pruned weights."""
    for weights, sparsity in _matrices():
        result = arguments.to_numpy(call(answer, weights, sparsity))
        if getattr(result, "dtype", None) == np.bool_:
            return wrong(
                "That is a mask.", "Return the weights themselves, with zeros where the mask says so."
            )
        pruned = as_array(result, "the pruned matrix")
        if pruned.shape != weights.shape:
            return wrong(f"For weights of shape `{weights.shape}` your result has shape `{pruned.shape}`.")
        _check_values(pruned, weights)
        _check_places(pruned != 0, weights)
        _check_count(int((pruned == 0).sum()), weights, sparsity)
    _check_untouched(answer)
    return right("Exactly the number asked for, also where magnitudes tie.")


def break_even(answer: Any) -> Verdict:
    """A function of rows, columns, number_bytes and index_bytes that returns the density."""
    for case in CASES:
        found, expected = as_number(call(answer, *case), "the density"), _density(*case)
        if math.isclose(found, expected, rel_tol=CLOSE) or _rounds_to(found, expected):
            continue
        for value, message, hint in _density_mistakes(*case):
            if math.isclose(found, value, rel_tol=CLOSE):
                return wrong(message, hint)
        if abs(found - expected) * case[0] * case[1] < 1:
            return wrong("Close: you rounded.", "The exact share need not be a whole number of values.")
        return wrong(
            f"For {case} your density is {found:.6g}; CSR breaks even at {expected:.6g}.",
            "Write down the bytes of both, with a letter for how many values are stored, and set them equal.",
        )
    return right("The starts count, and the smaller the numbers, the fewer of them may stay.")


def remove_neurons(answer: Any) -> Verdict:
    """A function of w1, b1, w2, b2 and keep that returns the four smaller arrays."""
    for w1, b1, w2, b2, keep in _layers():
        result = call_either(answer, w1, b1, w2, b2, keep)
        if not isinstance(result, tuple | list) or len(result) != 4:
            return wrong("Your function should return four arrays: w1, b1, w2 and b2.")
        names = ("w1", "b1", "w2", "b2")
        parts = [as_array(part, name) for name, part in zip(names, result, strict=True)]
        _check_shapes(parts, w1, w2, keep)
        x = np.random.default_rng(5).normal(size=(20, w1.shape[1]))
        difference = _forward(x, *parts) - _forward(x, w1, b1, w2, b2)
        if np.abs(difference).max() > ROUNDING:
            return _wrong_outputs(parts, (w1, b1, w2, b2), keep, x)
    return right("Fewer neurons, the same outputs.")


def quarter(answer: Any) -> Verdict:
    """A network with at most 25 % of the parameters and at least 95 % right answers on validation."""
    from torch import nn

    if not isinstance(answer, nn.Module):
        return wrong(f"Your answer should be a network, but it is {describe(answer)}.")
    count = sum(parameter.numel() for parameter in answer.parameters())
    zeros = sum(int((parameter == 0).sum()) for parameter in answer.parameters())
    if count < FEWEST_PARAMETERS:
        return wrong("That network has next to no parameters that could be counted.", FP32_ASKED)
    share = _validation_accuracy(answer)
    said_so = f"{count:,} parameters, {100 * share:.1f} % right on validation"
    if count > MOST_PARAMETERS:
        masked = any("weight_mask" in name for name in answer.state_dict())
        if masked or zeros > MANY_ZEROS * count:
            return wrong(f"{said_so}: zeros are still parameters.", "Drop the neurons with `pruning.shrink`.")
        hint = f"A hidden neuron brings 64 + 1 + {CLASSES} parameters. How many neurons fit?"
        return wrong(f"{said_so}: at most {MOST_PARAMETERS:,} parameters are allowed.", hint)
    if share < LEAST_ACCURACY:
        hint = "Train the small network on, or prune in steps and train on after each."
        return wrong(f"{said_so}: small enough, but {100 * LEAST_ACCURACY:.0f} % are asked for.", hint)
    return right(f"{said_so}.")


@functools.cache
def _matrices() -> tuple[tuple[Array, float], ...]:
    """Return (weights, sparsity) of several shapes; one has ties, none has a zero."""
    rng = np.random.default_rng(7)
    lecture = np.array([[0.5, -0.1, 0.8], [0.02, -0.9, 0.03], [-0.7, 0.04, 0.6]])
    tied = np.array([[0.3, -0.1, 0.1, -0.4], [0.1, 0.2, -0.1, -0.2], [0.5, 0.1, -0.6, 0.7]])
    signed = np.array([-1.0, 0.95, -0.9, 0.85, -0.8, 0.1, -0.2, 0.3, 0.05, -0.15])
    deep = rng.normal(size=(2, 3, 5))
    cases = (
        (signed, 0.3),
        (lecture, 0.4),
        (lecture, 0.5),
        (deep, 0.8),
        (tied, 0.25),
        (deep, 0.0),
        (deep, 1.0),
    )
    return tuple((weights.astype(np.float32), sparsity) for weights, sparsity in cases)


def _check_values(pruned: Array, weights: Array) -> None:
    kept = pruned != 0
    if not np.allclose(pruned[kept], weights[kept], rtol=1e-5):
        raise Stop(
            wrong("Weights that stay have changed.", "Work on a copy, and set only the small ones to 0.")
        )


def _check_places(kept: Array, weights: Array) -> None:
    """Stop with a verdict if a weight went that is larger than one that stayed."""
    magnitudes = np.abs(weights)
    if kept.all() or not kept.any() or magnitudes[~kept].max() <= magnitudes[kept].min():
        return
    if weights[~kept].max() <= weights[kept].min():
        raise Stop(
            wrong("The most negative weights went.", "A weight is small if its magnitude is: `np.abs`.")
        )
    if magnitudes[~kept].min() >= magnitudes[kept].max():
        raise Stop(wrong("The largest weights went, not the smallest.", "Sort the other way round."))
    raise Stop(
        wrong(
            f"{weights[~kept][magnitudes[~kept].argmax()]:.3g} went, though a smaller weight stayed.",
            "Rank all weights of the array together, whatever its shape: `axis=None`, or flatten it first.",
        )
    )


def _check_count(zeros: int, weights: Array, sparsity: float) -> None:
    size = weights.size
    asked = round(sparsity * size)
    if zeros == asked:
        return
    message = f"At sparsity {sparsity:g} {zeros} of {size} weights are zero instead of {asked}."
    if len(np.unique(np.abs(weights))) < size:
        hint = "Some magnitudes are equal here, and a threshold takes all of them or none. Rank instead."
    elif zeros == asked + 1 and asked < sparsity * size:
        hint = f"`round` makes {asked} of {sparsity * size:g}; a threshold with `<=` takes one more."
    elif zeros == size - asked and abs(zeros - asked) > 1:
        hint = "That many should stay. Sparsity is the share that goes."
    elif zeros == int(sparsity * size):
        hint = "You cut the fraction off; `round` goes to the nearest."
    else:
        hint = "Take the first `round(sparsity * weights.size)` of the ranking."
    raise Stop(wrong(message, hint))


def _check_untouched(answer: Any) -> None:
    """Stop with a verdict if the function changes the array that it is given."""
    weights, sparsity = _matrices()[0]
    given = weights.copy()
    call(functools.partial(answer, given, sparsity))  # `call` would hand out a copy
    if not np.array_equal(given, weights):
        message = "The zeros are right, but a copy was asked for."
        raise Stop(wrong(message, "Your function changed the matrix that it was given: `.copy()` first."))


def _density(rows: int, columns: int, number: int, index: int) -> float:
    size = rows * columns
    return (size * number - (rows + 1) * index) / (number + index) / size


def _rounds_to(found: float, expected: float) -> bool:
    """Tell whether ``found`` is ``expected`` with fewer decimals, but enough to tell slips apart."""
    return any(math.isclose(found, round(expected, digits), rel_tol=1e-12) for digits in DECIMALS)


def _density_mistakes(rows: int, columns: int, number: int, index: int) -> list[tuple[float, str, str]]:
    """Return (value, message, hint) for the usual slips."""
    size, right_one = rows * columns, _density(rows, columns, number, index)
    dense = size * number

    def density(starts: int, each: float) -> float:
        return (dense - starts * index) / each / size

    return [
        (density(0, number + index), "The starts of the rows are missing.", "There are `rows + 1` of them."),
        (density(rows + 1, number), "The column indices are missing.", "Each value brings one along."),
        (density(rows, number + index), "One start is missing: the end of the last row.", "`rows + 1`."),
        (density(columns + 1, number + index), "You count a start per column.", "Compressed sparse *rows*."),
        (
            density(rows + 1, number + 2 * index),
            "You count two indices for each value.",
            "The row follows from the starts.",
        ),
        (1 - right_one, "That is the share of zeros.", "Density is the share of numbers that are not zero."),
        (100 * right_one, "That is per cent.", "Return a share between 0 and 1."),
        (right_one * size, "That is how many values are stored.", "Divide by how many numbers there are."),
        (_density(rows, columns, 4, index), "You count four bytes for a number.", "Use `number_bytes`."),
        (_density(rows, columns, number, 4), "You count four bytes for an index.", "Use `index_bytes`."),
    ]


@functools.cache
def _layers() -> tuple[tuple[Array, ...], ...]:
    """Return (w1, b1, w2, b2, keep); dead neurons have zero rows, and biases of both signs."""
    rng = np.random.default_rng(3)
    keep = np.array([True, False, True, True, False, False, True])
    cases = []
    for stays in (keep, ~keep, np.ones(7, dtype=bool)):
        w1, w2 = rng.normal(size=(7, 5)), rng.normal(size=(3, 7))
        b1, b2 = rng.choice([-1, 1], 7) * rng.uniform(0.3, 1, 7), rng.normal(size=3)
        b1[[1, 2]] = 0.7, -0.6  # each half has a dead neuron that speaks; -0.6 is silent
        b1[[3, 4, 5]] = 0.8, -0.5, 0.4
        w1[~stays] = 0
        cases.append((*(part.astype(np.float32) for part in (w1, b1, w2, b2)), stays))
    return tuple(cases)


def _forward(x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Array:
    return np.maximum(x @ w1.T + b1, 0) @ w2.T + b2


def _check_shapes(parts: list[Array], w1: Array, w2: Array, keep: Array) -> None:
    kept = int(keep.sum())
    expected = ((kept, w1.shape[1]), (kept,), (len(w2), kept), (len(w2),))
    for name, part, shape in zip(("w1", "b1", "w2", "b2"), parts, expected, strict=True):
        if part.shape == shape:
            continue
        message = f"`{name}` has shape `{part.shape}` instead of `{shape}`."
        if name == "w2" and part.shape == w2.shape:
            raise Stop(
                wrong(message, "The next layer still listens to the dead neurons: drop their columns.")
            )
        raise Stop(wrong(message, "A neuron is a row of `w1`, an entry of `b1` and a column of `w2`."))


def _wrong_outputs(parts: list[Array], given: tuple[Array, ...], keep: Array, x: Array) -> Verdict:
    w1, b1, w2, b2 = given
    dead, added = ~keep, parts[3] - b2
    change = np.abs(_forward(x, *parts) - _forward(x, *given)).max()
    message = f"The outputs change by up to {change:.2g}."
    constant = np.maximum(b1[dead], 0)
    folded = w2[:, dead] @ constant
    reasons: list[tuple[Any, str]] = [
        (0, "The dead neurons still output relu(b1). Where does that go?"),
        (w2[:, dead] @ b1[dead], "A negative bias does not pass the ReLU."),
        (-folded, "What the dead neurons added must be added, not taken off."),
        (constant.sum(), "Each constant arrives through its weight in `w2`."),
        (w2[:, keep] @ np.maximum(b1[keep], 0), "The neurons that stay need no folding: their outputs vary."),
        (w2 @ np.maximum(b1, 0), "Fold the dead neurons only."),
        (np.abs(w2[:, dead]) @ constant, "The weights in `w2` keep their signs."),
    ]
    if not (np.allclose(parts[0], w1[keep]) and np.allclose(parts[2], w2[:, keep])):
        return wrong(message, "The neurons kept are not those that `keep` names.")
    for value, hint in reasons:
        if np.allclose(added, value, atol=CLOSE):
            return wrong(message, hint)
    return wrong(message, "The new `b2` is the old one plus a constant for each output: see the formula.")


def _validation_accuracy(model: Any) -> float:
    """Return the share of right answers on validation; an odd network stops with a verdict."""
    import torch

    from coursekit import data

    parameter = next(model.parameters())
    x, y = data.digits().validation.tensors(parameter.device)
    was_training = model.training
    try:
        with torch.no_grad():
            logits = model.eval()(x.to(parameter.dtype))
    except Exception as error:  # a student's network may do anything
        raise Stop(wrong(f"The network raised `{said(error)}` on the validation pictures.")) from error
    finally:
        model.train(was_training)
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (len(y), CLASSES):
        raise Stop(wrong(f"The network returned shape `{shape}` instead of `{(len(y), CLASSES)}`."))
    return float((logits.argmax(1) == y).double().mean())


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "07-prune": magnitude_prune,
        "07-break-even": break_even,
        "07-fold": remove_neurons,
        "07-quarter": quarter,
    }
)
