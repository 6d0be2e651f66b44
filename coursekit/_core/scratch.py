"""Temporary folders that go with the process that asked for them, however it ends."""

import os
import subprocess
import sys
import weakref
from contextlib import suppress
from pathlib import Path

# Nobody can tidy up after being killed. So a child makes the folder, waits for a byte, or until nobody holds
# the other end of its pipe any more (the operating system closes it with its owner), and removes the folder.
KEEPER = """
import sys, tempfile
with tempfile.TemporaryDirectory(prefix="coursekit-", ignore_cleanup_errors=True) as folder:
    sys.stdout.buffer.write(folder.encode("utf-8") + b"\\n")
    sys.stdout.close()
    sys.stdin.read(1)
"""


class Scratch:
    """A new folder at ``path``; gone after ``remove``, with this object, or with the process.

    Errors: OSError if no folder can be made.
    """

    __module__ = "coursekit.memory"  # where it is imported from

    def __init__(self) -> None:
        # A session of its own: what interrupts or stops a group of processes must not reach the keeper.
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-c", KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._finalizer = weakref.finalize(self, _dismiss, self._keeper, os.getpid())
        assert self._keeper.stdout is not None  # a pipe, as asked for
        folder = self._keeper.stdout.readline().decode("utf-8").rstrip("\n")
        if not folder:
            self.remove()
            raise OSError("no temporary folder could be made: is the disk full?")
        self.path = Path(folder)

    def remove(self) -> None:
        """Remove the folder with all that is in it; doing so twice does no harm."""
        self._finalizer()


def _dismiss(keeper: subprocess.Popen, owner: int) -> None:
    assert keeper.stdout is not None
    assert keeper.stdin is not None
    keeper.stdout.close()
    # Not only closed: a forked child of the owner holds the pipe open too. Nor may it dismiss the keeper.
    with suppress(OSError), keeper.stdin as pipe:  # the keeper may be dead
        if os.getpid() == owner:
            pipe.write(b"x")
    keeper.wait()
