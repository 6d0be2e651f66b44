"""Scores as CSV, for a spreadsheet that must not run what a student typed."""

import csv
import io

from coursekit._core import arguments
from coursekit.classroom.reading import Class
from coursekit.exercises.tries import OPEN, SOLVED, TRIED

__all__ = ["safe", "scores"]

_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")
_POINTS = {SOLVED: "1", TRIED: "0", OPEN: ""}


def scores(found: Class) -> str:
    """Return a row per student: 1 for a solved exercise, 0 for one tried, empty for an open one.

    Parameters
    ----------
    found : Class
        What ``read`` returned.

    Returns
    -------
    str
        CSV with a header.

    Raises
    ------
    TypeError
        For anything else.
    """
    arguments.instance("found", found, Class)
    ids = [each.id for each in found.exercises]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(safe, ("student", "report", "made", "file", "solved", "tried", "open", *ids)))
    for entry in found.entries:
        exercises = entry.report.exercises
        outcomes = [exercises[id].outcome if id in exercises else OPEN for id in ids]
        counts = [str(outcomes.count(outcome)) for outcome in (SOLVED, TRIED, OPEN)]
        points = [_POINTS[outcome] for outcome in outcomes]
        about = (entry.name, entry.report.status, entry.report.made, entry.file)
        writer.writerow([*map(safe, about), *counts, *points])
    return text.getvalue()


def safe(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: one that looks so gets an apostrophe.

    Parameters
    ----------
    text : str
        What a cell holds.

    Returns
    -------
    str
        The cell.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_BEGINS) else text
