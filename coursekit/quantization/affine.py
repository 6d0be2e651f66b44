"""Affine quantization by hand: value = (q - zero_point) * scale, per tensor, per channel or per group.

The arithmetic is float32 and ties go to the even integer, as in ONNX's QuantizeLinear: equal integers.
PyTorch multiplies by the rounded 1 / scale instead of dividing: within a rounding of a tie it may be 1 off.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display

__all__ = [
    "ROUNDING",
    "FloatArray",
    "Quantized",
    "ScaleSearch",
    "best_scale",
    "levels_of",
    "nearest",
    "quantize",
    "sqnr",
]

FloatArray = NDArray[np.float32]

# Every value comes back within scale / 2 + ROUNDING * max|x| (the largest of its tensor, channel or group):
# float32 rounds the scale, the quotient, the zero point's quotient and the product, each by at most 2**-24.
ROUNDING = 2.0**-21
RATIOS = (0.05, 1.0)
MOST_STEPS = 1_000_000  # each looks at all values
_TINY = float(np.finfo(np.float32).smallest_normal)
_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True, repr=False, eq=False)
class Quantized(display.Tabled):
    """Integers and what turns them back into numbers.

    ``q`` has the shape of the input. ``scale`` (float32) and ``zero_point`` (int32) have shape () per tensor,
    1 in every dimension but ``axis`` per channel, and one entry per group in the last dimension per group.
    """

    q: NDArray[np.integer]
    scale: FloatArray
    zero_point: NDArray[np.int32]
    bits: int
    symmetric: bool
    axis: int | None = None
    group: int | None = None

    @property
    def levels(self) -> tuple[int, int]:
        """The smallest and the largest integer that these bits allow."""
        return levels_of(self.bits, self.symmetric, self.q.dtype.kind == "i")

    @property
    def steps(self) -> FloatArray:
        """The scale of each value, in the shape of ``q``: half of it bounds the value's error."""
        return np.broadcast_to(_per_value(self.scale, self.group), self.q.shape)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value that can be stored (over all channels or groups)."""
        scale = self.scale.astype(np.float64)
        low, high = ((level - self.zero_point) * scale for level in self.levels)
        return float(low.min()), float(high.max())

    @property
    def nbytes(self) -> int:
        """Bytes when packed: ``bits`` per value, 4 per scale and, if asymmetric, 1 or 2 per zero point."""
        per_scale = 4 if self.symmetric else 4 + self.q.itemsize
        return -(-self.q.size * self.bits // 8) + per_scale * self.scale.size

    def dequantize(self) -> FloatArray:
        """Return (q - zero_point) * scale as float32, in the shape of ``q``.

        Returns
        -------
        FloatArray
            The numbers.
        """
        # int32 first: int8 - zero_point would wrap around with numpy 1.
        steps = self.q.astype(np.int32) - _per_value(self.zero_point, self.group)
        return _restore(steps.astype(np.float32), _per_value(self.scale, self.group))

    def error(self, x: Any) -> FloatArray:
        """Return x - dequantize().

        Parameters
        ----------
        x : object
            What was quantized.

        Returns
        -------
        FloatArray
            Of the shape of ``x``.

        Raises
        ------
        ValueError
            Unless ``x`` has the shape that was quantized.
        """
        values = arguments.array("x", x)
        if values.shape != self.q.shape:
            raise ValueError(f"x must have the shape that was quantized, {self.q.shape}; got {values.shape}")
        return values - self.dequantize()

    def _table(self) -> display.Table:
        where = f"per group of {self.group}" if self.group else "per tensor"
        where = where if self.axis is None else f"per channel (axis {self.axis})"
        low, high = (display.significant(value) for value in self.range)
        sign = "signed" if self.q.dtype.kind == "i" else "unsigned"
        scheme = f"{'symmetric' if self.symmetric else 'asymmetric'}, {where}"
        facts = [
            ("bits", f"{self.bits} ({sign}, {self.levels[0]} to {self.levels[1]})"),
            ("scheme", scheme),
            ("scales", str(self.scale.size)),
            ("size", display.size(self.nbytes)),
            ("range", f"{low} to {high}"),
        ]
        return display.Table(("quantized", f"{self.q.size} values"), facts, facts=True)


@dataclass(frozen=True, repr=False, eq=False)
class ScaleSearch(display.Shown):
    """The best symmetric scale: ``ratio`` is scale / (max|x| / Q), ``curve`` the error per ratio tried."""

    scale: float
    ratio: float
    mse: float
    bits: int
    ratios: NDArray[np.float64]
    curve: NDArray[np.float64]

    def __str__(self) -> str:
        scale, mse = display.significant(self.scale), display.significant(self.mse)
        return f"{self.bits} bits: scale {scale} = {self.ratio:.2f} of max/Q, mean squared error {mse}"


def quantize(
    x: Any,
    bits: int = 8,
    *,
    symmetric: bool = True,
    axis: int | None = None,
    group: int | None = None,
    signed: bool = True,
    scale: Any = None,
) -> Quantized:
    """Return ``x`` as integers: q = clip(rint(x / scale) + zero_point), in float32, ties to the even integer.

    Parameters
    ----------
    x : array_like
        Finite numbers of any shape.
    bits : int
        2 to 16; 1 to 16 if asymmetric.
    symmetric : bool
        Scale max|x| / (2**(bits-1) - 1) and zero point 0. Else the range, widened to include 0, over
        2**bits - 1 steps.
    axis : int, optional
        One scale for every index of this axis, in place of one for all.
    group : int, optional
        One scale for so many neighbours along the last axis.
    signed : bool
        Integers from -2**(bits-1) to 2**(bits-1) - 1; else from 0 to 2**bits - 1, if asymmetric.
    scale : array_like, optional
        Replaces the computed one; what lies outside is clipped. The zero point stays where the data's range
        puts it. All zeros get scale 1.

    Returns
    -------
    Quantized
        The integers with scale and zero point.

    Raises
    ------
    TypeError, ValueError
        For x that is empty, not finite or no plain array, bits, an axis or a group that do not fit, both of
        the last two, a scale that is not above 0 or of the wrong shape, and signed=False if symmetric.

    """
    values = arguments.array("x", x)
    symmetric, signed = arguments.flag("symmetric", symmetric), arguments.flag("signed", signed)
    bits = arguments.integer("bits", bits, 2 if symmetric else 1, 16)
    axis, group = _layout(values, axis, group)
    levels = levels_of(bits, symmetric, signed)
    lowest, highest = _extremes(values, axis, group)
    own = _own_scale(lowest, highest, levels, symmetric)
    zero_point = np.zeros_like(own, np.int32) if symmetric else _zero_point(lowest, own, levels)
    used = own if scale is None else _given_scale(scale, own.shape, axis)
    q = nearest(values, _per_value(used, group), _per_value(zero_point, group), levels)
    q = np.asarray(q, _dtype(bits, signed))
    return Quantized(q, used, zero_point, bits, symmetric, axis, group)


def sqnr(x: Any, x_hat: Any) -> float:
    """Return the signal-to-quantization-noise ratio in dB; inf where nothing was lost.

    Parameters
    ----------
    x, x_hat : array_like
        The numbers, and what came back of them, in one shape.

    Returns
    -------
    float
        20 log10 of the root mean square of ``x`` over that of ``x - x_hat``.

    Raises
    ------
    TypeError, ValueError
        If all of ``x`` is zero, the shapes differ, or either is not an array of finite numbers.

    """
    signal, restored = (arguments.array(n, v, np.float64) for n, v in (("x", x), ("x_hat", x_hat)))
    if signal.shape != restored.shape:
        raise ValueError(f"x and x_hat must have the same shape; got {signal.shape} and {restored.shape}")
    if not signal.any():
        raise ValueError("x must not be all zeros: there is no signal to compare the noise with")
    noise = arguments.array("x - x_hat", signal - restored, np.float64)
    return _decibels(signal) - _decibels(noise) if noise.any() else float("inf")


def best_scale(x: Any, bits: int, steps: int = 191) -> ScaleSearch:
    """Return the symmetric per-tensor scale with the least mean squared error, by grid search.

    With few bits it pays to clip a few large values.

    Parameters
    ----------
    x : array_like
        Finite numbers.
    bits : int
        2 to 16.
    steps : int
        How many ratios to try, from 0.05 to 1.0 of max|x| / (2**(bits-1) - 1); 2 to 1,000,000.

    Returns
    -------
    ScaleSearch
        The best of them, the largest one on a tie. All zeros: scale 1, ratio 1.

    Raises
    ------
    TypeError, ValueError
        As ``quantize``.

    """
    values = arguments.array("x", x).ravel()
    levels = levels_of(arguments.integer("bits", bits, 2, 16), symmetric=True, signed=True)
    ratios = np.linspace(*RATIOS, arguments.size("steps", steps, 2, MOST_STEPS))
    scales = _storable(ratios * float(np.abs(values).max()) / levels[1])
    curve = np.array([_mean_squared_error(values, scale, levels) for scale in scales])
    # On a tie the largest scale wins: it clips least.
    best = len(curve) - 1 - int(np.argmin(curve[::-1]))
    return ScaleSearch(float(scales[best]), float(ratios[best]), float(curve[best]), bits, ratios, curve)


def levels_of(bits: int, symmetric: bool = True, signed: bool = True) -> tuple[int, int]:
    """Return the smallest and the largest integer of ``quantize``.

    Parameters
    ----------
    bits : int
        1 or more.
    symmetric, signed : bool
        As in ``quantize``.

    Returns
    -------
    tuple of 2 int
        Such as -7 and 7 for 4 bits.

    Raises
    ------
    ValueError
        If symmetric and not signed.
    """
    half = 2 ** (bits - 1)
    if symmetric and not signed:
        raise ValueError("signed=False needs symmetric=False: symmetric integers lie on both sides of zero")
    if symmetric:
        return -(half - 1), half - 1
    return (-half, half - 1) if signed else (0, 2 * half - 1)


def _dtype(bits: int, signed: bool) -> type[np.integer]:
    if signed:
        return np.int8 if bits <= 8 else np.int16
    return np.uint8 if bits <= 8 else np.uint16


def _layout(values: FloatArray, axis: int | None, group: int | None) -> tuple[int | None, int | None]:
    """Check axis and group against the shape; return the axis counted from the front."""
    if axis is not None and group is not None:
        got = f"axis {arguments.shown(axis)} and group {arguments.shown(group)}"
        raise ValueError(f"give axis or group, not both; got {got}")
    if (axis is not None or group is not None) and values.ndim == 0:
        raise ValueError("x is a single number and has no axis to split")
    if group is not None:
        group = arguments.integer("group", group, 1)
        if values.shape[-1] % group:
            raise ValueError(f"group must divide the last axis of x, {values.shape[-1]} long; got {group}")
    if axis is not None:
        axis = arguments.integer("axis", axis, -values.ndim, values.ndim - 1) % values.ndim
    return axis, group


def _extremes(values: FloatArray, axis: int | None, group: int | None) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and largest value of each scale's share of the values, widened to include 0."""
    if group is not None:
        values = values.reshape(*values.shape[:-1], -1, group)
        over: Any = -1
    else:
        over = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
    keep = axis is not None
    return values.min(axis=over, keepdims=keep, initial=0), values.max(axis=over, keepdims=keep, initial=0)


def _own_scale(
    lowest: FloatArray, highest: FloatArray, levels: tuple[int, int], symmetric: bool
) -> FloatArray:
    low, high = lowest.astype(np.float64), highest.astype(np.float64)
    span = np.maximum(-low, high) / levels[1] if symmetric else (high - low) / (levels[1] - levels[0])
    if (span > _LARGEST).any():
        raise ValueError(
            "x spans more than the largest float32, which 1 bit cannot cover: use 2 bits or more"
        )
    return _storable(span)


def _storable(scale: NDArray[np.float64]) -> FloatArray:
    """Round to float32; up where it is subnormal, so that it neither vanishes nor clips the largest value."""
    scale = np.asarray(scale)
    rounded = scale.astype(np.float32)
    short = (scale < _TINY) & (rounded < scale)
    up = np.nextafter(rounded, np.float32(np.inf), where=short, out=rounded.copy())
    return np.where(scale == 0, np.float32(1), up)


def _given_scale(scale: Any, shape: tuple[int, ...], axis: int | None) -> FloatArray:
    given = arguments.array("scale", scale)
    if axis is not None and given.shape == (shape[axis],):
        given = given.reshape(shape)
    if given.shape != shape and not (given.size == 1 and shape == ()):
        raise ValueError(
            f"scale must have shape {shape}, one number per tensor, channel or group; got {given.shape}"
        )
    if (given <= 0).any():
        raise ValueError(f"scale must be above zero (as float32); got {given.min()}")
    return given.reshape(shape)


def _zero_point(lowest: FloatArray, scale: FloatArray, levels: tuple[int, int]) -> NDArray[np.int32]:
    # Rounding the quotient, not the sum, sends the smallest value to the first level exactly.
    return np.asarray(levels[0] - np.rint(lowest / scale), np.int32)


def nearest(
    x: FloatArray, scale: FloatArray, zero_point: NDArray[np.int32], levels: tuple[int, int]
) -> NDArray[np.int32]:
    """Return clip(rint(x / scale) + zero_point) for a scale that is known; nothing is checked.

    Parameters
    ----------
    x : FloatArray
        Numbers.
    scale, zero_point : FloatArray, NDArray
        Of shapes that broadcast with ``x``.
    levels : tuple of 2 int
        As ``levels_of`` gives them.

    Returns
    -------
    NDArray
        Integers, int32.
    """
    with np.errstate(over="ignore"):
        nearest = np.rint(x / scale)
    # Clipped before it becomes an integer: a quotient may be infinite.
    return np.clip(nearest, levels[0] - zero_point, levels[1] - zero_point).astype(np.int32) + zero_point


def _restore(steps: FloatArray, scale: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        values = steps * scale
    # The last level may lie half a step beyond the largest float32.
    return np.asarray(np.clip(values, -_LARGEST, _LARGEST))


def _per_value(per_scale: NDArray[Any], group: int | None) -> NDArray[Any]:
    return per_scale if group is None else np.repeat(per_scale, group, axis=-1)


def _mean_squared_error(values: FloatArray, scale: np.float32, levels: tuple[int, int]) -> float:
    with np.errstate(over="ignore"):
        steps = np.clip(np.rint(values / scale), *levels)
    return float(np.mean(np.square(values - _restore(steps, np.asarray(scale)), dtype=np.float64)))


def _decibels(values: NDArray[np.float64]) -> float:
    largest = np.abs(values).max()
    return float(20 * np.log10(largest) + 10 * np.log10(np.sum(np.square(values / largest))))
