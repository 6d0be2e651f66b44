"""The students' notebooks. `make places SHORT=1` leaves to GitHub what is marked long.

Those are the notebooks beyond the lecture, and of what treats all notebooks alike, all but a few.
"""

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
# A few that differ in what they install, start and leave: processes, a server, ONNX files, no torch at all.
_FEW = [path for path in NUMBERED if path.stem.startswith(("01", "03", "06"))]
_OTHERS = [path for path in NUMBERED if path not in _FEW]
_STOPPED = ("01", "05")
A_FEW_BY_ONE = [
    pytest.param(path.name, marks=[] if path.name.startswith(_STOPPED) else pytest.mark.long) for path in ALL
]
A_FEW_IN_ONE_GO = [
    pytest.param(_FEW, id="a few"),
    pytest.param(_OTHERS, id="the others", marks=pytest.mark.long),
    pytest.param(LETTERED, id="lettered", marks=pytest.mark.long),
]
IN_ONE_GO = [
    pytest.param(NUMBERED, id="numbered"),
    pytest.param(LETTERED, id="lettered", marks=pytest.mark.long),
]
