"""The checkers of notebook E."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, as_integer, call, call_either
from coursekit.exercises.verdicts import Verdict, right, wrong

__all__ = ["CHECKERS"]

Array = NDArray[Any]

NUMBER = 4  # bytes
COUNTS = ((8192, 1_443_072), (7, 3), (1000, 0), (0, 500))
SHAPES: tuple[tuple[list[tuple[int, int]], int], ...] = (
    ([(256, 256), (128, 256), (256, 512)], 4),
    ([(512, 256)], 1),
    ([(10, 64)], 8),
)
ROWS, INPUTS, OUTPUTS, RANK = 5, 7, 6, 3
SCALES = (0.25, 1.0)
CLOSE = 3e-3  # of the largest: FP16 is good enough


def adam(answer: Any) -> Verdict:
    """A function of (learned, frozen) that returns the bytes of weights, gradients and Adam."""
    for learned, frozen in COUNTS:
        found = as_integer(call(answer, learned, frozen), "what your function returns")
        wanted = NUMBER * (4 * learned + frozen)
        if found != wanted:
            told = f"{learned:,} that learn and {frozen:,} frozen take {wanted:,} bytes, not {found:,}."
            return wrong(told, _adam_slip(found, learned, frozen))
    return right("Four numbers for each weight that learns, one for each that is frozen.")


def forward(answer: Any) -> Verdict:
    """A function of (x, W, A, B, s) that returns the answers of a layer with its adapter."""
    for seed, scale in enumerate(SCALES):
        x, weight, a, b = _layer(seed)
        found = as_array(call_either(answer, x, weight, a, b, scale), "what your function returns")
        wanted = x @ weight.T + scale * x @ a.T @ b.T
        if not _close(found, wanted):
            slips = {
                "That is the layer alone. What does the adapter add?": x @ weight.T,
                "That is the adapter alone. The layer goes on doing its work.": scale * x @ a.T @ b.T,
                "What happened to s?": x @ weight.T + x @ a.T @ b.T,
                "s belongs to the adapter only.": scale * (x @ weight.T + x @ a.T @ b.T),
                "Should the answers of single inputs be rows or columns?": wanted.T,
            }
            return _not_that("The answers are not W x + s · B (A x).", found, wanted, slips)
    return right("And where B is zero, it is the layer that it was.")


def parameters(answer: Any) -> Verdict:
    """A function of (shapes, r) that returns how many numbers learn."""
    for shapes, rank in SHAPES:
        found = as_integer(call(answer, list(shapes), rank), "what your function returns")
        wanted = sum(rank * (out + inputs) for out, inputs in shapes)
        if found != wanted:
            told = f"Layers of {shapes} have adapters of {wanted:,} numbers at rank {rank}, not {found:,}."
            return wrong(told, _parameters_slip(found, shapes, rank))
    return right("Proportional to the rank, and to the sum of a layer's sides instead of their product.")


def merge(answer: Any) -> Verdict:
    """A function of (W, A, B, s) that returns one matrix for both."""
    for seed, scale in enumerate(SCALES):
        _, weight, a, b = _layer(seed)
        found = as_array(call_either(answer, weight, a, b, scale), "what your function returns")
        wanted = weight + scale * b @ a
        if not _close(found, wanted):
            slips = {
                "What happened to s?": weight + b @ a,
                "That is the change alone: add it to W.": scale * b @ a,
                "That is W as it was.": weight,
                "s belongs to the adapter only.": scale * (weight + b @ a),
                "Is something to be taken away, or added?": weight - scale * b @ a,
                "W has the shape [out, in], and so has what takes its place.": wanted.T,
            }
            return _not_that(
                "This matrix does not do what layer and adapter do together.", found, wanted, slips
            )
    return right("One matrix of the old shape: whoever runs the model needs to know nothing of the adapter.")


def _adam_slip(found: int, learned: int, frozen: int) -> str:
    slips = {
        NUMBER * 3 * learned: "That is what learning adds. The weights themselves are there, too.",
        NUMBER * 4 * (learned + frozen): "A frozen weight has no gradient, and Adam keeps nothing for it.",
        NUMBER * (3 * learned + frozen): (
            "Adam keeps two numbers for each weight that learns, and the gradient is a third."
        ),
        4 * learned + frozen: "These are numbers. How many bytes has each?",
        NUMBER * 4 * learned: "The frozen weights are in memory as well.",
        NUMBER * (learned + frozen): "These are the weights. What does learning keep beside them?",
    }
    return slips.get(found, "Weight, gradient and two numbers of Adam's: which of them has a frozen weight?")


def _parameters_slip(found: int, shapes: Sequence[tuple[int, int]], rank: int) -> str:
    slips = {
        sum(out * inputs for out, inputs in shapes): "These are the numbers of the layers themselves.",
        sum(rank * out * inputs for out, inputs in shapes): (
            "A and B are two matrices: their sizes are added, not multiplied."
        ),
        sum(out + inputs for out, inputs in shapes): "What does the rank do?",
        sum(rank * inputs for _, inputs in shapes): "That is A. There is B as well.",
        sum(rank * out for out, _ in shapes): "That is B. There is A as well.",
        rank * sum(shapes[0]): "That is the first layer only.",
    }
    return slips.get(found, "A is [r, in] and B is [out, r]. How many numbers are both, over all layers?")


def _layer(seed: int) -> tuple[Array, Array, Array, Array]:
    draw = np.random.default_rng(seed)
    shapes = (ROWS, INPUTS), (OUTPUTS, INPUTS), (RANK, INPUTS), (OUTPUTS, RANK)
    x, weight, a, b = (draw.normal(size=shape) for shape in shapes)
    return x, weight, a, b


def _close(found: Array, wanted: Array) -> bool:
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, atol=CLOSE * np.abs(wanted).max()))


def _not_that(told: str, found: Array, wanted: Array, slips: Mapping[str, Array]) -> Verdict:
    named = next((hint for hint, value in slips.items() if _close(found, value)), "")
    if not named and found.shape != wanted.shape:
        named = f"It should have the shape {list(wanted.shape)}; yours has {list(found.shape)}."
    return wrong(told, named or "Compare with the formula, matrix by matrix: what stands left of what?")


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {"E-adam": adam, "E-forward": forward, "E-parameters": parameters, "E-merge": merge}
)
