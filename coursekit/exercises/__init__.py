"""Exercises: ``check`` an answer, ask a ``quiz``, keep a ``predict``ion; ``use`` a course of one's own.

``progress`` shows what is solved, ``report`` writes it into a file to hand in, ``resume`` takes one up again.
"""

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
from coursekit.exercises.handed import Handed
from coursekit.exercises.handing_in import HandIn, report
from coursekit.exercises.hints import Hint, hint
from coursekit.exercises.predictions import Guesses, GuessFirst, guesses, predict
from coursekit.exercises.progressing import Progress, progress
from coursekit.exercises.quizzes import quiz
from coursekit.exercises.resuming import Resumed, resume
from coursekit.exercises.tries import Tries, WrongAnswer
from coursekit.exercises.verdicts import Stop, Verdict, not_tried, right, wrong

__all__ = [
    "Course",
    "GuessFirst",
    "Guesses",
    "HandIn",
    "Handed",
    "Hint",
    "Progress",
    "Resumed",
    "Stop",
    "Tries",
    "Verdict",
    "WrongAnswer",
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
    "progress",
    "quiz",
    "report",
    "resume",
    "right",
    "run",
    "said",
    "untried",
    "use",
    "wrong",
]
