"""Training students: one with any architecture, or one per seed, all in the same products."""

from collections.abc import Callable, Sequence
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
from coursekit.models import networks
from coursekit.models.training import training

__all__ = ["Matched", "distil", "distil_many", "hidden", "match_hidden"]

EPOCHS, LR, BATCH = 100, 1e-2, 64


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
) -> models.History:
    """Train ``student`` in place with Adam on ``loss``; return the mean loss of every epoch.

    x: what the student takes, examples first; teacher_logits: [n, classes]; y: class numbers [n], or None
    where alpha is 1. ``seed`` fixes the order of the batches. Errors as in ``loss``.
    """
    device = next(student.parameters()).device
    inputs, teacher = (
        torch.as_tensor(arguments.array(name, value), device=device)
        for name, value in (("x", x), ("teacher_logits", teacher_logits))
    )
    if len(inputs) != len(teacher):
        raise ValueError(f"x and teacher_logits must be equally long; got {len(inputs)} and {len(teacher)}")
    labels = None if y is None else class_numbers(y, teacher)

    def of_batch(rows: Tensor) -> Tensor:
        hard = None if labels is None else labels[rows]
        return loss(student(inputs[rows]), teacher[rows], hard, temperature=temperature, alpha=alpha)

    optimizer = torch.optim.Adam(student.parameters(), lr=arguments.real("lr", lr, 0))
    orders = (order.to(device) for order in networks.batch_orders(len(inputs), epochs, seed))
    size = arguments.integer("batch_size", batch_size, 1)
    student.train()
    losses = tuple(_epoch(of_batch, optimizer, order.split(size)) for order in orders)
    student.eval()
    return models.History(losses)


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
) -> models.Ensemble:
    """Train one student per seed, all in the same matrix products; alpha = 0 trains on the labels alone.

    Student i starts from ``mlp(widths, seeds[i])``: it is the one that ``distil(seed=seeds[i])`` would give.
    x: [n, features], y: class numbers [n] and teacher_logits: [n, classes], each with a leading [seeds] where
    every student has its own. y may be None where alpha is 1, teacher_logits where it is 0. temperature and
    alpha: one number, or one per seed. Errors: TypeError or ValueError as in ``loss``.
    """
    start = models.start_many(widths, seeds, x.device if isinstance(x, Tensor) else None)
    terms = _Terms(start, len(x[0]) if np.ndim(x) == 3 else len(x), y, teacher_logits, temperature, alpha)
    return models.train_many(start, x, terms, seeds=seeds, epochs=epochs, lr=lr, batch_size=batch_size)


def hidden(network: models.Ensemble | nn.Sequential, x: Any) -> Tensor:
    """Return what the last hidden layer says about ``x`` [n, features], after its ReLU.

    One network gives [n, width], an Ensemble [seeds, n, width].
    """
    if isinstance(network, models.Ensemble):
        features = networks.as_features(x, network.widths[0], network.weights[0].device)
        shared = features.expand(len(network), *features.shape)
        with torch.no_grad():
            return networks.layer_outputs(network.weights, network.biases, shared)[-2]
    if not isinstance(network, nn.Sequential):
        raise TypeError(f"network must be an Ensemble or an nn.Sequential; got {type(network).__name__}")
    parameter = next(network.parameters())
    with torch.no_grad():
        return network[:-1](torch.as_tensor(arguments.array("x", x, ndim=2), device=parameter.device))


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
) -> Matched:
    """Train students on cross-entropy + weight * mean((projection @ hidden - teacher_hidden)²).

    teacher_hidden: [n, width], or [seeds, n, width] where each student has its own teacher. The projection,
    [teacher's width, student's width], learns along and is no part of the student. Other arguments and errors
    as in ``distil_many``. Source: Romero et al., "FitNets" (2015).
    """
    start = models.start_many(widths, seeds, x.device if isinstance(x, Tensor) else None)
    if len(start.widths) < 3:
        raise ValueError(f"widths must have a hidden layer to match; got {start.widths}")
    count = len(x[0]) if np.ndim(x) == 3 else len(x)
    terms = _Terms(start, count, y, None, 1.0, 0.0)
    aim = _per_network("teacher_hidden", teacher_hidden, start, count)
    share = arguments.real("weight", weight, 0)
    projections = _projections(start, aim.shape[-1], seeds).requires_grad_()

    def matching(outputs: list[Tensor], rows: Tensor) -> Tensor:
        gap = outputs[-2] @ projections.transpose(1, 2) - aim[terms.networks, rows]
        return terms(outputs, rows) + share * gap.square().mean((1, 2)).sum()

    made = models.train_many(
        start, x, matching, seeds=seeds, epochs=epochs, lr=lr, batch_size=batch_size, extra=[projections]
    )
    left = _distance(made, x, projections.detach(), aim)
    return Matched(made, projections.detach(), left)


class _Terms:
    """The loss of many students at once: the sum over them of each one's mean."""

    def __init__(
        self, start: models.Ensemble, count: int, y: Any, teacher: Any, temperature: Any, alpha: Any
    ) -> None:
        self.networks = torch.arange(len(start), device=start.weights[0].device).unsqueeze(1)
        self.temperature = _each("temperature", temperature, start, LARGEST_TEMPERATURE)
        positive("temperature", self.temperature.min().item())
        self.alpha = _each("alpha", alpha, start, 1.0)
        self.labels = self.aim = None
        if (self.alpha < 1).any():
            self.labels = _labels_per_network(y, start, count)
        if (self.alpha > 0).any():
            logits = _per_network("teacher_logits", teacher, start, count, start.widths[-1])
            self.aim = log_soften(logits, self.temperature)

    def __call__(self, outputs: list[Tensor], rows: Tensor) -> Tensor:
        total = outputs[-1].new_zeros(())
        if self.labels is not None:
            hard = _cross_entropy(outputs[-1], self.labels[self.networks, rows])
            total = total + ((1 - self.alpha.flatten()) * hard.mean(1)).sum()
        if self.aim is not None:
            guess = log_soften(outputs[-1], self.temperature)
            gap = functional.kl_div(guess, self.aim[self.networks, rows], reduction="none", log_target=True)
            weight = (self.alpha * self.temperature**2).flatten()
            total = total + (weight * gap.sum(-1).mean(1)).sum()
        return total


def _epoch(
    of_batch: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, batches: Sequence[Tensor]
) -> float:
    """Take one step per batch and return the mean loss of its examples."""
    total = 0.0
    for rows in batches:
        value = of_batch(rows)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        total += value.item() * len(rows)
    return total / sum(map(len, batches))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of every example, [networks, batch]."""
    flat = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return flat.view(labels.shape)


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
    shape = (len(start), count, given.shape[-1] if width is None and given.ndim else width)
    if tuple(given.shape) not in (shape, shape[1:]):
        raise ValueError(f"{name} must be {list(shape[1:])} or {list(shape)}; got {list(given.shape)}")
    return given.expand(shape)


def _labels_per_network(y: Any, start: models.Ensemble, count: int) -> Tensor:
    """Return class numbers as int64 [networks, n]."""
    values = arguments.array("y", y, np.float64)
    if values.shape not in ((count,), (len(start), count)):
        raise ValueError(f"y must be [{count}] or [{len(start)}, {count}]; got {list(values.shape)}")
    numbers = networks.as_labels(values.reshape(-1), start.widths[-1], start.weights[0].device)
    return numbers.view(values.shape).expand(len(start), count)


def _projections(start: models.Ensemble, width: int, seeds: Sequence[int]) -> Tensor:
    """Return fresh projections [networks, width, student's width], drawn as nn.Linear draws its weights."""
    made = [models.mlp((start.widths[-2], width), seed)[0].weight.detach() for seed in seeds]
    return torch.stack(made).to(start.weights[0].device)


def _distance(made: models.Ensemble, x: Any, projections: Tensor, aim: Tensor) -> np.ndarray:
    """Return the mean squared difference between projected and teacher's features, [networks]."""
    with torch.no_grad():
        features = networks.layer_outputs(made.weights, made.biases, networks.as_examples(x, made))[-2]
        gap = features @ projections.transpose(1, 2) - aim
    return gap.square().mean((1, 2)).cpu().numpy()
