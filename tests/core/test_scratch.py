"""Temporary folders go with their owner, however it ends."""

import gc
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from coursekit._core import scratch as scratch_module
from coursekit._core.scratch import Scratch

OWNER = """
import sys, time
from coursekit._core.scratch import Scratch
scratch = Scratch()
(scratch.path / "file").write_text("data")
print(scratch.path, scratch._keeper.pid, flush=True)
"""
FORKING = """
import os
if not (child := os.fork()):
    time.sleep(60)
    os._exit(0)
"""


def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_alive(pid):
    """Tell whether the process still runs; a dead one may wait for its new parent to take note."""
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_until_it_is_removed(folder):
    scratch = Scratch()
    assert list(folder.iterdir()) == [scratch.path]
    (scratch.path / "deep").mkdir()
    (scratch.path / "deep" / "file").write_text("data")
    scratch.remove()
    assert list(folder.iterdir()) == []
    scratch.remove()


def test_the_keeper_is_gone_with_the_folder(folder):
    before = set(psutil.Process().children())  # of other tests in this process, not yet collected
    scratch = Scratch()
    assert is_alive(scratch._keeper.pid)
    assert {child.pid for child in psutil.Process().children()} >= {scratch._keeper.pid}
    scratch.remove()
    assert scratch._keeper.returncode == 0
    assert set(psutil.Process().children()) <= before


def test_a_folder_goes_with_the_object(folder):
    scratch = Scratch()
    del scratch
    gc.collect()
    assert list(folder.iterdir()) == []


def test_folders_do_not_share(folder):
    one, other = Scratch(), Scratch()
    one.remove()
    assert list(folder.iterdir()) == [other.path]
    other.remove()


def test_no_place_for_a_folder_is_an_error(folder, monkeypatch):
    before = set(psutil.Process().children())
    monkeypatch.setattr(scratch_module, "KEEPER", "raise SystemExit(1)")
    with pytest.raises(OSError, match="temporary folder"):
        Scratch()
    assert set(psutil.Process().children()) <= before


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize(
    ("ending", "sent"),
    [
        ("", None),
        ("raise RuntimeError", None),
        ("import os; os._exit(3)", None),
        ("time.sleep(60)", "SIGINT"),
        ("time.sleep(60)", "SIGTERM"),
        ("time.sleep(60)", "SIGKILL"),
    ],
    ids=["end", "error", "at once", "SIGINT", "SIGTERM", "SIGKILL"],
)
def test_a_folder_goes_with_the_process_however_it_ends(folder, ending, sent):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", OWNER + ending], text=True, **options) as owner:
        path, keeper = owner.stdout.readline().split()
        if sent is not None:
            assert os.path.exists(path)
            os.killpg(owner.pid, getattr(signal, sent))  # as Jupyter does it: the whole group
        owner.wait(30)
    until(lambda: not os.path.exists(path), "the folder is still there")
    until(lambda: not is_alive(keeper), "its keeper is still there")
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="process groups as POSIX has them")
def test_a_child_of_the_owner_does_not_keep_the_folder(folder):
    child = "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", OWNER + child], text=True, **options) as owner:
        path, _ = owner.stdout.readline().split()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
        until(lambda: not os.path.exists(path), "the folder waits for a child of its owner")
        os.killpg(owner.pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("ending", ["", "scratch.remove()", "del scratch", "raise RuntimeError"])
def test_a_forked_child_holds_up_neither_the_folder_nor_its_owner(folder, ending):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", OWNER + FORKING + ending], text=True, **options) as owner:
        path, _ = owner.stdout.readline().split()
        try:
            # The child, which sleeps, keeps the owner's group alive.
            until(lambda: os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), "it hangs")
            assert not os.path.exists(path)
        finally:
            os.killpg(owner.pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("ending", ["raise SystemExit", "scratch.remove()", "del scratch"])
def test_a_forked_child_does_not_remove_its_parents_folder(folder, ending):
    code = f"""
import os
if not (child := os.fork()):
    {ending}
    raise SystemExit
os.waitpid(child, 0)
print(scratch.path.exists())
"""
    done = subprocess.run([sys.executable, "-c", OWNER + code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "True"
    assert list(folder.iterdir()) == []


def test_a_dead_keeper_is_not_an_error(folder):
    scratch = Scratch()
    scratch._keeper.kill()
    scratch._keeper.wait()
    scratch.remove()
    assert scratch._keeper.stdin.closed
