"""From what a model returns to labels: its own ones, or a refusal."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coursekit.models.inputs import evaluating, run

__all__ = ["ending", "from_outputs"]

# Nodes of PyTorch's graph that only move numbers about.
MOVES = ("View", "ReshapeAlias", "UnsafeView", "Squeeze", "Unsqueeze", "ToCopy", "Clone", "Slice", "T")
SQUASHES = {nn.Sigmoid: "Sigmoid", nn.Softmax: "Softmax", nn.LogSoftmax: "LogSoftmax"}
HALF = 0.5


def from_outputs(outputs: Any, count: int, last: str = "") -> NDArray[np.int64]:
    """Return the labels [n] in what a model returned for ``count`` examples, or refuse.

    Parameters
    ----------
    outputs : Tensor
        Scores [n, classes]: the largest one's number; one logit [n, 1], as for ``BCEWithLogitsLoss``: 1 where
        it is above 0, else 0; whole numbers or bools [n]: they are the labels.
    count : int
        n.
    last : str
        What ``ending`` says: a probability [n, 1] out of a Sigmoid counts from 0.5 on.

    Returns
    -------
    ndarray
        int64 [n].

    Raises
    ------
    TypeError
        For what is not a tensor.
    ValueError
        For one float per example [n], which may be a score or a value, for more than two dimensions, for
        scores that are NaN.
    """
    if not isinstance(outputs, Tensor):
        raise TypeError(f"model must return scores, a tensor [n, classes]; got {type(outputs).__name__}")
    found = outputs.detach().cpu()
    kind = str(found.dtype).removeprefix("torch.")
    if found.ndim == 1 and len(found) == count and not (found.is_floating_point() or found.is_complex()):
        return found.to(torch.int64).numpy()
    if found.ndim != 2 or len(found) != count or not found.shape[1] or not found.is_floating_point():
        raise ValueError(
            "model must return scores [n, classes], one logit [n, 1] or whole numbers [n] as labels; got "
            f"{kind} of shape {tuple(found.shape)} for {count} examples"
        )
    scores = found.float() if torch.finfo(found.dtype).bits < torch.finfo(torch.float32).bits else found
    top = scores.amax(1)  # NaN where any is; -inf where no class has a score
    bad = int((torch.isnan(top) | (top == -torch.inf)).sum())
    if bad:
        raise ValueError(f"model must return scores; {bad} of {count} examples have NaN, or only -inf")
    if scores.shape[1] > 1:
        return scores.argmax(1).numpy()
    if last in ("Softmax", "LogSoftmax"):
        raise ValueError(f"model ends in {last} over one class, which says the same of every example")
    return (scores[:, 0] > (HALF if last == "Sigmoid" else 0)).to(torch.int64).numpy()


def ending(model: nn.Module, x: Tensor) -> str:
    """Return "Sigmoid", "Softmax" or "LogSoftmax" if the model's outputs come out of one, else "".

    Parameters
    ----------
    model : nn.Module
        A module or function that ends it is found, also inside of a ``forward``.
    x : Tensor
        Examples [n, …] that it takes; one is tried.

    Returns
    -------
    str
        The name.
    """
    part = model
    while type(part) is nn.Sequential and len(part):
        kept = [each for each in part if not isinstance(each, nn.Identity | nn.Flatten)]
        part = kept[-1] if kept else nn.Identity()
    named = SQUASHES.get(type(part), "")
    return named or _traced(model, x)


def _traced(model: nn.Module, x: Tensor) -> str:
    """Ask PyTorch's graph what the outputs were computed by."""
    with evaluating(model), torch.inference_mode(False), torch.enable_grad():
        one = x[:1].clone()
        outputs = run(model, one.requires_grad_() if one.is_floating_point() else one)
    node = getattr(outputs, "grad_fn", None)
    while node is not None and _is_move(node.name()):
        node = node.next_functions[0][0]
    name = "" if node is None else node.name()
    return next((kind for kind in ("LogSoftmax", "Softmax", "Sigmoid") if name.startswith(kind)), "")


def _is_move(name: str) -> bool:
    return name.rstrip("0123456789").removesuffix("Backward") in MOVES
