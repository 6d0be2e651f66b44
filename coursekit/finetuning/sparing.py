"""Two ways to keep less for the backward pass: recompute blocks, and never hold all logits at once.

Sources: Chen and others 2016, Training Deep Nets with Sublinear Memory Cost; Wijmans and others 2024, Cut
Your Losses in Large-Vocabulary Language Models.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from coursekit._core import arguments
from coursekit.finetuning.given import dense, tokens_of
from coursekit.language.transformer import Transformer, rotations

__all__ = ["chunked_loss", "hidden_recomputed"]


def hidden_recomputed(model: Transformer, tokens: Tensor) -> Tensor:
    """Return what ``model.hidden`` returns, keeping of every block only what comes in.

    Parameters
    ----------
    model : Transformer
        The model.
    tokens : Tensor
        int64 [batch, n].

    Returns
    -------
    Tensor
        [batch, n, width]. On the way back every block is computed once more.
    """
    model = arguments.instance("model", model, Transformer)
    tokens_of("tokens", tokens, model.config.vocab_size, model.config.context)
    x = model.embed_tokens(tokens)
    turns = rotations(model.config, 0, tokens.shape[1], x.device, x.dtype)
    for block in model.layers:
        x = checkpoint(block, x, turns, use_reentrant=False)
    return model.norm(x)


def chunked_loss(hidden: Tensor, head: Tensor, targets: Tensor, chunk: int = 256) -> Tensor:
    """Return the cross-entropy, mean over tokens, with the logits of only so many tokens at a time.

    Parameters
    ----------
    hidden : Tensor
        [..., width].
    head : Tensor
        [vocab_size, width].
    targets : Tensor
        int64, of ``hidden``'s shape without the width.
    chunk : int, optional
        Tokens whose logits exist at once.

    Returns
    -------
    Tensor
        One number, with gradients to ``hidden`` and ``head``.

    Raises
    ------
    TypeError, ValueError
        For shapes that do not go together, and targets outside the vocabulary.
    """
    chunk = arguments.size("chunk", chunk)
    dense("hidden", hidden), dense("head", head, 2), dense("targets", targets, whole=True)
    if hidden.shape[:-1] != targets.shape or head.shape[1] != hidden.shape[-1]:
        shapes = f"{list(hidden.shape)}, {list(head.shape)} and {list(targets.shape)}"
        raise ValueError(f"hidden, head, targets must be [..., width], [vocab, width], [...]; got {shapes}")
    if int(targets.min()) < 0 or int(targets.max()) >= len(head) or hidden.dtype != head.dtype:
        raise ValueError(f"targets must lie between 0 and {len(head) - 1}, hidden and head be of one type")
    rows, wanted = hidden.flatten(0, -2), targets.flatten()
    parts = [
        checkpoint(_summed, some, head, right, use_reentrant=False)
        for some, right in zip(rows.split(chunk), wanted.split(chunk), strict=True)
    ]
    return torch.stack(parts).sum() / len(wanted)


def _summed(rows: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(rows, head), targets, reduction="sum")
