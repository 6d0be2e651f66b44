"""The checker of notebook 05's dynamic Linear in integers, with the mistakes that it recognises."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, call
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["MISTAKES", "Array", "Layer", "judge"]

# Of the largest output: far more than float rounding, far less than a step of an activation.
CLOSE = 1e-3
Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """What the student's function gets: x [n, in], int8 weight_q [out, in], its scale, bias [out], top."""

    x: Array
    weight_q: Array
    weight_scale: float
    bias: Array
    top: int

    def activations(self, low: float, high: float) -> tuple[Array, float, int]:
        """Return the activations as integers.

        Parameters
        ----------
        low : float
            Where the range begins, 0 or less.
        high : float
            Where it ends, 0 or more.

        Returns
        -------
        tuple of (ndarray, float, int)
            x_q [n, in], scale and zero point.
        """
        scale = (high - low) / self.top
        zero_point = int(np.clip(np.rint(-low / scale), 0, self.top))
        return np.clip(np.rint(self.x / scale) + zero_point, 0, self.top).astype(np.int64), scale, zero_point

    def output(self) -> Array:
        """Return y [n, out] by the five steps, in float64 after the integers.

        Returns
        -------
        ndarray
            y [n, out].
        """
        x_q, scale, zero_point = self.activations(min(0.0, self.x.min()), max(0.0, self.x.max()))
        return self._back((x_q - zero_point) @ self.weight_q.T.astype(np.int64), scale)

    def _back(self, total: Array, scale: float) -> Array:
        return total * (scale * self.weight_scale) + self.bias


def judge(answer: Any) -> Verdict:
    """Return what there is to say about a student's function of x, weight_q, weight_scale, bias and top.

    Parameters
    ----------
    answer : object
        A function of x, weight_q, weight_scale, bias and top.

    Returns
    -------
    Verdict
        The verdict.

    Raises
    ------
    Stop
        With the verdict, if the answer cannot be used.
    """
    for layer in _layers():
        expected = layer.output()
        arguments = layer.x, layer.weight_q, layer.weight_scale, layer.bias, layer.top
        y = as_array(call(answer, *arguments), "what your function returns")
        if y.shape != expected.shape:
            raise Stop(_wrong_shape(y, layer))
        if not _near(y, expected, expected):
            return _wrong_layer(y, layer)
    return right("The same outputs as the five steps in integers, for 7 and for 8 bits of activation.")


@functools.cache
def _layers() -> tuple[Layer, ...]:
    """Return three layers whose activations lie clear of ties, so that float rounding decides nothing."""
    rng = np.random.default_rng(5)
    mixed = _layer(rng, low=-40, top=127)
    return mixed, replace(_layer(rng, low=-90, top=255)), _layer(rng, low=30, top=127)


def _layer(rng: np.random.Generator, low: int, top: int, n: int = 4, inputs: int = 96) -> Layer:
    """Return a layer whose inputs are ``low`` to ``top`` + ``low`` steps large (up to ``top`` if low > 0)."""
    high = top + min(low, 0)
    steps = rng.integers(low, high + 1, (n, inputs)) + rng.uniform(-0.3, 0.3, (n, inputs))
    steps = np.clip(steps, low, high)
    steps[0, :2] = low, high
    weight_q = rng.integers(-128, 128, (3, inputs)).astype(np.int8)
    x = (steps * 0.0173).astype(np.float32)
    return Layer(x, weight_q, 0.0031, rng.normal(size=3).astype(np.float32), top)


def _near(y: Array, other: Array, expected: Array) -> bool:
    return bool(np.abs(y - other).max() <= CLOSE * np.abs(expected).max())


def _wrong_shape(y: Array, layer: Layer) -> Verdict:
    expected = len(layer.x), len(layer.weight_q)
    if y.shape == expected[::-1]:
        return wrong("Rows and columns are swapped.", "A row of y per row of x: `x_q @ weight_q.T`.")
    return wrong(f"y has shape `{y.shape}`, but `{expected}` is expected.", "One row per row of x.")


def _wrong_layer(y: Array, layer: Layer) -> Verdict:
    expected = layer.output()
    for mistaken, message, hint in MISTAKES:
        other = mistaken(layer)
        if not _near(other, expected, expected) and _near(y, other, expected):
            return wrong(message, hint)
    off = np.abs(y - expected).max()
    return wrong(
        f"With top={layer.top}, an output is off by {off:.3g}.",
        "Print x_q, scale and zero_point for a small x, and compare with the worked example above.",
    )


def _in_float(layer: Layer) -> Array:
    return layer.x @ (layer.weight_q * layer.weight_scale).T + layer.bias


def _symmetric(layer: Layer) -> Array:
    scale = np.abs(layer.x).max() / layer.top
    return layer._back(np.rint(layer.x / scale) @ layer.weight_q.T.astype(np.float64), scale)


def _widened(layer: Layer) -> tuple[Array, float, int]:
    return layer.activations(min(0.0, layer.x.min()), max(0.0, layer.x.max()))


def _zero_point_left_in(layer: Layer) -> Array:
    x_q, scale, _ = _widened(layer)
    return layer._back(x_q @ layer.weight_q.T.astype(np.int64), scale)


def _not_widened(layer: Layer) -> Array:
    x_q, scale, zero_point = layer.activations(layer.x.min(), layer.x.max())
    return layer._back((x_q - zero_point) @ layer.weight_q.T.astype(np.int64), scale)


def _not_clipped_zero_point(layer: Layer) -> Array:
    low, high = layer.x.min(), layer.x.max()
    scale = (high - low) / layer.top
    zero_point = np.rint(-low / scale)
    x_q = np.clip(np.rint(layer.x / scale) + zero_point, 0, layer.top)
    return layer._back((x_q - zero_point) @ layer.weight_q.T.astype(np.float64), scale)


def _no_bias(layer: Layer) -> Array:
    return layer.output() - layer.bias


def _total(layer: Layer) -> tuple[Array, float]:
    x_q, scale, zero_point = _widened(layer)
    return (x_q - zero_point) @ layer.weight_q.T.astype(np.int64), scale


def _no_scale(layer: Layer) -> Array:
    return _total(layer)[0] + layer.bias


def _no_activation_scale(layer: Layer) -> Array:
    return _total(layer)[0] * layer.weight_scale + layer.bias


def _no_weight_scale(layer: Layer) -> Array:
    total, scale = _total(layer)
    return total * scale + layer.bias


def _other_top(layer: Layer) -> Array:
    return replace(layer, top=382 - layer.top).output()  # 127 for 255 and the other way round


def _cut_off(layer: Layer) -> Array:
    _, scale, zero_point = _widened(layer)
    x_q = np.clip((layer.x / scale + zero_point).astype(np.int64), 0, layer.top)
    return layer._back((x_q - zero_point) @ layer.weight_q.T.astype(np.int64), scale)


def _wrapped_activations(layer: Layer) -> Array:
    x_q, scale, zero_point = _widened(layer)
    difference = (x_q - zero_point).astype(np.uint8)
    return layer._back(difference.astype(np.int64) @ layer.weight_q.T.astype(np.int64), scale)


def _wrapped_everything(layer: Layer) -> Array:
    x_q, scale, zero_point = _widened(layer)
    difference = (x_q - zero_point).astype(np.uint8)
    return layer._back((difference @ layer.weight_q.T).astype(np.int64), scale)  # uint8 @ int8 adds in int16


def _wrapped_sum(bits: type[np.integer]) -> Callable[[Layer], Array]:
    def mistaken(layer: Layer) -> Array:
        total, scale = _total(layer)
        return layer._back(total.astype(bits), scale)

    return mistaken


_WIDEN = "The range has to hold 0, so that a zero stays a zero: min(0, …) and max(0, …)."
_INT32 = "Turn both factors into int32 before you subtract and multiply."
MISTAKES: tuple[tuple[Callable[[Layer], Array], str, str], ...] = (
    (_in_float, "That is the float layer: the activations were never rounded.", "Steps 1 to 3 come first."),
    (
        _symmetric,
        "That is the symmetric scale max|x| / top. The library uses a zero point.",
        "The range from the smallest to the largest activation is cut into `top` steps.",
    ),
    (
        _zero_point_left_in,
        "The zero point is still in the integers when they are multiplied.",
        "x_q stands for (x_q - zero_point) steps.",
    ),
    (_not_widened, "With all activations above 0, the zero point does not fit.", _WIDEN),
    (_not_clipped_zero_point, "With all activations above 0, the range does not hold 0.", _WIDEN),
    (_no_bias, "The bias is missing.", "It is a float and is added at the very end."),
    (_no_scale, "These are still integers, with the bias added.", "An integer step is worth both scales."),
    (_no_activation_scale, "The scale of the activations is missing.", "One step is worth both scales."),
    (_no_weight_scale, "The scale of the weights is missing.", "One step is worth both scales."),
    (_other_top, "The largest integer is fixed in your code.", "Use `top`: it is 127 or 255."),
    (_cut_off, "The activations are cut off, not rounded.", "`astype(int)` drops the fraction; round first."),
    (_wrapped_activations, "Negative differences wrapped round: uint8 has no minus sign.", _INT32),
    (_wrapped_everything, "The sum ran over: uint8 and int8 cannot hold it.", _INT32),
    (_wrapped_sum(np.int16), "The sum ran over: int16 ends at 32,767.", _INT32),
    (_wrapped_sum(np.int8), "The sum ran over: int8 ends at 127.", _INT32),
)
