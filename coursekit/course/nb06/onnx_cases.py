"""The ONNX files that notebook 06 hands out and that its checkers work with, written without PyTorch."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CULPRIT",
    "LAYERS",
    "WIDTHS",
    "Array",
    "colleagues_file",
    "culprits_bytes",
    "exact_inputs",
    "linear_file",
    "matrices",
    "save",
]

OPSET, IR_VERSION = 18, 9  # what every ONNX Runtime of the last years reads
Array = NDArray[Any]

# The colleague's network 64-512-512-10: two of its three matrices are stored as integers, as they should be.
WIDTHS = (64, 512, 512, 10)
CULPRIT = "hidden.weight"
LAYERS = ("first.weight", CULPRIT, "last.weight")
# Inputs of so many levels are exact in 8 bits: only the weights are rounded.
LEVELS = 256


def colleagues_file(path: Any) -> None:
    """Write the network of the exercise "06-too-large": one of its matrices is stored in FP32.

    A QuantizeLinear node rounds that one whenever the file is loaded, as exports of networks that were
    trained with rounding in mind do.

    Parameters
    ----------
    path : object
        Where to.
    """
    from onnx import helper

    rng = np.random.default_rng(6)
    nodes: list[Any] = []
    stored: dict[str, Any] = {}
    source = "x"
    for name, inputs, outputs in zip(LAYERS, WIDTHS, WIDTHS[1:], strict=False):
        if nodes:
            nodes.append(helper.make_node("Relu", [source], [f"{source}.relu"]))
            source = f"{source}.relu"
        weight = (rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        bias = rng.normal(size=outputs).astype(np.float32)
        source = _layer(nodes, stored, source, name, weight, bias)
    save(path, nodes, stored, source, WIDTHS[0], WIDTHS[-1])


def _layer(
    nodes: list[Any], stored: dict[str, Any], source: str, name: str, weight: Array, bias: Array
) -> str:
    """Add a layer with INT8 weights to ``nodes`` and ``stored``; return the name of its output."""
    from onnx import helper

    scale, layer = np.float32(np.abs(weight).max() / 127), name.partition(".")[0]
    factors, integers = [f"{name}.scale", f"{name}.zero_point"], name
    stored |= dict(zip(factors, (scale, np.int8(0)), strict=True)) | {f"{layer}.bias": bias}
    if name == CULPRIT:
        stored[name], integers = weight, f"{name}.int8"
        nodes.append(helper.make_node("QuantizeLinear", [name, *factors], [integers]))
    else:
        stored[name] = np.rint(weight / scale).astype(np.int8)
    nodes += [
        helper.make_node("DequantizeLinear", [integers, *factors], [f"{name}.rounded"]),
        helper.make_node("MatMul", [source, f"{name}.rounded"], [f"{layer}.product"]),
        helper.make_node("Add", [f"{layer}.product", f"{layer}.bias"], [f"{layer}.sum"]),
    ]
    return f"{layer}.sum"


def linear_file(path: Any, weight: Array) -> None:
    """Write a network of one layer, y = x @ weight.

    Parameters
    ----------
    path : object
        Where to.
    weight : ndarray
        [inputs, outputs].
    """
    from onnx import helper

    node = helper.make_node("MatMul", ["x", "weight"], ["y"])
    save(path, [node], {"weight": weight.astype(np.float32)}, "y", *weight.shape)


def save(
    path: Any, nodes: Sequence[Any], stored: Mapping[str, Any], output: str, inputs: int, outputs: int
) -> None:
    """Write a graph from x [batch, inputs] to an output [batch, outputs], float32 both.

    Parameters
    ----------
    path : object
        Where to.
    nodes : sequence of object
        The graph's operators.
    stored : mapping of str to object
        Weights by name.
    output : str
        The output's name.
    inputs : int
        The width of x.
    outputs : int
        The width of the output.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    Path(path).write_bytes(model.SerializeToString())


def culprits_bytes() -> tuple[int, int]:
    """Return how many numbers the matrix to blame holds, and how many bytes it takes as floats.

    Returns
    -------
    tuple of 2 int
        Numbers and bytes.
    """
    numbers = WIDTHS[1] * WIDTHS[2]
    return numbers, 4 * numbers


@functools.cache
def matrices() -> tuple[tuple[str, Array], ...]:
    """Return (what stores it better, weight [inputs, outputs]): two or three matrices for each kind.

    Weights of one sign fill all 256 unsigned levels and only half of the signed ones. Weights that are -1, 0
    or 1 times a number are exact with a symmetric scale, and a little off with a zero point. The last has
    both signs, but hardly a negative weight: a look at the signs does not tell its kind.

    Returns
    -------
    tuple of (str, ndarray)
        "uint8" or "int8", and the matrix.
    """
    rng = np.random.default_rng(7)
    one_sign = rng.uniform(0.02, 1.0, (24, 6))
    three_values = rng.integers(-1, 2, (24, 6)) * 0.75
    lopsided = rng.uniform(-0.06, 1.0, (24, 6))
    return (
        ("uint8", one_sign.astype(np.float32)),
        ("int8", three_values.astype(np.float32)),
        ("uint8", -3 * one_sign[::-1].astype(np.float32)),
        ("int8", 0.1 * three_values.T.astype(np.float32)),
        ("uint8", lopsided.astype(np.float32)),
    )


def exact_inputs(features: int, n: int = 40) -> Array:
    """Return inputs that uint8 holds without error: whole numbers from 0 to 255.

    Every other feature is 0: processors without VNNI add products up in pairs, and two large ones would run
    over 16 bits.

    Parameters
    ----------
    features : int
        How many columns.
    n : int, optional
        How many rows.

    Returns
    -------
    ndarray
        float32 [n, features].
    """
    x = np.random.default_rng(8).integers(0, LEVELS, (n, features)).astype(np.float32)
    x[0, 0], x[:, 1::2] = LEVELS - 1, 0
    return x
