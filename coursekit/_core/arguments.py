"""Checks for what callers hand in: every message names the argument, what came and what is allowed.

All numbers, flags, arrays, paths and objects of public functions go through here, so that numpy's and torch's
numbers are taken as numbers, and what looks like a number without being one is refused, on one line.
"""

import contextlib
import math
import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from coursekit._core.arrays import NUMBERS, array, dense, finite, plain, special, to_numpy

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "array",
    "ascending",
    "choice",
    "choices",
    "dense",
    "finite",
    "flag",
    "function",
    "instance",
    "instances",
    "integer",
    "integers",
    "label",
    "labels",
    "module",
    "path",
    "place",
    "plain",
    "positive",
    "real",
    "reals",
    "seeds",
    "shown",
    "size",
    "special",
    "target",
    "text",
    "to_numpy",
]

Kind = TypeVar("Kind")

LARGEST_SIZE = 2**40  # of what a machine could count or store; a product of a few of them is still a float
LARGEST_SEED = 2**32 - 1  # numpy's legacy generator takes no larger one
LONGEST_WAIT = 1e6  # seconds: eleven days
LONGEST_SHOWN = 80  # characters of a value that a message repeats


def shown(value: Any) -> str:
    """Return ``value`` and its type as a message says them: one line, never long, whatever the value is.

    Parameters
    ----------
    value : object
        What the caller handed in.

    Returns
    -------
    str
        Such as ``'False' (str)``.
    """
    return f"{_brief(value)} ({type(value).__name__})"


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``allowed``.

    Parameters
    ----------
    name : str
        The argument's name in the caller's signature, here and in every other function of this module.
    value : object
        What the caller handed in.
    allowed : iterable of str
        The texts to choose from.

    Returns
    -------
    str
        The text.

    Raises
    ------
    TypeError
        If it is not a text.
    ValueError
        If it is another text.
    """
    options = list(allowed)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(options)}; got {shown(value)}")
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}; got {_brief(value)}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return ``value`` as a bool; texts, numbers and None are refused, not taken as yes or no.

    Raises
    ------
    TypeError
        If it is neither Python's nor numpy's bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {shown(value)}")
    return bool(value)


def choices(name: str, values: Any, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return ``values``, a list of one or more of the texts in ``allowed``.

    Raises
    ------
    TypeError
        If it is not a list of texts; a single text is not.
    ValueError
        If it is empty or holds another text.
    """
    options = list(allowed)
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        found = tuple(values)
    except (TypeError, RuntimeError):
        raise TypeError(f"{name} must be a list of {', '.join(options)}; got {shown(values)}") from None
    if not found:
        raise ValueError(f"{name} must hold at least one of {', '.join(options)}; got {_brief(values)}")
    return tuple(choice(name, each, options) for each in found)


def size(name: str, value: Any, low: int = 1, most: int = LARGEST_SIZE) -> int:
    """Return ``value`` as an int from ``low`` to ``most``: how many of something there are.

    Raises
    ------
    TypeError
        If it is not a whole number.
    ValueError
        If it lies outside; only the bound that it violates is named.
    """
    return integer(name, integer(name, value, low), high=most)


def integer(name: str, value: Any, low: float | None = None, high: float | None = None) -> int:
    """Return ``value`` as Python's int within [low, high].

    Numbers of numpy and torch are taken, also arrays of one element; bools and fractions are refused.

    Raises
    ------
    TypeError
        If it is not a whole number.
    ValueError
        If it lies outside, or is too large even for a float.
    """
    try:
        number = operator.index(_scalar(value))
    except (TypeError, RuntimeError):
        raise TypeError(f"{name} must be a whole number; got {shown(value)}") from None
    if abs(number) > sys.float_info.max:
        raise ValueError(f"{name} is too large, even for a float; got {_brief(number)}")
    _within(name, number, low, high)
    return number


def real(
    name: str, value: Any, low: float | None = None, high: float | None = None, *, infinite: bool = False
) -> float:
    """Return ``value`` as Python's float within [low, high].

    Numbers of numpy and torch are taken, also arrays of one element, and fractions and decimals; with
    ``infinite`` infinity too.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is not finite, is too large for a float, or lies outside.
    """
    try:
        number = float(_scalar(value))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number; got {shown(value)}") from None
    except OverflowError:
        raise ValueError(f"{name} is too large for a float; got {_brief(value)}") from None
    if math.isnan(number) or (math.isinf(number) and not infinite):
        raise ValueError(f"{name} must be {'a number' if infinite else 'finite'}; got {number}")
    _within(name, number, low, high)
    return number


def positive(name: str, value: Any, unit: str = "", *, infinite: bool = False) -> float:
    """Return ``value`` as a float above 0; ``unit``, such as "seconds", stands in the message.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is 0, negative or not finite, or a time to wait that no clock counts.
    """
    number = real(name, value, infinite=infinite)
    if number <= 0:
        raise ValueError(f"{name} must be more than 0{unit and f' {unit}'}; got {number:g}")
    if unit == "seconds" and not infinite and number > LONGEST_WAIT:
        raise ValueError(f"{name} must be at most {LONGEST_WAIT:,.0f} seconds; got {number:g}")
    return number


def integers(name: str, values: Any, low: int | None = None, high: int | None = None) -> tuple[int, ...]:
    """Return ``values`` (a list, an array, a range) as one or more ints within [low, high].

    Raises
    ------
    TypeError
        If it is not a series of whole numbers.
    ValueError
        If it is empty, or an entry lies outside.
    """
    return tuple(integer(f"an entry of {name}", each, low, high) for each in _entries(name, values))


def reals(name: str, values: Any, low: float | None = None, high: float | None = None) -> tuple[float, ...]:
    """Return ``values`` (a list, an array, a range) as one or more floats within [low, high].

    Raises
    ------
    TypeError
        If it is not a series of numbers.
    ValueError
        If it is empty, or an entry lies outside or is not finite.
    """
    return tuple(real(f"an entry of {name}", each, low, high) for each in _entries(name, values))


def ascending(
    name: str, values: Any, low: float | None = None, high: float | None = None, *, whole: bool = False
) -> tuple[Any, ...]:
    """Return ``values``, one or more numbers within [low, high], if each is larger than the one before.

    With ``whole`` they are ints, otherwise floats; Python's own ints stay ints.

    Raises
    ------
    TypeError
        If it is not a series of numbers, or of whole numbers.
    ValueError
        If it is empty, does not ascend, or an entry lies outside.
    """
    given, entry = _entries(name, values, empty=True), f"an entry of {name}"
    numbers = [
        integer(entry, each, low, high) if whole or type(each) is int else real(entry, each, low, high)
        for each in given
    ]
    if not numbers or any(later <= earlier for earlier, later in zip(numbers, numbers[1:], strict=False)):
        raise ValueError(f"{name} must ascend and hold at least one number; got {_brief(tuple(numbers))}")
    return tuple(numbers)


def seeds(name: str, values: Any, least: int = 1, high: int = LARGEST_SEED) -> tuple[int, ...]:
    """Return ``values`` as seeds from 0 to ``high``, at least ``least`` of them.

    Raises
    ------
    TypeError
        If they are not whole numbers.
    ValueError
        If there are too few, or one lies outside.
    """
    found = integers(name, values, 0, high)
    if len(found) < least:
        raise ValueError(f"{name} must hold at least {least} seeds; got {len(found)}")
    return found


def instance(name: str, value: Any, kind: type[Kind]) -> Kind:
    """Return ``value`` if it is a ``kind``, one of coursekit's own classes.

    Raises
    ------
    TypeError
        If it is anything else, such as None.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name} must be {article} {kind.__name__}; got {shown(value)}")
    return value


def by_name(name: str, values: Any, kind: type[Kind]) -> dict[str, Kind]:
    """Return a mapping of names to objects of a class; TypeError for anything else."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{name} must map names to {kind.__name__}; got {shown(values)}")
    return {each: instance(f"{name}[{each!r}]", value, kind) for each, value in values.items()}


def instances(name: str, values: Any, kind: type[Kind], *, empty: bool = False) -> tuple[Kind, ...]:
    """Return ``values``, a list of one or more of ``kind``; with ``empty`` it may hold none at all.

    Raises
    ------
    TypeError
        If it is not a list of them.
    ValueError
        If it is empty.
    """
    try:
        found = tuple(values)
    except (TypeError, RuntimeError):
        raise TypeError(f"{name} must be a list of {kind.__name__}; got {shown(values)}") from None
    if not (found or empty):
        raise ValueError(f"{name} must hold at least one {kind.__name__}; got {_brief(values)}")
    return tuple(instance(f"an entry of {name}", each, kind) for each in found)


def module(name: str, value: Any) -> "nn.Module":
    """Return ``value`` if it is a torch module; torch is not imported for that.

    Raises
    ------
    TypeError
        If it is anything else, such as a class that nobody has called yet.
    """
    known = sys.modules.get("torch.nn")  # where torch was never loaded, there are no modules
    if known is None or not isinstance(value, known.Module):
        raise TypeError(f"{name} must be an nn.Module; got {shown(value)}")
    return value


def function(name: str, value: Any, takes: str = "") -> Callable[..., Any]:
    """Return ``value`` if it can be called; ``takes``, such as "with a list", ends the message's rule.

    Raises
    ------
    TypeError
        If it cannot.
    """
    if not callable(value):
        raise TypeError(f"{name} must be callable{takes and f' {takes}'}; got {shown(value)}")
    return value


def text(name: str, value: Any, longest: int | None = None) -> str:
    """Return ``value`` without the blanks around it, if it is one line of text that can be printed.

    Raises
    ------
    TypeError
        If it is not a text.
    ValueError
        If it is blank, has more than one line or more than ``longest`` characters.
    """
    label(name, value)
    if not value.strip() or not value.isprintable() or len(value) > (longest or math.inf):
        limit = "" if longest is None else f" of 1 to {longest} characters"
        raise ValueError(f"{name} must be one line{limit or ' of text'}; got {_brief(value)}")
    return value.strip()


def label(name: str, value: Any) -> str:
    """Return ``value`` if it is a text, which may be empty: what a title or a table shows.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text; got {shown(value)}")
    return value


def labels(name: str, values: Any) -> tuple[str, ...]:
    """Return ``values``, a list of texts, which may be empty.

    Raises
    ------
    TypeError
        If it is not a list of texts; a single text is not.
    """
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        found = tuple(values)
    except (TypeError, RuntimeError):
        raise TypeError(f"{name} must be a list of texts; got {shown(values)}") from None
    return tuple(label(f"an entry of {name}", each) for each in found)


def path(name: str, value: Any) -> Path:
    """Return ``value`` as a Path with the user's home in place of "~".

    Raises
    ------
    TypeError
        If it is neither text nor a path.
    ValueError
        If it is empty or holds a character that no file's name can.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise TypeError(f"{name} must be a path, as text or a Path; got {shown(value)}")
    given = os.fspath(value)
    if not given.strip() or "\0" in given:
        raise ValueError(f"{name} must be the path of a file; got {_brief(given)}")
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise ValueError(f"{name} names a user who is not known here; got {_brief(given)}") from None


def place(name: str, value: Any) -> Path:
    """Return ``value`` as the path of something that may be there or not, but that the system can ask for.

    Raises
    ------
    TypeError
        If it is neither text nor a path.
    ValueError
        If it is empty, too long, or holds a character that no file's name can.
    """
    found = path(name, value)
    try:
        found.exists()
    except OSError as error:
        raise ValueError(f"{name} cannot be opened: {error.strerror}; got {_brief(str(found))}") from None
    return found


def target(name: str, value: Any) -> Path:
    """Return ``value`` as the path of a file to write: a new one, or a regular file that is replaced.

    Raises
    ------
    TypeError
        If it is neither text nor a path.
    ValueError
        If something stands there that is not a regular file: a folder, a device, a pipe.
    FileNotFoundError
        If there is no folder for it.
    """
    found = path(name, value)
    try:
        in_the_way, homeless = found.exists() and not found.is_file(), not found.parent.is_dir()
    except OSError as error:
        raise ValueError(f"{name} cannot be written: {error.strerror}; got {_brief(str(found))}") from None
    if in_the_way:
        raise ValueError(
            f"{name} must be a new file or a regular one to replace; {_brief(str(found))} is neither"
        )
    if homeless:
        raise FileNotFoundError(f"{name} must be in a folder that exists; got {_brief(str(found))}")
    return found


def _entries(name: str, values: Any, *, empty: bool = False) -> list[Any]:
    """Return the entries of a series; text, mappings and what cannot be iterated are refused."""
    dense(name, values)
    try:
        if isinstance(values, str | bytes | bytearray | dict):
            raise TypeError
        entries = list(values)
    except (TypeError, RuntimeError):
        raise TypeError(f"{name} must be a list of numbers; got {shown(values)}") from None
    if not entries and not empty:
        raise ValueError(f"{name} must hold at least one number; got {_brief(values)}")
    return entries


def _brief(value: Any) -> str:
    """Return ``repr(value)`` in one line of at most LONGEST_SHOWN characters."""
    try:
        whole = " ".join(repr(value).split())
    except Exception:  # a repr may fail in any way; Python's own does for an int of more than 4,300 digits
        digits = isinstance(value, int)
        return "a number with thousands of digits" if digits else f"an object of {type(value).__name__}"
    return whole if len(whole) <= LONGEST_SHOWN else f"{whole[: LONGEST_SHOWN - 1]}…"


def _scalar(value: Any) -> Any:
    """Return one-element arrays and tensors as the Python number they hold; refuse text, bools and dates."""
    if isinstance(value, bool | str | bytes | bytearray | memoryview) or special(value) is not None:
        raise TypeError(type(value).__name__)
    if getattr(getattr(value, "dtype", None), "kind", "f") not in NUMBERS + "V":
        raise TypeError(type(value).__name__)
    if hasattr(value, "dtype") and hasattr(value, "item"):
        with contextlib.suppress(ValueError, RuntimeError):  # more than one element: the caller refuses it
            value = value.item()
    if isinstance(value, bool):
        raise TypeError(type(value).__name__)
    return value


def _within(name: str, number: float, low: float | None, high: float | None) -> None:
    too_low = low is not None and number < low
    too_high = high is not None and number > high
    if too_low or too_high:
        span = (
            f"from {low} to {high}"
            if None not in (low, high)
            else (f"at least {low}" if high is None else f"at most {high}")
        )
        raise ValueError(f"{name} must be {span}; got {_brief(number)}")
