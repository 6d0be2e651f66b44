"""AWQ: columns that meet large inputs are scaled up before rounding, and down again afterwards.

Source: Lin et al. 2024, AWQ: Activation-aware Weight Quantization for On-Device LLM Compression and
Acceleration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coursekit._core import arguments, display
from coursekit.quantization.calibration import Calibration, output_error
from coursekit.quantization.matrices import Rounded, as_matrix, as_scheme, round_matrix

__all__ = ["ALPHAS", "ScaledRounding", "awq", "fold_scales"]

ALPHAS = tuple(round(0.05 * step, 2) for step in range(21))  # 0.00, 0.05 … 1.00
FAINTEST = 1e-4  # of the largest mean magnitude: a smaller one counts as this


@dataclass(frozen=True, repr=False, eq=False)
class ScaledRounding(display.Shown):
    """A matrix rounded after its columns were multiplied by ``scales`` [in].

    ``rounded`` holds the integers of the scaled matrix; ``errors`` are the relative output errors for each of
    ``alphas``, of which ``alpha`` has the least.
    """

    rounded: Rounded
    scales: Tensor
    alpha: float
    alphas: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def bits_per_weight(self) -> float:
        """As of ``rounded``: folded into the layer before, the scales cost nothing."""
        return self.rounded.bits_per_weight

    def dequantized(self) -> Tensor:
        """Return the matrix with the scales taken back, to stand in place of the original.

        Returns
        -------
        Tensor
            [out, in], float32.
        """
        return self.rounded.dequantized() / self.scales

    def __str__(self) -> str:
        error, plain = min(self.errors), self.errors[0]
        change = f"relative output error {error:.3g}" + (
            f", {plain:.3g} without" if self.alphas[0] == 0 else ""
        )
        return f"alpha {self.alpha:g}: scales {self.scales.min():.2g} to {self.scales.max():.2g}, {change}"


def awq(
    weight: Any,
    calibration: Calibration,
    bits: int,
    group_size: int | None = None,
    *,
    symmetric: bool = True,
    alphas: Any = ALPHAS,
) -> ScaledRounding:
    """Return a matrix rounded after scaling its columns by mean|x| ** alpha, with the best of some alphas.

    Parameters
    ----------
    weight : array_like
        [out, in], finite. Matrices that are given the same inputs can be searched together, one below the
        other.
    calibration : Calibration
        What the layer is given, as ``calibrate`` or ``observed`` return it.
    bits, group_size, symmetric : int, int or None, bool
        As in ``round_matrix``.
    alphas : sequence of float
        Ascending, from 0 to 1; 0 is plain rounding. On a tie the smallest wins.

    Returns
    -------
    ScaledRounding
        With the least output error on the calibration's inputs. The scales' smallest times their largest is
        1.

    Raises
    ------
    TypeError, ValueError
        As ``round_matrix``; for a calibration of other inputs, or of nothing but zeros, and alphas that do
        not fit.
    """
    values = as_matrix(weight)
    bits, group_size, symmetric = as_scheme(bits, group_size, symmetric, values.shape[1])
    mean = _means(calibration, values.shape[1])
    tried = tuple(map(float, arguments.ascending("alphas", alphas, 0, 1)))
    scales = [_scales(mean, alpha) for alpha in tried]
    inner = calibration.hessian.numpy()
    found = [
        round_matrix(values * scale, bits, group_size=group_size, symmetric=symmetric) for scale in scales
    ]
    restored = [each.dequantized().numpy() / scale for each, scale in zip(found, scales, strict=True)]
    errors = tuple(output_error(values, each, inner) for each in restored)
    best = int(np.argmin(errors))
    return ScaledRounding(found[best], torch.from_numpy(scales[best]), tried[best], tried, errors)


def fold_scales(norm: nn.Module, layers: Sequence[nn.Linear], scales: Any) -> None:
    """Divide what a norm returns by ``scales`` and multiply the columns of its readers by them, in place.

    Parameters
    ----------
    norm : nn.Module
        A norm whose last step is a product with its ``weight`` [in] (and a ``bias``), or an nn.Linear.
    layers : sequence of nn.Linear
        All that read what the norm returns: one that is left out computes something else afterwards.
    scales : array_like
        [in], more than 0.

    Raises
    ------
    TypeError, ValueError
        For modules without such weights, or of other widths; nothing is changed then.
    """
    arguments.module("norm", norm)
    readers = arguments.instances("layers", layers, nn.Linear)
    factors = arguments.array("scales", scales, ndim=1)
    if (factors <= 0).any():
        raise ValueError(f"scales must be more than 0; got {factors.min():g}")
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if not isinstance(weight, Tensor) or len(weight) != len(factors):
        raise ValueError(
            f"norm must have a weight for each of the {len(factors)} scales; got {type(norm).__name__}"
        )
    wrong = [layer.in_features for layer in readers if layer.in_features != len(factors)]
    if wrong:
        raise ValueError(
            f"layers must have {len(factors)} inputs, one for each of the scales; got {wrong[0]}"
        )
    with torch.no_grad():
        own = torch.from_numpy(factors).to(weight)
        weight.div_(own if weight.ndim == 1 else own[:, None])
        if isinstance(bias, Tensor):
            bias.div_(own)
        for reader in {id(layer.weight): layer for layer in readers}.values():
            reader.weight.mul_(own.to(reader.weight))


def _means(calibration: Any, width: int) -> NDArray[np.float32]:
    mean = arguments.instance("calibration", calibration, Calibration).mean.numpy()
    if len(mean) != width:
        raise ValueError(f"calibration must be of the {width} inputs of weight; got one of {len(mean)}")
    if not mean.any():
        raise ValueError("calibration must hold inputs other than 0: there is nothing to scale by")
    return np.maximum(mean, FAINTEST * mean.max())


def _scales(mean: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    powers = mean.astype(np.float64) ** alpha
    scales: NDArray[np.float32] = (powers / np.sqrt(powers.min() * powers.max())).astype(np.float32)
    return scales
