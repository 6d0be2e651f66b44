"""Weights that several operators read: made so that ONNX Runtime's quantizer may turn each one round."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from coursekit.onnx_models.contents import graphs
from coursekit.onnx_models.packages import need

if TYPE_CHECKING:
    import onnx

__all__ = ["turn_shared"]


def turn_shared(model: "onnx.ModelProto") -> None:
    """Store the weights of Gemm (transB=1) the way round that MatMul reads them, if another node reads them.

    ONNX Runtime's dynamic quantizer turns such a weight round in place once for every Gemm: a layer that is
    used twice then multiplies with the transpose of its weight, and an embedding that shares it breaks.

    Parameters
    ----------
    model : ModelProto
        Changed in place.
    """
    readers: dict[str, list[Any]] = defaultdict(list)
    for graph in graphs(model.graph):
        for node in graph.node:
            for value in node.input:
                readers[value].append(node)
    top = {id(node) for node in model.graph.node}
    for tensor in list(model.graph.initializer):
        nodes = readers[tensor.name]
        turned = [node for node in nodes if id(node) in top and _turns(node, tensor.name)]
        if turned and len(nodes) > 1:
            _turn(model, tensor, turned, alone=len(turned) == len(nodes))


def _turns(node: "onnx.NodeProto", name: str) -> bool:
    """Whether the node is a Gemm that reads ``name`` as its second matrix, turned round, and nowhere else."""
    flags = {each.name: each.i for each in node.attribute}
    return node.op_type == "Gemm" and flags.get("transB") == 1 and list(node.input).index(name) == 1


def _turn(model: "onnx.ModelProto", tensor: Any, nodes: list[Any], alone: bool) -> None:
    helper = need("onnx").numpy_helper
    name = tensor.name if alone else f"{tensor.name}_transposed"
    turned = helper.from_array(helper.to_array(tensor).T.copy(), name)
    if alone:
        tensor.CopyFrom(turned)
    else:
        model.graph.initializer.append(turned)
    for node in nodes:
        node.input[1] = name
        kept = [each for each in node.attribute if each.name != "transB"]
        del node.attribute[:]
        node.attribute.extend(kept)
