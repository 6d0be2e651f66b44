"""Pruning: which weights go, what zeros cost in bytes, and a network made smaller for real.

A mask is a bool tensor of its weight's shape, True where a weight stays. The masks of a model come one per
nn.Linear or convolution, in the model's order; biases are never pruned.
"""

from coursekit.pruning.layouts import Layout
from coursekit.pruning.many import finetune_many, masks_many, prune_many, structured_many
from coursekit.pruning.masking import apply, finetune, masks, sparsity, two_four
from coursekit.pruning.neurons import neuron_masks, shrink, structured
from coursekit.pruning.sparse import csr_bytes, to_csr
from coursekit.pruning.sweeps import Cut, cliff, last_steady, sweep

__all__ = [
    "Cut",
    "Layout",
    "apply",
    "cliff",
    "csr_bytes",
    "finetune",
    "finetune_many",
    "last_steady",
    "masks",
    "masks_many",
    "neuron_masks",
    "prune_many",
    "shrink",
    "sparsity",
    "structured",
    "structured_many",
    "sweep",
    "to_csr",
    "two_four",
]
