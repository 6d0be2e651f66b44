"""Training of a language model: Muon for the matrices between the layers, AdamW for the rest."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from coursekit._core import arguments, imports
from coursekit.language.transformer import Transformer

__all__ = ["Recipe", "Trainer", "batches"]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: options that always travel together.

    Parameters
    ----------
    steps : int
        Updates.
    batch_size : int
        Sequences per update.
    length : int
        Tokens per sequence.
    lr : float
        Of Muon; AdamW's is ``adam_lr``.
    adam_lr : float
        For embedding, norms and biases.
    warm_up : float
        The fraction of the steps over which both rise from 0.
    cool_down : float
        The fraction of the steps over which both fall to 0.
    seed : int
        Fixes which windows of the text are seen, and when.
    """

    steps: int = 400
    batch_size: int = 16
    length: int = 256
    lr: float = 0.02
    adam_lr: float = 3e-3
    warm_up: float = 0.02
    cool_down: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "length"):
            object.__setattr__(self, name, arguments.size(name, getattr(self, name)))
        for name in ("lr", "adam_lr"):
            object.__setattr__(self, name, arguments.positive(name, getattr(self, name)))
        for name in ("warm_up", "cool_down"):
            object.__setattr__(self, name, arguments.real(name, getattr(self, name), 0, 1))
        object.__setattr__(self, "seed", arguments.integer("seed", self.seed, 0))

    def rate(self, step: int) -> float:
        """Return by what both learning rates are multiplied at a step, from 0 on.

        Parameters
        ----------
        step : int
            From 0 to ``steps - 1``.

        Returns
        -------
        float
            Between 0 and 1.
        """
        rise = (step + 1) / max(1.0, self.warm_up * self.steps)
        fall = (self.steps - step) / max(1.0, self.cool_down * self.steps)
        return min(1.0, rise, fall)


def batches(tokens: Tensor, recipe: Recipe) -> Iterator[Tensor]:
    """Yield ``steps`` batches of windows, int64 [batch_size, length + 1], drawn from a text.

    Every token is seen about equally often: the windows of one round begin at a random offset, do not
    overlap, and come in random order.

    Parameters
    ----------
    tokens : Tensor
        int64 [n], more than ``length`` of them.
    recipe : Recipe
        Steps, sizes and seed.

    Yields
    ------
    Tensor
        The next batch.

    Raises
    ------
    ValueError
        If the text is shorter than one window.
    """
    if tokens.dim() != 1 or len(tokens) <= recipe.length:
        raise ValueError(f"tokens must be [n] with n above {recipe.length}; got {list(tokens.shape)}")
    draw = torch.Generator().manual_seed(recipe.seed)
    waiting: list[int] = []
    spare = len(tokens) - recipe.length - 1
    for _ in range(recipe.steps):
        while len(waiting) < recipe.batch_size:
            offset = int(torch.randint(min(recipe.length, spare + 1), (1,), generator=draw))
            starts = torch.arange(offset, spare + 1, recipe.length)
            waiting += starts[torch.randperm(len(starts), generator=draw)].tolist()
        chosen, waiting = waiting[: recipe.batch_size], waiting[recipe.batch_size :]
        yield torch.stack([tokens[start : start + recipe.length + 1] for start in chosen])


class Trainer:
    """Trains a model step by step, so that one can look in between, stop, and go on.

    Parameters
    ----------
    model : Transformer
        Changed in place.
    tokens : Tensor
        int64 [n]: the text.
    recipe : Recipe, optional
        How.

    Attributes
    ----------
    losses : list of float
        The loss in nats per token of every step so far.
    """

    def __init__(self, model: Transformer, tokens: Tensor, recipe: Recipe | None = None) -> None:
        self.model = arguments.instance("model", model, Transformer)
        self.recipe = Recipe() if recipe is None else arguments.instance("recipe", recipe, Recipe)
        self.losses: list[float] = []
        self._batches = batches(tokens, self.recipe)
        matrices = [weight for weight in model.layers.parameters() if weight.dim() == 2]
        inside = {id(weight) for weight in matrices}
        others = [weight for weight in model.parameters() if id(weight) not in inside]
        imports.whole("torch._dynamo")  # optimizers import it late, where an interrupt could tear it in half
        self._optimizers = [
            torch.optim.Muon(matrices, lr=self.recipe.lr, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(others, lr=self.recipe.adam_lr, weight_decay=0.0, betas=(0.9, 0.95)),
        ]
        self._full = [self.recipe.lr, self.recipe.adam_lr]

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return len(self.losses) >= self.recipe.steps

    def step(self) -> float:
        """Do one update and return its loss in nats per token.

        Returns
        -------
        float
            The mean over the batch, before the update.

        Raises
        ------
        ValueError
            If all steps are done.
        """
        if self.done:
            raise ValueError(f"all {self.recipe.steps} steps are done: make another Trainer")
        batch = next(self._batches)
        logits = self.model(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        for optimizer, full in zip(self._optimizers, self._full, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = full * self.recipe.rate(len(self.losses))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def run(self, seconds: float = math.inf, report: Callable[[int, int], None] | None = None) -> list[float]:
        """Do steps until all are done or the time is up.

        Parameters
        ----------
        seconds : float, optional
            After which no other step begins; at least one is done.
        report : callable, optional
            Called with (steps done, all steps) after each.

        Returns
        -------
        list of float
            The losses of these steps.
        """
        seconds = arguments.positive("seconds", seconds, "s", infinite=True)
        begin, first = time.perf_counter(), len(self.losses)
        self.model.train()
        while not self.done:
            self.step()
            if report is not None:
                report(len(self.losses), self.recipe.steps)
            if time.perf_counter() - begin >= seconds:
                break
        self.model.eval()
        return self.losses[first:]
