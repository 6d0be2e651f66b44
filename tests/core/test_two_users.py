"""A second user of the machine can neither read nor direct what this user's course writes.

Both are real: root starts processes that become the one or the other. Elsewhere the checks below them, in
test_files.py and test_folders.py, hold with one user.
"""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from users import needs_other_users

VICTIM, ATTACKER, SHARED_GROUP = 65533, 65532, 65531
# What is imported beforehand need not be readable by the user.
ENTER = """
import os, pathlib, sys, warnings
if sys.argv[1] == "65533":
    import coursekit.scoreboard
    coursekit.runtime.describe()
user, group = map(int, sys.argv[1:3])
os.setgroups([group]); os.setgid(user); os.setuid(user); os.umask(0o022)
warnings.simplefilter("ignore")
folder, precious = map(pathlib.Path, sys.argv[3:])
"""
RECORD = """
from coursekit import runtime, scoreboard
try:
    scoreboard.record("mine", size_bytes=1, latency=1.0, accuracy=0.5, notebook=1)
    print("recorded", list(scoreboard.table().here), runtime.home())
except OSError as error:
    print("refused:", error)
"""
PLANTED = ["scoreboard.jsonl", "scoreboard.jsonl.new", "scoreboard.lock"]
PLANT = "".join(f"(folder / {name!r}).symlink_to(precious)\n" for name in PLANTED)
SPY = """
for root, folders, files in os.walk(folder):
    for name in files:
        path = pathlib.Path(root) / name
        try: print("read", name, path.read_text()) if path.lstat().st_uid != user else None
        except OSError: pass
"""

pytestmark = needs_other_users


@pytest.fixture
def place():
    """Make a folder that others may go through; pytest keeps its own to the user who runs it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def run(place):
    """Return what runs code as a user, in a machine with a temporary folder that everybody may write to."""
    precious = place / "precious"
    precious.write_text("years of work")
    os.chown(precious, VICTIM, VICTIM)
    precious.chmod(0o600)
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(0o1777)

    def go(user, code, folder=shared, first="", **variables):
        env = {**os.environ, "HOME": "/nowhere", "XDG_DATA_HOME": "/proc/nowhere", "TMPDIR": str(shared)}
        env = {**env, "COURSEKIT_DEVICE": "cpu", "COURSEKIT_HOME": "", **variables}
        command = [sys.executable, "-c", first + ENTER + code, str(user), str(SHARED_GROUP), folder, precious]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    go.shared, go.precious = shared, precious
    return go


def test_the_two_are_kept_apart_by_the_system(run):
    assert "denied" in run(ATTACKER, "try: precious.read_text()\nexcept OSError as e: print('denied')")
    assert "years" in run(VICTIM, "print(precious.read_text())")


MAKE = "folder /= 'coursekit-65533'\n"
FALLBACKS = {
    "nothing there": "",
    "a folder": MAKE + "folder.mkdir(); folder.chmod(0o777)",
    "a folder with links": MAKE + "folder.mkdir(); folder.chmod(0o777)\n" + PLANT,
    "a link to the victim's folder": MAKE + "folder.symlink_to(precious.parent)",
    "a link to nothing": MAKE + "folder.symlink_to(precious.parent / 'absent')",
    "a file": MAKE + "folder.touch(); folder.chmod(0o666)",
    "all names": "[os.mkdir(folder / f'coursekit-65533{n}', 0o777)"
    " for n in ['', *(f'-{i}' for i in range(2, 30))]]",
}


@pytest.mark.parametrize("planted", FALLBACKS)
def test_the_fallback_in_the_shared_temporary_folder_is_the_users_own(run, planted):
    run(ATTACKER, FALLBACKS[planted])
    said = run(VICTIM, RECORD)
    assert said.startswith("recorded ['mine']")
    home = said.split()[-1]
    assert os.path.dirname(home) == str(run.shared)
    found = os.lstat(home)
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, VICTIM)
    assert {stat.S_IMODE(os.stat(os.path.join(home, name)).st_mode) for name in os.listdir(home)} == {0o600}
    assert run(ATTACKER, SPY) == ""
    assert run.precious.read_text() == "years of work"


HOMES = {"group": 0o2770, "everybody": 0o777, "everybody, sticky": 0o1777}


@pytest.mark.parametrize(
    ("mode", "planted"),
    [("group", []), *(("group", [name]) for name in PLANTED), *((mode, PLANTED) for mode in HOMES)],
)
def test_a_home_that_others_may_write_to_is_not_a_way_to_the_users_files(run, mode, planted):
    home = run.shared / "home"
    home.mkdir()
    os.chown(home, VICTIM, SHARED_GROUP)
    home.chmod(HOMES[mode])
    run(ATTACKER, "".join(f"(folder / {name!r}).symlink_to(precious)\n" for name in planted), home)
    said = run(VICTIM, RECORD, home, COURSEKIT_HOME=str(home))
    opened = set(planted) & {"scoreboard.lock", "scoreboard.jsonl"}
    assert said.startswith("refused" if opened else "recorded ['mine']")
    assert all("must be a plain file of its own" in said or "recorded" in said for _ in opened)
    assert run(ATTACKER, SPY, home) == ""
    assert run.precious.read_text() == "years of work"


def test_a_pipe_in_the_way_keeps_nobody_waiting(run):
    home = run.shared / "home"
    home.mkdir()
    home.chmod(0o777)
    run(ATTACKER, "os.mkfifo(folder / 'scoreboard.jsonl'); os.mkfifo(folder / 'scoreboard.lock')", home)
    assert "must be a plain file of its own" in run(VICTIM, RECORD, home, COURSEKIT_HOME=str(home))


def test_a_home_behind_another_users_link_is_refused(run):
    run(ATTACKER, "(folder / 'results').symlink_to(precious.parent)")
    said = run(VICTIM, RECORD, COURSEKIT_HOME=str(run.shared / "results"))
    assert "a link that another user made" in said or "Permission denied" in said
    assert run.precious.read_text() == "years of work"


KEEP = """
network = models.mlp(shrinking.WIDTHS)
try:
    files._keep("baseline.pt", network)
    print("kept", files.load(VARIANTS[0]) is not None, variants.folder())
except OSError as error:
    print("refused:", error)
"""
IN_THE_WAY = {
    "nothing there": "",
    "a link to his folder": "os.mkdir(folder / 'his'); os.chmod(folder / 'his', 0o777)\n"
    "(folder / 'variants-1').symlink_to(folder / 'his')",
    "a link to the victim's folder": "(folder / 'variants-1').symlink_to(folder / 'private')",
    "a link to nothing": "(folder / 'variants-1').symlink_to(folder / 'absent')",
    "his folder": "os.mkdir(folder / 'variants-1'); os.chmod(folder / 'variants-1', 0o777)",
    "a file": "(folder / 'variants-1').touch()",
    "all names": "[os.mkdir(folder / f'variants-1{n}', 0o777)"
    " for n in ['', *(f'-{i}' for i in range(2, 30))]]",
}


@pytest.mark.parametrize("mode", ["group", "everybody, sticky"])
@pytest.mark.parametrize("planted", IN_THE_WAY)
def test_networks_are_kept_where_only_their_user_can_write(run, planted, mode):
    home = run.shared / "home"
    private = home / "private"
    private.mkdir(parents=True)
    (private / "baseline.pt").write_text("years of work")
    private.chmod(0o700)
    for each, group in ((home, SHARED_GROUP), (private, VICTIM), (private / "baseline.pt", VICTIM)):
        os.chown(each, VICTIM, group)
    home.chmod(HOMES[mode])
    run(ATTACKER, IN_THE_WAY[planted], home)
    first = (
        "from coursekit import models, variants\nfrom coursekit.variants import VARIANTS, files, shrinking\n"
    )
    said = run(VICTIM, KEEP, home, first, COURSEKIT_HOME=str(home))
    assert said.startswith("kept True")
    kept = Path(said.split()[-1])
    assert kept.parent == home
    assert (kept.name == "variants-1") == (planted == "nothing there")
    # Without the set-group bit, which a folder may inherit from the home; nobody of that group may enter.
    found = [(each.lstat().st_mode & 0o777, each.lstat().st_uid) for each in (kept, *kept.iterdir())]
    assert found == [(0o700, VICTIM), (0o600, VICTIM)]
    assert run(ATTACKER, SPY, home) == ""
    assert (private / "baseline.pt").read_text() == "years of work"
    assert not list(home.glob("his/*"))
