"""Hints as a ladder of three: a question, the place, almost the line. Each rung is opened by itself."""

import functools
import html
from dataclasses import dataclass
from typing import Any

from coursekit._core import arguments, courses, display, texts
from coursekit.claims import rules
from coursekit.exercises import tries
from coursekit.exercises.verdicts import RUNGS

__all__ = ["Hint", "hint", "ladder", "meant_for"]

_KEYS = ("question", "place", "nearly")
_OPTIONAL = {"title": str, "at": str, "when": list}  # titles.py reads the first two


@dataclass(frozen=True, repr=False)
class Hint(display.Shown):
    """One rung of an exercise's ladder.

    Parameters
    ----------
    id : str
        The exercise.
    number : int
        Which rung, from 1.
    text : str
        What it says; may hold `code` and **strong**.
    """

    __module__ = "coursekit.exercises"

    id: str
    number: int
    text: str

    @property
    def title(self) -> str:
        """The exercise and the rung."""
        return f"Hint {self.number} of {len(RUNGS)} for {self.id}: {RUNGS[self.number - 1]}"

    @property
    def next(self) -> str:
        """How to get on."""
        if self.number < len(RUNGS):
            return f'Run exercises.hint("{self.id}") again for the next one.'
        return "That was the last one; the worked solutions show the rest."

    def __str__(self) -> str:
        return texts.plain("\n".join((self.title, f"  {self.text}", f"  {self.next}")))

    def _repr_html_(self) -> str:
        return display.card_html(self.title, [texts.rich(self.text), html.escape(self.next)])


def hint(id: str) -> Hint:
    """Return the next hint for an exercise: each call in a session climbs one rung, the last one stays.

    Parameters
    ----------
    id : str
        The exercise, such as "05-bits".

    Returns
    -------
    Hint
        A question first, then the place to look at, then almost the line.

    Raises
    ------
    TypeError, ValueError
        If there are no hints for it, or its notebook's ``hints.toml`` breaks the rules.
    """
    rungs = ladder(id)
    if not rungs:
        known = [each for name in courses.files(courses.HINTS) for each in _load(name)]
        raise texts.unknown("exercise with hints", id, known)
    used = _used()
    used[id] = min(used.get(id, 0) + 1, len(rungs))
    tries.keep_hint(id, used[id])
    return Hint(id, used[id], rungs[used[id] - 1])


def ladder(id: str) -> tuple[str, ...]:
    """Return the three hints of an exercise, none where its notebook has none for it.

    Parameters
    ----------
    id : str
        The exercise.

    Returns
    -------
    tuple of str
        Three texts, or none.

    Raises
    ------
    TypeError, ValueError
        If ``id`` is not text, or the notebook's ``hints.toml`` breaks the rules: every table names an
        exercise of the notebook once, and has a question, a place and what is nearly the line.
    """
    return _exercise(id).ladder


def meant_for(id: str) -> str:
    """Return under which conditions an exercise can be solved, in words.

    Parameters
    ----------
    id : str
        The exercise.

    Returns
    -------
    str
        What its ``when`` names, such as "a network of this shape"; no text if it names nothing.

    Raises
    ------
    TypeError, ValueError
        As for ``ladder``.
    """
    return _exercise(id).meant_for


@dataclass(frozen=True)
class _Exercise:
    ladder: tuple[str, ...] = ()
    meant_for: str = ""


def _exercise(id: str) -> _Exercise:
    return _load(arguments.label("id", id).partition("-")[0]).get(id, _Exercise())


def _load(notebook: str) -> dict[str, _Exercise]:
    path = courses.files(courses.HINTS).get(notebook)
    if path is None:
        return {}
    where, found = texts.place(path), dict[str, _Exercise]()
    known = courses.notebooks()[notebook].checkers(notebook)
    for number, table in enumerate(_tables(where, texts.load(path)), 1):
        place = f"{where}, exercise {number}"
        fields = texts.fields(place, table, dict.fromkeys(("id", *_KEYS), str), _OPTIONAL)
        id = fields["id"]
        if id not in known or id in found:
            why = "is there twice" if id in found else f"is not one of {', '.join(known)}"
            raise ValueError(f"{place}: {arguments.shown(id)} {why}")
        blank = [key for key in _KEYS if not fields[key].strip()]
        if blank:
            raise ValueError(f"{place} ({id}): {blank[0]} must not be empty")
        rungs = tuple(" ".join(fields[key].split()) for key in _KEYS)
        found[id] = _Exercise(rungs, rules.in_words(f"{place} ({id})", fields.get("when", [])))
    return found


def _tables(where: str, tables: Any) -> list[Any]:
    found: list[Any] = texts.fields(where, tables, {"exercise": list}, {})["exercise"]
    return found


@functools.cache
def _used() -> dict[str, int]:
    """Return how many hints were opened in this session, by exercise."""
    return {}
