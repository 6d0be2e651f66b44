"""Find an exercise's checker, ask it, and make sure that it answers whatever the student handed in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from coursekit import claims
from coursekit._core import arguments, courses, texts
from coursekit.exercises import hints, tries
from coursekit.exercises.answers import describe, said, untried
from coursekit.exercises.verdicts import RIGHT, WRONG, Stop, Verdict, not_tried, wrong

__all__ = ["Checker", "check", "checkers"]

LONGEST_NAME = 80  # characters that a message repeats
Checker = Callable[[Any], Verdict]


def check(id: str, answer: Any) -> Verdict:
    """Say whether ``answer`` solves exercise ``id``; the verdict never raises at the student.

    Right and wrong are kept for ``progress`` and ``report``, without the answer.

    Parameters
    ----------
    id : str
        The exercise, such as "05-bits"; what stands before the dash is its notebook.
    answer : object
        Whatever the student handed in; `...` and None are not tried yet.

    Returns
    -------
    Verdict
        ✓ right, ✗ wrong with a reason and a hint, or ○ not tried yet.

    Raises
    ------
    TypeError, ValueError
        If there is no such exercise, or its notebook's ``checks.py`` or hints cannot be used.
    AssertionError
        Under COURSEKIT_STRICT=1 for anything but a right answer.

    """
    checker = _find(id)
    verdict = replace(_ask(checker, answer), id=id)
    if verdict.outcome == WRONG:
        verdict = replace(verdict, ladder=hints.ladder(id), meant_for=hints.meant_for(id))
    tries.keep(id, answer, verdict)
    if claims.strict() == "1" and verdict.outcome != RIGHT:
        raise AssertionError(f"exercise {id}: {verdict}")
    return verdict


def checkers(notebook: str) -> Mapping[str, Checker]:
    """Return the checkers of a notebook by exercise id.

    Parameters
    ----------
    notebook : str
        The notebook's name, such as "05".

    Returns
    -------
    mapping of str to Checker
        Ids, each with its checker.

    Raises
    ------
    ValueError
        If it has none, or its ``checks.py`` cannot be run.

    """
    course = courses.notebooks().get(notebook)
    found = {} if course is None else course.checkers(notebook)
    if not found:
        raise ValueError(
            f"there are no exercises for notebook {notebook[:LONGEST_NAME]!r}; "
            "an id starts with its number: '05-…'"
        )
    return found


def _find(id: Any) -> Checker:
    if not isinstance(id, str):
        raise TypeError(f"id must be text such as '01-encode'; got {arguments.shown(id)}")
    known = checkers(id.partition("-")[0])
    if id not in known:
        raise texts.unknown("exercise", id, known)
    return known[id]


def _ask(checker: Checker, answer: Any) -> Verdict:
    try:
        verdict = not_tried() if untried(answer) else checker(answer)
        if not isinstance(verdict, Verdict):
            raise TypeError(f"the checker returned {type(verdict).__name__}, not a Verdict")
    except Stop as stop:
        return stop.verdict
    except (Exception, SystemExit) as error:  # the student's object may do anything when it is looked at
        expected = (checker.__doc__ or "").strip().partition("\n")[0]
        message = f"Your answer, {describe(answer)}, could not be checked (`{said(error)}`)."
        return wrong(
            message,
            f"Expected: {expected}" if expected else "Read again in which form the answer is asked for.",
        )
    return verdict
