"""A report to hand in: one file that a person can read and the class page can count."""

import contextlib
import html
import importlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from coursekit import runtime
from coursekit._core import arguments, display, files, log, pages
from coursekit.exercises import handed, progressing, report_page, tries
from coursekit.exercises.handed import LOGS, LONGEST_NAME, Handed

__all__ = ["HandIn", "composed", "report"]

KIND = "coursekit report"
_NAMED = re.compile(r"[^a-z0-9]+")
_KEEP = {
    "Colab": "Keep the download: the file here goes with the session.",
    "Binder": "Download it now, by a right-click on its name in the file browser: it goes with the session.",
}


@dataclass(frozen=True, repr=False)
class HandIn(display.Shown):
    """The file that ``report`` wrote.

    Parameters
    ----------
    file : Path
        Where it lies.
    handed : Handed
        What it holds.
    hash : str
        The SHA-256 over its data, which shows later changes.
    size : int
        In bytes.
    copy : Path, optional
        Where a copy was handed in: in the folder ``COURSEKIT_HAND_IN``, if there is one.
    """

    __module__ = "coursekit.exercises"

    file: Path
    handed: Handed
    hash: str
    size: int
    copy: Path | None = None

    @property
    def summary(self) -> str:
        """What is in it."""
        outcomes = [each.outcome for each in self.handed.exercises.values()]
        return (
            f"{self.handed.name}: {outcomes.count(tries.SOLVED)} of {len(outcomes)} exercises solved, "
            f"{len(self.handed.guesses)} predictions, {len(self.handed.claims)} claims"
        )

    @property
    def _lines(self) -> list[str]:
        keep = "Handed in." if self.copy else _KEEP.get(runtime.host(), "")
        return [self.summary, *filter(None, [keep]), f"SHA-256 of its data: {self.hash[:16]}…"]

    def __str__(self) -> str:
        return "\n  ".join([f"{self.file} ({display.size(self.size)})", *self._lines])

    def _repr_html_(self) -> str:
        name = html.escape(str(self.file))
        link = f'<a href="{quote(self.file.as_posix())}" download target="_blank">{name}</a>'
        lines = [link, *map(html.escape, self._lines)]
        return display.card_html(f"Your report ({display.size(self.size)})", lines)


def report(name: str, *, file: str | Path | None = None, answers: bool = False) -> HandIn:
    """Write one HTML file with your progress, to read, print and hand in; ``resume`` takes it up again.

    It holds verdicts with tries, hints and what the checks said to wrong answers, predictions and how far off
    they were, claims with their verdicts, the scoreboard, and the machine with its versions. Of you it holds
    what you typed: no user name, no path, no name of the machine. In Colab the download starts by itself.

    Parameters
    ----------
    name : str
        Who hands it in, as your class agreed; at most 80 characters.
    file : str or Path, optional
        Where to; by default ``report-<name>.html`` in the working folder. Only a report is replaced. Where
        ``COURSEKIT_HAND_IN`` names a folder, as on a class's hub, a copy goes there.
    answers : bool
        Whether the answers that were checked in this session go into it, too; otherwise only their kind does.

    Returns
    -------
    HandIn
        The file; in a notebook it shows a link.

    Raises
    ------
    TypeError, ValueError
        For another name, or a file that is no report.
    OSError
        If the folder cannot be written or the disk is full; an earlier report stays.

    Notes
    -----
    The hash over the data shows accidents and casual edits by hand. It stops no forger: whoever can read this
    package can compute it anew. Grade what can be asked about, not the file.
    """
    who = arguments.text("name", name, LONGEST_NAME)
    target = arguments.target("file", _default(who) if file is None else file)
    own = tries.answers() if arguments.flag("answers", answers) else {}
    _refuse_others(target)
    records = {name: kept.read() for name, kept in LOGS.items()}
    page, hash = composed(who, log.now(), runtime.describe(), progressing.offered()[0], records, own)
    written = handed.unpack(page)  # what cannot be read again is not handed in
    files.replace(target, page.encode())
    copy = _handed_in(target, page)
    with contextlib.suppress(Exception):  # Colab's frontend may be gone
        _download(target)
    return HandIn(target, written, hash, len(page.encode()), copy)


def composed(
    name: str,
    made: str,
    machine: runtime.Machine,
    offered: list[str],
    records: dict[str, list[log.Record]],
    answers: dict[str, str],
) -> tuple[str, str]:
    """Return a report's page and its hash.

    Parameters
    ----------
    name, made : str
        Who, and when (UTC).
    machine : Machine
        Where.
    offered : list of str
        The exercises that there were.
    records : dict of str to list of dict
        What the logs hold.
    answers : dict of str to str
        Answers that are handed in.

    Returns
    -------
    tuple of 2 str
        The page and the hash.
    """
    fields = {**vars(machine), "flags": [*machine.flags], "versions": dict(machine.versions)}
    data: dict[str, Any] = {"name": name, "made": made, "machine": fields, "offered": offered, **records}
    data["answers"] = answers
    plain = handed.unpack(handed.pack(data, "")[0])
    main = report_page.main(plain)
    script, hash = handed.pack(data, main)
    footer = (
        f"coursekit {html.escape(dict(machine.versions).get('coursekit', ''))}. SHA-256 of the data: {hash}. "
        "It shows accidents and casual edits, not a determined forger."
    )
    title = f"Report of {name}"
    return pages.document(title, report_page.head(plain), main, footer, kind=KIND, data=script), hash


def _default(name: str) -> Path:
    plain = _NAMED.sub("-", name.lower()).strip("-")
    return Path(f"report-{plain or 'mine'}.html")


def _handed_in(target: Path, page: str) -> Path | None:
    folder = os.environ.get("COURSEKIT_HAND_IN")
    if not folder:
        return None
    copy = Path(folder) / target.name
    files.replace(copy, page.encode())
    return copy


def _refuse_others(target: Path) -> None:
    if not target.exists():
        return
    try:
        handed.read(target)
    except ValueError:
        raise ValueError(
            f"file must be new or an earlier report; {target.name!r} is something else, which stays as it is"
        ) from None


def _download(target: Path) -> None:
    if runtime.host() == "Colab" and "google.colab" in sys.modules:
        importlib.import_module("google.colab.files").download(str(target))
