"""From PyTorch and scikit-learn to ONNX, on every supported version of both."""

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.onnx_models.files import OnnxFile, describe, replacing, save, target_path
from coursekit.onnx_models.packages import need, quiet

__all__ = ["export", "export_sklearn", "fitting", "tidy"]

if TYPE_CHECKING:
    import onnx
    from torch import nn

OPSET = 18
OPSETS_SKLEARN = {"": OPSET, "ai.onnx.ml": 3}
BATCH, OUTPUT = "batch", "output"
FLOATS = ("float16", "float32", "float64")  # that PyTorch, ONNX Runtime and numpy all have


def export(model: "nn.Module", path: Any, example: Any, *, dynamic_batch: bool = True) -> OnnxFile:
    """Write ``model`` in eval mode as one ONNX file, which replaces ``path`` in one step, and describe it.

    ``example``: a batch of at least 2 inputs, or a tuple of such batches where the model takes several;
    fractions become numbers of the type that the model's parameters have, float16, float32 or float64.
    With ``dynamic_batch`` the file takes any batch, else batches of the example's size only.
    Errors: TypeError or ValueError for what cannot be exported, with PyTorch's reason, and for parameters of
    another floating type or of several.
    """
    import torch

    need("onnxscript")
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
    target = target_path("path", path)
    inputs = _inputs(model, example, dynamic_batch)
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with quiet(), torch.no_grad(), replacing(target) as temporary:
            _by_torch(model, inputs, temporary, dynamic_batch)
            tidy(proto := need("onnx").load(str(temporary)))
            _name_batch(proto)
            _name_output(proto)
            temporary.write_bytes(proto.SerializeToString())
    finally:
        for module, training in modes:
            module.training = training
    return describe(target)


def export_sklearn(estimator: Any, path: Any, features: int) -> OnnxFile:
    """Write a fitted scikit-learn estimator as one ONNX file for float32 rows of ``features`` numbers.

    A classifier's file answers with labels and with probabilities [n, classes] as an array (LinearSVC and
    others that have none: with scores). skl2onnx's ZipMap, which would make a list of dicts, is off.
    Errors: TypeError for no estimator; ValueError where it is not fitted or skl2onnx does not know its kind.
    """
    need("skl2onnx")
    from sklearn.base import BaseEstimator

    if not isinstance(estimator, BaseEstimator):
        raise TypeError(f"estimator must be a fitted scikit-learn estimator; got {type(estimator).__name__}")
    target = target_path("path", path)
    count = arguments.integer("features", features, 1)
    expected = getattr(estimator, "n_features_in_", count)
    if count != expected:
        raise ValueError(f"features must be {expected}, as the estimator was fitted with; got {count}")
    proto = _by_skl2onnx(estimator, count)
    _name_rows(proto)
    save(proto, target)
    return describe(target)


def fitting(name: str, value: Any, model: "nn.Module") -> NDArray[Any]:
    """Return ``value`` as an array that the model takes: whole numbers as they come, others in its own type.

    Errors: TypeError or ValueError for what is no array of finite numbers, and for parameters that are not
    all of one of the types in FLOATS.
    """
    floats, given = _float_type(model), np.asarray(arguments.to_numpy(value)).dtype
    return arguments.array(name, value, given.type if given.kind in "iu" else floats)


def tidy(model: "onnx.ModelProto") -> None:
    """Drop what no runtime reads: the exporter's notes, file names of this machine among them.

    And the shapes that it repeats for stored weights: ONNX Runtime's quantizer compares them with weights
    that it has turned round, and gives up unless they are square (onnxruntime issue 25890).
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


def _inputs(model: "nn.Module", example: Any, dynamic_batch: bool) -> tuple[Any, ...]:
    """Return the example as tensors where the model is; a batch of one would be taken for a fixed size."""
    import torch

    place = next((part.device for part in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    given = example if isinstance(example, tuple) else (example,)
    if not given:
        raise ValueError("example is an empty tuple: give a batch of inputs")
    tensors = [torch.from_numpy(fitting("example", value, model).copy()).to(place) for value in given]
    least = 2 if dynamic_batch else 1
    for tensor in tensors:
        if tensor.ndim < 1 or len(tensor) < least:
            raise ValueError(
                f"example must be a batch of at least {least} inputs, so that the exporter sees which axis "
                f"is the batch; got shape {tuple(tensor.shape)}"
            )
        if len(tensor) != len(tensors[0]):
            batches = ", ".join(str(len(each)) for each in tensors)
            raise ValueError(f"all inputs of example must be of one batch; got batches of {batches}")
    return tuple(tensors)


def _float_type(model: "nn.Module") -> type[np.floating]:
    """Return the one type of the model's floating parameters; float32 for a model without any.

    PyTorch's exporter joins other types to them without a word, and no runtime takes such a file.
    """
    types = {part.dtype for part in model.parameters() if part.dtype.is_floating_point}
    found = sorted(str(each).removeprefix("torch.") for each in types) or ["float32"]
    if len(found) > 1 or found[0] not in FLOATS:
        raise ValueError(
            f"model must have parameters of one type, {', '.join(FLOATS[:-1])} or {FLOATS[-1]}; "
            f"got {' and '.join(found)}: use model.float()"
        )
    return np.dtype(found[0]).type


def _by_skl2onnx(estimator: Any, features: int) -> "onnx.ModelProto":
    skl2onnx = need("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    from sklearn.base import is_classifier
    from sklearn.exceptions import NotFittedError

    own = MissingConverter, MissingShapeCalculator, NotFittedError
    try:
        with quiet():
            return skl2onnx.to_onnx(
                estimator,
                initial_types=[("x", FloatTensorType([None, features]))],
                options=_zipmap_off(estimator) if is_classifier(estimator) else None,
                target_opset=OPSETS_SKLEARN,
            )
    except (*own, AttributeError, NameError, RuntimeError) as error:
        raise ValueError(
            f"{type(estimator).__name__} cannot be exported: {_reason(error)} "
            "Is it fitted, and is it one of scikit-learn's own?"
        ) from error


def _zipmap_off(classifier: Any) -> dict[int, dict[str, bool]]:
    """Return skl2onnx's options that switch ZipMap off.

    LinearSVC alone has none, and refuses the very option. It must then be named, with nothing to set: else a
    pipeline around it hands its own options on.
    """
    from sklearn.svm import LinearSVC

    chain = [classifier]
    while (inner := _answering(chain[-1])) is not None:
        chain.append(inner)
    if isinstance(chain[-1], LinearSVC):
        return {id(each): {} for each in chain}
    return {id(classifier): {"zipmap": False}}


def _answering(estimator: Any) -> Any:
    """Return the estimator inside this one that answers in its place: a pipeline's last, a search's best."""
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else getattr(estimator, "best_estimator_", None)


def _by_torch(model: "nn.Module", inputs: tuple[Any, ...], path: Path, dynamic_batch: bool) -> None:
    import torch

    options = {
        "dynamo": True,
        "external_data": False,
        "opset_version": OPSET,
        "verbose": False,
        "dynamic_shapes": _shapes(model, inputs) if dynamic_batch else None,
    }
    known = inspect.signature(torch.onnx.export).parameters
    try:
        torch.onnx.export(model, inputs, str(path), **{k: v for k, v in options.items() if k in known})
    except Exception as error:  # PyTorch raises dozens of kinds here; its own message tells most
        raise ValueError(f"{type(model).__name__} cannot be exported: {_reason(error)}") from error


def _shapes(model: "nn.Module", inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Return which axes are free, by the names of forward's arguments."""
    import torch

    axis = {0: torch.export.Dim(BATCH)}
    names = []
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = len(inputs) - len(names)
            return {**dict.fromkeys(names, axis), parameter.name: (axis,) * rest}
        names.append(parameter.name)
    if len(names) < len(inputs):
        takes = f"{len(names)} inputs ({', '.join(names)})"
        raise ValueError(f"the model takes {takes}; example has {len(inputs)}")
    return dict.fromkeys(names[: len(inputs)], axis)


def _name_batch(model: "onnx.ModelProto") -> None:
    """Call the free axis "batch": some versions of the exporter number such axes instead."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    old = shape[0].dim_param
    if old and old != BATCH:
        pattern = re.compile(rf"\b{re.escape(old)}\b")
        for info in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            for dim in info.type.tensor_type.shape.dim:
                if dim.dim_param:
                    dim.dim_param = pattern.sub(BATCH, dim.dim_param)


def _name_output(model: "onnx.ModelProto") -> None:
    """Call a single output "output", as the exporter calls a single input "input"."""
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    if len(graph.output) != 1 or OUTPUT in taken:
        return
    old, graph.output[0].name = graph.output[0].name, OUTPUT
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [OUTPUT if name == old else name for name in names]


def _name_rows(model: "onnx.ModelProto") -> None:
    """Name the first axis of every input and output, which skl2onnx leaves free but without a name."""
    for info in (*model.graph.input, *model.graph.output):
        dims = info.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_param = BATCH


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost error: PyTorch wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line.rstrip('.')}." if line else f"{type(error).__name__}."
