"""Soft labels and the loss of distillation, with what is wrong with labels on purpose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from coursekit._core import arguments

__all__ = [
    "ALPHA",
    "LARGEST_TEMPERATURE",
    "TEMPERATURE",
    "GradientSizes",
    "class_numbers",
    "gradient_sizes",
    "label_smoothing",
    "log_soften",
    "loss",
    "noisy_labels",
    "positive",
    "soften",
]

TEMPERATURE, ALPHA = 4.0, 0.5
# T² times a divergence that shrinks with T²: beyond this a double has too few digits left.
MOST_CLASSES = 1_000_000  # a row of numbers each
LARGEST_TEMPERATURE = 1e4
# Stands for the logarithm of 0: its exponential is 0, yet 0 times it is 0 and not NaN.
NEVER = -1e30


@dataclass(frozen=True, repr=False)
class GradientSizes:
    """Mean length of the soft loss's gradient per example, at every temperature, without and with T²."""

    temperatures: tuple[float, ...]
    plain: NDArray[np.float64]
    scaled: NDArray[np.float64]

    def __repr__(self) -> str:
        rows = zip(self.temperatures, self.plain, self.scaled, strict=True)
        return "\n".join(f"T = {t:g}: {plain:.2e}, with T² {scaled:.2e}" for t, plain, scaled in rows)


def soften(logits: Any, temperature: float = 1.0) -> Tensor:
    """Return softmax(logits / temperature) over the last axis: soft labels.

    Parameters
    ----------
    logits : array_like
        [..., classes]. They may be huge: their largest is taken off first.
    temperature : float
        Above 0.

    Returns
    -------
    Tensor
        Of the same shape and type.

    Raises
    ------
    TypeError, ValueError
        For a temperature that is not above 0, and for logits that are empty, NaN or infinite.

    Notes
    -----
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015).
    """
    values = _logits("logits", logits)
    return log_soften(values, positive("temperature", temperature)).exp().to(values.dtype)


def loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    *,
    temperature: float = TEMPERATURE,
    alpha: float = ALPHA,
) -> Tensor:
    """Return alpha * T² * KL(teacher ‖ student, both softened) + (1 - alpha) * cross-entropy.

    Parameters
    ----------
    student_logits, teacher_logits : array_like
        [n, classes] each.
    labels : array_like or None
        Class numbers [n]; None where alpha is 1.
    temperature : float
        T, above 0 and at most 10,000.
    alpha : float
        The teacher's share, 0 to 1.

    Returns
    -------
    Tensor
        One number, the mean over examples (PyTorch's batchmean), with gradients to the student's logits only.

    Raises
    ------
    TypeError, ValueError
        For other temperatures and alphas, NaN, other shapes, impossible labels.

    Notes
    -----
    Hinton, Vinyals and Dean (2015), section 2.
    """
    student = _logits("student_logits", student_logits, 2)
    teacher = _logits("teacher_logits", teacher_logits, 2).detach().to(student.device)
    if teacher.shape != student.shape:
        raise ValueError(
            f"teacher_logits must have the student's shape {tuple(student.shape)}; got {tuple(teacher.shape)}"
        )
    temperature = positive("temperature", temperature, LARGEST_TEMPERATURE)
    alpha = arguments.real("alpha", alpha, 0, 1)
    wide = _single(student)
    total = wide.new_zeros(())
    if alpha > 0:
        total = total + alpha * _soft(wide, teacher, temperature)
    if alpha < 1:
        total = total + (1 - alpha) * functional.cross_entropy(wide, class_numbers(labels, student))
    return total.to(student.dtype)


def gradient_sizes(student_logits: Any, teacher_logits: Any, temperatures: Any) -> GradientSizes:
    """Return how long the soft loss's gradient is at each temperature, without and with the factor T².

    Parameters
    ----------
    student_logits, teacher_logits : array_like
        [n, classes] each.
    temperatures : array_like
        As in ``loss``.

    Returns
    -------
    GradientSizes
        The length of the gradient by the student's logits, the mean over the n examples.

    Raises
    ------
    TypeError, ValueError
        As ``loss``.
    """
    student = _logits("student_logits", student_logits, 2).detach().double()
    chosen = tuple(arguments.array("temperatures", temperatures, np.float64, ndim=1).tolist())
    scaled = []
    for temperature in chosen:
        leaf = student.clone().requires_grad_()
        soft = loss(leaf, teacher_logits, None, temperature=temperature, alpha=1.0)
        (gradient,) = torch.autograd.grad(soft, leaf)
        scaled.append(float(gradient.norm(dim=1).mean()) * len(leaf))
    with_square = np.array(scaled)
    return GradientSizes(chosen, with_square / np.square(chosen), with_square)


def noisy_labels(y: Any, share: float, seed: int = 0, classes: int = 10) -> NDArray[np.int64]:
    """Return labels with exactly round(share * n) of them replaced by a wrong class.

    Parameters
    ----------
    y : array_like
        Class numbers [n].
    share : float
        0 to 1.
    seed : int
        Draws which ones, and by which of the other classes.
    classes : int
        How many there are, at least 2.

    Returns
    -------
    ndarray
        int64 [n].

    Raises
    ------
    TypeError, ValueError
        For a share outside 0 to 1, fewer than 2 classes, or labels that are not class numbers.
    """
    classes = arguments.integer("classes", classes, 2)
    labels = _whole_classes("y", y, classes)
    rng = np.random.default_rng(arguments.integer("seed", seed, 0))
    count = round(arguments.real("share", share, 0, 1) * len(labels))
    wrong = rng.choice(len(labels), count, replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, classes, count)) % classes
    return labels


def label_smoothing(y: Any, share: float = 0.1, classes: int = 10) -> Tensor:
    """Return the logits of a teacher that knows nothing but the labels.

    Parameters
    ----------
    y : array_like
        Class numbers [n].
    share : float
        What is spread evenly over all classes; above 0 and below 1.
    classes : int
        How many there are.

    Returns
    -------
    Tensor
        [n, classes]; softened at temperature 1, 1 - share on the label, plus share / classes everywhere.

    Raises
    ------
    TypeError, ValueError
        For another share, or impossible labels.

    Notes
    -----
    Szegedy et al., "Rethinking the Inception architecture" (2016), section 7.
    """
    classes = arguments.size("classes", classes, 2, MOST_CLASSES)
    share = arguments.real("share", share, 0, 1)
    if share in (0, 1):
        raise ValueError(f"share must lie between 0 and 1, both excluded; got {share}")
    one_hot = np.eye(classes, dtype=np.float32)[_whole_classes("y", y, classes)]
    return torch.from_numpy(one_hot * np.float32(1 - share) + np.float32(share / classes)).log()


def positive(name: str, value: Any, high: float | None = None) -> float:
    """Return a number above 0.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    value : object
        The number.
    high : float, optional
        The largest that is allowed.

    Returns
    -------
    float
        ``value``.

    Raises
    ------
    TypeError
        For what is not a number.
    ValueError
        For a number that is not above 0 or above ``high``.
    """
    number = arguments.real(name, value, high=high)
    if number <= 0:
        raise ValueError(f"{name} must be above 0; got {number:g}")
    return number


def log_soften(logits: Tensor, temperature: float | Tensor, dim: int = -1) -> Tensor:
    """Return the logarithm of softmax(logits / temperature), finite for every finite logit.

    Parameters
    ----------
    logits : Tensor
        [..., classes].
    temperature : float or Tensor
        One for all, or a tensor that fits the logits.
    dim : int
        The axis of the classes.

    Returns
    -------
    Tensor
        Of the logits' shape, in float32 at least: half precision ends at 65,504, and at three digits.
    """
    logits = _single(logits)
    least = torch.finfo(logits.dtype).tiny
    bounded = temperature.clamp(min=least) if isinstance(temperature, Tensor) else max(temperature, least)
    from_top = logits - logits.detach().amax(dim, keepdim=True)
    return (from_top / bounded).log_softmax(dim).clamp(min=NEVER)


def class_numbers(labels: Any, logits: Tensor, name: str = "labels") -> Tensor:
    """Return labels as int64 beside logits.

    Parameters
    ----------
    labels : object
        Class numbers, [n].
    logits : Tensor
        [n, classes].
    name : str
        What messages call the labels.

    Returns
    -------
    Tensor
        [n], on the device of ``logits``.

    Raises
    ------
    TypeError, ValueError
        For what is not one class number per row.
    """
    values = _whole_classes(name, labels, logits.shape[1])
    if len(values) != len(logits):
        raise ValueError(f"{name} must hold one class per row of logits, {len(logits)}; got {len(values)}")
    return torch.as_tensor(values, device=logits.device)


def _soft(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T² * KL(teacher ‖ student), worked out in doubles, because T² enlarges rounding errors."""
    aim, guess = (log_soften(part.double(), temperature) for part in (teacher, student))
    divergence = functional.kl_div(guess, aim, reduction="batchmean", log_target=True)
    return (temperature**2 * divergence).to(student.dtype)


def _single(values: Tensor) -> Tensor:
    """Return ``values`` in float32 where they have fewer bits, else as they are."""
    return values.float() if torch.finfo(values.dtype).bits < 32 else values


def _logits(name: str, value: Any, ndim: int | None = None) -> Tensor:
    """Return ``value`` as a tensor of floats; a tensor keeps its gradient."""
    checked = arguments.array(name, value, np.float64, ndim)
    if checked.ndim == 0:
        raise ValueError(f"{name} must hold one number per class; got a single number")
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else value.float()
    return torch.from_numpy(checked.astype(np.float32) if np.abs(checked).max() < 1e38 else checked)


def _whole_classes(name: str, labels: Any, classes: int) -> NDArray[np.int64]:
    values = arguments.array(name, labels, np.float64, ndim=1)
    if (values != np.rint(values)).any() or values.min() < 0 or values.max() >= classes:
        raise ValueError(
            f"{name} must hold class numbers from 0 to {classes - 1}; "
            f"got {values.min():g} to {values.max():g}"
        )
    return values.astype(np.int64)
