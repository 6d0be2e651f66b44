"""What Python in a browser's tab lacks, notebook 01 does without: torch, threads, processes, locks."""

import json
import os
import subprocess
import sys

import pytest
from toy import ROOT

SCRIPT = ROOT / "tests" / "as_in_a_tab.py"
LARGEST = 200_000_000  # bytes


def run(notebook, home):
    env = os.environ | {"COURSEKIT_HOME": str(home), "MPLBACKEND": "agg", "COURSEKIT_STRICT": "claims"}
    made = subprocess.run([sys.executable, SCRIPT, notebook], env=env, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout.splitlines()[-1]), made.stdout


@pytest.mark.parametrize("place", ["", "solutions"])
def test_notebook_01_runs_in_a_tab(place, tmp_path):
    found, printed = run(ROOT / "notebooks" / place / "01-floating-point-basics.ipynb", tmp_path)
    assert found["cells"] > 40
    assert found["errors"] == []
    assert "Traceback" not in printed
    assert found["peak"] < LARGEST
    # A lock would outlive the tab: only the records are left.
    assert (
        sorted(each.name for each in tmp_path.iterdir())
        == ["claims.jsonl", "verdicts.jsonl"][: 1 + bool(place)]
    )


def test_what_a_tab_lacks_is_found(tmp_path):
    lines = (
        "import torch",
        "from coursekit import models; models.mlp",
        "import psutil",
        "import threading; threading.Thread(target=print).start()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.fork()",
        "import fcntl",
    )
    cells = [{"cell_type": "code", "source": [line]} for line in (*lines, "1 + 1")]
    notebook = tmp_path / "one.ipynb"
    notebook.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    found, _ = run(notebook, tmp_path)
    assert found["cells"] == len(lines) + 1
    assert len(found["errors"]) == len(lines)
