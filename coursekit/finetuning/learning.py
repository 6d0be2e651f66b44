"""Training what is not frozen, adapters or whole models, in the same steps; and what it takes in bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit._core import arguments, display, imports
from coursekit.finetuning.given import text_of, tokens_of, windows_of
from coursekit.language.quality import losses
from coursekit.language.training import Recipe, batches
from coursekit.language.transformer import Transformer
from coursekit.memory.tensors import tensor_bytes

__all__ = ["Learned", "TrainingBytes", "fine_tune", "training_bytes"]

BETAS = (0.9, 0.99)


@dataclass(frozen=True, repr=False)
class TrainingBytes(display.Text):
    """What learning takes beside activations, counted from the tensors that are there.

    Parameters
    ----------
    weights, gradients, optimizer : int
        Bytes.
    learned : int
        How many numbers learn.
    """

    weights: int
    gradients: int
    optimizer: int
    learned: int

    @property
    def learning(self) -> int:
        """Bytes of gradients and of what the optimizer keeps."""
        return self.gradients + self.optimizer

    def __str__(self) -> str:
        parts = ("weights", self.weights), ("gradients", self.gradients), ("optimizer", self.optimizer)
        said = ", ".join(f"{name} {display.size(count)}" for name, count in parts)
        return f"{self.learned:,} numbers learn: {said}"


@dataclass(frozen=True, repr=False)
class Learned(display.Text):
    """What came of some steps of training.

    Parameters
    ----------
    losses : tuple of float
        Of every step's batch before its update, nats per token.
    steps : tuple of int
        After which the model was looked at.
    seen : tuple of float
        The loss on other windows after each of ``steps``.
    bytes : TrainingBytes
        After the last step.
    """

    losses: tuple[float, ...]
    steps: tuple[int, ...]
    seen: tuple[float, ...]
    bytes: TrainingBytes

    def __str__(self) -> str:
        looked = f", {self.seen[-1]:.3f} on other windows" if self.seen else ""
        return f"{len(self.losses)} steps: loss {self.losses[-1]:.3f} on the last batch{looked}; {self.bytes}"


def training_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingBytes:
    """Return the bytes of a model's weights, of its gradients, and of what its optimizer keeps.

    Parameters
    ----------
    model : Module
        After a backward pass.
    optimizer : Optimizer
        After a step.

    Returns
    -------
    TrainingBytes
        Each tensor once; weights that do not learn have no gradient.
    """
    model = arguments.module("model", model)
    kept = arguments.instance("optimizer", optimizer, torch.optim.Optimizer).state.values()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    # A counter per weight says which step it is; what has the weight's shape is what grows.
    states = [part for state in kept for part in state.values() if isinstance(part, Tensor) and part.dim()]
    learned = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return TrainingBytes(tensor_bytes(model), tensor_bytes(gradients), tensor_bytes(states), learned)


def fine_tune(
    model: Transformer,
    tokens: Tensor,
    recipe: Recipe,
    *,
    look: Tensor | None = None,
    at: Sequence[int] = (),
    after: Callable[[], object] | None = None,
) -> Learned:
    """Train what learns in a model with AdamW, without weight decay.

    Parameters
    ----------
    model : Transformer
        Changed in place: what is not frozen learns.
    tokens : Tensor
        int64 [n]: the text.
    recipe : language.Recipe
        Steps, batches, seed, and ``lr``, which is AdamW's here.
    look : Tensor, optional
        Windows of another text, int64 [count, length + 1].
    at : sequence of int, optional
        After which steps the loss on them is measured; by default after the last.
    after : callable, optional
        Called without arguments after every step. Whatever ``after`` raises goes through.

    Returns
    -------
    Learned
        Losses and bytes.

    Raises
    ------
    ValueError
        If nothing learns, the text is shorter than a window or not of the model's tokens, or the loss is no
        finite number.
    """
    learning, looked = _checked(model, tokens, recipe, look, at, after)
    imports.whole("torch._dynamo")  # optimizers import it late, where an interrupt could tear it in half
    optimizer = torch.optim.AdamW(learning, lr=recipe.lr, betas=BETAS, weight_decay=0.0)
    trained: list[float] = []
    seen: dict[int, float] = {}

    def glance(step: int) -> None:
        if look is not None and step in looked:
            seen[step] = losses(model, look).mean

    glance(0)
    for number, batch in enumerate(batches(tokens, recipe)):
        optimizer.param_groups[0]["lr"] = recipe.lr * recipe.rate(number)
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        trained.append(_finite(loss, number))
        glance(number + 1)
        if after is not None:
            after()
    spent = training_bytes(model, optimizer)
    optimizer.zero_grad(set_to_none=True)
    return Learned(tuple(trained), tuple(seen), tuple(seen.values()), spent)


def _checked(
    model: Any, tokens: Any, recipe: Any, look: Any, at: Any, after: Any
) -> tuple[list[nn.Parameter], set[int]]:
    """Return the weights that learn, and the steps after which the model is looked at."""
    steps = arguments.instance("recipe", recipe, Recipe).steps
    weights = arguments.instance("model", model, Transformer).parameters()
    text = text_of("tokens", tokens, recipe.length)
    tokens_of("tokens", text[None], model.config.vocab_size, len(text))
    if look is not None:
        windows_of("look", look)
    if after is not None:
        arguments.function("after", after)
    learning = [weight for weight in weights if weight.requires_grad]
    if not learning:
        raise ValueError("model must have weights that learn; all of its are frozen: with_lora adds some")
    nothing = isinstance(at, tuple) and not at
    return learning, {steps} if nothing else set(arguments.integers("at", at, 0, steps))


def _finite(loss: Tensor, step: int) -> float:
    value = float(loss.detach())
    if not torch.isfinite(loss):
        raise ValueError(f"the loss became {value} in step {step + 1}: take a smaller lr")
    return value
