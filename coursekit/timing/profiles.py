"""What profilers found, in a form that can be read and drawn: a tree of calls, lines, operators.

And what can be gained at most: Amdahl's law. The profilers themselves are Python's cProfile, line_profiler
and torch.profiler.
"""

import cProfile
import dis
import inspect
import linecache
import math
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from coursekit._core import arguments, display

__all__ = [
    "Call",
    "Line",
    "LineTimes",
    "Operator",
    "Operators",
    "Profile",
    "amdahl",
    "lines",
    "operators",
    "tree",
]

SMALLEST = 0.01  # parts of the whole below this are left out of a tree
DEEPEST = 40
MICRO = 1e-6
NO_BREAK = "\N{NO-BREAK SPACE}"
# All that sys.monitoring can call a profiler for when functions begin and end.
_EVENTS = (
    *("PY_START", "PY_RESUME", "PY_THROW", "PY_RETURN", "PY_YIELD", "PY_UNWIND"),
    *("CALL", "C_RETURN", "C_RAISE"),
)
_BUILTIN = re.compile(r"<(?:built-in )?(?:method|function) '?([\w.]+)'?")


class Profile(cProfile.Profile):
    """cProfile's profiler, which looks only at the thread that started it.

    As it was up to Python 3.11. Since then it has been called for all threads, the kernel's own among them,
    and takes what they call and return from for calls and returns of one.
    """

    def enable(self, *args: Any, **options: Any) -> None:
        """Start, as cProfile does."""
        super().enable(*args, **options)
        if hasattr(sys, "monitoring"):
            _watch_this_thread_only(sys.monitoring)


@dataclass(frozen=True, repr=False)
class Call(display.Tabled):
    """A function on its way from the top of a profile: ``seconds`` with all it calls, ``own`` without."""

    name: str
    seconds: float
    own: float
    calls: int
    children: tuple["Call", ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "Call"]]:
        """Go through this call and all below it, the longest child first.

        Parameters
        ----------
        depth : int
            The depth that this call is given; those below have more.

        Yields
        ------
        tuple of int and Call
            The depth and the call.
        """
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def find(self, name: str) -> "Call":
        """Return the first call of this name.

        Parameters
        ----------
        name : str
            As the table shows it.

        Returns
        -------
        Call
            The call, with those below it.

        Raises
        ------
        ValueError
            If no call has it.
        """
        arguments.choice("name", name, dict.fromkeys(call.name for _, call in self.walk()))
        return next(call for _, call in self.walk() if call.name == name)

    def _table(self) -> display.Table:
        rows: list[tuple[str, ...]] = [
            (
                f"{2 * depth * NO_BREAK}{call.name}",
                f"{call.calls:,}",
                display.seconds(call.seconds),
                display.seconds(call.own),
                _percent(call.seconds, self.seconds),
            )
            for depth, call in self.walk()
        ]
        return display.Table(("function", "calls", "in all", "own", "share"), rows)


@dataclass(frozen=True, repr=False)
class Line:
    """A line of a function: how often it ran and how many seconds that took in all."""

    text: str
    runs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, repr=False)
class LineTimes(display.Tabled):
    """The lines of the function ``name`` with their times."""

    name: str
    lines: tuple[Line, ...]

    @property
    def seconds(self) -> float:
        """What all lines took together."""
        return math.fsum(line.seconds for line in self.lines)

    def find(self, text: str) -> Line:
        """Return the first line that contains ``text``.

        Parameters
        ----------
        text : str
            A piece of the line.

        Returns
        -------
        Line
            The line with its times.

        Raises
        ------
        ValueError
            If no line does.
        """
        found = next((line for line in self.lines if text in line.text), None)
        if found is None:
            raise ValueError(f"text must be part of a line of {self.name}; got {text!r}")
        return found

    def share(self, text: str) -> float:
        """Return the part of the whole time that a line takes.

        Parameters
        ----------
        text : str
            A piece of the line.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        ValueError
            As ``find``.
        """
        return self.find(text).seconds / self.seconds if self.seconds else 0.0

    def _table(self) -> display.Table:
        rows = [self._row(line) for line in self.lines]
        return display.Table(("line", "runs", "per run", "in all", "share"), rows)

    def _row(self, line: Line) -> tuple[str, ...]:
        code = line.text.lstrip()
        text = (len(line.text) - len(code)) * NO_BREAK + code
        if not line.runs:
            return text, "", "", "", ""
        times = display.seconds(line.seconds / line.runs), display.seconds(line.seconds)
        return text, f"{line.runs:,}", *times, _percent(line.seconds, self.seconds)


@dataclass(frozen=True, repr=False)
class Operator:
    """An operator of PyTorch: how often it was called, and its own seconds on the CPU and on the GPU."""

    name: str
    calls: int
    cpu: float
    gpu: float = 0.0


@dataclass(frozen=True, repr=False)
class Operators(display.Tabled):
    """What torch.profiler saw, the operator with most time on the CPU first.

    ``total`` is what all operators took on the CPU together, in seconds, also those that have no row.
    """

    rows: tuple[Operator, ...]
    total: float

    @property
    def on_gpu(self) -> bool:
        """Whether any work ran on a GPU."""
        return any(row.gpu for row in self.rows)

    def _table(self) -> display.Table:
        headers = ("operator", "calls", "own time, CPU", "share", *["own time, GPU"] * self.on_gpu)
        return display.Table(headers, [self._row(row) for row in self.rows])

    def _row(self, row: Operator) -> tuple[str, ...]:
        times = display.seconds(row.cpu), _percent(row.cpu, self.total)
        return row.name, f"{row.calls:,}", *times, *[display.seconds(row.gpu)] * self.on_gpu


def tree(profile: cProfile.Profile, function: Callable[..., Any], *, smallest: float = SMALLEST) -> Call:
    """Return what a profile recorded below a function as a tree.

    cProfile keeps callers and callees, not whole paths: what is reached on several paths is shared out among
    them in proportion to its callers' times, as gprof does (Graham et al. 1982).

    Parameters
    ----------
    profile, function : Profile, callable
        The profile, after its run, and the root of the tree, which must have run under it.
    smallest : float, optional
        Parts below this share of the root's time, 0 to 1, are left out.

    Returns
    -------
    Call
        The root's call.

    Raises
    ------
    TypeError, ValueError
        For another profile, or if ``function`` was not recorded.
    """
    if not isinstance(profile, cProfile.Profile):
        raise TypeError(f"profile must be a cProfile.Profile; got {type(profile).__name__}")
    smallest = arguments.real("smallest", smallest, 0, 1)
    entries = {entry.code: entry for entry in profile.getstats()}
    top = entries.get(getattr(function, "__code__", ""))
    if top is None:
        raise ValueError(f"function must be one that ran under the profiler; got {_name(function)}")
    return _call(entries, top, 1.0, smallest * top.totaltime, frozenset())


def lines(profiler: Any, function: Callable[..., Any]) -> LineTimes:
    """Return what line_profiler's ``profiler`` recorded of ``function``, line by line.

    Parameters
    ----------
    profiler : line_profiler.LineProfiler
        After the run.
    function : callable
        The one that was profiled: a function, method, property, partial or what a decorator made of it.

    Returns
    -------
    LineTimes
        Seconds are added up over calls, threads and tasks; what a generator or a coroutine waits for its
        caller does not count.

    Raises
    ------
    TypeError, ValueError
        For another profiler; if ``function`` was not recorded; or if it called itself, directly or by way
        of other functions of its file: line_profiler counts the time of the inner call once more in each
        outer one, and nothing in its record tells the two apart.
    """
    if not hasattr(profiler, "get_stats"):
        raise TypeError(f"profiler must be a line_profiler.LineProfiler; got {type(profiler).__name__}")
    stats = profiler.get_stats()
    code, timings = None, {}
    for code, inner in _recordable(function):
        timings = _timings(stats, code)
        if timings:
            _need_no_recursion(inner, timings)
            break
    if code is None or not timings:
        raise ValueError(f"function must be one that ran under the profiler; got {_name(function)}")
    source = inspect.getblock(linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :])
    numbered = enumerate(source, code.co_firstlineno)
    found = [Line(text.rstrip(), *timings.get(number, ())) for number, text in numbered if text.strip()]
    return LineTimes(_name(function), tuple(found))


def operators(profiler: Any, most: int = 8) -> Operators:
    """Return the most expensive operators that torch.profiler recorded.

    Parameters
    ----------
    profiler : torch.profiler.profile
        The profiler, after its block.
    most : int, optional
        How many operators at most.

    Returns
    -------
    Operators
        The most expensive first; their shares are of all that was recorded.

    Raises
    ------
    TypeError, ValueError
        For another profiler, or if it recorded nothing.
    """
    if not hasattr(profiler, "key_averages"):
        raise TypeError(f"profiler must be a torch.profiler.profile; got {type(profiler).__name__}")
    most = arguments.integer("most", most, 1)
    rows = [_operator(event) for event in profiler.key_averages()]
    if not rows:
        raise ValueError("profiler must have recorded an operator; run some inside its block")
    rows.sort(key=lambda row: (row.cpu, row.gpu), reverse=True)
    return Operators(tuple(rows[:most]), math.fsum(row.cpu for row in rows))


def amdahl(share: float, factor: float) -> float:
    """Return how many times as fast the whole gets if a part of it gets faster (Amdahl 1967).

    Parameters
    ----------
    share, factor : float
        The part's share of the time, 0 to 1, and how many times as fast it gets, above 0; infinity: it is
        gone.

    Returns
    -------
    float
        The speed-up of the whole.

    Raises
    ------
    TypeError, ValueError
        For a share outside 0 to 1, or a factor that is not above 0.
    """
    share = arguments.real("share", share, 0, 1)
    left = 1 - share + share / arguments.positive("factor", factor, infinite=True)
    return 1 / left if left else math.inf


def _recordable(function: Any) -> list[tuple[CodeType, Any]]:
    """Return what a decorator, partial or property wraps, the innermost function first, with its code."""
    chain: list[Any] = []
    while function is not None and len(chain) < DEEPEST:
        chain.append(function)
        inner = [getattr(function, name, None) for name in ("__wrapped__", "func", "fget", "__func__")]
        function = next((each for each in inner if callable(each)), None)
    codes = [(getattr(each, "__code__", None), each) for each in reversed(chain)]
    return [(code, each) for code, each in codes if isinstance(code, CodeType)]


def _timings(stats: Any, code: CodeType) -> dict[int, tuple[int, float]]:
    """Return the runs and seconds of every line of the code that ran."""
    here = code.co_filename, code.co_firstlineno
    return {
        number: (runs, ticks * stats.unit)
        for (file, first, _), rows in stats.timings.items()
        if (file, first) == here
        for number, runs, ticks in rows
    }


def _need_no_recursion(function: Any, timings: dict[int, tuple[int, float]]) -> None:
    """Refuse a function of which a line ran that calls it again."""
    code = function.__code__
    for number, called in _calls(function):
        if number in timings and _reaches(called, code, {code}):
            raise ValueError(
                f"function must not call itself; {_name(function)} does in line {number}, and line_profiler "
                "then counts the inner calls several times: profile a function that calls it"
            )


def _reaches(function: Any, code: CodeType, seen: set[CodeType]) -> bool:
    """Whether a call of the function may come to ``code``, by way of functions of the same file."""
    for own, each in _recordable(function) if callable(function) else ():
        if own is code:
            return True
        if own not in seen and own.co_filename == code.co_filename:
            seen.add(own)
            if any(_reaches(called, code, seen) for _, called in _calls(each)):
                return True
    return False


def _calls(function: Any) -> Iterator[tuple[int, Any]]:
    """Yield (line, function) for the functions that the code names: globals, closures, its own methods."""
    code = function.__code__
    names = getattr(function, "__globals__", {})
    cells = zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False)
    closure = {name: cell.cell_contents for name, cell in cells if _filled(cell)}
    owner = function.__qualname__.rpartition(".")[0]
    method = owner and not owner.endswith("<locals>")
    number, before = code.co_firstlineno, None
    for step in dis.get_instructions(code):
        number = (step.positions.lineno if step.positions else None) or number
        name = step.argval
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"):
            yield number, closure.get(name, names.get(name))
        elif method and step.opname in ("LOAD_METHOD", "LOAD_ATTR") and before == code.co_varnames[:1]:
            yield number, _method(function, name)
        before = (name,) if step.opname.startswith("LOAD_FAST") else None


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # not filled yet
        return False


def _method(function: Any, name: str) -> Any:
    """Return the method ``name`` of the class that the function is written in, if it can be found."""
    owner: Any = function.__globals__.get(function.__qualname__.partition(".")[0])
    if name == function.__name__:
        return function
    return getattr(owner, name, None) if inspect.isclass(owner) else None


def _watch_this_thread_only(monitoring: Any) -> None:
    """Put a filter before each callback that the profiler has registered."""
    here, identity = threading.get_ident(), threading.get_ident

    def filtered(callback: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *event: callback(*event) if identity() == here else None

    for name in _EVENTS:
        event = getattr(monitoring.events, name)
        callback = monitoring.register_callback(monitoring.PROFILER_ID, event, None)
        if callback is not None:
            monitoring.register_callback(monitoring.PROFILER_ID, event, filtered(callback))


def _call(entries: dict[Any, Any], entry: Any, part: float, smallest: float, above: frozenset[Any]) -> Call:
    """Return the tree below ``entry``, of whose time this path has ``part``."""
    path = above | {entry.code}
    children = []
    for callee in entry.calls or () if len(path) < DEEPEST else ():
        seconds = callee.totaltime * part
        if seconds < smallest or seconds <= 0 or callee.code in path:
            continue
        whole = entries[callee.code]
        child = _call(entries, whole, seconds / whole.totaltime, smallest, path)
        children.append(Call(child.name, seconds, child.own, round(callee.callcount * part), child.children))
    children.sort(key=lambda call: call.seconds, reverse=True)
    calls = round(entry.callcount * part)
    return Call(
        _code_name(entry.code), entry.totaltime * part, entry.inlinetime * part, calls, tuple(children)
    )


def _code_name(code: CodeType | str) -> str:
    """Return a function's name: of Python's own functions cProfile keeps a description only."""
    if isinstance(code, CodeType):
        return code.co_qualname.rpartition("<locals>.")[2]
    found = _BUILTIN.match(code)
    return found[1] if found else code


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _operator(event: Any) -> Operator:
    # torch 2.6 and later say "device"; the times are in microseconds.
    gpu = getattr(event, "self_device_time_total", 0.0)
    return Operator(event.key, event.count, event.self_cpu_time_total * MICRO, gpu * MICRO)


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""
