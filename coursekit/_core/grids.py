"""The axes of a grid of measurements: ascending numbers, and where one of them stands."""

from collections.abc import Sequence
from typing import Any

from coursekit._core import arguments


def ascending(name: str, given: Any, *, whole: bool = False) -> tuple[Any, ...]:
    """Return the numbers of an axis, whole ones as int, if each is larger than the last.

    ``whole``: only whole numbers from 1 on. Errors: TypeError or ValueError that names the axis.
    """
    try:
        values = list(given)
    except TypeError:
        raise TypeError(f"{name} must be numbers in ascending order; got {type(given).__name__}") from None
    entry = f"an entry of {name}"
    numbers: list[float]
    if whole:
        numbers = [arguments.integer(entry, value, 1) for value in values]
    else:
        found = (arguments.real(entry, value) for value in values)
        numbers = [int(number) if number == int(number) else number for number in found]
    if not numbers or numbers != sorted(set(numbers)):
        raise ValueError(f"{name} must ascend and hold at least one number; got {tuple(numbers)}")
    return tuple(numbers)


def position(name: str, value: Any, measured: Sequence[float]) -> int:
    """Return where ``value`` stands among the ``measured``; ValueError for one that was not measured."""
    number = arguments.real(name, value)
    if number not in measured:
        raise ValueError(f"{name} must be one of {', '.join(f'{m:g}' for m in measured)}; got {number:g}")
    return measured.index(number)
