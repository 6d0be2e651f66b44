"""How much work a student's function does, counted instead of timed: a busy machine cannot change a count."""

import functools
import math
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["Comparisons", "Counted", "EndlessError", "Limited", "steps"]

# Code that nobody has to make faster here: Python's own, installed packages, ours.
_OURS = str(Path(__file__).parents[1])
_LIBRARY = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), _OURS, "<frozen", "<__array")
_INSTALLED = ("site-packages", "dist-packages")


class Counted:
    """A function that counts its calls.

    Parameters
    ----------
    function : callable
        The function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.calls, self._function = 0, function
        self.__name__ = getattr(function, "__name__", "function")

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function and count it."""
        self.calls += 1
        return self._function(*args, **options)

    def __deepcopy__(self, memo: Any) -> "Counted":
        return self  # a copy would count for itself


class EndlessError(BaseException):
    """A student's function has run so many lines that it counts as one that never ends.

    Not an ``Exception``, which a student's own ``except`` might take for something else. A bare ``except``
    takes it all the same: when it lets go of it, ``swallowed`` is called.
    """

    def __init__(self, message: str, swallowed: Callable[[], None] = lambda: None) -> None:
        super().__init__(message)
        self._swallowed = swallowed

    def __del__(self) -> None:
        self._swallowed()


class Limited:
    """A function that is stopped after so many calls and lines of the student's own Python code.

    Parameters
    ----------
    function : callable
        The student's.
    most : int
        How many lines; then ``EndlessError`` is raised where it runs.
    """

    def __init__(self, function: Callable[..., Any], most: int) -> None:
        self._function, self._most = function, most
        self.__name__ = getattr(function, "__name__", "function")
        self.__code__ = getattr(function, "__code__", None)  # whether it is blank is seen from its code

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function; stop it if it does not end."""
        result: list[Any] = []
        steps(lambda: result.append(self._function(*args, **options)), self._most)
        return result[0]


class Comparisons:
    """Counts how often texts made by ``text`` are compared with each other."""

    def __init__(self) -> None:
        self.count = 0

    def text(self, value: str) -> str:
        """Return a text whose comparisons are counted, also after ``lower`` and the like.

        Parameters
        ----------
        value : str
            The text.

        Returns
        -------
        str
            An equal text.
        """
        return _text_type(self)(value)


def steps(function: Callable[[], Any], most: float = math.inf) -> int:
    """Return how many calls and lines of the student's own Python code run during ``function()``.

    Parameters
    ----------
    function : callable
        Calls the student's function.
    most : float, optional
        After so many it is stopped.

    Returns
    -------
    int
        Calls and lines together.

    Raises
    ------
    EndlessError
        If there are more than ``most``.

    """
    found, running, here = 0, True, threading.get_ident()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal found
        if _is_library(frame.f_code.co_filename):
            return None
        found += event in ("call", "line")
        if found > most:
            raise EndlessError(f"it ran {found:,} lines and had not ended", again)
        return trace

    def again() -> None:
        """Look on after the student's code took the error for one of its own: Python has stopped looking."""
        if running and threading.get_ident() == here:  # another thread may be the last to hold the error
            _look(trace, sys._getframe(2))

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        running = False
        sys.settrace(before)
    return found


def _look(trace: Callable[[FrameType, str, Any], Any], frame: FrameType | None) -> None:
    """Trace the student's frames up to ``steps``: a line that is not inside of this ``try`` ends the loop."""
    while frame and frame.f_code is not steps.__code__:
        if not _is_library(frame.f_code.co_filename):
            frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)


@functools.cache
def _is_library(file: str) -> bool:
    return file.startswith(_LIBRARY) or any(name in file for name in _INSTALLED)


def _text_type(comparisons: Comparisons) -> type[str]:
    def counting(name: str) -> Callable[[Any, Any], Any]:
        def compare(self: Any, other: Any) -> Any:
            comparisons.count += 1
            return getattr(str, name)(self, other)

        return compare

    def staying(name: str) -> Callable[..., Any]:
        def change(self: Any, *args: Any) -> Any:
            return kind(getattr(str, name)(self, *args))

        return change

    members: dict[str, Any] = {name: counting(name) for name in ("__eq__", "__ne__", "__lt__", "__gt__")}
    members |= {name: staying(name) for name in ("lower", "upper", "casefold", "strip", "replace")}
    members |= {"__hash__": str.__hash__, "__deepcopy__": lambda self, memo: self}
    kind = type("str", (str,), members)
    return kind
