"""Guess first, measure then: the guess is kept for the claim that follows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from coursekit import claims, runtime
from coursekit._core import arguments, courses, display, texts
from coursekit.claims import guesses as kept
from coursekit.claims import rules
from coursekit.exercises import tries, typed

__all__ = ["GuessFirst", "Guesses", "Prediction", "guesses", "predict"]

GUESS_DIGITS = 10


@dataclass(frozen=True, repr=False)
class Prediction(display.Shown):
    """A kept guess (text with its unit), or an empty one."""

    id: str
    guess: str

    def __str__(self) -> str:
        if not self.guess:
            return "○ no guess yet: replace the dots by yours, then measure"
        return f"Your guess is kept: {self.guess}"

    def _repr_html_(self) -> str:
        return display.card_html(str(self), [], "neutral" if self.guess else "quiet")


class GuessFirst(Exception):  # noqa: N818 - it stops a run until there is a guess, and is no error
    """Stops Run All at a prediction without a guess; shows one line instead of a traceback.

    Parameters
    ----------
    id : str
        The prediction.
    """

    __module__ = "coursekit.exercises"

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"○ {self.id}: type your guess in place of the dots, then run on from here."

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True, repr=False)
class Guesses(display.Tabled):
    """The guesses of one notebook, each with what was measured, or of all of them.

    Parameters
    ----------
    notebook : str
        Its name; empty for all.
    made : tuple of Guess
        The guesses, in the order of their claims.
    """

    __module__ = "coursekit.exercises"

    notebook: str
    made: tuple[claims.Guess, ...]

    @property
    def rated(self) -> tuple[claims.Guess, ...]:
        """The guesses whose ratio to the measurement says how good they were."""
        return tuple(guess for guess in self.made if guess.ratio is not None)

    @property
    def near(self) -> int:
        """How many of the rated ones are within a factor of 2."""
        ratios = [guess.ratio or 0 for guess in self.rated]
        return sum(1 / kept.NEAR <= ratio <= kept.NEAR for ratio in ratios)

    @property
    def summary(self) -> str:
        """What became of the guesses, in one line."""
        if not self.made:
            where = f" in notebook {self.notebook}" if self.notebook else ""
            return f"No guess yet{where}: type yours into the prediction cells, then measure."
        chosen = [guess for guess in self.made if guess.met is not None]
        other = [guess for guess in self.made if guess.off and guess.ratio is None and guess.met is None]
        waiting = sum(not guess.off for guess in self.made)
        parts = [f"{self.near} of {len(self.rated)} within a factor of 2"] * bool(self.rated)
        parts += [f"{sum(map(_is_met, chosen))} of {len(chosen)} chosen right"] * bool(chosen)
        shares = [guess for guess in other if guess.in_points]
        gaps = [abs(float(each.value or 0) - float(each.measured or 0)) for each in shares]
        close = sum(gap <= kept.NEAR_POINTS for gap in gaps)
        parts += [f"{close} of {len(shares)} within {kept.NEAR_POINTS} points"] * bool(shares)
        parts += [f"{len(other) - len(shares)} compared by the difference"] * (len(other) > len(shares))
        parts += [f"{waiting} not compared with a measurement yet"] * bool(waiting)
        return ", ".join(parts)

    def _table(self) -> display.Table:
        rows = [(guess.id, guess.text, guess.shown or "–", guess.off or "–") for guess in self.made]
        headers = ("prediction", "you guessed", "this machine says", "the guess was")
        if not rows:
            return display.Table(("your guesses",), [(self.summary,)])
        return display.Table(headers, rows, f"Your guesses: {self.summary}", left=len(headers))


def predict(id: str, guess: Any, unit: str = "", *, choices: Sequence[str] = ()) -> Prediction:
    """Keep the student's ``guess`` for the claim ``id``, which shows it beside the measurement.

    Parameters
    ----------
    id : str
        The claim, or another id that the claim names as its ``guess``.
    guess : number, bool, str or ...
        A number in ``unit``, also typed as text ("250x", "50 %", "1,000", "~3", "2.5 ms"), a bool where
        there is no unit, or one of ``choices``. `...` or None means no guess yet and forgets an earlier one,
        so that a card never shows what its own notebook does not say.
    unit : str
        What the number counts, as it is to be shown behind it.
    choices : sequence of str
        The answers to choose from, where the guess is not a number. For a claim that two are the same within
        a margin: three, the first for above it, "same", the last for below.

    Returns
    -------
    Prediction
        The guess as it was kept.

    Raises
    ------
    TypeError, ValueError
        If the id or the guess has another form; the message says which ones are taken.
    GuessFirst
        If there is no guess yet, and guesses come first (``runtime.start(guess_first=True)``).

    """
    if not isinstance(id, str) or not rules.ID.fullmatch(id):
        raise ValueError(f"id must be like '05-int8-size'; got {arguments.shown(id)}")
    offered = arguments.labels("choices", choices)
    arguments.label("unit", unit)
    if typed.blank(guess):
        if not tries.in_solutions():  # where all dots stay: to read them costs nobody a guess
            claims.keep_guess(id, None)
        kept.leave_open(id)
        if runtime.guess_first():
            raise GuessFirst(id)
        return Prediction(id, "")
    value = typed.choice(guess, offered) if offered else _value(guess, unit)
    text = _text(value, unit)
    claims.keep_guess(id, text, value=_plain(value), unit=unit, choices=offered)
    return Prediction(id, text)


def guesses(notebook: str | None = None) -> Guesses:
    """Return the guesses of a notebook with what was measured since; ``plots.guesses.picture`` draws them.

    Parameters
    ----------
    notebook : str, optional
        Its name, such as "05"; by default all notebooks.

    Returns
    -------
    Guesses
        The guesses with how far off each was, and a summary.

    Raises
    ------
    TypeError, ValueError
        If there is no such notebook.
    """
    known = courses.notebooks()
    if notebook is not None and arguments.label("notebook", notebook) not in known:
        raise texts.unknown("notebook", notebook, known)
    order = _order(known if notebook is None else (notebook,))
    made = [guess for guess in kept.kept() if notebook is None or guess.id.partition("-")[0] == notebook]
    return Guesses(notebook or "", tuple(sorted(made, key=lambda guess: order.get(guess.id, len(order)))))


def _order(notebooks: Iterable[str]) -> dict[str, int]:
    """Return the place of each claim in the notebooks' files; only those files are read."""
    files = courses.files(courses.CLAIMS)
    tables = [
        table for name in notebooks if name in files for table in texts.load(files[name]).get("claim", [])
    ]
    return {table.get("id", ""): place for place, table in enumerate(tables)}


def _is_met(guess: claims.Guess) -> bool:
    return guess.met is True


def _value(guess: Any, unit: str) -> bool | float | str:
    if isinstance(guess, bool):
        if unit:
            raise TypeError(f"guess must be a number in {unit}, or ... for none yet; got {guess}")
        return guess
    if isinstance(guess, str):
        guess = typed.number(guess, unit)
    number = arguments.real("guess", guess)
    return guess if isinstance(guess, int) else number


def _text(value: bool | float | str, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    gap = "" if unit.startswith(("×", "°")) else " "
    return f"{rules.plain_number(value, GUESS_DIGITS)}{gap}{unit}".rstrip()


def _plain(value: bool | float | str) -> bool | float | str:
    """Return what the log can keep: a number as one that a float holds."""
    return value if isinstance(value, bool | str) else float(value)
