"""Call the public functions with odd values, thousands of times, and report what they should not do.

python tools/odd_calls.py [--count 20000] [--seed 0] [--rooms floats timing …] prints every finding once:
- an exception that is neither a TypeError nor a ValueError and that the docstring does not name,
- a message of more than one line, or one that names none of the caller's arguments,
- a value taken for what it is not: text as yes or no, NaN as a time, an array without its mask,
- another result for the same number of numpy or torch,
- a call that ends the process (the last line on stderr says which).
A call that is right but huge may run out of its seconds or its memory: those are only counted.
"""

import argparse
import contextlib
import faulthandler
import inspect
import io
import math
import os
import random
import re
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coursekit

SECONDS = 3.0  # of one call
HANGS = 60.0  # seconds after which a call that cannot be stopped ends the process
MEMORY = 2_000_000_000  # bytes beyond what the process has at its start
LONGEST_MESSAGE = 400  # characters
NOT_ROOMS = {"plots", "widgets"}  # they draw what the rooms return
# What never ends by itself, needs other machines, or is not a plain function.
LEFT_OUT = {
    "launches.measure",
    "deployment.Program",  # these start other processes
    "deployment.Replicas",
    "deployment.cluster",
    "deployment.convert",
    "deployment.survey",
    "deployment.find",  # the last two need what only some have
    "deployment.page",
    "language.Engine",  # these three start another process
    "language.EngineModel",
    "language.llama_cpp",
    "language.from_gguf",  # needs the file of a whole model
    "language.real",  # needs a package that only some have
    "batching.work",
    "batching.Request",
    "exercises.use",
    "scoreboard.clear",
    "scoreboard.table",
}
# The message calls the argument what it is about, for those who never read a signature.
CALLED = {
    "runtime.device": "device",
    "claims.show": "claim",
    "exercises.check": "exercise",
    "exercises.hint": "exercise",
    "exercises.quiz": "quiz",
}
# Times differ from call to call; the others return objects that say where they are in memory.
RANDOM = {
    "timing",
    "roofline.measure",
    "roofline.measure_layer",
    "batching.serve",
    "batching.sweep",
    "data.archive",
}
ODD_SHARE, FORM_SHARE, DEFAULT_SHARE = 0.75, 0.15, 0.7
UNNAMED = "a message that names no argument"
HUGE = (MemoryError, "not enough memory", "bad_alloc", "can't allocate", "Unable to allocate", "too large to")


class TimeUp(BaseException):
    """The call has had its seconds."""


@dataclass(frozen=True)
class Target:
    """A public function or class: where it is found, its arguments, and what its docstring lets it raise."""

    name: str
    call: Callable[..., Any]
    parameters: dict[str, inspect.Parameter]

    @property
    def allowed(self) -> set[str]:
        """The exceptions that it may raise."""
        text = inspect.getdoc(self.call) or ""
        said = re.search(r"(?:Raises\n-+|Errors:|Raises|raises)(.*)", text, re.S)
        return {
            "TypeError",
            "ValueError",
            *re.findall(r"\b\w+Error\b|\b(?:Stop|GuessFirst)\b", said[1] if said else ""),
        }


@dataclass
class Tally:
    """What was found: by function, argument and kind, each with the first call that showed it."""

    findings: dict[tuple[str, str, str], str] = field(default_factory=dict)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, target: Target, argument: str, kind: str, shown: str) -> None:
        """Count a finding; the first of its kind is kept."""
        key = (target.name, argument, kind)
        self.counts[key] += 1
        self.findings.setdefault(key, shown)

    def __str__(self) -> str:
        lines = [
            f"{'.'.join(key[:2])}: {key[2]} ({self.counts[key]}×): {self.findings[key]}"
            for key in sorted(self.findings)
        ]
        outcomes = ", ".join(f"{count} {what}" for what, count in self.outcomes.most_common())
        return "\n".join([*lines, f"{sum(self.outcomes.values())} calls ({outcomes}); {len(lines)} findings"])


def rooms() -> list[str]:
    """Return the names of the package's public rooms, but for those that only draw."""
    return sorted(set(coursekit.__all__) - NOT_ROOMS)


def targets(chosen: list[str]) -> Iterator[Target]:
    """Yield what the rooms show: functions, and classes whose docstring says what they refuse."""
    for room in chosen:
        module = getattr(coursekit, room)
        names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
        shown = {name: getattr(module, name) for name in names}
        ours = {
            n: f for n, f in shown.items() if str(getattr(f, "__module__", "")).startswith(module.__name__)
        }
        yield from targets_of(room, ours)


def targets_of(room: str, shown: dict[str, Any]) -> Iterator[Target]:
    """Yield those of ``shown`` that can be called, but for classes that only hold results."""
    for name, found in shown.items():
        speaks = not isinstance(found, type) or re.search("Raises|Errors", found.__doc__ or "")
        if callable(found) and speaks and f"{room}.{name}" not in LEFT_OUT:
            kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            parameters = inspect.signature(found).parameters
            yield Target(
                f"{room}.{name}", found, {n: p for n, p in parameters.items() if p.kind not in kinds}
            )


class Caller:
    """Draws calls and judges what they do."""

    def __init__(self, seed: int, *, loud: bool = False) -> None:
        import odd_examples
        import odd_values

        self.loud = loud
        self.examples, self.values = odd_examples, odd_values
        self.random, self.tally = random.Random(seed), Tally()

    def right(self, target: Target) -> dict[str, Any] | None:
        """Return arguments that are right, as far as the table knows them; None where one is missing."""
        given = {}
        for name, parameter in target.parameters.items():
            make = self._make(target, name)
            needed = parameter.default is parameter.empty
            if needed and make is None:
                return None
            if make is not None and (needed or self.random.random() > DEFAULT_SHARE):
                try:
                    given[name] = make()
                except Exception as error:  # the table is wrong, or what it calls is
                    self.tally.add(target, name, "has no example", one_line(error))
                    return None
        return given

    def _make(self, target: Target, name: str) -> Any:
        return self.examples.RIGHT.get(f"{target.name}.{name}", self.examples.RIGHT.get(name))

    def once(self, target: Target) -> None:
        """Make one call: with an odd value, with the same number in another form, or as it should be."""
        given = self.right(target)
        draw = self.random.random()
        if given is None or (draw < ODD_SHARE and target.parameters):
            self._odd(target, given or {})
        elif draw < ODD_SHARE + FORM_SHARE:
            self._form(target, given)
        else:
            self._judge(target, "", "right", None, given)

    def _odd(self, target: Target, given: dict[str, Any]) -> None:
        name = self.random.choice(list(target.parameters))
        label = self.random.choice(list(self.values.ODD))
        value = self.values.ODD[label]()
        required = {n for n, p in target.parameters.items() if p.default is p.empty}
        others = {n: self.values.ODD[self.random.choice(list(self.values.ODD))]() for n in required}
        self._judge(target, name, label, value, {**others, **given, name: value})

    def _form(self, target: Target, given: dict[str, Any]) -> None:
        numbers = [name for name, value in given.items() if type(value) in (int, float)]
        if not numbers:
            return
        name, label = self.random.choice(numbers), self.random.choice(list(self.values.FORMS))
        try:
            other = self.values.FORMS[label](given[name])
        except (OverflowError, TypeError, ValueError):
            return
        if type(other.item()) is not type(given[name]) or other.item() != given[name]:
            return
        kind, first = run(target.call, given)
        afresh = {n: self._make(target, n)() for n in given}  # a call may have changed its arguments
        again, second = run(target.call, {**afresh, name: other})
        self.tally.outcomes["in another form"] += 1
        if kind == "returned" and again == "raised":
            self.tally.add(target, name, f"refuses {label}", one_line(second))
        elif (
            kind == again == "returned"
            and not target.name.startswith(tuple(RANDOM))
            and not same(first, second)
        ):
            self.tally.add(
                target, name, f"another result for {label}", f"{one_line(first)} | {one_line(second)}"
            )

    def _judge(self, target: Target, name: str, label: str, value: Any, given: dict[str, Any]) -> None:
        if self.loud:
            print(f"\r{target.name}({name}={label})", end="\x1b[K", file=sys.stderr)
        outcome, result = run(target.call, given)
        self.tally.outcomes[outcome] += 1
        if outcome == "raised":
            kind = wrong_with(target, result)
            shown = (
                kind == UNNAMED and isinstance(value, str) and value and value in str(result)
            )  # a file by name
            if kind and not shown and not (callable(value) and said_to_be_raised(target, name)):
                self.tally.add(target, name, kind, f"{label}: {type(result).__name__}: {one_line(result)}")
        elif outcome == "returned" and name:
            kind = taken_wrongly(str(target.parameters[name].annotation), value)
            endless = type(value) is float and value == math.inf
            if kind and not (endless and "infinity" in (target.call.__doc__ or "")):
                self.tally.add(target, name, kind, f"{label} gives {one_line(result)}")
        elif outcome == "returned" and not target.name.startswith("floats") and has_nan(result):
            self.tally.add(target, name, "gives NaN", one_line(result))


def run(call: Callable[..., Any], given: dict[str, Any]) -> tuple[str, Any]:
    """Return ("returned", result), ("raised", error), or what it ran out of."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(HANGS, exit=True)  # a library that hears no signal
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            result = call(**given)
            if isinstance(result, contextlib._GeneratorContextManager):
                with result as inside:
                    return "returned", inside
            return "returned", result
    except TimeUp:
        return "out of time", None
    except Exception as error:
        huge = isinstance(error, HUGE[0]) or any(text in str(error) for text in HUGE[1:])
        return ("out of memory", None) if huge else ("raised", error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def wrong_with(target: Target, error: Exception) -> str:
    """Say what is wrong with an exception; "" if nothing is."""
    text, names = str(error), [error_class.__name__ for error_class in type(error).__mro__]
    if "Stop" in names:
        return "" if "Stop" in target.allowed else "Stop"  # it brings a verdict: what the student reads
    if not target.allowed & set(names):
        return type(error).__name__
    if "\n" in text or len(text) > LONGEST_MESSAGE:
        return "a message of more than one line"
    if isinstance(error, ImportError):
        return ""  # it says what is missing, not what was given
    named = [*target.parameters, CALLED.get(target.name, target.name)]
    if not any(re.search(rf"\b{re.escape(name)}\b", text) for name in named):
        return UNNAMED
    return ""


def said_to_be_raised(target: Target, name: str) -> bool:
    """Tell whether the docstring says that what the caller's own function raises goes through."""
    return bool(
        re.search(rf"[Ww]hatever.*\b({name}|candidate|application)\b", target.call.__doc__ or "", re.S)
    )


def taken_wrongly(annotation: str, value: Any) -> str:
    """Say what a value was taken for that it is not; "" if the annotation admits it."""
    import numpy as np

    allowed = set(re.split(r"\s*\|\s*", re.sub(r"<class '|'>|typing\.", "", annotation)))
    if isinstance(value, np.ma.MaskedArray) and "Any" not in allowed:
        return "loses a mask"
    if value is None:
        return "" if {"None", "Any"} & allowed or "NoneType" in annotation else "takes None"
    allowed -= {"None"}
    if allowed == {"bool"} and not isinstance(value, bool | np.bool_):
        return "takes what is not a flag as yes or no"
    if allowed in ({"int"}, {"float"}) and not is_number(value, whole=allowed == {"int"}):
        return f"takes what is not a number as {annotation}"
    return "takes what is not text" if allowed == {"str"} and not isinstance(value, str) else ""


def is_number(value: Any, *, whole: bool) -> bool:
    """Tell whether the value is one finite number, in Python's form or another's."""
    if isinstance(value, bool | str | bytes) or "bool" in str(getattr(value, "dtype", "")):
        return False
    try:
        number = value.item() if hasattr(value, "item") else value
        return math.isfinite(number) and (not whole or number == int(number))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return isinstance(value, int)


def has_nan(result: Any) -> bool:
    """Tell whether a number or an array of numbers holds NaN."""
    import numpy as np

    if not isinstance(result, float | np.ndarray | np.floating):
        return False
    return np.asarray(result).dtype.kind == "f" and bool(np.isnan(result).any())


def same(one: Any, other: Any) -> bool:
    """Tell whether two results show the same; those that only say where they are in memory count as such."""
    return "0x" in repr(one) or repr(one) == repr(other)


def one_line(value: Any) -> str:
    """Return a short text of the value."""
    try:
        text = str(value)
    except Exception as error:
        text = f"{type(value).__name__}, whose text fails: {error}"
    return repr(text[:160]) if "\n" in text[:160] else text[:160]


def _time_is_up(*_: object) -> None:
    raise TimeUp


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Work in an empty folder, with results of its own, on the CPU, with little memory, and stoppable."""
    import resource

    faulthandler.enable()
    old, before = Path.cwd(), signal.signal(signal.SIGALRM, _time_is_up)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(COURSEKIT_HOME=folder, COURSEKIT_DEVICE="cpu")
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
            signal.signal(signal.SIGALRM, before)
            os.chdir(old)


def call_many(chosen: list[str], count: int, seed: int, *, loud: bool = False) -> Tally:
    """Make ``count`` calls of what the rooms show, each as often as the others."""
    found = list(targets(chosen))
    with guarded():
        caller = Caller(seed, loud=loud)
        for number in range(count):
            caller.once(found[number % len(found)])
    return caller.tally


def main() -> int:
    """Print the findings and return how many they are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rooms", nargs="*", default=rooms(), choices=rooms())
    options = parser.parse_args()
    tally = call_many(options.rooms, options.count, options.seed, loud=True)
    print("\r\x1b[K", end="", file=sys.stderr)
    print(tally)
    return len(tally.findings)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
