"""A class: ``read`` its reports, and look at what it solved, guessed and measured, on one page.

From a shell: ``python -m coursekit.classroom FOLDER``.
"""

from coursekit.classroom.counting import ClaimCount, ExerciseCount, MachinePoint, Prediction, Repeated
from coursekit.classroom.reading import Aside, Class, Earlier, Entry, read
from coursekit.classroom.scoring import scores
from coursekit.classroom.showing import page

__all__ = [
    "Aside",
    "ClaimCount",
    "Class",
    "Earlier",
    "Entry",
    "ExerciseCount",
    "MachinePoint",
    "Prediction",
    "Repeated",
    "page",
    "read",
    "scores",
]
