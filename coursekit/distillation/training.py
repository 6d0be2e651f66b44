"""Training students: one with any architecture, or one per seed, all in the same products."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit import models
from coursekit._core import arguments
from coursekit.distillation.losses import (
    ALPHA,
    LARGEST_TEMPERATURE,
    TEMPERATURE,
    class_numbers,
    log_soften,
    loss,
    positive,
)
from coursekit.models.ensembles import as_examples, layer_outputs, picker
from coursekit.models.inputs import as_features, as_inputs, as_labels, as_module, run
from coursekit.models.networks import logits_of
from coursekit.models.training import train, training

__all__ = ["Matched", "distil", "distil_many", "hidden", "match_hidden"]

EPOCHS, LR, BATCH = 100, 1e-2, 64
USUAL = models.Schedule(EPOCHS, LR, BATCH)
LEAST_CLASSES = 2  # the softmax of a single logit is 1, whatever the logit


@dataclass(frozen=True, repr=False)
class Matched:
    """Students that matched hidden features, and the projections [seeds, teacher, student] to throw away.

    ``distance`` [seeds] is the mean squared difference left between projected and teacher's features.
    """

    students: models.Ensemble
    projections: Tensor
    distance: np.ndarray

    def __repr__(self) -> str:
        wide, narrow = self.projections.shape[1:]
        return f"{self.students}, with a projection {narrow} → {wide} each, not shipped"


@training()
def distil(
    student: nn.Module,
    teacher_logits: Any,
    x: Any,
    y: Any,
    *,
    temperature: float = TEMPERATURE,
    alpha: float = ALPHA,
    epochs: int = EPOCHS,
    lr: float = LR,
    batch_size: int = BATCH,
    seed: int = 0,
    schedule: models.Schedule | None = None,
) -> models.History:
    """Train ``student`` in place with Adam on ``loss``; it ends in eval mode.

    Parameters
    ----------
    student : nn.Module
        Whatever returns logits [n, classes].
    teacher_logits : array_like
        The teacher's answers to ``x`` [n, classes].
    x : array_like
        Examples first [n, …], in the shape that the student takes. Token ids stay whole numbers.
    y : array_like or None
        Class numbers [n]; None where alpha is 1.
    temperature, alpha : float
        As in ``loss``.
    epochs, lr, batch_size, seed : int, float, int, int
        How long and how fast, as in ``models.Schedule``. Where the student has a BatchNorm, a last batch of
        one example joins the one before.
    schedule : Schedule, optional
        The same four in one object.

    Returns
    -------
    History
        The mean loss of every epoch.

    Raises
    ------
    TypeError, ValueError
        As ``loss`` and ``models.fit``. The student is then as it was before.
    """
    plan = models.Schedule(epochs, lr, batch_size, seed).or_else(schedule, USUAL)
    inputs, classes = logits_of(as_module("student", student), x)
    if classes < LEAST_CLASSES:
        raise ValueError(
            f"student must return the logits of at least {LEAST_CLASSES} classes; got {classes}: "
            "distillation compares shares of classes"
        )
    teacher = torch.as_tensor(arguments.array("teacher_logits", teacher_logits, ndim=2), device=inputs.device)
    if len(inputs) != len(teacher):
        raise ValueError(f"x and teacher_logits must be equally long; got {len(inputs)} and {len(teacher)}")
    if teacher.shape[1] != classes:
        raise ValueError(
            f"teacher_logits must have the student's {classes} classes; got shape {tuple(teacher.shape)}"
        )
    labels = None if y is None else class_numbers(y, teacher, "y")

    def of_batch(logits: Tensor, rows: Tensor) -> Tensor:
        if not torch.isfinite(logits).all():
            return logits.sum()  # the training diverged: whoever trains says so
        hard = None if labels is None else labels[rows]
        return loss(logits, teacher[rows], hard, temperature=temperature, alpha=alpha)

    return train(student, inputs, of_batch, plan)


def distil_many(
    widths: Sequence[int],
    x: Any,
    y: Any,
    teacher_logits: Any,
    *,
    seeds: Sequence[int],
    temperature: Any = TEMPERATURE,
    alpha: Any = ALPHA,
    epochs: int = EPOCHS,
    lr: float = LR,
    batch_size: int = BATCH,
    schedule: models.Schedule | None = None,
    after: models.After | None = None,
) -> models.Ensemble:
    """Train one student per seed, all in the same matrix products; alpha = 0 trains on the labels alone.

    Parameters
    ----------
    widths : sequence of int
        The sizes of the layers, input first.
    x : array_like
        Examples [n, features], or [seeds, n, features] where every student has its own.
    y : array_like or None
        Class numbers [n] or [seeds, n]; None where alpha is 1.
    teacher_logits : array_like or None
        [n, classes] or [seeds, n, classes]; None where alpha is 0.
    seeds : sequence of int
        Student i starts from ``mlp(widths, seeds[i])``: it is the one that ``distil(seed=seeds[i])`` would
        give.
    temperature, alpha : float or array_like
        As in ``loss``: one number, or one per seed.
    epochs, lr, batch_size : int, float, int
        As in ``models.Schedule``.
    schedule : Schedule, optional
        The same three in one object; its seed does not count here.
    after : callable, optional
        As in ``models.train_many``. Whatever ``after`` raises goes through.

    Returns
    -------
    Ensemble
        The students.

    Raises
    ------
    TypeError, ValueError
        As ``loss`` and ``models.train_many``.
    """
    start = models.start_many(widths, seeds, x.device if isinstance(x, Tensor) else None)
    count = as_examples(x, start).shape[1]
    terms = _Terms(start, count, y, teacher_logits, temperature, alpha)
    plan = models.Schedule(epochs, lr, batch_size).or_else(schedule, USUAL)
    return models.train_many(start, x, terms, seeds=seeds, schedule=plan, after=after)


def hidden(network: models.Ensemble | nn.Sequential, x: Any) -> Tensor:
    """Return what the last hidden layer says, after its ReLU.

    Parameters
    ----------
    network : Ensemble or nn.Sequential
        One network or many.
    x : array_like
        [n, features].

    Returns
    -------
    Tensor
        [n, width]; of an Ensemble [seeds, n, width].

    Raises
    ------
    TypeError, ValueError
        For another network, and examples that do not fit.
    """
    if isinstance(network, models.Ensemble):
        features = as_features(x, network.widths[0], network.weights[0].device)
        shared = features.expand(len(network), *features.shape)
        with torch.no_grad():
            return layer_outputs(network.weights, network.biases, shared)[-2]
    if not isinstance(network, nn.Sequential):
        raise TypeError(f"network must be an Ensemble or an nn.Sequential; got {type(network).__name__}")
    inputs = as_inputs(network, x)
    with torch.no_grad():
        return run(network[:-1], inputs)


def match_hidden(
    widths: Sequence[int],
    x: Any,
    y: Any,
    teacher_hidden: Any,
    *,
    seeds: Sequence[int],
    weight: float = 1.0,
    epochs: int = EPOCHS,
    lr: float = LR,
    batch_size: int = BATCH,
    schedule: models.Schedule | None = None,
) -> Matched:
    """Train students on cross-entropy + weight * mean((projection @ hidden - teacher_hidden)²).

    Parameters
    ----------
    widths, x, y, seeds
        As in ``distil_many``.
    teacher_hidden : array_like
        [n, width], or [seeds, n, width] where each student has its own teacher.
    weight : float
        From 0 on.
    epochs, lr, batch_size : int, float, int
        As in ``models.Schedule``.
    schedule : Schedule, optional
        The same three in one object; its seed does not count here.

    Returns
    -------
    Matched
        The students. The projections, [teacher's width, student's width], learn along and are not part of
        them.

    Raises
    ------
    TypeError, ValueError
        As ``distil_many``.

    Notes
    -----
    Romero et al., "FitNets" (2015).
    """
    start = models.start_many(widths, seeds, x.device if isinstance(x, Tensor) else None)
    if len(start.widths) < 3:
        raise ValueError(f"widths must have a hidden layer to match; got {start.widths}")
    count = as_examples(x, start).shape[1]
    terms = _Terms(start, count, y, None, 1.0, 0.0)
    aim = _per_network("teacher_hidden", teacher_hidden, start, count)
    inside = picker(aim)
    share = arguments.real("weight", weight, 0)
    projections = _projections(start, aim.shape[-1], seeds).requires_grad_()

    def matching(outputs: list[Tensor], rows: Tensor) -> Tensor:
        gap = outputs[-2] @ projections.transpose(1, 2) - inside(rows)
        return terms(outputs, rows) + share * gap.square().mean((1, 2)).sum()

    plan = models.Schedule(epochs, lr, batch_size).or_else(schedule, USUAL)
    made = models.train_many(start, x, matching, seeds=seeds, extra=[projections], schedule=plan)
    left = _distance(made, x, projections.detach(), aim)
    return Matched(made, projections.detach(), left)


class _Terms:
    """The loss of many students at once, up to a constant: the sum over them of each one's mean."""

    def __init__(
        self, start: models.Ensemble, count: int, y: Any, teacher: Any, temperature: Any, alpha: Any
    ) -> None:
        self.temperature = _each("temperature", temperature, start, LARGEST_TEMPERATURE)
        positive("temperature", self.temperature.min().item())
        self.alpha = _each("alpha", alpha, start, 1.0)
        self.labels = self.aim = None
        if (self.alpha < 1).any():
            self.labels = picker(_labels_per_network(y, start, count))
        if (self.alpha > 0).any():
            logits = _per_network("teacher_logits", teacher, start, count, start.widths[-1])
            self.aim = picker(log_soften(logits, self.temperature).exp())

    def __call__(self, outputs: list[Tensor], rows: Tensor) -> Tensor:
        total = outputs[-1].new_zeros(())
        # Classes in the middle: over a short last axis PyTorch's softmax takes four times as long.
        logits = outputs[-1].transpose(1, 2)
        if self.labels is not None:
            hard = functional.cross_entropy(logits, self.labels(rows), reduction="none")
            total = total + ((1 - self.alpha.flatten()) * hard.mean(1)).sum()
        if self.aim is not None:
            guess = log_soften(logits, self.temperature, 1)
            # What is missing to the divergence is the teacher's own entropy, which no student changes.
            missed = -(self.aim(rows).transpose(1, 2) * guess).sum(1)
            total = total + ((self.alpha * self.temperature**2).flatten() * missed.mean(1)).sum()
        return total


def _each(name: str, value: Any, start: models.Ensemble, high: float) -> Tensor:
    """Return one number per network, [networks, 1, 1]."""
    values = np.atleast_1d(arguments.array(name, value, np.float64))
    if values.shape not in ((1,), (len(start),)):
        raise ValueError(
            f"{name} must be one number, or one per seed, {len(start)}; got shape {values.shape}"
        )
    for number in (values.min(), values.max()):
        arguments.real(name, number, 0, high)
    device = start.weights[0].device
    return torch.as_tensor(values, dtype=torch.float32, device=device).expand(len(start)).view(-1, 1, 1)


def _per_network(
    name: str, value: Any, start: models.Ensemble, count: int, width: int | None = None
) -> Tensor:
    """Return ``value`` as [networks, n, width], without copying what all share."""
    given = torch.as_tensor(arguments.array(name, value), device=start.weights[0].device)
    last = given.shape[-1] if given.ndim else 0
    shape = (len(start), count, last if width is None else width)
    if tuple(given.shape) not in (shape, shape[1:]):
        raise ValueError(f"{name} must be {list(shape[1:])} or {list(shape)}; got {list(given.shape)}")
    return given.expand(shape)


def _labels_per_network(y: Any, start: models.Ensemble, count: int) -> Tensor:
    """Return class numbers as int64 [networks, n]."""
    values = arguments.array("y", y, np.float64)
    if values.shape not in ((count,), (len(start), count)):
        raise ValueError(f"y must be [{count}] or [{len(start)}, {count}]; got {list(values.shape)}")
    numbers = as_labels(values.reshape(-1), start.widths[-1], start.weights[0].device)
    return numbers.view(values.shape).expand(len(start), count)


def _projections(start: models.Ensemble, width: int, seeds: Sequence[int]) -> Tensor:
    """Return fresh projections [networks, width, student's width], drawn as nn.Linear draws its weights."""
    made = [next(models.mlp((start.widths[-2], width), seed).parameters()).detach() for seed in seeds]
    return torch.stack(made).to(start.weights[0].device)


def _distance(made: models.Ensemble, x: Any, projections: Tensor, aim: Tensor) -> np.ndarray:
    """Return the mean squared difference between projected and teacher's features, [networks]."""
    with torch.no_grad():
        features = layer_outputs(made.weights, made.biases, as_examples(x, made))[-2]
        gap = features @ projections.transpose(1, 2) - aim
    return gap.square().mean((1, 2)).cpu().numpy()
