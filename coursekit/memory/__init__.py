"""From parameters to bytes: weights, gradients, optimizer, activations, KV cache; and whether they fit.

Everything here is arithmetic; ``tensor_bytes``, ``saved_bytes`` and ``peak`` measure what it predicts.
Sizes are decimal: 1 GB = 10**9 bytes.
"""

from coursekit._core.scratch import Scratch
from coursekit.memory.architectures import DEVICES, MODELS, SMALL, Device, Model, this_machine
from coursekit.memory.fitting import Fit, Need
from coursekit.memory.formulas import (
    CHUNK,
    GROUP,
    MODES,
    MOST_CONTEXT,
    WIDTHS,
    activations,
    build,
    fits,
    kv_cache,
    layer_activations,
    longest_context,
    mlp_activations,
    need,
    weight_bytes,
    working_bytes,
)
from coursekit.memory.gauges import Peak, peak
from coursekit.memory.parameters import (
    RANK,
    attention,
    conv2d,
    embedding,
    layer_norm,
    linear,
    lora_parameters,
)
from coursekit.memory.tensors import Layer, Layers, by_layer, saved_bytes, tensor_bytes

__all__ = [
    "CHUNK",
    "DEVICES",
    "GROUP",
    "MODELS",
    "MODES",
    "MOST_CONTEXT",
    "RANK",
    "SMALL",
    "WIDTHS",
    "Device",
    "Fit",
    "Layer",
    "Layers",
    "Model",
    "Need",
    "Peak",
    "Scratch",
    "activations",
    "attention",
    "build",
    "by_layer",
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
    "peak",
    "saved_bytes",
    "tensor_bytes",
    "this_machine",
    "weight_bytes",
    "working_bytes",
]
