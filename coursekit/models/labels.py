"""From what a model returns to labels: its own ones, or a refusal."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from coursekit.models.inputs import evaluating, run

__all__ = ["LOGITS", "ending", "from_outputs", "unclear"]

LOGITS = "logits"  # the ending of what an affine operation made
# PyTorch's operations by name, without the "_" around it. These only move numbers about:
MOVES = frozenset(
    [
        "view",
        "reshape",
        "unsafe_view",
        "reshape_alias",
        "squeeze",
        "unsqueeze",
        "to_copy",
        "clone",
        "slice",
        "t",
        "transpose",
        "permute",
        "detach",
        "alias",
        "select",
        "index",
        "index_select",
        "expand",
        "contiguous",
        "lift_fresh",
        "cat",
        "stack",
        "copy",
        "split",
        "unbind",
        "flatten",
        "dropout",
        "as_strided",
        "view_copy",
        "split_with_sizes",
        "narrow",
        "gather",
        "repeat",
    ]
)
# These are affine in the numbers that they take, whatever these are:
AFFINE = frozenset(
    [
        "linear",
        "addmm",
        "mm",
        "mv",
        "addmv",
        "bmm",
        "baddbmm",
        "dot",
        "matmul",
        "convolution",
        "conv1d",
        "conv2d",
        "conv3d",
        "mkldnn_convolution",
        "embedding",
        "embedding_bag",
        "embedding_bag_forward_only",
        "native_batch_norm",
        "native_batch_norm_legit_no_training",
        "cudnn_batch_norm",
        "batch_norm",
        "trilinear",
        "int_mm",
        "linear_dynamic",
        "linear_dynamic_fp16",
        "scaled_mm",
        "addbmm",
        "addr",
    ]
)
# And these keep logits logits: a sum, a scale, a mean of them.
KEEPS = frozenset(["add", "sub", "rsub", "mul", "neg", "sum", "mean", "div"])
NAMES = {
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "log_sigmoid_forward": "LogSigmoid",
    "tanh": "Tanh",
}
TIPS_AT = {LOGITS: 0.0, "Tanh": 0.0, "Sigmoid": 0.5}  # tanh has the sign of the logit
INPUT = "input"


def from_outputs(outputs: Any, count: int, last: str = "") -> NDArray[np.int64]:
    """Return the labels [n] in what a model returned for ``count`` examples, or refuse.

    Parameters
    ----------
    outputs : Tensor
        Scores [n, classes]: the largest one's number; one logit [n, 1], as for ``BCEWithLogitsLoss``: 1 where
        it is above 0, else 0; whole numbers or bools [n]: they are the labels.
    count : int
        n.
    last : str
        What ``ending`` says: logits [n, 1] count from 0 on, probabilities out of a Sigmoid from 0.5 on, and
        what comes out of anything else is refused. Where it is empty, the values have to tell.

    Returns
    -------
    ndarray
        int64 [n].

    Raises
    ------
    TypeError
        For what is not a tensor.
    ValueError
        For one float per example [n], which may be a score or a value, for more than two dimensions, for
        scores that are NaN, and for one column that may hold logits or probabilities.
    """
    if not isinstance(outputs, Tensor):
        raise TypeError(f"model must return scores, a tensor [n, classes]; got {type(outputs).__name__}")
    found = outputs.detach().cpu()
    kind = str(found.dtype).removeprefix("torch.")
    if found.ndim == 1 and len(found) == count and not (found.is_floating_point() or found.is_complex()):
        return found.to(torch.int64).numpy()
    if found.ndim != 2 or len(found) != count or not found.shape[1] or not found.is_floating_point():
        raise ValueError(
            "model must return scores [n, classes], one logit [n, 1] or whole numbers [n] as labels; got "
            f"{kind} of shape {tuple(found.shape)} for {count} examples"
        )
    scores = found.float() if torch.finfo(found.dtype).bits < torch.finfo(torch.float32).bits else found
    top = scores.amax(1)  # NaN where any is; -inf where no class has a score
    bad = int((torch.isnan(top) | (top == -torch.inf)).sum())
    if bad:
        raise ValueError(f"model must return scores; {bad} of {count} examples have NaN, or only -inf")
    if scores.shape[1] > 1:
        return scores.argmax(1).numpy()
    why = unclear(scores[:, 0], last)
    if why:
        raise ValueError(f"model {why}: take the values from model(x), or return the logits")
    return (scores[:, 0] > TIPS_AT.get(last, 0.0)).to(torch.int64).numpy()


def unclear(column: Tensor, last: str) -> str:
    """Return why it is not known where one score per example tips over, or "" where it is.

    Parameters
    ----------
    column : Tensor
        The scores [n].
    last : str
        What ``ending`` says of the model.

    Returns
    -------
    str
        The reason, after the word "model".
    """
    if last in TIPS_AT:
        return ""
    if last:
        return f"ends in {last}: its one column holds no logits that are known as such"
    if bool(((column >= 0) & (column <= 1)).all()) or bool((column <= 0).all()):
        span = f"{float(column.min()):.3g} to {float(column.max()):.3g}"
        return f"returns one column, {span}, by operations that cannot be traced: no logits known as such"
    return ""


def ending(model: nn.Module, x: Tensor) -> str:
    """Return what the model's outputs come out of: LOGITS, "Sigmoid", "Softmax", another operation's name.

    Parameters
    ----------
    model : nn.Module
        A module or function that ends it is found, also inside of a ``forward``, with gradients or without.
    x : Tensor
        Examples [n, …] that it takes; one is tried.

    Returns
    -------
    str
        LOGITS after an affine operation (Linear, a convolution, a sum of such), and past reshapes; "" where
        the operations cannot be traced.
    """
    watch, one = _Watch(), x[:1].clone()
    with evaluating(model), torch.inference_mode(False):
        watch.note(one, INPUT)
        with watch:
            outputs = run(model, one)
    found = watch.kind(outputs) if isinstance(outputs, Tensor) else ""
    return "" if found == INPUT else found


class _Watch(TorchDispatchMode):
    """Follows from operation to operation what the numbers in every tensor are."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, str]] = {}  # by id, which the tensor kept beside it holds fast

    def kind(self, tensor: Tensor) -> str:
        """Return LOGITS, INPUT, the name of an operation, or "" for a constant."""
        return self._known.get(id(tensor), (tensor, ""))[1]

    def note(self, tensor: Tensor, kind: str) -> None:
        """Remember what a tensor holds."""
        self._known[id(tensor)] = tensor, kind

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note what it makes of what it takes."""
        options = kwargs or {}
        result = func(*args, **options)
        name = func._schema.name.partition("::")[2].strip("_")
        given = _tensors([*args, *(value for key, value in options.items() if key != "out")])
        kinds = [self.kind(each) for each in (given[-1:] if name == "copy" else given)]
        made = self._made(name, kinds, result)
        for each in _tensors([result]):
            self.note(each, made)
        if func._schema.is_mutable:
            self._spread([*given[:1], *_tensors([options.get("out")])], made)
        return result

    def _made(self, name: str, kinds: list[str], result: Any) -> str:
        if name in MOVES and "index" in name:
            kinds = kinds[:1]
        some = {kind for kind in kinds if kind}
        if not some:
            # Weights alone make a constant, but a table of them that is read by number gives logits.
            return LOGITS if name.startswith("embedding") else ""
        if name in AFFINE:
            return LOGITS
        if name in MOVES:
            return some.pop() if len(some) == 1 else name
        if name in KEEPS:
            divided = name == "div" and not (kinds[0] and not any(kinds[1:]))
            return LOGITS if some <= {LOGITS, INPUT} and not divided else name
        named = NAMES.get(name, name)
        alone = isinstance(result, Tensor) and result.ndim and result.shape[-1] == 1
        return f"{named} over one class" if alone and named in ("Softmax", "LogSoftmax") else named

    def _spread(self, changed: list[Tensor], made: str) -> None:
        """Note a change in place with all that looks at the same numbers."""
        for tensor in changed:
            where = tensor.untyped_storage()._cdata
            for other, kind in list(self._known.values()):
                if other is not tensor and kind != made and other.untyped_storage()._cdata == where:
                    self.note(other, made if not kind else f"{made} in part")


def _tensors(values: Any) -> list[Tensor]:
    """Return the tensors in arguments, those in lists among them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found
