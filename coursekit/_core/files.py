"""Whole files, written in one step, in folders that other users of the machine may write to as well.

No name that somebody else could have foreseen is ever opened for writing, no link is followed, and files can
be read by their owner only. Whoever is killed at any moment, or loses power, leaves the old file or the new.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["guard", "read", "replace", "replacing", "sweep", "sync_folder"]

OWNER_ONLY = 0o600
# Windows lacks both, and the third kind of file that an open could wait for.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_TEMPORARY = ".new"
_MISSING = (errno.ENOENT, errno.ENOTDIR)


def read(path: Path) -> bytes:
    """Return the bytes of a regular file, b"" if there is none; links and devices are refused.

    Raises
    ------
    OSError
        If it cannot be read, or is not a regular file.
    """
    try:
        handle = _opened(path, os.O_RDONLY | _BINARY)
    except OSError as error:
        if error.errno in _MISSING:
            return b""
        raise
    with open(handle, "rb") as file:
        return file.read()


def replace(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step; when this returns, it survives a power cut.

    First the bytes reach the disk, then the name is moved to them, then the folder reaches the disk: in this
    order a name never stands for half a file. What stood at ``path``, a link too, is replaced, not followed.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written; the old file is still there then.
    """
    # Created exclusively, for the owner only, under a name that cannot be guessed.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=_TEMPORARY)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a name in a temporary folder beside ``target``; the file made there takes the target's place.

    Raises
    ------
    OSError
        If the folder cannot be written, or nothing stands at the temporary name in the end.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".coursekit-") as folder:
        temporary = Path(folder) / target.name
        yield temporary
        os.replace(temporary, target)


def sweep(path: Path) -> None:
    """Remove what killed processes left of files for ``path``; only for who holds the lock on it."""
    for left in path.parent.glob(f"{path.name}.*{_TEMPORARY}"):
        with suppress(OSError):
            left.unlink()


def guard(path: Path) -> None:
    """Make an empty file for a lock, unless there is one; nothing but a regular file may be locked.

    Raises
    ------
    OSError
        If it cannot be made, or if somebody put a link, a folder or a pipe there.
    """
    handle = _opened(path, os.O_RDWR | os.O_CREAT | _BINARY)
    names = os.fstat(handle).st_nlink
    os.close(handle)
    if names > 1:  # an old filelock empties the file, whatever else it is
        raise _not_regular(path)


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk.

    Raises
    ------
    OSError
        If the disk fails.
    """
    if os.name != "posix":  # Windows cannot open a folder, and records its names in order anyway
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _opened(path: Path, flags: int) -> int:
    """Return a handle on a regular file, without following a link and without waiting for a pipe."""
    try:
        handle = os.open(path, flags | _SAFELY, OWNER_ONLY)
    except OSError:
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise _not_regular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_regular(path)
    return handle


def _not_regular(path: Path) -> OSError:
    return OSError(f"{path} must be a plain file of its own, not a link, a folder or a device: remove it")
