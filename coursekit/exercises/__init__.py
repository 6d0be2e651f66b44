"""Exercises: ``check`` an answer, ask a ``quiz``, keep a ``predict``ion; ``use`` a course of one's own."""

from coursekit._core.courses import Course, use
from coursekit.exercises.answers import (
    as_array,
    as_bits,
    as_integer,
    as_number,
    call,
    call_either,
    describe,
    is_blank,
    run,
    said,
    untried,
)
from coursekit.exercises.checking import check
from coursekit.exercises.hints import Hint, hint
from coursekit.exercises.predictions import Guesses, GuessFirst, guesses, predict
from coursekit.exercises.quizzes import quiz
from coursekit.exercises.verdicts import Stop, Verdict, not_tried, right, wrong

__all__ = [
    "Course",
    "GuessFirst",
    "Guesses",
    "Hint",
    "Stop",
    "Verdict",
    "as_array",
    "as_bits",
    "as_integer",
    "as_number",
    "call",
    "call_either",
    "check",
    "describe",
    "guesses",
    "hint",
    "is_blank",
    "not_tried",
    "predict",
    "quiz",
    "right",
    "run",
    "said",
    "untried",
    "use",
    "wrong",
]
