"""What became of the exercises: outcome, tries and hints of each, in the same kind of log as the claims.

A kernel writes one record per exercise, its own, and never touches those of other kernels: so two at once, a
restart or a report from another machine add up without counting anything twice.
"""

import contextlib
import functools
import getpass
import os
import platform
import re
import secrets
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from coursekit import claims, runtime
from coursekit._core import arguments, log
from coursekit.exercises.answers import ECHO, describe
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, RUNGS, WRONG, Verdict

__all__ = [
    "OPEN",
    "SOLVED",
    "TRIED",
    "VERDICTS",
    "Tries",
    "WrongAnswer",
    "answers",
    "in_solutions",
    "keep",
    "keep_hint",
    "together",
]

SOLVED, TRIED, OPEN = "solved", "tried", "open"
LONGEST = 300  # characters that are kept of a message
LONGEST_ANSWER = 2_000  # and of an answer, in this session's memory
MOST_KINDS = 20  # wrong answers of different kinds that are kept of one exercise
MOST_TRIES = 10**6
_SOLUTIONS = "solutions"
# Accounts that everybody has in some place: they name nobody, and some are words of the texts.
_NOBODY = {"root", "user", "jovyan", "admin", "student", "localhost", ""}
_PATHS = re.compile(r"""[A-Za-z]:\\[^\s'"`<>|]+|(?<![\w.:/<])~?/(?:[^\s/'"`<>]+/)+[^\s'"`<>]*""")
_LOCK = threading.RLock()


@dataclass(frozen=True)
class WrongAnswer:
    """A wrong answer as it is kept: its kind and what was said about it, not the answer.

    Parameters
    ----------
    kind : str
        What it was, such as "number", "function" or "ndarray of shape (6,)".
    message, hint : str
        What the check said.
    count : int
        How often.
    """

    __module__ = "coursekit.exercises"

    kind: str
    message: str
    hint: str
    count: int = 1


@dataclass(frozen=True)
class Tries:
    """What became of one exercise.

    Parameters
    ----------
    id : str
        The exercise.
    outcome : str
        "solved" (once is for good), "tried" or "open".
    tries : int
        How many answers were checked until it was solved; the same one again in a session is no other try.
    hints : int
        How many hints were opened with ``exercises.hint``; those folded into a verdict leave no trace.
    first, time, solved : str
        When it was tried first, tried last, and solved (UTC); empty for never.
    wrong : tuple of WrongAnswer
        What was wrong on the way.
    """

    __module__ = "coursekit.exercises"

    id: str
    outcome: str = OPEN
    tries: int = 0
    hints: int = 0
    first: str = ""
    time: str = ""
    solved: str = ""
    wrong: tuple[WrongAnswer, ...] = ()

    @property
    def notebook(self) -> str:
        """The notebook that it belongs to."""
        return self.id.partition("-")[0]


def keep(id: str, answer: Any, verdict: Verdict) -> None:
    """Keep a verdict; one that cannot be kept costs a warning and no more.

    Worked solutions do not count, and neither does what is not tried yet.

    Parameters
    ----------
    id : str
        The exercise.
    answer : object
        What was checked; it stays in this session's memory.
    verdict : Verdict
        What came of it.
    """
    if verdict.outcome == NOT_TRIED or claims.strict() == "1" or in_solutions():
        return
    with _LOCK, _harmlessly():
        session = _session()
        record, seen = session.records.get(id) or _fresh(id, session.name), _seen(answer, verdict)
        again = session.seen.get(id) == seen
        session.seen[id], session.answers[id] = seen, _written(answer)
        if not (record["solved"] or again):
            record = _tried(record, answer, verdict)
        elif record in VERDICTS.read():
            return
        session.records[id] = record
        VERDICTS.append(record)


def keep_hint(id: str, rung: int) -> None:
    """Keep that a hint was opened.

    Parameters
    ----------
    id : str
        The exercise.
    rung : int
        Which of its hints, from 1.
    """
    if in_solutions():
        return
    with _LOCK, _harmlessly():
        session = _session()
        record = session.records.get(id) or _fresh(id, session.name)
        if record["hints"] < rung:
            session.records[id] = {**record, "hints": rung, "time": log.now()}
            VERDICTS.append(session.records[id])


def answers() -> dict[str, str]:
    """Return the answers that this session has checked last, as text.

    Returns
    -------
    dict of str to str
        Exercises, each with its answer: code where that can be had. No file holds them.
    """
    with _LOCK:
        return dict(_session().answers)


def in_solutions() -> bool:
    """Tell whether the notebook that runs is one of the worked solutions, as far as its place says so.

    Returns
    -------
    bool
        True or False; always False in Colab, where a notebook has no place.
    """
    with contextlib.suppress(OSError):
        if Path.cwd().name == _SOLUTIONS:
            return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    names = (os.environ.get("JPY_SESSION_NAME"), getattr(shell, "user_ns", {}).get("__vsc_ipynb_file__"))
    return any(PurePath(name).parent.name == _SOLUTIONS for name in names if isinstance(name, str))


def together(records: Iterable[Mapping[str, Any]]) -> dict[str, Tries]:
    """Return what became of each exercise, over all sessions.

    Parameters
    ----------
    records : iterable of mapping
        As the log keeps them.

    Returns
    -------
    dict of str to Tries
        Exercises, each with its tries.
    """
    by_id: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_id.setdefault(record["id"], []).append(record)
    return {id: _together(id, found) for id, found in by_id.items()}


def _together(id: str, records: list[Mapping[str, Any]]) -> Tries:
    solved = min((record["solved"] for record in records if record["solved"]), default="")
    # A notebook that was solved once may be run again and again: that is no trying.
    counted = [each for each in records if each["tries"] and (not solved or each["first"] <= solved)]
    wrong: dict[tuple[str, str, str], int] = {}
    for each in (each for record in counted for each in record["wrong"]):
        key = (each["kind"], each["message"], each["hint"])
        wrong[key] = wrong.get(key, 0) + each["count"]
    return Tries(
        id,
        SOLVED if solved else TRIED if counted else OPEN,
        sum(record["tries"] for record in counted),
        max(record["hints"] for record in records),
        min((record["first"] for record in counted), default=""),
        max(record["time"] for record in records),
        solved,
        tuple(WrongAnswer(*key, count) for key, count in wrong.items()),
    )


class _Session:
    """What this kernel has seen: its records, and the answers behind them."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self.records: dict[str, log.Record] = {}
        self.seen: dict[str, str] = {}
        self.answers: dict[str, str] = {}


def _session() -> _Session:
    return _session_of(os.getpid(), str(runtime.home()))


@functools.cache
def _session_of(_process: int, _home: str) -> _Session:
    return _Session()


def _fresh(id: str, session: str) -> log.Record:
    return {
        "id": id,
        "session": session,
        "outcome": NOT_TRIED,
        "tries": 0,
        "hints": 0,
        "first": "",
        "solved": "",
        "time": "",
        "wrong": [],
    }


def _tried(record: log.Record, answer: Any, verdict: Verdict) -> log.Record:
    """Return the record with one more try."""
    time = log.now()
    return {
        **record,
        "outcome": verdict.outcome,
        "tries": record["tries"] + 1,
        "first": record["first"] or time,
        "solved": time if verdict.outcome == RIGHT else "",
        "time": time,
        "wrong": _with(record["wrong"], answer, verdict),
    }


def _with(wrong: list[dict[str, Any]], answer: Any, verdict: Verdict) -> list[dict[str, Any]]:
    if verdict.outcome != WRONG:
        return wrong
    told = {"kind": _kind(answer), "message": _told(verdict.message), "hint": _told(verdict.hint)}
    known = [{**each, "count": each["count"] + 1} if told.items() <= each.items() else each for each in wrong]
    if known != wrong or len(wrong) >= MOST_KINDS:
        return known
    return [*wrong, {**told, "count": 1}]


def _kind(answer: Any) -> str:
    """Return what an answer is, without what it says."""
    kind = type(answer).__name__
    with contextlib.suppress(Exception):  # a student's own object may do anything when it is looked at
        if isinstance(answer, bool):
            return "yes or no"
        if isinstance(answer, int | float):
            return "number"
        if isinstance(answer, list | tuple | dict | set):
            return f"{kind} of {len(answer)}"
        if hasattr(answer, "shape") and hasattr(answer, "dtype"):
            return f"{kind} of shape {tuple(answer.shape)}"[:LONGEST]
    return {"str": "text", "method": "function"}.get(kind, kind)[:LONGEST]


def _seen(answer: Any, verdict: Verdict) -> str:
    """Return what tells an answer from another one."""
    code = None
    with contextlib.suppress(Exception):  # a student's own object may do anything when it is looked at
        code = getattr(answer, "__code__", None)
    body = (getattr(code, "co_code", ""), getattr(code, "co_consts", ""), getattr(code, "co_names", ""))
    return f"{verdict.outcome}{verdict.message}{verdict.hint}{describe(answer)}{body}"


def _written(answer: Any) -> str:
    """Return an answer as text: the code of a function where it can be had."""
    import inspect

    with contextlib.suppress(Exception):
        return inspect.getsource(answer)[:LONGEST_ANSWER]
    return describe(answer)[:LONGEST_ANSWER]


def _told(text: str) -> str:
    """Return a message as it may leave the machine: no paths, no names of user and machine, no own output."""
    short = _PATHS.sub("…", text.partition(ECHO)[0])
    for name in _own_names():
        short = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", short)
    return short if len(short) <= LONGEST else f"{short[: LONGEST - 2]} …"


@functools.cache
def _own_names() -> tuple[str, ...]:
    names = {platform.node(), platform.node().partition(".")[0]}
    with contextlib.suppress(Exception):  # no account of a name
        names.add(getpass.getuser())
    return tuple(sorted(name for name in names if name.lower() not in _NOBODY))


@contextlib.contextmanager
def _harmlessly() -> Any:
    try:
        yield
    except OSError as error:
        warnings.warn(
            f"your progress could not be kept ({error}); the verdict holds all the same. Free some space or "
            "set COURSEKIT_HOME to a folder that can be written, then run this cell again.",
            stacklevel=5,
        )


def _check(record: Mapping[str, Any]) -> None:
    for name in ("id", "session", "first", "solved", "time"):
        arguments.label(name, record[name])
    arguments.text("id", record["id"], LONGEST)
    arguments.choice("outcome", record["outcome"], (RIGHT, WRONG, NOT_TRIED))
    arguments.integer("tries", record["tries"], 0, MOST_TRIES)
    arguments.integer("hints", record["hints"], 0, len(RUNGS))
    if not isinstance(record["wrong"], list) or len(record["wrong"]) > MOST_KINDS:
        raise TypeError(f"wrong must be a list of at most {MOST_KINDS}")
    for each in record["wrong"]:
        if {*each} != {*WrongAnswer.__dataclass_fields__}:
            raise TypeError("each wrong answer must have a kind, a message, a hint and a count")
        for name in ("kind", "message", "hint"):
            if len(arguments.label(name, each[name])) > LONGEST:
                raise ValueError(f"{name} must have at most {LONGEST} characters")
        arguments.integer("count", each["count"], 1, MOST_TRIES)


VERDICTS = log.Log("verdicts", runtime.home, check=_check, key=("id", "session"))
