"""Guess first, measure then: the guess is kept for the claim that follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coursekit import claims
from coursekit._core import arguments, display
from coursekit.claims import rules

__all__ = ["Prediction", "predict"]

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


def predict(id: str, guess: Any, unit: str = "", *, choices: Sequence[str] = ()) -> Prediction:
    """Keep the student's ``guess`` for the claim ``id``, which shows it beside the measurement.

    Parameters
    ----------
    id : str
        The claim, or another id that the claim names as its ``guess``.
    guess : number, bool, str or ...
        A number in ``unit``, a bool, or one of ``choices``. `...` or None means no guess yet and forgets an
        earlier one, so that a card never shows what its own notebook does not say.
    unit : str
        What the number counts, as it is to be shown behind it.
    choices : sequence of str
        The answers to choose from, where the guess is not a number.

    Returns
    -------
    Prediction
        The guess as it was kept.

    Raises
    ------
    TypeError, ValueError
        If the id or the guess has another form.

    """
    if not isinstance(id, str) or not rules.ID.fullmatch(id):
        raise ValueError(f"id must be like '05-int8-size'; got {arguments.shown(id)}")
    text = "" if guess is None or guess is ... else _text(guess, unit, choices)
    claims.keep_guess(id, text or None)
    return Prediction(id, text)


def _text(guess: Any, unit: str, choices: Sequence[str]) -> str:
    if arguments.labels("choices", choices):
        return arguments.choice("guess", guess, choices)
    if isinstance(guess, bool):
        return "yes" if guess else "no"
    arguments.label("unit", unit)
    number = arguments.real("guess", guess)
    number = guess if isinstance(guess, int) else number
    return f"{rules.plain_number(number, GUESS_DIGITS)} {unit}".rstrip()
