"""Every notebook where little is allowed: Binder's memory, one core, no network, nothing to write to."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import students
from build_notebooks import Course
from environments import ROOT

from benchmarks.notebooks import PeakMemory

HERE = Path(__file__).parent
BINDER = 1_500_000_000  # bytes; Binder kills at 2 GB, and the server needs some of it
NEEDED = ("unshare", "mount", "ip", "prlimit", "taskset")
ISOLATE = ["unshare", "--map-root-user", "--mount", "--net"]
PERMITTED = "COURSEKIT_HOME"  # the one warning of ours that such a place may give: where results go


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return what runs a command in the hostile place and gives its lines of JSON."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or subprocess.run([*ISOLATE, "true"], capture_output=True).returncode:
        pytest.skip(f"no namespaces of our own here (missing: {missing or 'the permission'})")
    folder = tmp_path_factory.mktemp("hostile")
    core = str(max(os.sched_getaffinity(0)))

    def run(*command):
        made = subprocess.run(
            [*ISOLATE, "sh", HERE / "hostile.sh", ROOT, folder, *command],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "MEMORY": str(BINDER), "CORE": core},
        )
        assert made.stdout, made.stderr
        return [json.loads(line) for line in made.stdout.splitlines() if line.startswith("{")]

    run.course = folder / "a course"
    return run


WHERE = """
import json, os, pathlib, socket, sys
def fails(act):
    try: act()
    except OSError: return True
    return False
course = pathlib.Path(sys.argv[1])
print(json.dumps({
    "outside": fails(lambda: socket.create_connection(("1.1.1.1", 53), 2)),
    "course": fails(lambda: (course / "x").write_text("")),
    "home": fails(lambda: (pathlib.Path.home() / "x").write_text("")),
    "encoding": open(os.devnull).encoding, "cores": len(os.sched_getaffinity(0)),
    "memory": fails(lambda: __import__("mmap").mmap(-1, 1_600_000_000, flags=34)),
}))
"""


def test_the_place_is_as_hostile_as_it_says(hostile):
    (here,) = hostile(sys.executable, "-c", WHERE, str(hostile.course))
    assert [what for what in ("outside", "course", "home", "memory") if not here[what]] == []
    assert here["cores"] == 1
    assert "utf" not in here["encoding"].lower()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("notebooks", students.IN_ONE_GO)
def test_every_notebook_runs_there_from_top_to_bottom(hostile, notebooks):
    paths = [hostile.course / Course(ROOT).relative(path) for path in notebooks]
    memory = PeakMemory()  # the limit on data is one for each process; this counts all of them together
    memory.start()
    results = hostile(sys.executable, ROOT / "tools" / "run_notebooks.py", *paths)
    memory.done.set()
    memory.join()
    assert memory.family < BINDER
    assert [each["notebook"] for each in results] == [path.name for path in notebooks]
    assert {each["notebook"]: each["error"] for each in results if each["error"]} == {}
    ours = [line for each in results for line in each["stderr"].splitlines() if "coursekit" in line]
    assert all(PERMITTED in line or "return runtime.home()" in line for line in ours), ours
    assert all(each["stderr"].count(PERMITTED) <= 1 for each in results), "said once is enough"
