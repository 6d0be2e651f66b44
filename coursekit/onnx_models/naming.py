"""Names in an ONNX graph: one for the input, one for the output, and for the axes that are free."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["BATCH", "INPUT", "OUTPUT", "SEQUENCE", "name_axis", "name_ends", "name_rows", "rename", "tidy"]

INPUT, OUTPUT = "input", "output"
BATCH, SEQUENCE = "batch", "sequence"


def tidy(model: "onnx.ModelProto") -> None:
    """Drop what no runtime reads: the exporter's notes, file names of this machine among them.

    And the shapes that it repeats for stored weights: ONNX Runtime's quantizer compares them with weights
    that it has turned round, and gives up unless they are square (onnxruntime issue 25890).

    Parameters
    ----------
    model : ModelProto
        Changed in place.
    """
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    parts = (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in parts:
        part.ClearField("doc_string")
        if "metadata_props" in part.DESCRIPTOR.fields_by_name:
            part.ClearField("metadata_props")
    kept = [info for info in graph.value_info if info.name not in stored]
    graph.ClearField("value_info")
    graph.value_info.extend(kept)


def rename(graph: "onnx.GraphProto", names: Mapping[str, str]) -> None:
    """Give values of the graph other names, in the graphs inside it as well.

    Parameters
    ----------
    graph : GraphProto
        Changed in place.
    names : mapping of str to str
        Old names, each with the new one.
    """
    for info in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        info.name = names.get(info.name, info.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                rename(inner, names)


def name_ends(model: "onnx.ModelProto", outputs: Sequence[str] = ()) -> None:
    """Call a single input "input", whatever forward calls it, and a single output "output".

    Several inputs keep the names of forward's arguments.

    Parameters
    ----------
    model : ModelProto
        Changed in place.
    outputs : sequence of str, optional
        Names for several outputs, the keys of a dict that the model returns.
    """
    graph = model.graph
    wanted = {}
    if len(graph.input) == 1:
        wanted[graph.input[0].name] = INPUT
    if len(graph.output) == 1 or len(graph.output) == len(outputs):
        given = [OUTPUT] if len(graph.output) == 1 else outputs
        for info, name in zip(graph.output, given, strict=True):
            wanted.setdefault(info.name, name)
    taken = _values(graph) - wanted.keys()
    # Whoever has such a name already, inside the graph, gives way.
    rename(graph, {name: f"{name}_inside" for name in taken & set(wanted.values())})
    rename(graph, wanted)


def name_axis(model: "onnx.ModelProto", axis: int, name: str) -> None:
    """Name a free axis of the inputs: some versions of the exporter number axes instead.

    Parameters
    ----------
    model : ModelProto
        Changed in place.
    axis : int
        Which axis, from 0.
    name : str
        Its name.
    """
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        old = dims[axis].dim_param if len(dims) > axis else ""
        if old and not old.startswith((BATCH, SEQUENCE)):
            _name_dimension(model, old, name)


def name_rows(model: "onnx.ModelProto") -> None:
    """Name the first axis of every input and output, which skl2onnx leaves free but without a name.

    Parameters
    ----------
    model : ModelProto
        Changed in place.
    """
    for info in (*model.graph.input, *model.graph.output):
        dims = info.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_param = BATCH


def _name_dimension(model: "onnx.ModelProto", old: str, new: str) -> None:
    pattern = re.compile(rf"\b{re.escape(old)}\b")
    for info in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = pattern.sub(new, dim.dim_param)


def _values(graph: "onnx.GraphProto") -> set[str]:
    """Return the names of all values of the graph."""
    listed = {info.name for info in (*graph.input, *graph.output, *graph.initializer)}
    return listed | {name for node in graph.node for name in (*node.input, *node.output)}
