"""How this package trains: its options, its batches, and the state of PyTorch that every training finds."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch._dynamo  # optimizers import it late, in a cell, where an interrupt could tear it in half
from torch import Tensor, nn

from coursekit import runtime
from coursekit._core import arguments
from coursekit.models.inputs import run

__all__ = ["History", "Schedule", "batch_orders", "batches", "train", "training"]

LARGEST_LR = 1e30  # from there on, PyTorch cannot write Adam's steps down
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: options that always travel together.

    Parameters
    ----------
    epochs : int
        How often all examples are seen, at least once.
    lr : float
        The learning rate of Adam, from 0 on.
    batch_size : int
        Examples per step, at least 1.
    seed : int
        Fixes the order of the batches, and what Dropout leaves out.

    Raises
    ------
    TypeError, ValueError
        For what is not such a number.
    """

    epochs: int = 30
    lr: float = 3e-3
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        checked = {
            "epochs": arguments.integer("epochs", self.epochs, 1),
            "lr": arguments.real("lr", self.lr, 0, LARGEST_LR),
            "batch_size": arguments.size("batch_size", self.batch_size),
            "seed": arguments.integer("seed", self.seed, 0),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def or_else(self, schedule: "Schedule | None", usual: "Schedule") -> "Schedule":
        """Return ``schedule`` where one was given, else this one, made from a function's single options.

        Parameters
        ----------
        schedule : Schedule, optional
            What came as the argument of that name.
        usual : Schedule
            The function's defaults, from which the single options must not differ beside a ``schedule``.

        Returns
        -------
        Schedule
            The one that counts.

        Raises
        ------
        TypeError
            If both were given, or ``schedule`` is something else.
        """
        if schedule is None:
            return self
        if not isinstance(schedule, Schedule):
            raise TypeError(f"schedule must be a models.Schedule; got {type(schedule).__name__}")
        if self != usual:
            raise TypeError("schedule must come without epochs, lr, batch_size and seed, which it holds")
        return schedule


@dataclass(frozen=True, repr=False)
class History:
    """The mean training loss of every epoch."""

    losses: tuple[float, ...]

    def __repr__(self) -> str:
        return f"{len(self.losses)} epochs, loss from {self.losses[0]:.3f} to {self.losses[-1]:.3f}"


@contextmanager
def training() -> Iterator[None]:
    """Give a training, as its decorator, one thread and gradients; restore what the reader had afterwards.

    Yields
    ------
    None
        One thread and gradients, until the block ends.

    Notes
    -----
    The products are so small that sharing them between threads costs more than it brings, on a busy machine
    forty times more. And a cell that was interrupted inside PyTorch may have left gradients switched off.
    """
    with runtime.threads(1), torch.inference_mode(False), torch.enable_grad():
        yield


def batch_orders(count: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Yield a fresh random order of ``count`` examples for every epoch.

    Parameters
    ----------
    count, epochs : int
        How many examples, how many orders.
    seed : int
        Fixes the orders, and disturbs no other random numbers.

    Yields
    ------
    Tensor
        The numbers 0 to count - 1, int64 [count].
    """
    generator = torch.Generator().manual_seed(arguments.integer("seed", seed, 0))
    for _ in range(arguments.integer("epochs", epochs, 1)):
        yield torch.randperm(count, generator=generator)


def batches(order: Tensor, size: int, least: int = 1) -> list[Tensor]:
    """Cut an epoch's order into batches; a last one shorter than ``least`` joins the one before.

    Parameters
    ----------
    order : Tensor
        The numbers of the examples [n].
    size : int
        Examples per batch.
    least : int
        What the model needs; BatchNorm learns nothing from a single example.

    Returns
    -------
    list of Tensor
        The batches, together all of ``order``.
    """
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) < least:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def train(
    model: nn.Module, inputs: Tensor, loss: Callable[[Tensor, Tensor], Tensor], schedule: Schedule
) -> History:
    """Train ``model`` in place with Adam; it ends in eval mode, or, after an error, just as it was before.

    Parameters
    ----------
    model : nn.Module
        What is trained, all parameters that require a gradient.
    inputs : Tensor
        The examples [n, …], on the model's device.
    loss : callable
        ``loss(outputs, rows)`` returns the mean loss of the examples whose numbers are ``rows``.
    schedule : Schedule
        How long and how fast.

    Returns
    -------
    History
        The mean loss of every epoch.

    Raises
    ------
    ValueError
        If nothing in the model learns, it holds NaN, it cannot take a batch, or the training diverges.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError(f"model must have a parameter that learns; got {type(model).__name__} without one")
    optimizer = torch.optim.Adam(model.parameters(), lr=schedule.lr)
    losses: list[float] = []
    with _learning(model, schedule.seed):
        least = 2 if any(isinstance(each, NORMS) for each in model.modules()) else 1
        for order in batch_orders(len(inputs), schedule.epochs, schedule.seed):
            parts, total = batches(order.to(inputs.device), schedule.batch_size, least), 0.0
            for rows in parts:
                value = loss(run(model, inputs[rows]), rows)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                total += _finite(value.item(), len(losses), schedule.lr) * len(rows)
            losses.append(total / len(inputs))
        if not all(map(_is_finite, learning)):
            _finite(math.nan, len(losses) - 1, schedule.lr)
    return History(tuple(losses))


@contextmanager
def _learning(model: nn.Module, seed: int) -> Iterator[None]:
    """Hold ``model`` in training mode, its Dropout drawing by ``seed``; undo all of it after an error."""
    held = [*model.parameters(), *model.buffers()]
    if not all(map(_is_finite, held)):
        raise ValueError(f"model must hold finite numbers; {type(model).__name__} holds NaN or infinity")
    before, modes = [part.detach().clone() for part in held], [(m, m.training) for m in model.modules()]
    try:
        with _random(held[0].device, seed):
            model.train()
            yield
    except BaseException as error:
        for module, mode in modes:
            module.training = mode
        if isinstance(error, Exception):  # not where the reader stops it: what was learned stays
            with torch.no_grad():
                for part, old in zip(held, before, strict=True):
                    part.copy_(old)
        raise
    model.eval()


@contextmanager
def _random(device: torch.device, seed: int) -> Iterator[None]:
    """Let random numbers follow from ``seed``, and put the generators back as they were."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        # torch.manual_seed would reseed every GPU as well.
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _is_finite(part: Tensor) -> bool:
    return not part.is_floating_point() or bool(torch.isfinite(part).all())


def _finite(loss: float, epoch: int, lr: float) -> float:
    if not math.isfinite(loss):
        raise ValueError(
            f"lr, {lr:g}, or the numbers in x are too large: the training diverged in epoch {epoch + 1}, and "
            "the model was put back as it was before"
        )
    return loss
