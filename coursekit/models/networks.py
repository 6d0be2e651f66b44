"""One network: build, fit, predict."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coursekit._core import arguments
from coursekit.models import labels
from coursekit.models.inputs import as_inputs, as_logits, as_module, evaluating, pair, run
from coursekit.models.training import History, Schedule, train, training

__all__ = ["DIGITS_WIDTHS", "fit", "linears", "logits_of", "mlp", "predict"]

DIGITS_WIDTHS = (64, 128, 10)
USUAL = Schedule()


def mlp(widths: Sequence[int] = DIGITS_WIDTHS, seed: int = 0) -> nn.Sequential:
    """Return an untrained Linear-ReLU-…-Linear network.

    Parameters
    ----------
    widths : sequence of int
        The sizes of the layers, input first.
    seed : int
        Fixes the weights, and disturbs no other random numbers.

    Returns
    -------
    nn.Sequential
        In eval mode, on the CPU.

    Raises
    ------
    TypeError, ValueError
        For fewer than two widths, or one below 1.
    """
    sizes = arguments.integers("widths", widths, 1)
    if len(sizes) < 2:
        raise ValueError(f"widths must name at least an input and an output size; got {sizes}")
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed every GPU as well.
        torch.default_generator.manual_seed(arguments.integer("seed", seed, 0))
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        layers = [part for inputs, outputs in pairs for part in (nn.Linear(inputs, outputs), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


@training()
def fit(
    model: nn.Module,
    x: Any,
    y: Any,
    *,
    epochs: int = USUAL.epochs,
    lr: float = USUAL.lr,
    batch_size: int = USUAL.batch_size,
    seed: int = USUAL.seed,
    schedule: Schedule | None = None,
) -> History:
    """Train ``model`` in place with Adam and cross-entropy; it ends in eval mode.

    Parameters
    ----------
    model : nn.Module
        Whatever returns logits [n, classes]. One logit [n, 1] is trained with binary cross-entropy.
    x : array_like
        Examples first [n, …], in the shape that the model takes. Token ids stay whole numbers.
    y : array_like
        Class numbers [n].
    epochs, lr, batch_size, seed : int, float, int, int
        How long and how fast, as in ``Schedule``. Where a model has a BatchNorm, a last batch of one example
        joins the one before.
    schedule : Schedule, optional
        The same four in one object.

    Returns
    -------
    History
        The mean training loss of every epoch.

    Raises
    ------
    TypeError, ValueError
        For examples or labels that do not fit the model, a model that returns something else than logits, and
        a training that diverges. The model is then as it was before.
    """
    plan = Schedule(epochs, lr, batch_size, seed).or_else(schedule, USUAL)
    inputs, classes = logits_of(as_module("model", model), x)
    _, targets = pair(inputs, y, max(classes, 2))

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        if classes > 1:
            return functional.cross_entropy(logits, targets[rows])
        return functional.binary_cross_entropy_with_logits(logits[:, 0], targets[rows].to(logits.dtype))

    return train(model, inputs, loss, plan)


def logits_of(model: nn.Module, x: Any) -> tuple[Tensor, int]:
    """Return ``x`` as ``model`` takes it, and how many logits the model returns for an example.

    Parameters
    ----------
    model : nn.Module
        It is tried on two examples.
    x : array_like
        Examples first [n, …].

    Returns
    -------
    Tensor, int
        The examples, the number of logits.

    Raises
    ------
    TypeError, ValueError
        If the model cannot take ``x``, or returns no logits: probabilities, say.
    """
    inputs = as_inputs(model, x)
    logits = as_logits(model, inputs)
    classes = logits.shape[1]
    last = labels.ending(model, inputs)
    if last in ("Sigmoid", "Softmax"):
        raise ValueError(
            f"model must return logits; it ends in {last}, which is part of the loss: leave it out"
        )
    why = "ends in Tanh" if last == "Tanh" else labels.unclear(logits[:, 0], last)
    if classes == 1 and why:
        raise ValueError(f"model must return logits; it {why}: return what comes out of the last Linear")
    return inputs, classes


def predict(model: nn.Module, x: Any) -> NDArray[np.int64]:
    """Return the labels that ``model``, in eval mode meanwhile, gives to ``x``.

    Parameters
    ----------
    model : nn.Module
        Returns scores [n, classes], one logit [n, 1] (1 where it is above 0, as for ``BCEWithLogitsLoss``;
        out of a Sigmoid, where it is above 0.5; out of anything else it is refused), or
        whole numbers [n], which are the labels.
    x : array_like
        Examples first [n, …], in the shape that the model takes. Token ids stay whole numbers.

    Returns
    -------
    ndarray
        int64 [n].

    Raises
    ------
    TypeError, ValueError
        For examples that do not fit, and for outputs that are not scores: floats [n] (a value or a score?),
        more than two dimensions, NaN.
    """
    inputs = as_inputs(as_module("model", model), x)
    with evaluating(model):
        outputs = run(model, inputs)
    one = isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] == 1
    return labels.from_outputs(outputs, len(inputs), labels.ending(model, inputs) if one else "")


def linears(model: nn.Module) -> list[nn.Linear]:
    """Return every nn.Linear of a model in its order.

    Parameters
    ----------
    model : Module
        The model.

    Returns
    -------
    list of Linear
        The layers, one at least.

    Raises
    ------
    ValueError
        For a model without an nn.Linear.
    """
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"model must contain at least one nn.Linear; got {type(model).__name__}")
    return found
