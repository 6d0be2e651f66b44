"""Networks pruned share by share, weight by weight or neuron by neuron: what goes, and what is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from coursekit import runtime
from coursekit._core import arguments
from coursekit.models import Ensemble
from coursekit.pruning.many import masks_many, structured_many

__all__ = ["BAND", "MODES", "Cut", "Mode", "cliff", "last_steady", "sweep"]

Mode = Literal["unstructured", "structured"]
MODES: tuple[Mode, ...] = ("unstructured", "structured")
BAND = (0.1, 0.9)  # the quantiles between which the middle 80 % of the networks lie


@dataclass(frozen=True, eq=False)
class Cut:
    """One share pruned in one way: what goes of one network, and the accuracy of all networks.

    Parameters
    ----------
    cells : array
        [out, in], True where the first layer keeps a weight.
    sizes : array
        Magnitudes of the weights, or norms of the first layer's neurons, as shares of the largest.
    stays : array
        Which of them stay, of the shape of ``sizes``.
    accuracies : array
        One per network, [networks].

    """

    cells: NDArray[np.bool_]
    sizes: NDArray[np.float64]
    stays: NDArray[np.bool_]
    accuracies: NDArray[np.float64]

    @property
    def threshold(self) -> float:
        """The largest size that goes, 0 where nothing does."""
        return float(self.sizes[~self.stays].max(initial=0))

    @property
    def band(self) -> tuple[float, float, float]:
        """The median accuracy and the ends of the middle 80 % of the networks."""
        median, low, high = (float(part) for part in np.quantile(self.accuracies, (0.5, *BAND)))
        return median, low, high


def sweep(
    networks: Ensemble,
    x: ArrayLike,
    y: ArrayLike,
    shares: Sequence[float],
    *,
    mode: Mode = "unstructured",
    network: int = 0,
) -> tuple[Cut, ...]:
    """Prune all networks by each share in turn, always from the dense ones, and judge them.

    Parameters
    ----------
    networks : models.Ensemble
        Trained networks with at least one hidden layer.
    x, y : array_like
        Examples [n, features] and their class numbers [n].
    shares : sequence of float
        The parts to prune, 0 to 1.
    mode : {"unstructured", "structured"}
        Whether the smallest weights go or the weakest neurons.
    network : int
        The network whose weights the cuts describe.

    Returns
    -------
    tuple of Cut
        One per share.

    Raises
    ------
    TypeError, ValueError
        For what is not an Ensemble, has no hidden layer, or does not fit.

    """
    if not isinstance(networks, Ensemble):
        raise TypeError(f"networks must be a models.Ensemble; got {type(networks).__name__}")
    if len(networks.weights) < 2:
        raise ValueError(f"networks must have a hidden layer, or no neuron can go; got {networks.widths}")
    network = arguments.integer("network", network, 0, len(networks) - 1)
    shares = arguments.reals("shares", shares, 0, 1)
    cut = {"unstructured": _weights, "structured": _neurons}[arguments.choice("mode", mode, MODES)]
    with runtime.threads(1):
        return tuple(cut(networks, share, x, y, network) for share in shares)


def last_steady(cuts: Sequence[Cut], loss: float) -> int:
    """Return the position of the last cut before the median accuracy falls by more than ``loss``.

    Parameters
    ----------
    cuts : sequence of Cut
        In ascending order of their shares, as ``sweep`` returns them; the first one counts as dense.
    loss : float
        How much accuracy may go, as a share: 0.03 for three points.

    Returns
    -------
    int
        0 or more.

    Raises
    ------
    TypeError, ValueError
        For what is not a list of at least one Cut, or a loss outside 0 to 1.

    """
    given, most = arguments.instances("cuts", cuts, Cut), arguments.real("loss", loss, 0, 1)
    medians = np.array([cut.band[0] for cut in given])
    steady = np.logical_and.accumulate(medians > medians[0] - most)
    return max(0, int(steady.sum()) - 1)


def cliff(sparsities: Sequence[float], accuracies: ArrayLike, loss: float = 0.1) -> float | None:
    """Return the first sparsity at which more than ``loss`` of the accuracy is gone, in the mean.

    Parameters
    ----------
    sparsities : sequence of float
        Shares from 0 to 1, ascending, [sparsities].
    accuracies : array_like
        From 0 to 1, [sparsities, networks]; the first row is what the others are compared with.
    loss : float
        How much counts as a fall, as a share: 0.1 for ten points.

    Returns
    -------
    float or None
        One of ``sparsities``; None where the accuracy never falls so far.

    Raises
    ------
    TypeError, ValueError
        For shapes that do not fit, and for a loss outside 0 to 1.

    """
    shares = arguments.reals("sparsities", sparsities, 0, 1)
    found = arguments.array("accuracies", accuracies, np.float64, ndim=2)
    if len(found) != len(shares):
        raise ValueError(f"accuracies must be [{len(shares)} sparsities, networks]; got shape {found.shape}")
    means = found.mean(axis=1)
    below = np.flatnonzero(means < means[0] - arguments.real("loss", loss, 0, 1))
    return float(shares[below[0]]) if len(below) else None


def _weights(networks: Ensemble, share: float, x: ArrayLike, y: ArrayLike, network: int) -> Cut:
    masks = masks_many(networks, share)
    pruned = networks.replace([w * m for w, m in zip(networks.weights, masks, strict=True)])
    sizes = torch.cat([weight[network].abs().flatten() for weight in networks.weights])
    stays = torch.cat([mask[network].flatten() for mask in masks])
    return _cut(masks[0][network], sizes, stays, pruned.accuracy(x, y))


def _neurons(networks: Ensemble, share: float, x: ArrayLike, y: ArrayLike, network: int) -> Cut:
    pruned = structured_many(networks, share)
    stays = pruned.weights[0][network].any(dim=1)
    sizes = networks.weights[0][network].norm(dim=1)
    cells = stays.unsqueeze(1).expand_as(pruned.weights[0][network])
    return _cut(cells, sizes, stays, pruned.accuracy(x, y))


def _cut(
    cells: torch.Tensor, sizes: torch.Tensor, stays: torch.Tensor, accuracies: NDArray[np.float64]
) -> Cut:
    relative = (sizes / sizes.max().clamp(min=torch.finfo(sizes.dtype).tiny)).double()
    return Cut(cells.cpu().numpy(), relative.cpu().numpy(), stays.cpu().numpy(), accuracies)
