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
    ("Reshape", "Squeeze", "Flatten", "Identity", "Cast", "QuantizeLinear", "DequantizeLinear")
)
EVEN = 0.5  # the probability from which a class is the likelier one of two


@dataclass(frozen=True)
class Answer:
    """The output that tells labels: its name, whether they are labels already, and where one score tips over.

    ``refusal`` says why there is no such output; it is empty where there is one.
    """

    output: str = ""
    ready: bool = False
    tips_at: float = 0.0
    refusal: str = ""

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
            For another shape, or for scores that are NaN.
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
            return (array.ravel() > self.tips_at).astype(np.int64)
        return array.argmax(-1).astype(np.int64)


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
    return Answer(name, tips_at=EVEN if _last_operator(model, name) == "Sigmoid" else 0.0)


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
