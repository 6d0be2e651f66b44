"""Quizzes as plain HTML: a click on a choice opens its explanation, also where no kernel runs."""

import hashlib
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from coursekit._core import arguments, courses, display, texts

__all__ = ["Choice", "Question", "Quiz", "quiz"]

FEWEST, MOST = 3, 5  # questions of a quiz
_LETTERS = string.ascii_lowercase


@dataclass(frozen=True)
class Choice:
    """One answer, whether it is right, and why; the texts may hold `code` and **strong**."""

    text: str
    right: bool
    why: str

    @property
    def outcome(self) -> str:
        """The mark and the reason."""
        return f"{'✓' if self.right else '✗'} {self.why}"


@dataclass(frozen=True)
class Question:
    """A question and its choices, in the order they are shown; one is right, or several if ``several``."""

    text: str
    choices: tuple[Choice, ...]
    several: bool = False

    @property
    def title(self) -> str:
        """The question, saying so if several choices are right."""
        return f"{self.text} (More than one is right.)" if self.several else self.text


@dataclass(frozen=True, repr=False)
class Quiz:
    """The questions of one notebook; shows itself as HTML, or as text with the answers at the end."""

    id: str
    questions: tuple[Question, ...]

    def __repr__(self) -> str:
        return f"Quiz {self.id}: {len(self.questions)} questions"

    def __str__(self) -> str:
        asked = [line for number, q in enumerate(self.questions, 1) for line in _asked(number, q)]
        answers = [line for number, q in enumerate(self.questions, 1) for line in _answered(number, q)]
        return "\n".join([repr(self), "", *asked, "Answers", *answers])

    def _repr_html_(self) -> str:
        items = "".join(f'<li style="margin:.6em 0">{_question_html(q)}</li>' for q in self.questions)
        lines = ["Pick an answer: it opens and says why it is right or wrong.", f"<ol>{items}</ol>"]
        return display.card_html(f"Quiz {self.id}", lines)


def quiz(id: str) -> Quiz:
    """Return the quiz of a notebook, ready to show itself.

    Parameters
    ----------
    id : str
        The notebook's name, such as "01".

    Returns
    -------
    Quiz
        Its questions; in a notebook a click on a choice says whether it is right, and why.

    Raises
    ------
    TypeError, ValueError
        If the notebook has no quiz, or its ``quiz.toml`` breaks the rules: 3 to 5 questions, every choice
        explained, exactly one right, or two and more where ``several = true``.

    """
    known = courses.files(courses.QUIZ)
    if arguments.label("id", id) not in known:
        raise texts.unknown("quiz", id, known)
    where = texts.place(known[id])
    tables = texts.fields(where, texts.load(known[id]), {"question": list}, {})["question"]
    if not FEWEST <= len(tables) <= MOST:
        raise ValueError(f"{where} must have {FEWEST} to {MOST} questions; got {len(tables)}")
    return Quiz(id, tuple(_question(f"{where}, question {n}", table) for n, table in enumerate(tables, 1)))


def _question(where: str, table: Any) -> Question:
    texts.fields(where, table, {"text": str, "choice": list}, {"several": bool})
    choices = tuple(_choice(f"{where}, choice {n}", choice) for n, choice in enumerate(table["choice"], 1))
    several = table.get("several", False)
    number_right = sum(choice.right for choice in choices)
    if len(choices) < 2 or (number_right < 2 if several else number_right != 1):
        wanted = "two or more right choices" if several else "exactly one right choice (or several = true)"
        raise ValueError(
            f"{where} must have two or more choices and {wanted}; got {number_right} right of {len(choices)}"
        )
    same = [choice.text for choice in choices if [other.text for other in choices].count(choice.text) > 1]
    if same:
        raise ValueError(f"{where} must have different choices; got {same[0]!r} twice")
    return Question(table["text"], _drawn(table["text"], choices), several)


def _drawn(question: str, choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """Return the choices in an order drawn once for the question: the same everywhere, no place favoured."""

    def lot(choice: Choice) -> str:
        return hashlib.sha256(f"{question}\n{choice.text}".encode()).hexdigest()

    return tuple(sorted(choices, key=lot))


def _choice(where: str, table: Any) -> Choice:
    texts.fields(where, table, {"text": str, "right": bool, "why": str}, {})
    return Choice(table["text"], table["right"], table["why"])


def _question_html(question: Question) -> str:
    choices = "".join(
        f'<details style="margin:.2em 0"><summary style="cursor:pointer">{texts.rich(choice.text)}</summary>'
        f'<div style="margin:.1em 0 .4em 1.4em">{texts.rich(choice.outcome)}</div></details>'
        for choice in question.choices
    )
    return f"<div>{texts.rich(question.title)}</div>{choices}"


def _asked(number: int, question: Question) -> list[str]:
    choices = [
        f"   {letter}) {texts.plain(c.text)}" for letter, c in zip(_LETTERS, question.choices, strict=False)
    ]
    return [f"{number}. {texts.plain(question.title)}", *choices, ""]


def _answered(number: int, question: Question) -> list[str]:
    return [
        f"{number}{letter}) {texts.plain(choice.outcome)}"
        for letter, choice in zip(_LETTERS, question.choices, strict=False)
    ]
