"""What a report holds, how it is packed into a page and taken out of it again, without trusting the page."""

import hashlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coursekit import claims, runtime, scoreboard
from coursekit._core import arguments, files, log, pages, plain_json
from coursekit.claims import cards
from coursekit.claims import guesses as kept
from coursekit.exercises import tries
from coursekit.exercises.tries import Tries

__all__ = ["EDITED", "LOGS", "LONGEST_NAME", "PAGE_EDITED", "WHOLE", "Handed", "pack", "read", "unpack"]

FORMAT, VERSION = "coursekit report", 1
LOGS: Mapping[str, log.Log] = {
    "verdicts": tries.VERDICTS,
    "guesses": kept.GUESSES,
    "claims": cards.RESULTS,
    "scoreboard": scoreboard.LOG,
}
WHOLE, EDITED, PAGE_EDITED = "whole", "edited", "page edited"
LONGEST_NAME = 80  # characters
LONGEST_TEXT = 2_000  # of any other text in a report
MOST_BYTES = 8_000_000  # a report of the whole course takes some 200 kB
MOST_RECORDS = 10_000  # of one log
_START = '<script type="application/json" id="coursekit-report">'
_END = "</script>"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_CODES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True)
class Handed:
    """A report as it was read.

    Parameters
    ----------
    name : str
        What the student typed.
    made : str
        When (UTC).
    machine : Machine
        Where.
    offered : tuple of str
        The exercises that there were.
    records : mapping of str to tuple of mapping
        The logs ("verdicts", "guesses", "claims", "scoreboard"), each with its records.
    answers : mapping of str to str
        Answers, where the student chose to hand them in.
    status : str
        "whole", "edited" (its data are not what coursekit wrote) or "page edited" (only what is read is not).
    """

    __module__ = "coursekit.exercises"

    name: str
    made: str
    machine: runtime.Machine
    offered: tuple[str, ...]
    records: Mapping[str, tuple[Mapping[str, Any], ...]]
    answers: Mapping[str, str]
    status: str = WHOLE

    @cached_property
    def exercises(self) -> dict[str, Tries]:
        """What became of every exercise, those that were offered first."""
        found = tries.together(self.records["verdicts"])
        return {id: found.get(id, Tries(id)) for id in (*self.offered, *found)}

    @cached_property
    def guesses(self) -> tuple[claims.Guess, ...]:
        """The guesses, each with what was measured."""
        return tuple(kept.GUESSES.check(record) for record in self.records["guesses"])  # type: ignore[misc]

    @property
    def claims(self) -> tuple[Mapping[str, Any], ...]:
        """The results of the claims, on this machine and on others."""
        return self.records["claims"]

    @property
    def entries(self) -> tuple[scoreboard.Entry, ...]:
        """The scoreboard."""
        return tuple(scoreboard.LOG.check(record) for record in self.records["scoreboard"])  # type: ignore[misc]


def pack(data: Mapping[str, Any], main: str) -> tuple[str, str]:
    """Return the data with hashes over them and over what the page shows, ready to stand in the page.

    Parameters
    ----------
    data : mapping
        The report.
    main : str
        What the page shows, as HTML.

    Returns
    -------
    tuple of 2 str
        A script element that no browser runs, and the hash.
    """
    page = hashlib.sha256(pages.main_of(f"<main>{main}</main>").encode()).hexdigest()
    whole = {"format": FORMAT, "version": VERSION, **data, "page": page}
    whole["hash"] = _hash(whole)
    return f"{_START}{plain_json.canonical(whole).translate(_CODES)}{_END}", whole["hash"]


def read(file: Path) -> Handed:
    """Read a report.

    Parameters
    ----------
    file : Path
        A page that ``report`` wrote.

    Returns
    -------
    Handed
        What it holds, all of it checked.

    Raises
    ------
    ValueError
        If it is no report, or a damaged one: one line that says why.
    OSError
        If it cannot be read.
    """
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a plain file")
    if found.st_size > MOST_BYTES:
        raise ValueError(f"it has {found.st_size / 1e6:,.0f} MB, and no report has more than 8")
    try:
        return unpack(files.read(file).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None


def unpack(page: str) -> Handed:
    """Return what a page holds that ``report`` wrote.

    Parameters
    ----------
    page : str
        Its HTML.

    Returns
    -------
    Handed
        All of it checked.

    Raises
    ------
    ValueError
        If it is no report, or a damaged one: one line that says why.
    """
    parts = page.split(_START)
    if len(parts) != 2 or _END not in parts[1]:
        raise ValueError("it holds no report of coursekit" if len(parts) < 2 else "its data are damaged")
    try:
        data = plain_json.parsed(parts[1].partition(_END)[0].encode())
    except (ValueError, RecursionError):
        raise ValueError("its data are damaged: they are not JSON as coursekit writes it") from None
    if data.get("format") != FORMAT or type(data.get("version")) is not int:
        raise ValueError("its data are damaged: they are not those of a report")
    if data["version"] > VERSION:
        raise ValueError("a newer coursekit wrote it: install that one to read it")
    try:
        return _handed(data, page)
    except plain_json.ERRORS as error:
        said = " ".join(str(error).split())
        raise ValueError(f"its data are damaged: {said[:200] or type(error).__name__}") from None


def _handed(data: Mapping[str, Any], page: str) -> Handed:
    return Handed(
        name=arguments.text("name", data["name"], LONGEST_NAME),
        made=_time("made", data["made"]),
        machine=_machine(data["machine"]),
        offered=_labels("offered", data["offered"]),
        records={name: _records(name, data[name], log) for name, log in LOGS.items()},
        answers=_answers(data.get("answers", {})),
        status=_status(data, page),
    )


def _status(data: Mapping[str, Any], page: str) -> str:
    if data.get("hash") != _hash(data):
        return EDITED
    shown = hashlib.sha256(pages.main_of(page).encode()).hexdigest()
    return WHOLE if shown == data.get("page") else PAGE_EDITED


def _hash(data: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in data.items() if name != "hash"}
    return hashlib.sha256(plain_json.canonical(rest).encode()).hexdigest()


def _records(name: str, records: Any, log: log.Log) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(records, list) or len(records) > MOST_RECORDS:
        raise TypeError(f"{name} must be a list of at most {MOST_RECORDS:,} records")
    for record in records:
        if not isinstance(record, dict):
            raise TypeError(f"{name} must hold records")
        log.check(record)
        _refuse_long(name, record, 4)
    return tuple(records)


def _refuse_long(name: str, value: dict[str, Any] | list[Any], depth: int) -> None:
    """Raise where a text, a list or the nesting is longer than any that coursekit writes."""
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    if len(inner) > LONGEST_TEXT:
        raise ValueError(f"{name} holds something that is too long")
    for each in inner:
        if type(each) is str:
            if len(each) > LONGEST_TEXT:
                raise ValueError(f"{name} holds something that is too long")
        elif type(each) in (list, dict):
            if not depth:
                raise ValueError(f"{name} is nested too deeply")
            _refuse_long(name, each, depth - 1)


def _machine(fields: Any) -> runtime.Machine:
    texts = {name: _short(name, fields[name]) for name in ("cpu", "system", "python")}
    return runtime.Machine(
        **texts,
        cores=arguments.integer("cores", fields["cores"], 0, 10**6),
        memory=arguments.integer("memory", fields["memory"], 0, 2**63),
        flags=_labels("flags", fields["flags"]),
        gpu=None if fields["gpu"] is None else _short("gpu", fields["gpu"]),
        versions=tuple((_short("a package", k), _short(k, v)) for k, v in dict(fields["versions"]).items()),
    )


def _labels(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) > MOST_RECORDS:
        raise TypeError(f"{name} must be a list")
    return tuple(_short(name, value) for value in values)


def _short(name: str, value: Any) -> str:
    if len(arguments.label(name, value)) > tries.LONGEST:
        raise ValueError(f"{name} is too long")
    return str(value)


def _time(name: str, value: Any) -> str:
    if not _TIME.fullmatch(arguments.label(name, value)):
        raise ValueError(f"{name} must be a time such as 2026-11-20T18:30:05+00:00")
    return str(value)


def _answers(found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or len(found) > MOST_RECORDS:
        raise TypeError("answers must be a table of texts")
    for id, text in found.items():
        if len(_short("an exercise", id)) and len(arguments.label("an answer", text)) > LONGEST_TEXT:
            raise ValueError("an answer is too long")
    return dict(found)
