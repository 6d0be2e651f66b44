"""The axes of a grid of measurements: ascending numbers, and where one of them stands."""

from collections.abc import Sequence
from typing import Any

from coursekit._core import arguments


def ascending(name: str, given: Any, *, whole: bool = False) -> tuple[Any, ...]:
    """Return the numbers of an axis, whole ones as int, if each is larger than the last.

    ``whole``: only whole numbers from 1 on. Errors: TypeError or ValueError that names the axis.
    """
    if whole:
        return arguments.ascending(name, given, 1, whole=True)
    numbers = arguments.ascending(name, given)
    return tuple(int(number) if number == int(number) else number for number in numbers)


def position(name: str, value: Any, measured: Sequence[float]) -> int:
    """Return where ``value`` stands among the ``measured``; ValueError for one that was not measured."""
    number = arguments.real(name, value)
    if number not in measured:
        raise ValueError(f"{name} must be one of {', '.join(f'{m:g}' for m in measured)}; got {number:g}")
    return measured.index(number)
