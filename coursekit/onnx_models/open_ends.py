"""Outputs of a statically quantized graph that stay floats: the last rounding is taken off."""

from typing import TYPE_CHECKING

from coursekit.onnx_models.naming import rename

if TYPE_CHECKING:
    import onnx

__all__ = ["float_outputs"]


def float_outputs(model: "onnx.ModelProto") -> tuple[str, ...]:
    """Drop the rounding right before each output of a graph in ONNX Runtime's QDQ form.

    The layer before it then hands out its sums as they are. A rounded value that something else reads as
    well stays rounded there.

    Parameters
    ----------
    model : ModelProto
        Changed in place.

    Returns
    -------
    tuple of str
        The outputs that were rounded and are not any more.
    """
    freed = [value.name for value in model.graph.output if _free(model.graph, value.name)]
    _drop_unread(model.graph)
    return tuple(freed)


def _free(graph: "onnx.GraphProto", output: str) -> bool:
    """Let ``output`` come from before its QuantizeLinear and DequantizeLinear; tell whether it does."""
    made = {name: node for node in graph.node for name in node.output}
    back = made.get(output)
    rounding = made.get(back.input[0]) if back is not None and back.op_type == "DequantizeLinear" else None
    if back is None or rounding is None or rounding.op_type != "QuantizeLinear":
        return False
    exact = rounding.input[0]
    if exact not in made or any(exact == value.name for value in graph.output):
        return False  # the graph's own input, or another output: it keeps its name
    if any(output in node.input for node in graph.node):
        back.output[0] = f"{output}_rounded"
        for node in graph.node:
            node.input[:] = [back.output[0] if name == output else name for name in node.input]
    else:
        graph.node.remove(back)
    rename(graph, {exact: output})
    return True


def _drop_unread(graph: "onnx.GraphProto") -> None:
    """Drop roundings that nobody reads any more, and the scales that only they had."""
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for node in [each for each in graph.node if each.op_type == "QuantizeLinear"]:
        if node.output[0] not in read:
            graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
