"""Encoders in files of skl2onnx: a fraction is a category never seen, not the whole number below it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.onnx_models.packages import need

if TYPE_CHECKING:
    import onnx

__all__ = ["tell_fractions"]

INT64 = 7  # TensorProto's number for it


def tell_fractions(model: "onnx.ModelProto") -> None:
    """Let a fraction be none of an encoder's categories.

    skl2onnx casts an encoder's numbers to integers first, which makes 1.5 the category 1.

    Parameters
    ----------
    model : onnx.ModelProto
        Changed in place.
    """
    graph = model.graph
    makers = {value: node for node in graph.node for value in node.output}
    for encoder in [node for node in graph.node if node.op_type == "OneHotEncoder"]:
        cast = makers.get(encoder.input[0])
        categories = {number for each in encoder.attribute for number in each.ints if each.name != "zeros"}
        if cast is not None and cast.op_type == "Cast" and _to_integers(cast) and categories:
            _put_before(graph, cast, next(n for n in range(len(categories) + 1) if n not in categories))


def _to_integers(cast: Any) -> bool:
    return any(each.name == "to" and each.i == INT64 for each in cast.attribute)


def _put_before(graph: "onnx.GraphProto", cast: Any, unseen: int) -> None:
    """Let ``cast`` read ``unseen`` wherever it would read a fraction."""
    onnx = need("onnx")
    value = cast.input[0]
    names = [f"{value}_{cast.output[0]}_{what}" for what in ("whole", "is_whole", "known", "unseen")]
    whole, is_whole, known, other = names
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(unseen, np.float32), other))
    made = [
        onnx.helper.make_node("Floor", [value], [whole]),
        onnx.helper.make_node("Equal", [value, whole], [is_whole]),
        onnx.helper.make_node("Where", [is_whole, value, other], [known]),
    ]
    place = next(number for number, node in enumerate(graph.node) if node.output[0] == cast.output[0])
    cast.input[0] = known
    for number, node in enumerate(made):
        graph.node.insert(place + number, node)
