"""How many parameters layers have, from their sizes alone."""

from typing import Any

from coursekit._core import arguments
from coursekit.memory.architectures import Model, found_model

__all__ = [
    "MOST",
    "RANK",
    "attention",
    "conv2d",
    "count",
    "embedding",
    "layer_norm",
    "linear",
    "lora_parameters",
]

MOST = 10**18  # more of anything is a slip, and its bytes soon too large for a float
RANK = 16


def count(name: str, value: Any) -> int:
    """Return a whole number from 1 on.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    value : object
        The number.

    Returns
    -------
    int
        ``value``.

    Raises
    ------
    TypeError
        For what is not a whole number.
    ValueError
        For a number below 1 or above MOST.
    """
    return arguments.integer(name, value, 1, MOST)


def linear(inputs: int, outputs: int, *, bias: bool = True) -> int:
    """Return the parameters of nn.Linear: a weight for each pair, a bias for each output.

    Parameters
    ----------
    inputs, outputs : int
        Numbers that go in and come out.
    bias : bool
        With biases.

    Returns
    -------
    int
        Parameters.

    Raises
    ------
    TypeError, ValueError
        For what is not a whole number from 1 on.
    """
    wide, across = count("inputs", inputs), count("outputs", outputs)
    return wide * across + arguments.flag("bias", bias) * across


def conv2d(inputs: int, outputs: int, kernel: int, *, bias: bool = True, groups: int = 1) -> int:
    """Return the parameters of nn.Conv2d with ``kernel`` x ``kernel`` filters, for pictures of any size.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int
        The filters' side.
    bias : bool
        With biases.
    groups : int
        Each output channel sees inputs / groups channels.

    Returns
    -------
    int
        Parameters.

    Raises
    ------
    TypeError, ValueError
        For what is not a whole number from 1 on, or groups that do not divide both.
    """
    shared = count("groups", groups)
    for name, channels in (("inputs", inputs), ("outputs", outputs)):
        if count(name, channels) % shared:
            raise ValueError(f"groups must divide {name} = {channels}; got {groups}")
    seen = count("inputs", inputs) // shared * count("kernel", kernel) ** 2
    return count("outputs", outputs) * (seen + arguments.flag("bias", bias))


def embedding(vocab: int, width: int) -> int:
    """Return the parameters of nn.Embedding: a row of ``width`` numbers per token.

    Parameters
    ----------
    vocab, width : int
        Tokens, numbers per token.

    Returns
    -------
    int
        Parameters.

    Raises
    ------
    TypeError, ValueError
        For what is not a whole number from 1 on.
    """
    return count("vocab", vocab) * count("width", width)


def layer_norm(width: int, *, bias: bool = True) -> int:
    """Return the parameters of nn.LayerNorm: a factor and an offset per number.

    Parameters
    ----------
    width : int
        Numbers that are normalised together.
    bias : bool
        With offsets.

    Returns
    -------
    int
        Parameters.

    Raises
    ------
    TypeError, ValueError
        For what is not a whole number from 1 on.
    """
    return count("width", width) * (1 + arguments.flag("bias", bias))


def attention(
    hidden: int, heads: int, *, kv_heads: int | None = None, head_dim: int | None = None, bias: bool = True
) -> int:
    """Return the parameters of attention: four matrices, for queries, keys, values and the way back.

    Parameters
    ----------
    hidden, heads : int
        The width, and the heads that share it.
    kv_heads : int, optional
        Heads with keys and values of their own; by default all.
    head_dim : int, optional
        A head's width; by default hidden / heads.
    bias : bool
        With biases.

    Returns
    -------
    int
        Parameters.

    Raises
    ------
    TypeError, ValueError
        For what is not a whole number from 1 on, or heads that divide nothing: kv_heads must
        divide heads, and heads hidden.
    """
    wide, each = count("hidden", hidden), count("heads", heads)
    arguments.flag("bias", bias)
    if head_dim is None and wide % each:
        raise ValueError(f"heads must divide hidden = {wide}; got {each}")
    size = wide // each if head_dim is None else count("head_dim", head_dim)
    shared = each if kv_heads is None else count("kv_heads", kv_heads)
    if each % shared:
        raise ValueError(f"kv_heads must divide heads = {each}; got {shared}")
    queries, keys = each * size, shared * size
    there = linear(wide, queries, bias=bias) + 2 * linear(wide, keys, bias=bias)
    return there + linear(queries, wide, bias=bias)


def lora_parameters(model: Model | str, rank: int = RANK) -> int:
    """Return the parameters of LoRA adapters on every matrix of every layer: rank · (inputs + outputs) each.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    rank : int
        The adapters' inner width.

    Returns
    -------
    int
        Parameters.

    Raises
    ------
    TypeError, ValueError
        For an unknown model, width or count.

    Notes
    -----
    Hu et al. 2021.
    """
    model = found_model(model)
    ends = 2 * (model.hidden + model.query_width) + 2 * (model.hidden + model.kv_width)
    ends += (3 if model.gated else 2) * (model.hidden + model.mlp)
    return count("rank", rank) * model.layers * ends
