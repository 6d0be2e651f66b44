"""Helpers for checkers: they accept every form of a correct answer and turn odd ones into a verdict.

Each raises ``Stop`` with a verdict where the answer cannot be used, so a checker reads from top to bottom.
"""

import contextlib
import copy
import io
import operator
import reprlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import _arguments
from coursekit.exercises.verdict import Stop, not_tried, wrong

LONGEST_PRINT = 200  # characters of a student's own output that a verdict repeats


def untried(answer: Any) -> bool:
    """Tell whether ``answer`` is still the blank: `...`, None, or a collection that holds a `...`."""
    if answer is None or answer is ...:
        return True
    if isinstance(answer, dict):
        answer = tuple(answer.values())
    if isinstance(answer, np.ndarray) and answer.dtype == object:
        answer = tuple(answer.ravel())
    if isinstance(answer, tuple | list) and answer:
        return any(item is ... for item in answer) or all(item is None for item in answer)
    return False


def describe(answer: Any) -> str:
    """Return in a few words what ``answer`` is, for any object whatsoever."""
    kind = type(answer).__name__
    if hasattr(answer, "shape") and hasattr(answer, "dtype"):
        return f"{kind} of shape {tuple(answer.shape)} and dtype {answer.dtype}"
    if callable(answer):
        return f"the {kind} {getattr(answer, '__name__', '')}".strip()
    try:
        return f"{reprlib.repr(answer)} ({kind})"
    except Exception:  # a student's own __repr__ may do anything
        return f"an object of type {kind}"


def as_number(answer: Any, name: str = "your answer") -> float:
    """Return ``answer`` as a number; one-element arrays and tensors count, text and bools do not."""
    value = _arguments.to_numpy(answer)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise Stop(_unusable(name, "a number", answer))
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise Stop(_unusable(name, "a number", answer)) from None


def as_integer(answer: Any, name: str = "your answer") -> int:
    """Return ``answer`` as an int; 3.0 counts as 3."""
    number = as_number(answer, name)
    if number != number or number in (float("inf"), -float("inf")) or number != int(number):
        raise Stop(_unusable(name, "a whole number", answer))
    return int(number)


def as_array(
    answer: Any, name: str = "your answer", *, shape: tuple[int, ...] | None = None, dtype: type = np.float64
) -> NDArray[Any]:
    """Return a list, tuple, array or tensor of numbers as an array; ``shape``, if given, must fit."""
    try:
        array = _arguments.array(name, answer, dtype)
    except (TypeError, ValueError) as error:
        raise Stop(
            wrong(f"{_start(str(error))}.", "A list, an array or a tensor of numbers is expected.")
        ) from None
    if shape is not None and array.shape != shape:
        raise Stop(wrong(f"{_start(name)} has shape `{array.shape}`, but `{shape}` is expected."))
    return array


def as_bits(answer: Any, width: int | None = None, name: str = "your answer") -> str:
    """Return ``answer`` as text of 0s and 1s.

    Takes text (spaces, underscores and a leading 0b allowed) and lists or arrays of 0 and 1; with ``width``
    also an int, as the pattern's value.
    """
    expected = f"{width} bits" if width else "bits (text of 0 and 1)"
    bits = _bits(_arguments.to_numpy(answer), width)
    if not bits or set(bits) - {"0", "1"}:
        raise Stop(_unusable(name, expected, answer))
    if width is not None and len(bits) != width:
        raise Stop(wrong(f"{_start(name)} has {len(bits)} bits, but {width} are expected."))
    return bits


def call(function: Any, *args: Any, **options: Any) -> Any:
    """Return what the student's ``function`` returns for copies of ``args``; what it prints is not shown.

    Errors of the function, and a blank result, end the check with a verdict.
    """
    if not callable(function):
        raise Stop(_unusable("your answer", "a function", function))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
        result = _run(
            function, [_copied(a) for a in args], {k: _copied(v) for k, v in options.items()}, printed
        )
    if untried(result):
        raise Stop(not_tried())
    return result


def _run(function: Callable[..., Any], args: list[Any], options: dict[str, Any], printed: io.StringIO) -> Any:
    try:
        return function(*args, **options)
    except Stop:
        raise
    except (Exception, SystemExit) as error:
        if "ellipsis" in str(error).lower():  # it computed with a blank that is still there
            raise Stop(not_tried()) from None
        shown = ", ".join([*map(_brief, args), *(f"{k}={_brief(v)}" for k, v in options.items())])
        message = f"`{_title(function)}({shown})` raised `{type(error).__name__}: {error}`.{_echo(printed)}"
        raise Stop(wrong(message, "Run that call in a cell of its own to see the full traceback.")) from error


def _copied(value: Any) -> Any:
    if hasattr(value, "detach") and hasattr(value, "clone"):
        return value.detach().clone()
    return copy.deepcopy(value)


def _bits(value: Any, width: int | None) -> str:
    if isinstance(value, str):
        return "".join(value.replace("_", "").split()).removeprefix("0b")
    if isinstance(value, np.ndarray | list | tuple) and len(np.shape(value)):
        return "".join(
            str(int(bit)) if str(bit) in _BIT_TEXTS else "?" for bit in np.ravel(np.asarray(value))
        )
    if width is None or isinstance(value, bool | np.bool_):
        return ""
    try:
        return format(operator.index(value), f"0{width}b")
    except TypeError:
        return ""


_BIT_TEXTS = {"0", "1", "0.0", "1.0", "True", "False"}


def _unusable(name: str, expected: str, answer: Any) -> Any:
    return wrong(f"{_start(name)} should be {expected}, but it is {describe(answer)}.")


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _brief(value: Any) -> str:
    return describe(value) if hasattr(value, "shape") else reprlib.repr(value)


def _echo(printed: io.StringIO) -> str:
    text = printed.getvalue().strip()
    return f" It printed: {text[-LONGEST_PRINT:]}" if text else ""
