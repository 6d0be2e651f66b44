"""The arithmetic of memory: parameters, bytes of weights, activations and KV cache, and their sum."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from coursekit._core import arguments, imports
from coursekit.floats import FORMATS
from coursekit.memory.architectures import Device, Model, found_device, found_model
from coursekit.memory.fitting import Fit, Need

__all__ = [
    "CHUNK",
    "GROUP",
    "MODES",
    "MOST_CONTEXT",
    "RANK",
    "WIDTHS",
    "activations",
    "attention",
    "build",
    "conv2d",
    "embedding",
    "fits",
    "kv_cache",
    "layer_activations",
    "layer_norm",
    "linear",
    "longest_context",
    "lora_parameters",
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
CHUNK = 512  # tokens of a prompt that are worked on at once: llama.cpp's default
RANK = 16
MOST_CONTEXT = 10**9


def linear(inputs: int, outputs: int, *, bias: bool = True) -> int:
    """Return the parameters of nn.Linear: a weight for each pair, a bias for each output."""
    return _count("inputs", inputs) * _count("outputs", outputs) + bias * outputs


def conv2d(inputs: int, outputs: int, kernel: int, *, bias: bool = True, groups: int = 1) -> int:
    """Return the parameters of nn.Conv2d with ``kernel`` x ``kernel`` filters; the picture's size is no part.

    Each output channel sees inputs / groups channels. Errors: ValueError if groups does not divide both.
    """
    for name, channels in (("inputs", inputs), ("outputs", outputs)):
        if _count(name, channels) % _count("groups", groups):
            raise ValueError(f"groups must divide {name} = {channels}; got {groups}")
    return outputs * (inputs // groups * _count("kernel", kernel) ** 2 + bias)


def embedding(vocab: int, width: int) -> int:
    """Return the parameters of nn.Embedding: a row of ``width`` numbers per token."""
    return _count("vocab", vocab) * _count("width", width)


def layer_norm(width: int, *, bias: bool = True) -> int:
    """Return the parameters of nn.LayerNorm: a factor and (with ``bias``) an offset per number."""
    return _count("width", width) * (1 + bias)


def attention(
    hidden: int, heads: int, *, kv_heads: int | None = None, head_dim: int | None = None, bias: bool = True
) -> int:
    """Return the parameters of attention: four matrices, for queries, keys, values and the way back.

    By default every head has keys and values of its own, and hidden = heads · head_dim. Errors: ValueError
    where heads does not divide hidden, or kv_heads not heads.
    """
    if head_dim is None and _count("hidden", hidden) % _count("heads", heads):
        raise ValueError(f"heads must divide hidden = {hidden}; got {heads}")
    size = hidden // heads if head_dim is None else _count("head_dim", head_dim)
    shared = heads if kv_heads is None else _count("kv_heads", kv_heads)
    if heads % shared:
        raise ValueError(f"kv_heads must divide heads = {heads}; got {shared}")
    queries, keys = heads * size, shared * size
    there = linear(hidden, queries, bias=bias) + 2 * linear(hidden, keys, bias=bias)
    return there + linear(queries, hidden, bias=bias)


def weight_bytes(parameters: int, format: str = "fp32", *, group: int | None = None) -> int:
    """Return the bytes of ``parameters`` numbers in ``format`` (a name or title in floats.FORMATS).

    With ``group``, so many consecutive numbers share a 16-bit scale, which counts: INT4 in groups of 128
    takes 4.125 bits. Parts of a byte are rounded up. Errors: ValueError for an unknown format, and for TF32,
    which is a way to multiply and stored as FP32.
    """
    names = {**{f.title: f for f in FORMATS.values()}, **FORMATS}
    bits = names[arguments.choice("format", format, names)].bits
    if bits % 4:
        raise ValueError(f"format must be one to store numbers in; {format} is stored as fp32")
    return _bytes(arguments.integer("parameters", parameters, 0), bits, group)


def kv_cache(model: Model | str, context: int, batch: int = 1, *, bits: int = 16) -> int:
    """Return the bytes of keys and values: 2 · layers · kv_heads · head_dim · context · batch · bits / 8.

    At 8 and 4 bits a 16-bit scale for each 128 numbers comes on top.
    """
    model = found_model(model)
    tokens = arguments.integer("context", context, 1, MOST_CONTEXT) * _count("batch", batch)
    stored = _stored(2 * model.layers * model.kv_width * tokens, bits)
    return stored if model.generates else 0


def mlp_activations(widths: Sequence[int], batch: int, *, bits: int = 32) -> int:
    """Return the bytes that a Linear-ReLU-…-Linear network keeps for the backward pass: the layers' inputs.

    A ReLU keeps its output, which is the next layer's input: one tensor for both.
    """
    sizes = [_count("widths", width) for width in widths]
    if len(sizes) < 2:
        raise ValueError(f"widths must name an input and an output size at least; got {tuple(sizes)}")
    return _count("batch", batch) * sum(sizes[:-1]) * _bits(bits) // 8


def layer_activations(model: Model | str, tokens: int, *, bits: int = 16) -> int:
    """Return the bytes that one transformer layer keeps for the backward pass of ``tokens`` tokens.

    That is 4 · hidden (both norms' inputs and outputs), queries and what attention returns, keys and values,
    and 2 · mlp (4 · mlp if gated); in float32, the norms' statistics and a number per head. Attention is
    fused, so its scores are never kept. Without dropout this is the 34 · hidden of Korthikanti et al. 2022.
    """
    model = found_model(model)
    inner = (4 if model.gated else 2) * model.mlp
    numbers = 4 * model.hidden + 2 * model.query_width + 2 * model.kv_width + inner
    return _count("tokens", tokens) * (numbers * _bits(bits) // 8 + 4 * (STATISTICS + model.heads))


def activations(model: Model | str, tokens: int, *, bits: int = 16) -> int:
    """Return the bytes that a whole decoder keeps for the backward pass of ``tokens`` tokens.

    All layers, the last norm, the probabilities of every word of the vocabulary in float32, and the token ids
    as input and as labels.
    """
    model = found_model(model)
    last = 2 * model.hidden * _bits(bits) // 8 + 4 * STATISTICS // 2
    ends = tokens * (last + 4 * model.vocab + 2 * 8)
    return model.layers * layer_activations(model, tokens, bits=bits) + ends


def working_bytes(model: Model | str, context: int, batch: int = 1, *, bits: int = 16) -> int:
    """Return the bytes of values alive at once where nothing is kept: one layer's, and the answers.

    Prompts are worked on in chunks of 512 tokens. The widest place is the middle of a layer's second half.
    """
    model = found_model(model)
    sequences = _count("batch", batch)
    tokens = max(sequences, min(CHUNK, sequences * arguments.integer("context", context, 1, MOST_CONTEXT)))
    widest = 2 * model.hidden + (3 if model.gated else 2) * model.mlp
    return tokens * widest * _bits(bits) // 8 + sequences * model.vocab * 4


def lora_parameters(model: Model | str, rank: int = RANK) -> int:
    """Return the parameters of LoRA adapters on every matrix of every layer: rank · (inputs + outputs) each.

    Source: Hu et al. 2021.
    """
    model = found_model(model)
    ends = 2 * (model.hidden + model.query_width) + 2 * (model.hidden + model.kv_width)
    ends += (3 if model.gated else 2) * (model.hidden + model.mlp)
    return _count("rank", rank) * model.layers * ends


def build(model: Model | str, *, tied: bool = False) -> "torch.nn.Module":
    """Return a decoder of these sizes in torch, untrained, to be weighed; ``tied``: one matrix for words.

    Under ``torch.device("meta")`` it has shapes but no numbers, so even 70B parameters cost nothing.
    """
    transformer = imports.whole("coursekit.memory.transformer")
    return transformer.Decoder(found_model(model), tied=tied)


def need(
    model: Model | str,
    bits: int = 16,
    kv_bits: int = 16,
    context: int = 2048,
    batch: int = 1,
    mode: str = "inference",
) -> Need:
    """Return what ``model`` needs to answer ("inference") or to learn ("lora" adapters, or "full").

    Weights take ``bits`` (32, 16, 8, 4), the KV cache ``kv_bits``; below 16, groups of 128 share a 16-bit
    scale. Training is Adam in mixed precision, 16 bytes for each trained parameter (at 32 bits: 4 + 4 + 8),
    nothing recomputed. Not counted: the framework itself, and memory lost between blocks.
    Errors: ValueError for full training below 16 bits, and for unknown names, modes and widths.
    """
    model, mode = found_model(model), arguments.choice("mode", mode, MODES)
    tokens = arguments.integer("context", context, 1, MOST_CONTEXT) * _count("batch", batch)
    cache = kv_cache(model, context, batch, bits=kv_bits)
    weights, learned, kept = _stored(model.parameters, bits), 0, 16
    gradient, states = GRADIENT, MASTER + MOMENTUM + VARIANCE
    if mode == "inference":
        work = working_bytes(model, context, batch)
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
    """Return whether ``need`` fits into ``device`` (a Device or a name in DEVICES), with the room left."""
    if not isinstance(need, Need):
        raise TypeError(f"need must be a Need, as memory.need returns it; got {type(need).__name__}")
    return Fit(need, found_device(device))


def longest_context(
    model: Model | str, device: Device | str, *, bits: int = 16, kv_bits: int = 16, batch: int = 1
) -> int:
    """Return how many tokens of context fit beside the weights, 0 if not even one; 10**9 if nothing grows."""
    memory, low, high = found_device(device).memory, 0, MOST_CONTEXT
    while low < high:
        middle = (low + high + 1) // 2
        enough = need(model, bits, kv_bits, middle, batch).total <= memory
        low, high = (middle, high) if enough else (low, middle - 1)
    return low


def _count(name: str, value: Any) -> int:
    return arguments.integer(name, value, 1)


def _bits(bits: Any) -> int:
    if arguments.integer("bits", bits) not in WIDTHS:
        raise ValueError(f"bits must be one of {', '.join(map(str, WIDTHS))}; got {bits}")
    return int(bits)


def _bytes(numbers: int, bits: int, group: int | None) -> int:
    scales = 0 if group is None else -(-numbers // _count("group", group))
    return -(-numbers * bits // 8) + scales * SCALE_BITS // 8


def _stored(numbers: int, bits: Any) -> int:
    """Return the bytes of numbers at a width, with the scales that widths below 16 bits need."""
    return _bytes(numbers, _bits(bits), GROUP if _bits(bits) < 16 else None)
