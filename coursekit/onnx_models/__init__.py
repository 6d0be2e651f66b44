"""Ship a model without PyTorch: export to ONNX, weigh, quantize and run it with ONNX Runtime.

torch, onnx, onnxruntime and skl2onnx are imported where they are needed, not here.
"""

from typing import Any

from numpy.typing import NDArray

from coursekit.onnx_models.exporting import export
from coursekit.onnx_models.files import OnnxFile, describe
from coursekit.onnx_models.fresh_process import Alone, run_with_torch, run_without_torch
from coursekit.onnx_models.from_sklearn import export_sklearn
from coursekit.onnx_models.graphs import Edge, Fusion, Graph, Node, Weight, graph
from coursekit.onnx_models.quantizing import quantize_dynamic, quantize_static
from coursekit.onnx_models.running import Runner, load, optimized

__all__ = [
    "Alone",
    "Edge",
    "Fusion",
    "Graph",
    "Node",
    "OnnxFile",
    "Runner",
    "Weight",
    "describe",
    "export",
    "export_sklearn",
    "graph",
    "load",
    "optimized",
    "predict",
    "quantize_dynamic",
    "quantize_static",
    "run_with_torch",
    "run_without_torch",
    "true_size",
]


def true_size(path: Any) -> int:
    """Return the bytes that have to be shipped: the .onnx and the files beside it that hold its weights.

    Parameters
    ----------
    path : object
        The file.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    FileNotFoundError, ValueError
        As for ``describe``.
    """
    return describe(path).size_bytes


def predict(runner: Runner, x: Any) -> NDArray[Any]:
    """Return the label of every input of ``x``: ``runner.labels(x)``.

    Parameters
    ----------
    runner : Runner
        As ``load`` returns it.
    x : array_like, tuple or dict
        A batch of inputs [n, …], or several inputs in a tuple or by name.

    Returns
    -------
    ndarray
        The file's own labels [n], int64 or text; else the number of the class with the largest score.

    Raises
    ------
    TypeError
        Unless ``runner`` is a Runner.
    ValueError
        As ``Runner.labels``: for a regressor, say.

    """
    if not isinstance(runner, Runner):
        raise TypeError(f"runner must be a Runner, as load returns it; got {type(runner).__name__}")
    return runner.labels(x)
