"""The checkers of notebook 06, ONNX export and quantization."""

import functools
import inspect
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import data, onnx_models
from coursekit.course.nb06 import onnx_cases
from coursekit.exercises.answers import as_array, as_number, call, describe, is_blank, run, said
from coursekit.exercises.verdicts import Stop, Verdict, not_tried, right, wrong
from coursekit.onnx_models.packages import quiet

__all__ = ["CHECKERS"]

FEATURES, CLASSES = 12, 3
BATCHES = (1, 5)
CLOSE = 1e-4
DIGITS, PER_DIGIT = 10, (4, 1)
MOST_BATCHES = 1000  # after so many a reader counts as one that never ends
TYPES = {"int8": "int8", "qint8": "int8", "uint8": "uint8", "quint8": "uint8"}
Array = NDArray[Any]


def export(answer: Any) -> Verdict:
    """A function of model, path and example that writes an ONNX file."""
    import torch

    model, example = _network(), torch.rand(2, FEATURES, generator=torch.Generator().manual_seed(6))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "exercise.onnx")
        with quiet():
            run(answer, model, path, example)
        if not Path(path).is_file():
            return wrong("There is no file at `path`.", "Give `path` to `torch.onnx.export` as it is.")
        _check_file(path)
        runner = onnx_models.load(path, device="cpu")
        for batch in BATCHES:
            x = torch.rand(batch, FEATURES, generator=torch.Generator().manual_seed(batch))
            expected = model.eval()(x).detach().numpy()
            found = as_array(runner(x), "the file's output")
            if found.shape != expected.shape or np.abs(found - expected).max() > CLOSE:
                hint = "Is the model in training mode while it is exported? `model.eval()` before it."
                return wrong(f"For a batch of {batch} the file answers differently from the model.", hint)
    return right("One file, the same answers as PyTorch, for batches of any size.")


def too_large(answer: Any) -> Verdict:
    """A pair: the name of a stored tensor, and a number of bytes."""
    try:
        name, saved = answer
    except (TypeError, ValueError):
        return wrong("A pair is expected: `(name, saved_bytes)`.")
    _check_name(name)
    numbers, stored = onnx_cases.culprits_bytes()
    saved = as_number(saved, "saved_bytes")
    if saved == stored - numbers:
        return right("Floats that a QuantizeLinear node rounds anew whenever the file is loaded.")
    hints = {
        stored: "That is all that the tensor takes. As INT8 it would still take something.",
        numbers: "That is what is left of it as INT8. Asked for is what goes away.",
        **{
            (stored - numbers) / unit: f"That is in {name}. The answer is asked for in bytes."
            for name, unit in (("kB", 1e3), ("KiB", 2**10), ("MB", 1e6), ("MiB", 2**20))
        },
        8 * (stored - numbers): "That looks like bits. The answer is asked for in bytes.",
        stored / 2: "That would be FP16: 2 bytes. How many does INT8 take?",
    }
    message = f"The tensor is the right one, but INT8 saves another number of bytes than {saved:,.10g}."
    return wrong(message, hints.get(saved, "How many numbers does it hold, and how many bytes each?"))


def better_type(answer: Any) -> Verdict:
    """A function of source and x that returns "int8" or "uint8"."""
    names = []
    with tempfile.TemporaryDirectory() as folder, quiet():
        for number, (_, weight) in enumerate(onnx_cases.matrices()):
            path = Path(folder) / f"network{number}.onnx"
            onnx_cases.linear_file(path, weight)
            names.append(_type(call(answer, path, onnx_cases.exact_inputs(len(weight)))))
    expected = [best for best, _ in onnx_cases.matrices()]
    if names == expected:
        return right("It measures: weights of one sign want uint8, weights mirrored around zero want int8.")
    message = f"Of {len(names)} files, your function names the better type for {_hits(names, expected)}."
    if _hits(names, expected) == 0:
        return wrong(f"{message} It names the other one.", "The smaller difference is the better one.")
    if len(set(names)) == 1:
        return wrong(
            f"{message} It says {names[0]!r} each time.",
            "Both files have the same size. Compare what they answer with what `source` answers, in numbers, "
            "not in labels.",
        )
    return wrong(message, "The largest difference to the logits of `source`, over all of x, for each type.")


def reader(answer: Any) -> Verdict:
    """A class, made with (split, per_digit), whose get_next() gives dicts and then None."""
    if not inspect.isclass(answer):
        return wrong(f"The class itself is expected, but your answer is {describe(answer)}.")
    get_next = getattr(answer, "get_next", None)
    if get_next is None or getattr(get_next, "__isabstractmethod__", False) or is_blank(get_next):
        return not_tried()
    for per_digit in PER_DIGIT:
        split = _split()
        made = call(answer, split, per_digit)
        _check_pictures(_batches(made, f"{answer.__name__}(split, {per_digit})"), split, per_digit)
    return right("Every digit equally often, in arrays as the file wants them, and None at the end.")


# The export


def _network() -> Any:
    """Return a small network with a Dropout, in training mode, as it comes out of a training loop."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)  # torch.manual_seed would reseed every GPU as well
        layers = nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, CLASSES)
    return nn.Sequential(*layers).train()


def _check_file(path: str) -> None:
    """Stop with a verdict unless the file is whole and its batch axis, and only this one, is free."""
    try:
        file = onnx_models.describe(path)
    except ValueError as error:
        raise Stop(wrong(f"The file cannot be read (`{said(error)}`).")) from error
    if file.external:
        raise Stop(wrong("Most weights lie in a second file beside it.", "The option `external_data=False`."))
    if len(file.inputs) != 1 or len(file.inputs[0][2]) != 2:
        raise Stop(wrong("The model takes one input with two axes.", "Export with `(example,)`."))
    batch, features = file.inputs[0][2]
    if not isinstance(batch, str):
        hint = "Say which axis is free: `dynamic_shapes=({0: torch.export.Dim('batch')},)`."
        raise Stop(wrong(f"The file takes batches of {batch} only.", hint))
    if isinstance(features, str):
        raise Stop(wrong("The number of features is free, too.", "Only axis 0, the batch, may vary."))


# The file that is too large


def _check_name(name: Any) -> None:
    """Stop with a verdict unless ``name`` is the tensor to blame."""
    if isinstance(name, list | tuple | set) and len(name) == 1:
        (name,) = name
    if not isinstance(name, str):
        raise Stop(wrong(f"The name should be text, but it is {describe(name)}."))
    if name == onnx_cases.CULPRIT:
        return
    messages = {
        "bias": "Biases are few. They may stay FP32.",
        "scale": "That is a single number.",
        "zero_point": "That is a single number.",
        "weight": "That matrix is stored as integers already. Look at the types.",
        "int8": "That is what an operator computes. It is not stored in the file.",
    }
    kind = name.rpartition(".")[2]
    raise Stop(
        wrong(messages.get(kind, f"The file stores no tensor `{name}`."), "Sort by bytes, look at the types.")
    )


# QInt8 or QUInt8


def _type(result: Any) -> str:
    name = str(getattr(result, "name", result)).strip().lower()
    if name not in TYPES:
        raise Stop(wrong(f"Your function should return 'int8' or 'uint8'; it returned {describe(result)}."))
    return TYPES[name]


def _hits(names: list[str], expected: list[str]) -> int:
    return sum(a == b for a, b in zip(names, expected, strict=True))


# The calibration reader


@functools.cache
def _split() -> data.Split:
    """Return pictures that can be told apart; some digits come often, some rarely, none in order."""
    rng = np.random.default_rng(9)
    y = rng.permutation(np.repeat(np.arange(DIGITS), np.arange(4, 4 + DIGITS)))
    return data.Split(rng.uniform(size=(len(y), 64)).astype(np.float32), y.astype(np.int64))


def _batches(reader: Any, made: str) -> list[Any]:
    """Return all that the reader hands out before None, or stop with a verdict."""
    found: list[Any] = []
    while len(found) < MOST_BATCHES:
        try:
            batch = reader.get_next()
        except StopIteration:
            hint = "`next(iterator, None)` returns None in the place of the error."
            raise Stop(wrong("At the end get_next raises StopIteration.", hint)) from None
        except Exception as error:
            raise Stop(wrong(f"`{made}.get_next()` raised `{said(error)}`.")) from error
        if batch is None:
            return found
        found.append(batch)
    raise Stop(
        wrong(
            f"After {MOST_BATCHES:,} batches there is still no end.",
            "Keep one iterator in `self` for all calls, and return None after the last batch.",
        )
    )


def _check_pictures(batches: list[Any], split: data.Split, per_digit: int) -> None:
    """Stop with a verdict unless the batches hold ``per_digit`` different pictures of every digit."""
    if not batches:
        raise Stop(wrong("The reader hands out nothing.", "The first call of get_next should give a batch."))
    rows = np.concatenate([_pictures(batch) for batch in batches])
    found = (rows[:, None, :] == split.x[None]).all(-1)
    if not found.any(1).all():
        raise Stop(wrong("Some rows are not pictures of `split`.", "Rows of `split.x`, unchanged."))
    numbers = found.argmax(1)
    counts = np.bincount(split.y[numbers], minlength=DIGITS)
    if len(set(numbers)) < len(numbers):
        raise Stop(wrong("A picture comes more than once.", "Move on with every call."))
    if (counts != per_digit).any():
        seen = ", ".join(f"{digit}: {count}" for digit, count in enumerate(counts))
        hint = "For each digit: the rows where `split.y == digit`, and the first per_digit of them."
        raise Stop(wrong(f"With per_digit={per_digit} the digits come so often: {seen}.", hint))


def _pictures(batch: Any) -> Array:
    """Return the pictures [n, 64] in a batch, or stop with a verdict."""
    if not isinstance(batch, Mapping):
        hint = "The file has inputs with names, so a batch is a dict: `{'x': pictures}`."
        raise Stop(wrong(f"get_next gives {describe(batch)} where a dict is expected.", hint))
    if list(batch) != ["x"]:
        names = ", ".join(map(repr, batch)) or "nothing"
        raise Stop(wrong(f"The batch names {names}; the file's input is called 'x'."))
    pictures = batch["x"]
    if getattr(pictures, "dtype", None) != np.float32:
        kind = getattr(pictures, "dtype", type(pictures).__name__)
        raise Stop(wrong(f"The pictures are of type {kind}; the file takes a float32 array."))
    if pictures.ndim != 2 or pictures.shape[1] != 64:
        hint = "A batch has two axes, also if it holds one picture: `x[3:4]` instead of `x[3]`."
        raise Stop(wrong(f"A batch has shape `{pictures.shape}` instead of `(n, 64)`.", hint))
    return np.asarray(pictures)


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "06-export": export,
        "06-too-large": too_large,
        "06-types": better_type,
        "06-reader": reader,
    }
)
