"""Helpers for checkers: they accept every form of a correct answer and turn odd ones into a verdict.

Each raises ``Stop`` with a verdict where the answer cannot be used, so a checker reads from top to bottom.
"""

import contextlib
import copy
import dis
import io
import operator
import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.exercises.verdicts import NOT_TRIED, Stop, Verdict, not_tried, wrong

__all__ = [
    "as_array",
    "as_bits",
    "as_integer",
    "as_number",
    "call",
    "call_either",
    "describe",
    "is_blank",
    "run",
    "said",
    "untried",
]

DEEPEST = 3  # levels of nesting that are searched for a blank
_BITS = {"0": "0", "0.0": "0", "False": "0", "1": "1", "1.0": "1", "True": "1"}
_IDLE = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
# Of a ValueError: .transpose(1, 2) and .transpose(0, 1) mean other things for an array.
_OTHER_KIND = (TypeError, AttributeError, ValueError)  # what arrays raise where tensors were expected
LONGEST_PRINT = 200  # characters of a student's own output that a verdict repeats
ECHO = " Before that it printed: "  # and what stands before it


def untried(answer: Any) -> bool:
    """Tell whether ``answer`` is still the blank: `...`, None, or a collection that holds a `...`.

    Parameters
    ----------
    answer : object
        Whatever the student handed in.

    Returns
    -------
    bool
        True or False.

    """
    return answer is None or _has_dots(answer, DEEPEST)


def describe(answer: Any) -> str:
    """Return in a few words what ``answer`` is, for any object whatsoever.

    Parameters
    ----------
    answer : object
        Whatever the student handed in.

    Returns
    -------
    str
        The words.

    """
    kind = type(answer).__name__
    try:
        if hasattr(answer, "shape") and hasattr(answer, "dtype"):
            return f"{kind} of shape {tuple(answer.shape)} and dtype {answer.dtype}"
        return f"the {kind} {answer.__name__}" if callable(answer) else f"{reprlib.repr(answer)} ({kind})"
    except Exception:  # a student's own object may do anything when it is looked at
        return f"an object of type {kind}"


def said(error: BaseException) -> str:
    """Return the name and message of an error, for any error whatsoever.

    Parameters
    ----------
    error : BaseException
        The error; it may fail to print itself.

    Returns
    -------
    str
        One text.

    """
    arguments.instance("error", error, BaseException)
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # a student's own error may fail to print
        return type(error).__name__


def as_number(answer: Any, name: str = "your answer") -> float:
    """Return ``answer`` as a number.

    Parameters
    ----------
    answer : object
        A number; arrays, tensors and lists of one element count, text and bools do not.
    name : str
        What the message calls it.

    Returns
    -------
    float
        The number.

    Raises
    ------
    Stop
        With the verdict, if it is not a number.

    """
    value = _single(_plain(answer, name, "a number"))
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise Stop(_unusable(name, "a number", answer))
    try:
        return operator.index(value)
    except (TypeError, RuntimeError):
        pass
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise Stop(_unusable(name, "a number", answer)) from None


def as_integer(answer: Any, name: str = "your answer") -> int:
    """Return ``answer`` as an int; 3.0 counts as 3.

    Parameters
    ----------
    answer : object
        As for ``as_number``.
    name : str
        What the message calls it.

    Returns
    -------
    int
        The number.

    Raises
    ------
    Stop
        With the verdict, if it is not a whole number.

    """
    number = as_number(answer, name)
    if number != number or number in (float("inf"), -float("inf")) or number != int(number):
        raise Stop(_unusable(name, "a whole number", answer))
    return int(number)


def as_array(
    answer: Any, name: str = "your answer", *, shape: tuple[int, ...] | None = None, dtype: type = np.float64
) -> NDArray[Any]:
    """Return a list, tuple, array or tensor of numbers as an array.

    Parameters
    ----------
    answer : object
        Finite numbers, at least one.
    name : str
        What the message calls them.
    shape : tuple of int, optional
        The only shape that is accepted.
    dtype : type
        Of the array that is returned.

    Returns
    -------
    ndarray
        The array, of ``dtype``.

    Raises
    ------
    Stop
        With the verdict, if these are not such numbers, or of another shape.

    """
    arguments.label("name", name)
    arguments.instance("dtype", dtype, type)
    if not (shape is None or isinstance(shape, tuple)):
        raise TypeError(f"shape must be a tuple of whole numbers; got {arguments.shown(shape)}")
    try:
        array = arguments.array(name, answer, dtype)
    except (TypeError, ValueError) as error:
        raise Stop(
            wrong(f"{_start(str(error))}.", "A list, an array or a tensor of numbers is expected.")
        ) from None
    wanted = array.shape if shape is None else shape and arguments.integers("shape", shape, 0)
    if array.shape != wanted:
        raise Stop(wrong(f"{_start(name)} has shape `{array.shape}`, but `{wanted}` is expected."))
    return array


def as_bits(answer: Any, width: int | None = None, name: str = "your answer", *, hint: str = "") -> str:
    """Return ``answer`` as text of 0s and 1s.

    Parameters
    ----------
    answer : object
        Text (spaces, underscores and a leading 0b allowed), a list or an array of 0 and 1; with ``width``
        also an int, as the pattern's value.
    width : int, optional
        How many bits there must be.
    name : str
        What the message calls them.
    hint : str
        Shown where there are more or fewer than ``width``.

    Returns
    -------
    str
        0s and 1s, nothing else.

    Raises
    ------
    Stop
        With the verdict, if these are not bits, or not so many.

    """
    arguments.label("hint", hint)
    width = None if width is None else arguments.size("width", width)
    expected = f"{width} bits" if width else "bits (text of 0 and 1)"
    bits = _bits(_plain(answer, name, expected), width)
    if not bits or set(bits) - {"0", "1"}:
        raise Stop(_unusable(name, expected, answer))
    if width is not None and len(bits) != width:
        raise Stop(wrong(f"{_start(name)} has {len(bits)} bits, but {width} are expected.", hint))
    return bits


def call(function: Any, *args: Any, **options: Any) -> Any:
    """Return what the student's ``function`` returns for copies of its arguments; its prints stay unseen.

    Parameters
    ----------
    function : object
        What the student handed in.
    *args, **options
        What it is called with.

    Returns
    -------
    object
        The result, never None.

    Raises
    ------
    Stop
        With the verdict: if it is not a function, still blank, raises an error, or returns None.

    """
    result = run(function, *args, **options)
    if result is None:
        message = f"`{_call_text(function, args, options)}` returns None."
        raise Stop(wrong(message, "Is there a `return` on every way through your function?"))
    return result


def call_either(function: Any, *args: Any) -> Any:
    """Return what ``function`` returns for the arrays ``args``; where arrays do not suit it, for tensors.

    Parameters
    ----------
    function : object
        What the student handed in.
    *args
        Arrays, and whatever else it takes.

    Returns
    -------
    object
        As ``call``.

    Raises
    ------
    Stop
        As ``call``; if tensors do not suit it either, with the verdict on the arrays.

    """
    try:
        return call(function, *args)
    except Stop as stop:
        if stop.verdict.outcome == NOT_TRIED or not isinstance(stop.__cause__, _OTHER_KIND):
            raise
        return _with_tensors(function, args, stop)


def run(function: Any, *args: Any, **options: Any) -> Any:
    """Do as ``call`` does with a function that may return nothing, because it writes a file, for example.

    Parameters
    ----------
    function : object
        What the student handed in.
    *args, **options
        What it is called with.

    Returns
    -------
    object
        The result.

    Raises
    ------
    Stop
        As ``call``, except that None is a result like any other.

    """
    if not callable(function):
        raise Stop(_unusable("your answer", "a function", function))
    if is_blank(function):
        raise Stop(not_tried())
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            result = function(
                *map(_copied, args), **{name: _copied(value) for name, value in options.items()}
            )
    except (Exception, SystemExit) as error:
        raise Stop(_failed(_call_text(function, args, options), error, printed)) from error
    if result is not None and untried(result):
        raise Stop(not_tried())
    return result


def is_blank(function: Any) -> bool:
    """Tell whether the body of ``function`` is still the dots: all it does is return None or `...`.

    Parameters
    ----------
    function : object
        What the student handed in.

    Returns
    -------
    bool
        True or False.

    """
    code = getattr(function, "__code__", None)
    steps = [] if code is None else [*dis.get_instructions(code)]
    constants = [step.argval for step in steps if step.opname.endswith("_CONST")]
    idle = all(step.opname in _IDLE for step in steps)
    return idle and len(constants) == 1 and (constants[0] is None or constants[0] is ...)


def _with_tensors(function: Any, args: tuple[Any, ...], first: Stop) -> Any:
    import torch

    try:
        tensors = [torch.from_numpy(arg.copy()) if isinstance(arg, np.ndarray) else arg for arg in args]
        return call(function, *tensors)
    except Stop as stop:
        raise (stop if stop.verdict.outcome == NOT_TRIED else first) from None


def _failed(call_text: str, error: BaseException, printed: io.StringIO) -> Verdict:
    if "ellipsis" in said(error).lower():  # it computed with a blank that is still there
        return not_tried()
    output = printed.getvalue().strip()
    echo = f"{ECHO}{output[-LONGEST_PRINT:]}" if output else ""
    message = f"`{call_text}` raised `{said(error)}`.{echo}"
    return wrong(message, "Run that call in a cell of its own to see the full traceback.")


def _call_text(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    shown = [*map(_brief, args), *(f"{key}={_brief(value)}" for key, value in options.items())]
    return f"{name}({', '.join(shown)})"


def _plain(answer: Any, name: str, expected: str) -> Any:
    """Return tensors as arrays, anything else as it is; Stop for arrays that hide or pack numbers."""
    arguments.label("name", name)
    try:
        return arguments.to_numpy(arguments.dense(name, answer))
    except (TypeError, ValueError, RuntimeError):
        raise Stop(_unusable(name, expected, answer)) from None


def _single(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.reshape(())[()]
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # a tensor in the middle of a graph, a generator: not everything can be copied
        return value.detach().clone() if hasattr(value, "detach") else value


def _has_dots(answer: Any, depth: int) -> bool:
    if isinstance(answer, dict):
        answer = list(answer.values())
    elif isinstance(answer, np.ndarray) and answer.dtype == object:
        answer = list(answer.ravel())
    if isinstance(answer, tuple | list) and depth:
        return any(_has_dots(item, depth - 1) for item in answer) or (
            len(answer) > 0 and all(item is None for item in answer)
        )
    return answer is ...


def _bits(value: Any, width: int | None) -> str:
    if isinstance(value, str):
        return "".join(value.replace("_", "").split()).removeprefix("0b")
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        items = [arguments.to_numpy(item) for item in value]
        return "".join(item if isinstance(item, str) else _BITS.get(str(item), "?") for item in items)
    if width is None or isinstance(value, bool | np.bool_):
        return ""
    try:
        return format(operator.index(value), f"0{width}b")
    except TypeError:
        return ""


def _unusable(name: str, expected: str, answer: Any) -> Verdict:
    hint = "Without the quotation marks it is one." if "number" in expected and _is_quoted(answer) else ""
    return wrong(f"{_start(name)} should be {expected}, but it is {describe(answer)}.", hint)


def _is_quoted(answer: Any) -> bool:
    """Tell whether the answer is a number as text."""
    try:
        return isinstance(answer, str) and float(answer) == float(answer)
    except ValueError:
        return False


def _start(text: str) -> str:
    """Return the text as a sentence begins; names of the student's own code stay as they are."""
    first = text.partition(" ")[0]
    return text if len(first) == 1 or "_" in first else text[:1].upper() + text[1:]


def _brief(value: Any) -> str:
    return describe(value) if hasattr(value, "shape") else reprlib.repr(value)
