"""The students' notebooks. Those beyond the lecture are long: `make places SHORT=1` leaves them to GitHub."""

import pytest
from build_notebooks import Course
from environments import ROOT

ALL = Course(ROOT).students()
LETTERED = [path for path in ALL if path.parent.name == "beyond"]
NUMBERED = [path for path in ALL if path not in LETTERED]
ONE_BY_ONE = [
    *(pytest.param(path.name) for path in NUMBERED),
    *(pytest.param(path.name, marks=pytest.mark.long) for path in LETTERED),
]
IN_ONE_GO = [
    pytest.param(NUMBERED, id="numbered"),
    pytest.param(LETTERED, id="lettered", marks=pytest.mark.long),
]
