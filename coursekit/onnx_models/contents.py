"""What is in a model's graph: the graphs inside it, operators on few bits, weights that are floats."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from coursekit.onnx_models.packages import need

if TYPE_CHECKING:
    import onnx

__all__ = ["broken_weights", "float_weights", "graphs", "quantized"]

LEVELS_OF_SUBGRAPHS = 64
# Operators on few bits: QuantizeLinear, DynamicQuantizeMatMul, ConvInteger, QGemm, MatMulNBits and their kin.
QUANTIZED = re.compile(r"Quantize|Integer|NBits|^Q[A-Z]")
FLOATING = frozenset((1, 10, 11, 16))  # TensorProto's numbers for float32, float16, float64, bfloat16
# Which inputs of an operator are weights, or may be.
WEIGHT_INPUTS = {
    **dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "FusedGemm"), (0, 1)),
    **dict.fromkeys(("Conv", "FusedConv", "ConvTranspose"), (1,)),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2)),
    "Einsum": (0, 1),
    "Gather": (0,),
}
# Operators that only hand weights on, in another order or shape.
HANDED_ON = frozenset(
    ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Concat", "Identity", "Split", "Expand", "Pad")
    # what is rounded anew whenever the file is loaded is stored as floats
    + ("QuantizeLinear", "DequantizeLinear")
)
MATRIX = 2  # axes longer than 1: biases, scales and single numbers stay floats in every INT8 file


def graphs(graph: "onnx.GraphProto", depth: int = 0) -> Iterator["onnx.GraphProto"]:
    """Yield the graph and those inside it (branches, loops).

    Parameters
    ----------
    graph : GraphProto
        The outermost graph.
    depth : int, optional
        How deep it lies itself.

    Yields
    ------
    GraphProto
        The graph, then those inside it.

    Raises
    ------
    ValueError
        For graphs nested more than ``LEVELS_OF_SUBGRAPHS`` deep.
    """
    if depth > LEVELS_OF_SUBGRAPHS:
        raise ValueError(f"graphs are nested more than {LEVELS_OF_SUBGRAPHS} deep")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner, depth + 1)


def quantized(model: "onnx.ModelProto") -> str | None:
    """Return the model's first operator on few bits, or None.

    Parameters
    ----------
    model : ModelProto
        The model.

    Returns
    -------
    str or None
        The operator's kind; None if all are on floats.
    """
    kinds = (node.op_type for graph in graphs(model.graph) for node in graph.node)
    return next((kind for kind in kinds if QUANTIZED.search(kind)), None)


def float_weights(model: "onnx.ModelProto") -> Counter[str]:
    """Return how many weights are still floats, by the kind of operator that multiplies with them.

    Parameters
    ----------
    model : ModelProto
        The model.

    Returns
    -------
    Counter
        Numbers of weights by the operator's kind.
    """
    weights = _Weights(model)
    found: Counter[str] = Counter()
    for kind, name in weights.used():
        found[kind] += weights.count(name)
    return found


def broken_weights(model: "onnx.ModelProto") -> str | None:
    """Return the name of a weight of an operator that holds NaN or infinity, or None.

    Parameters
    ----------
    model : ModelProto
        The model.

    Returns
    -------
    str or None
        The weight's name; None if all are finite.
    """
    to_array = need("onnx").numpy_helper.to_array
    weights = _Weights(model)
    names = (name for _, name in weights.used())
    return next((name for name in names if not np.isfinite(to_array(weights.stored[name])).all()), None)


class _Weights:
    """The matrices of floats that a model stores, and the operators that they reach."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        self.nodes = [node for graph in graphs(model.graph) for node in graph.node]
        self.stored = {tensor.name: tensor for graph in graphs(model.graph) for tensor in graph.initializer}
        self.makers = {value: node for node in self.nodes for value in node.output}
        for node in self.nodes:
            tensors = [each.t for each in node.attribute if each.HasField("t")]
            if node.op_type == "Constant" and tensors:
                self.stored[node.output[0]] = tensors[0]

    def used(self) -> Iterator[tuple[str, str]]:
        """Yield (kind of operator, name of the weight), each weight once."""
        seen: set[str] = set()
        for node in self.nodes:
            for position in WEIGHT_INPUTS.get(node.op_type, ()):
                for name in self._origins(node.input[position]) - seen:
                    seen.add(name)
                    yield node.op_type, name

    def count(self, name: str) -> int:
        """Return how many numbers the weight holds."""
        return int(np.prod(self.stored[name].dims, dtype=np.int64))

    def _origins(self, value: str) -> set[str]:
        """Return the stored matrices of floats that ``value`` is a piece or another order of."""
        found: set[str] = set()
        wanted, seen = [value], set()
        while wanted:
            name = wanted.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.stored:
                found |= {name} if self._is_matrix(name) else set()
            elif name in self.makers and self.makers[name].op_type in HANDED_ON:
                wanted += self.makers[name].input
        return found

    def _is_matrix(self, name: str) -> bool:
        tensor = self.stored[name]
        return tensor.data_type in FLOATING and sum(size > 1 for size in tensor.dims) >= MATRIX
