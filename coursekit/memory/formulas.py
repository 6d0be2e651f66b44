"""The arithmetic of memory: bytes of weights, activations and KV cache, and their sum."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from coursekit._core import arguments, imports
from coursekit.floats import FORMATS
from coursekit.memory.architectures import Device, Model, found_device, found_model
from coursekit.memory.fitting import CHUNK, Fit, Need, at_once
from coursekit.memory.parameters import MOST, count, lora_parameters

__all__ = [
    "CHUNK",
    "GROUP",
    "MODES",
    "MOST_CONTEXT",
    "WIDTHS",
    "activations",
    "build",
    "fits",
    "kv_cache",
    "layer_activations",
    "longest_context",
    "mlp_activations",
    "need",
    "weight_bytes",
    "working_bytes",
]

if TYPE_CHECKING:
    import torch

MODES = ("inference", "lora", "full")
WIDTHS = (32, 16, 8, 4)
GROUP, SCALE_BITS = 128, 16  # below 16 bits, how many numbers share one scale, and what the scale takes
# Bytes per trained parameter with Adam in mixed precision: Rajbhandari et al. 2020 (ZeRO), section 3.1.
HALF, GRADIENT, MASTER, MOMENTUM, VARIANCE = 2, 2, 4, 4, 4
STATISTICS = 4  # float32 numbers that the two norms of a layer keep per token: mean and 1 / deviation, twice
MOST_CONTEXT = 10**9


def weight_bytes(parameters: int, format: str = "fp32", *, group: int | None = None) -> int:
    """Return the bytes of ``parameters`` numbers in a format.

    Parameters
    ----------
    parameters : int
        How many, from 0 on.
    format : str
        A name or title in ``floats.FORMATS``.
    group : int, optional
        So many consecutive numbers share a 16-bit scale, which counts: INT4 in groups of 128 takes
        4.125 bits.

    Returns
    -------
    int
        Bytes; parts of one are rounded up.

    Raises
    ------
    TypeError, ValueError
        For an unknown format, and for TF32, which is a way to multiply and stored as FP32.
    """
    names = {**{f.title: f for f in FORMATS.values()}, **FORMATS}
    bits = names[arguments.choice("format", format, names)].bits
    if bits % 4:
        raise ValueError(f"format must be one to store numbers in; {format} is stored as fp32")
    return _bytes(arguments.integer("parameters", parameters, 0, MOST), bits, group)


def kv_cache(model: Model | str, context: int, batch: int = 1, *, bits: int = 16) -> int:
    """Return the bytes of keys and values: 2 · layers · kv_heads · head_dim · context · batch · bits / 8.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    context, batch : int
        Tokens per sequence; sequences.
    bits : int
        The numbers' width: 32, 16, 8 or 4.

    Returns
    -------
    int
        Bytes, with a 16-bit scale for each 128 numbers at 8 and 4 bits; 0 for a model that does not generate.

    Raises
    ------
    TypeError, ValueError
        For an unknown model, width or count.
    """
    return _cache(found_model(model), _tokens(context, batch), _bits("bits", bits))


def mlp_activations(widths: Sequence[int], batch: int, *, bits: int = 32) -> int:
    """Return the bytes that a Linear-ReLU-…-Linear network keeps for the backward pass: the layers' inputs.

    Parameters
    ----------
    widths : sequence of int
        The layers' sizes, input first.
    batch : int
        Examples.
    bits : int
        The numbers' width: 32, 16, 8 or 4.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    TypeError, ValueError
        For what is not a whole number from 1 on, or fewer than two widths.

    Notes
    -----
    A ReLU keeps its output, which is the next layer's input: one tensor for both.
    """
    sizes = arguments.integers("widths", widths, 1, MOST)
    if len(sizes) < 2:
        raise ValueError(f"widths must name an input and an output size at least; got {sizes}")
    return count("batch", batch) * sum(sizes[:-1]) * _bits("bits", bits) // 8


def layer_activations(model: Model | str, tokens: int, *, bits: int = 16) -> int:
    """Return the bytes that one transformer layer keeps for the backward pass.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    tokens : int
        Of all sequences together.
    bits : int
        The numbers' width: 32, 16, 8 or 4.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    TypeError, ValueError
        For an unknown model, width or count.

    Notes
    -----
    4 · hidden (both norms' inputs and outputs), queries and what attention returns, keys and values, and
    2 · mlp (4 · mlp if gated); in float32, the norms' statistics and a number per head. Attention is fused:
    its scores are never kept. Without dropout this is the 34 · hidden of Korthikanti et al. 2022.
    """
    model = found_model(model)
    inner = (4 if model.gated else 2) * model.mlp
    numbers = 4 * model.hidden + 2 * model.query_width + 2 * model.kv_width + inner
    return count("tokens", tokens) * (numbers * _bits("bits", bits) // 8 + 4 * (STATISTICS + model.heads))


def activations(model: Model | str, tokens: int, *, bits: int = 16) -> int:
    """Return the bytes that a whole decoder keeps for the backward pass.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    tokens : int
        Of all sequences together.
    bits : int
        The numbers' width: 32, 16, 8 or 4.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    TypeError, ValueError
        For an unknown model, width or count.

    Notes
    -----
    All layers, the last norm, the probabilities of every word of the vocabulary in float32, and the token ids
    as input and as labels.
    """
    model = found_model(model)
    last = 2 * model.hidden * _bits("bits", bits) // 8 + 4 * STATISTICS // 2
    ends = count("tokens", tokens) * (last + 4 * model.vocab + 2 * 8)
    return model.layers * layer_activations(model, tokens, bits=bits) + ends


def working_bytes(model: Model | str, context: int, batch: int = 1, *, bits: int = 16) -> int:
    """Return the bytes of values alive at once where nothing is kept: one layer's, and the answers.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    context, batch : int
        Tokens per sequence; sequences.
    bits : int
        The numbers' width: 32, 16, 8 or 4.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    TypeError, ValueError
        For an unknown model, width or count.

    Notes
    -----
    Prompts are worked on in chunks of 512 tokens. The widest place is the middle of a layer's second half.
    """
    model = found_model(model)
    sequences = count("batch", batch)
    tokens = at_once(_tokens(context, batch) // sequences, sequences)
    widest = 2 * model.hidden + (3 if model.gated else 2) * model.mlp
    return tokens * widest * _bits("bits", bits) // 8 + sequences * model.vocab * 4


def build(model: Model | str, *, tied: bool = False) -> "torch.nn.Module":
    """Return a decoder of these sizes in torch, untrained, to be weighed.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    tied : bool
        One matrix for words on both ends.

    Returns
    -------
    nn.Module
        The decoder.

    Raises
    ------
    TypeError, ValueError
        For an unknown model, and where ``tied`` is not a bool.

    Notes
    -----
    Under ``torch.device("meta")`` it has shapes but no numbers, so even 70B parameters cost nothing.
    """
    found, tied = found_model(model), arguments.flag("tied", tied)
    return imports.whole("coursekit.memory.transformer").Decoder(found, tied=tied)


def need(
    model: Model | str,
    bits: int = 16,
    kv_bits: int = 16,
    context: int = 2048,
    batch: int = 1,
    mode: str = "inference",
) -> Need:
    """Return what ``model`` needs to answer or to learn.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    bits, kv_bits : int
        The width of the weights and of the KV cache: 32, 16, 8 or 4; below 16, groups of 128 share a
        16-bit scale.
    context, batch : int
        Tokens per sequence; sequences.
    mode : str
        "inference", "lora" (adapters learn) or "full" (everything does).

    Returns
    -------
    Need
        The parts and their sum.

    Raises
    ------
    TypeError, ValueError
        For full training below 16 bits, and for unknown names, modes and widths.

    Notes
    -----
    Training is Adam in mixed precision, 16 bytes for each trained parameter (at 32 bits: 4 + 4 + 8), nothing
    recomputed. Not counted: the framework itself, and memory lost between blocks.
    """
    model, mode = found_model(model), arguments.choice("mode", mode, MODES)
    tokens, bits, kv_bits = _tokens(context, batch), _bits("bits", bits), _bits("kv_bits", kv_bits)
    context, batch = int(context), int(batch)
    weights, learned, kept = _stored(model.parameters, bits), 0, 16
    gradient, states = GRADIENT, MASTER + MOMENTUM + VARIANCE
    if mode == "inference":
        work, cache = working_bytes(model, context, batch), _cache(model, tokens, kv_bits)
        return Need(model, bits, kv_bits, context, batch, mode, weights, cache, work, 0, 0)
    if mode == "lora":
        learned = lora_parameters(model)
        weights += HALF * learned
    elif bits < 16:
        raise ValueError(f"bits must be 32 or 16 for full training: coarser weights cannot learn; got {bits}")
    else:
        learned, kept = model.parameters, bits
    if kept == 32:
        gradient, states = 4, MOMENTUM + VARIANCE
    work = activations(model, tokens, bits=kept)
    trained = gradient * learned, states * learned
    return Need(model, bits, kv_bits, context, batch, mode, weights, 0, work, *trained)


def fits(need: Need, device: Device | str) -> Fit:
    """Return whether a need fits into a device, with the room left.

    Parameters
    ----------
    need : Need
        As ``need`` returns it.
    device : Device or str
        A device, or the name of one in ``DEVICES``.

    Returns
    -------
    Fit
        The comparison.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    if not isinstance(need, Need):
        raise TypeError(f"need must be a Need, as memory.need returns it; got {type(need).__name__}")
    return Fit(need, found_device(device))


def longest_context(
    model: Model | str, device: Device | str, *, bits: int = 16, kv_bits: int = 16, batch: int = 1
) -> int:
    """Return how many tokens of context fit beside the weights.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one in ``MODELS``.
    device : Device or str
        A device, or the name of one in ``DEVICES``.
    bits, kv_bits, batch : int
        As in ``need``.

    Returns
    -------
    int
        Tokens per sequence: 0 if not even one fits, 10**9 if nothing grows.

    Raises
    ------
    TypeError, ValueError
        For an unknown model, width or count.
    """
    memory, low, high = found_device(device).memory, 0, MOST_CONTEXT
    while low < high:
        middle = (low + high + 1) // 2
        enough = need(model, bits, kv_bits, middle, batch).total <= memory
        low, high = (middle, high) if enough else (low, middle - 1)
    return low


def _tokens(context: Any, batch: Any) -> int:
    return arguments.integer("context", context, 1, MOST_CONTEXT) * count("batch", batch)


def _cache(model: Model, tokens: int, bits: int) -> int:
    return _stored(2 * model.layers * model.kv_width * tokens, bits) if model.generates else 0


def _bits(name: str, bits: Any) -> int:
    width = arguments.integer(name, bits)
    if width not in WIDTHS:
        raise ValueError(f"{name} must be one of {', '.join(map(str, WIDTHS))}; got {width}")
    return width


def _bytes(numbers: int, bits: int, group: int | None) -> int:
    scales = 0 if group is None else -(-numbers // count("group", group))
    return -(-numbers * bits // 8) + scales * SCALE_BITS // 8


def _stored(numbers: int, bits: int) -> int:
    """Return the bytes of numbers at a width, with the scales that widths below 16 bits need."""
    return _bytes(numbers, bits, GROUP if bits < 16 else None)
