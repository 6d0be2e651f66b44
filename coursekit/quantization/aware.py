"""Quantization-aware training against rounding afterwards, with a control that trains just as long.

Many networks are trained at once; what each method gives is compared network by network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coursekit import models, runtime
from coursekit._core import arguments, display
from coursekit._core.statistics import PairedDifference, paired
from coursekit.models import Ensemble, Schedule
from coursekit.models.ensembles import as_ensemble
from coursekit.quantization.fake import MOST_BITS, FakeWeight

__all__ = ["METHODS", "AwareTraining", "Method", "aware_training", "round_many"]

Method = Literal["ptq", "ptq_clipped", "control", "control_clipped", "qat"]
METHODS: tuple[Method, ...] = ("ptq", "ptq_clipped", "control", "control_clipped", "qat")
BITS = (8, 4, 3, 2, 1)
TUNING = Schedule(epochs=10, lr=1e-3)
CLIPS = tuple(step / 20 for step in range(20, 3, -1))  # shares of the largest weight, the largest first
POINTS = 100.0


@dataclass(frozen=True, repr=False, eq=False)
class AwareTraining(display.Tabled):
    """Test accuracies of networks that were rounded, trained on and rounded, or trained while rounded.

    Parameters
    ----------
    bits : tuple of int
        At how many bits per weight, in the order asked for.
    schedule : Schedule
        Of the training that the control and QAT have in common.
    start, trained_on : ndarray
        Of the networks in float, before and after the control's training, fractions [networks].
    ptq, ptq_clipped : ndarray
        Of the start rounded, the scale of each row from its largest weight or with the least error of the
        weights, fractions [bits, networks].
    control, control_clipped : ndarray
        Of the start trained on in float and then rounded, both ways.
    qat : ndarray
        Of the start trained on with fake quantization, the scales from the largest weights, and then rounded.
    """

    bits: tuple[int, ...]
    schedule: Schedule
    start: NDArray[np.float64]
    trained_on: NDArray[np.float64]
    ptq: NDArray[np.float64]
    ptq_clipped: NDArray[np.float64]
    control: NDArray[np.float64]
    control_clipped: NDArray[np.float64]
    qat: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)

    def accuracy(self, method: Method, bits: int) -> NDArray[np.float64]:
        """Return what one method gives at so many bits.

        Parameters
        ----------
        method : str
            One of METHODS.
        bits : int
            One of ``self.bits``.

        Returns
        -------
        ndarray
            Fractions [networks].

        Raises
        ------
        TypeError, ValueError
            For another method, or bits that were not measured.
        """
        rows = getattr(self, arguments.choice("method", method, METHODS))
        if arguments.integer("bits", bits) not in self.bits:
            raise ValueError(f"bits must be one of {', '.join(map(str, self.bits))}; got {bits}")
        found: NDArray[np.float64] = rows[self.bits.index(bits)]
        return found

    def mean(self, method: Method, bits: int) -> tuple[float, float, float]:
        """Return the mean accuracy over the networks in percent, and the ends of its 95 % interval.

        Parameters
        ----------
        method : str
            One of METHODS.
        bits : int
            One of ``self.bits``.

        Returns
        -------
        float, float, float
            The mean, and Student's interval for it.

        Raises
        ------
        TypeError, ValueError
            As ``accuracy``, and for a single network.
        """
        found = POINTS * self.accuracy(method, bits)
        above_0 = paired(found, np.zeros_like(found))
        return above_0.mean, above_0.low, above_0.high

    def difference(self, bits: int, method: Method = "qat", over: Method = "ptq") -> PairedDifference:
        """Return in points how much better one method is than another, network by network.

        Parameters
        ----------
        bits : int
            One of ``self.bits``.
        method, over : str
            Two of METHODS.

        Returns
        -------
        PairedDifference
            The mean over the networks with its interval.

        Raises
        ------
        TypeError, ValueError
            For other methods, bits that were not measured, or a single network.
        """
        return paired(POINTS * self.accuracy(method, bits), POINTS * self.accuracy(over, bits))

    def _table(self) -> display.Table:
        headers = ("bits", "PTQ (%)", "QAT (%)", "QAT − PTQ", "QAT − control", "control − PTQ")
        pairs: tuple[tuple[Method, Method], ...] = (("qat", "ptq"), ("qat", "control"), ("control", "ptq"))
        rows = []
        for bits in self.bits:
            means = [f"{POINTS * self.accuracy(method, bits).mean():.1f}" for method in ("ptq", "qat")]
            gaps = [self.difference(bits, *pair) for pair in pairs]
            rows.append(
                (str(bits), *means, *(f"{d.mean:+.2f} ({d.low:+.2f} to {d.high:+.2f})" for d in gaps))
            )
        note = (
            f"{len(self)} networks, {POINTS * self.start.mean():.1f} % before in float, trained on for "
            f"{self.schedule.epochs} epochs; differences in points with 95 % intervals, paired"
        )
        return display.Table(headers, rows, notes=(note,))


def aware_training(
    start: Ensemble,
    x: Any,
    y: Any,
    x_test: Any,
    y_test: Any,
    *,
    seeds: Sequence[int],
    bits: Sequence[int] = BITS,
    schedule: Schedule = TUNING,
    after: Callable[[], object] | None = None,
) -> AwareTraining:
    """Train networks on with and without fake quantization, round all of them, and judge them.

    Parameters
    ----------
    start : models.Ensemble
        Two trained networks or more; they stay as they are.
    x, y : array_like
        Examples to train on, [n, features], and their class numbers [n].
    x_test, y_test : array_like
        Those that judge.
    seeds : sequence of int
        One per network, for the order of its batches; the control and QAT see the same.
    bits : sequence of int
        1 to 16, each once. The weights are rounded row by row, biases are not.
    schedule : Schedule
        Of both trainings; its seed does not count.
    after : callable, optional
        Called without arguments after each of the ``1 + len(bits)`` trainings. Whatever it raises goes
        through.

    Returns
    -------
    AwareTraining
        The accuracies of all networks.

    Raises
    ------
    TypeError, ValueError
        As ``models.tune_many``, and for a single network, or bits out of range or named twice.
    """
    if len(as_ensemble("start", start)) < 2:
        raise ValueError("start must hold at least 2 networks, or no interval can be given; got 1")
    arguments.instance("schedule", schedule, Schedule)
    levels = arguments.integers("bits", bits, 1, MOST_BITS)
    if len(set(levels)) < len(levels):
        raise ValueError(f"bits must name each number once; got {levels}")

    tell = (lambda: None) if after is None else arguments.function("after", after, "without arguments")

    def judged(networks: Ensemble, width: int, clipped: bool = False) -> NDArray[np.float64]:
        return round_many(networks, width, clipped=clipped).accuracy(x_test, y_test)

    before = start.accuracy(x_test, y_test)
    control = models.tune_many(start, x, y, seeds=seeds, schedule=schedule)
    tell()
    found: dict[str, list[NDArray[np.float64]]] = {method: [] for method in METHODS}
    for width in levels:
        seen_as = _Fake(width)
        aware = models.tune_many(start, x, y, seeds=seeds, schedule=schedule, seen_as=seen_as)
        found["qat"].append(judged(aware, width))
        for name, networks in (("ptq", start), ("control", control)):
            found[name].append(judged(networks, width))
            found[f"{name}_clipped"].append(judged(networks, width, clipped=True))
        tell()
    rows = {name: np.array(parts) for name, parts in found.items()}
    return AwareTraining(levels, schedule, before, control.accuracy(x_test, y_test), **rows)


def round_many(networks: Ensemble, bits: int, *, clipped: bool = False) -> Ensemble:
    """Return networks with their weights rounded row by row, biases kept.

    Parameters
    ----------
    networks : models.Ensemble
        They stay as they are.
    bits : int
        1 to 16. With 1 bit a row holds ± its mean magnitude, which no clipping changes.
    clipped : bool
        Choose for each row, from steps of a twentieth, the share of its largest weight at which the levels
        end so that the weights' squared error is least. Else they end at the largest weight.

    Returns
    -------
    Ensemble
        The rounded networks.

    Raises
    ------
    TypeError, ValueError
        For what is not an Ensemble, other bits, or weights that are not finite.
    """
    width = arguments.integer("bits", bits, 1, MOST_BITS)
    clips = CLIPS if arguments.flag("clipped", clipped) and width > 1 else CLIPS[:1]
    weights = as_ensemble("networks", networks).weights
    if not all(bool(torch.isfinite(weight).all()) for weight in weights):
        raise ValueError("networks must hold finite weights; got NaN or infinity")
    with torch.no_grad(), runtime.threads(1):
        return networks.replace([_least_error(weight, width, clips) for weight in weights])


def _least_error(weight: Tensor, bits: int, clips: Sequence[float]) -> Tensor:
    """Return the rows [networks, out, in] rounded, each with the clip that changes it least."""
    tried = torch.stack([FakeWeight(bits, group_size=weight.shape[-1], clip=clip)(weight) for clip in clips])
    best = (tried - weight).double().square().sum(-1).argmin(0)
    return tried.gather(0, best[None, ..., None].expand_as(tried[:1]))[0]


class _Fake:
    """What a layer's weights [networks, out, in] are seen as while they are trained."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def __call__(self, layer: int, weight: Tensor) -> Tensor:
        seen: Tensor = FakeWeight(self.bits, group_size=weight.shape[-1])(weight)
        return seen
