"""Three steps that make a network smaller, on many seeds at once: distil, prune, quantize.

Each takes networks and gives networks, so they can follow each other in any order. What a step can do depends
on what came before it: a student starts anew, and integers cannot be trained on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coursekit import data, distillation, dynamic, models, pruning
from coursekit.models import Ensemble

__all__ = ["STEPS", "WIDTHS", "Stage", "baseline", "distil", "prune", "quantize", "stacked"]

WIDTHS = (64, 128, 10)
STUDENT = (64, 32, 10)
SHARE = 0.5  # of the hidden neurons that pruning removes
EPOCHS, MORE_EPOCHS = 30, 10  # from scratch; after pruning
TEMPERATURE, ALPHA = 4.0, 0.5


@dataclass(frozen=True)
class Stage:
    """Networks of one shape, one per seed; ``quantized``: they are shipped with INT8 weights."""

    networks: Ensemble
    seeds: tuple[int, ...]
    quantized: bool = False

    def model(self, index: int) -> nn.Module:
        """Return a network as it is shipped.

        Parameters
        ----------
        index : int
            Its number, from 0.

        Returns
        -------
        Module
            The model.
        """
        model = self.networks.model(index)
        return dynamic.quantize_dynamic(model) if self.quantized else model

    def size(self) -> int:
        """Return the bytes of one network's file; all seeds have the same shape.

        Returns
        -------
        int
            Bytes.
        """
        return dynamic.state_dict_size(self.model(0))

    def logits(self, x: Tensor) -> Tensor:
        """Return what the shipped networks answer.

        Parameters
        ----------
        x : Tensor
            The examples, [n, features].

        Returns
        -------
        Tensor
            [seeds, n, classes].
        """
        if not self.quantized:
            return self.networks.logits(x)
        with torch.no_grad():
            return torch.stack([self.model(index)(x) for index in range(len(self.seeds))])

    def accuracies(self, split: data.Split) -> NDArray[np.float64]:
        """Return every shipped network's share of right answers.

        Parameters
        ----------
        split : Split
            The examples and their labels.

        Returns
        -------
        ndarray of float64
            [seeds].
        """
        x, y = split.tensors("cpu")
        return (self.logits(x).argmax(-1) == y).double().mean(-1).numpy()


def baseline(seeds: Sequence[int]) -> Stage:
    """Return the networks that everything starts from, trained in FP32.

    Parameters
    ----------
    seeds : sequence of int
        One per network.

    Returns
    -------
    Stage
        The networks.
    """
    x, y = data.digits().train.tensors("cpu")
    return Stage(models.fit_many(WIDTHS, x, y, seeds=seeds, epochs=EPOCHS), tuple(seeds))


def distil(stage: Stage) -> Stage:
    """Return students that learned from the networks: new FP32 networks of their own shape.

    Parameters
    ----------
    stage : Stage
        The teachers.

    Returns
    -------
    Stage
        The students.
    """
    x, y = data.digits().train.tensors("cpu")
    students = distillation.distil_many(
        STUDENT,
        x,
        y,
        stage.logits(x),
        seeds=stage.seeds,
        temperature=TEMPERATURE,
        alpha=ALPHA,
        epochs=EPOCHS,
    )
    return Stage(students, stage.seeds)


def prune(stage: Stage) -> Stage:
    """Return the networks without half of their hidden neurons, rebuilt smaller.

    FP32 networks are then trained on. INT8 networks cannot be: their rounded weights are pruned as they are.

    Parameters
    ----------
    stage : Stage
        The networks, which stay as they are.

    Returns
    -------
    Stage
        The smaller ones.
    """
    networks = _rounded(stage.networks) if stage.quantized else stage.networks
    found = [networks.model(index) for index in range(len(networks))]
    smaller = stacked([pruning.shrink(model, pruning.neuron_masks(model, SHARE)) for model in found])
    if stage.quantized:
        return Stage(smaller, stage.seeds, quantized=True)
    x, y = data.digits().train.tensors("cpu")
    everything = [torch.ones_like(weight, dtype=torch.bool) for weight in smaller.weights]
    tuned = pruning.finetune_many(smaller, everything, x, y, seeds=stage.seeds, epochs=MORE_EPOCHS)
    return Stage(tuned, stage.seeds)


def quantize(stage: Stage) -> Stage:
    """Return the networks with INT8 weights (PyTorch's dynamic quantization).

    Parameters
    ----------
    stage : Stage
        The networks, which stay as they are.

    Returns
    -------
    Stage
        The networks in INT8.
    """
    return Stage(stage.networks, stage.seeds, quantized=True)


STEPS: Mapping[str, Callable[[Stage], Stage]] = MappingProxyType(
    {"distil": distil, "prune": prune, "quantize": quantize}
)


def _rounded(networks: Ensemble) -> Ensemble:
    """Return the networks with the weights that their INT8 versions hold, as floats."""
    return networks.replace([torch.stack([_as_stored(w) for w in weight]) for weight in networks.weights])


def _as_stored(weight: Tensor) -> Tensor:
    integers, scale = dynamic.quantize_weight(weight)
    return integers.float() * scale


def stacked(found: Sequence[nn.Sequential]) -> Ensemble:
    """Return models of one shape as an Ensemble.

    Parameters
    ----------
    found : sequence of Sequential
        The models, of Linear layers and ReLU.

    Returns
    -------
    Ensemble
        The same networks.
    """
    layers = list(
        zip(*([part for part in model if isinstance(part, nn.Linear)] for model in found), strict=True)
    )
    weights, biases = (
        tuple(torch.stack([getattr(layer, name).detach() for layer in row]) for row in layers)
        for name in ("weight", "bias")
    )
    return Ensemble(weights, biases)
