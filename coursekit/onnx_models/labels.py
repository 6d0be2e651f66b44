"""Which output of an ONNX file says what an input is, and how: never a label from what is not a score."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit.onnx_models.naming import OUTPUT

if TYPE_CHECKING:
    import onnx

__all__ = ["Answer", "answer_of"]

FLOATING, WHOLE = frozenset((1, 10, 11)), frozenset((6, 7, 8, 9))  # TensorProto's numbers; 8 text, 9 bool
SCORES = ("logits", "probabilities", "scores", OUTPUT)  # names that say so where there are several outputs
VARIABLE = "variable"  # what skl2onnx calls the answers of regressors and transformers
HANDED_ON = frozenset(
    [
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Identity",
        "Cast",
        "CastLike",
        "QuantizeLinear",
        "DequantizeLinear",
        "Dropout",
        "Transpose",
        "Expand",
        "DynamicQuantizeLinear",
        "Gather",
        "Slice",
        "Split",
        "Concat",
        "GatherElements",
        "GatherND",
    ]
)
AFFINE = frozenset(
    [
        "Gemm",
        "MatMul",
        "Conv",
        "ConvTranspose",
        "BatchNormalization",
        "MatMulInteger",
        "ConvInteger",
        "QLinearMatMul",
        "QLinearConv",
        "QGemm",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "FusedMatMul",
        "MatMulNBits",
        "Einsum",
    ]
)
FUSED = frozenset(("FusedGemm", "FusedConv"))  # an affine operator, and the activation that it names
KEEPS = frozenset(  # logits stay logits
    [
        "Add",
        "Sub",
        "Mul",
        "Neg",
        "Div",
        "Sum",
        "Mean",
        "ReduceSum",
        "ReduceMean",
        "GlobalAveragePool",
        "QLinearAdd",
        "QLinearMul",
    ]
)
LOGITS, INPUT = "logits", "input"
SIGMOIDS = frozenset(("Sigmoid", "QLinearSigmoid"))
EVEN = 0.5  # the probability from which a class is the likelier one of two


@dataclass(frozen=True)
class Answer:
    """The output that tells labels: its name, whether they are labels already, and where one score tips over.

    ``tips_at`` is None where that is not known, and ``last`` then names the operator it comes out of.
    ``refusal`` says why there is no such output; it is empty where there is one.
    """

    output: str = ""
    ready: bool = False
    tips_at: float | None = 0.0
    refusal: str = ""
    last: str = ""

    def labels(self, values: Any, rows: int) -> NDArray[Any]:
        """Return the label of every input from what the output holds.

        Parameters
        ----------
        values : object
            The output, [rows] or [rows, classes].
        rows : int
            How many inputs there were.

        Returns
        -------
        ndarray
            The labels, [rows].

        Raises
        ------
        ValueError
            For another shape, for scores that are NaN, and for one column that may hold logits or
            anything else.
        """
        array = np.asarray(values)
        column = array.shape in ((rows,), (rows, 1))
        if self.ready and column:
            return array.ravel().astype(str if array.dtype.kind in "OU" else np.int64)
        if self.ready or not (column or array.ndim == 2 and len(array) == rows and array.shape[1]):  # noqa: PLR2004
            raise ValueError(
                f"labels need one answer for every input, [{rows}] or [{rows}, classes]; the output "
                f"{self.output} has shape {list(array.shape)}: take what you need from runner(x)"
            )
        if np.isnan(array).any():
            raise ValueError(f"the output {self.output} holds NaN: there is no largest score")
        if column:
            self._need_logits(array)
            return (array.ravel() > self.tips_at).astype(np.int64)
        return array.argmax(-1).astype(np.int64)

    def _need_logits(self, array: NDArray[Any]) -> None:
        """Refuse one number per input of which it is not known from where on it means 1."""
        values = f"the output {self.output}, {array.min():.3g} to {array.max():.3g}"
        if self.tips_at is None:
            raise ValueError(
                f"{values}, comes out of {self.last or 'no operator'}: no logits known as such; take the "
                "values from runner(x), or export the model with its logits"
            )
        if array.ndim == 1 and self.tips_at == 0:  # a regressor may answer so, too
            raise ValueError(
                f"{values}, one number per input, may be values or scores: take them from runner(x), or "
                "export the model with logits [n, 1]"
            )


def answer_of(model: "onnx.ModelProto") -> Answer:
    """Return which output of the model tells labels, from its operators and the names of its outputs.

    Parameters
    ----------
    model : ModelProto
        The model.

    Returns
    -------
    Answer
        The output, or why it tells no labels.
    """
    outputs = [each for each in model.graph.output if each.type.HasField("tensor_type")]
    floats = [each for each in outputs if each.type.tensor_type.elem_type in FLOATING]
    whole = [each for each in outputs if each.type.tensor_type.elem_type in WHOLE]
    own = [each for each in whole if "label" in each.name.lower() or not floats]
    if len(own) == 1:
        return Answer(own[0].name, ready=True)
    scores = _scores(floats)
    names = ", ".join(each.name for each in outputs)
    if own or len(scores) != 1:
        return Answer(refusal=f"it has several outputs ({names}): take the scores from runner.run(x)")
    name = scores[0].name
    if _is_a_number(model, name):
        return Answer(refusal=f"its output {name} is not a score of a class: take the values from runner(x)")
    last = _ending(model, name)
    tips_at = {LOGITS: 0.0, "Tanh": 0.0}.get(last, EVEN if last in SIGMOIDS else None)
    return Answer(name, tips_at=tips_at, last=last)


def _scores(floats: list[Any]) -> list[Any]:
    """Return the outputs that may hold scores: the one with such a name, else those with a row per input."""
    named = [each for each in floats if each.name.lower() in SCORES]
    if len(named) == 1:
        return named
    rows = [each for each in floats if len(each.type.tensor_type.shape.dim) == 2]  # noqa: PLR2004
    return floats if len(floats) == 1 or not rows else rows


def _is_a_number(model: "onnx.ModelProto", name: str) -> bool:
    """Whether the output is that of a regressor, or of what only transforms its input."""
    return name.startswith(VARIABLE) or _last_operator(model, name).endswith("Regressor")


def _last_operator(model: "onnx.ModelProto", name: str) -> str:
    """Return the kind of the operator that makes a value, past those that only hand it on."""
    makers = {value: node for node in model.graph.node for value in node.output}
    while name in makers and makers[name].op_type in HANDED_ON:
        name = makers[name].input[0]
    return makers[name].op_type if name in makers else ""


def _ending(model: "onnx.ModelProto", name: str) -> str:
    """Return LOGITS for what affine operators made, else the kind of the operator that makes a value."""
    weights = {each.name for each in model.graph.initializer}
    kinds = {each.name: INPUT for each in model.graph.input if each.name not in weights}
    for node in model.graph.node:  # in the order in which they run
        kind = _kind(node, [kinds.get(each, "") for each in node.input])
        scales = node.op_type == "DynamicQuantizeLinear"
        kinds |= {value: "" if scales and place else kind for place, value in enumerate(node.output)}
    return kinds.get(name, "")


def _kind(node: "onnx.NodeProto", given: list[str]) -> str:
    """Return what an operator makes of what it takes: "" for a constant."""
    op, some = node.op_type, {each for each in given if each}
    if op in FUSED:
        named = [each.s.decode() for each in node.attribute if each.name == "activation" and each.s]
        return named[0] if named else LOGITS
    if not some:
        return ""
    if op == "Gather" and given[0] in ("", INPUT):
        return LOGITS if not given[0] else INPUT  # an Embedding's table, read by number
    if op in AFFINE:
        return LOGITS
    if op in HANDED_ON:
        first = some if op == "Concat" else {given[0]}
        return first.pop() if len(first) == 1 else op
    if op in KEEPS:
        divided = op == "Div" and not (given[0] and not any(given[1:]))
        return LOGITS if some <= {LOGITS, INPUT} and not divided else op
    return op
