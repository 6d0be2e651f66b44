"""What a check says to the student: not tried yet, right, or wrong with a reason and a hint."""

from dataclasses import dataclass

from coursekit._core import arguments, display, texts

__all__ = ["NOT_TRIED", "RIGHT", "RUNGS", "WRONG", "Stop", "Verdict", "not_tried", "right", "wrong"]

RIGHT, WRONG, NOT_TRIED = "right", "wrong", "not tried yet"
RUNGS = ("a question", "the place", "almost the line")
POINTER = "Still stuck? The worked solutions are in the folder solutions, beside the notebook."
_MARKS = {RIGHT: "✓", WRONG: "✗", NOT_TRIED: "○"}
_TONES = {RIGHT: "good", WRONG: "bad", NOT_TRIED: "quiet"}


@dataclass(frozen=True, repr=False)
class Verdict(display.Shown):
    """The answer to an answer.

    Parameters
    ----------
    outcome : str
        "right", "wrong" or "not tried yet".
    message : str
        What is right or wrong about it; may hold `code` and **strong**.
    hint : str
        What helps on without giving the answer away.
    id : str
        The exercise; ``check`` fills it in.
    ladder : tuple of str
        Hints that lead to the answer, one by one; ``check`` fills them in.
    meant_for : str
        Under which conditions the exercise can be solved, where there are any; ``check`` fills it in.

    """

    __module__ = "coursekit.exercises"

    outcome: str
    message: str = ""
    hint: str = ""
    id: str = ""
    ladder: tuple[str, ...] = ()
    meant_for: str = ""

    @property
    def head(self) -> str:
        """The mark and the outcome, e.g. "✓ right"."""
        return f"{_MARKS[self.outcome]} {self.outcome}"

    @property
    def condition(self) -> str:
        """What the exercise asks for beside an answer."""
        return f"The exercise is meant for {self.meant_for}."

    def __str__(self) -> str:
        lines = [f"{self.head}{': ' * bool(self.message)}{self.message}"]
        if self.outcome == WRONG:
            lines += [f"  {self.condition}"] * bool(self.meant_for)
            lines += [f"  Hint: {self.hint}"] * bool(self.hint)
            lines += [f'  More hints, one at a time: exercises.hint("{self.id}")'] * bool(self.ladder)
            lines += [f"  {POINTER}"]
        return texts.plain("\n".join(lines))

    def _repr_html_(self) -> str:
        lines = [texts.rich(self.message)] if self.message else []
        if self.outcome == WRONG:
            lines += [texts.rich(self.condition)] * bool(self.meant_for)
            hint = f"<p>{texts.rich(self.hint)}</p>" if self.hint else ""
            lines.append(_folded("Hint" if self.hint else "Help", hint + self._rungs()))
        title = f"{self.head}{': ' * bool(self.id)}{self.id}"
        return display.card_html(title, lines, _TONES[self.outcome])

    def _rungs(self) -> str:
        """Return the ladder as HTML, each rung inside the one before it, the pointer in the last."""
        inner = f"<p>{POINTER}</p>"
        for name, text in zip(reversed(RUNGS), reversed(self.ladder), strict=False):
            inner = _folded(f"Next hint: {name}", f"<p>{texts.rich(text)}</p>{inner}")
        return inner


def _folded(summary: str, inner: str) -> str:
    return f"<details><summary>{summary}</summary>{inner}</details>"


class Stop(Exception):  # noqa: N818 - it ends a check with its verdict, not an error
    """Ends a checker early.

    Parameters
    ----------
    verdict : Verdict
        What the student sees.

    """

    __module__ = "coursekit.exercises"

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


def right(message: str = "") -> Verdict:
    """Return ✓.

    Parameters
    ----------
    message : str
        What the answer shows; may hold `code` and **strong**.

    Returns
    -------
    Verdict
        The verdict.

    """
    return Verdict(RIGHT, arguments.label("message", message))


def wrong(message: str, hint: str = "") -> Verdict:
    """Return ✗.

    Parameters
    ----------
    message : str
        What is wrong; may hold `code` and **strong**.
    hint : str
        What helps on without giving the answer away; folded in until it is asked for.

    Returns
    -------
    Verdict
        The verdict.

    """
    return Verdict(WRONG, arguments.label("message", message), arguments.label("hint", hint))


def not_tried() -> Verdict:
    """Return ○: the student has not written anything yet.

    Returns
    -------
    Verdict
        The verdict.
    """
    return Verdict(NOT_TRIED)
