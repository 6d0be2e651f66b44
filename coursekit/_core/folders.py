"""Folders for results: made for their owner only, and not taken over from anybody else."""

import errno
import functools
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from coursekit._core import files

__all__ = ["UnwritableFolder", "made", "private"]

OWNER_ONLY = 0o700
TRIES = 9  # names that are tried before one that nobody can guess
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
# On a full disk results are not looked for elsewhere: what it holds can still be read.
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class UnwritableFolder(OSError):
    """The results folder cannot be written; what is in ``folder`` may still be read."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(f"the results folder {folder} cannot be written ({error.strerror or error})")
        self.folder = folder


def made(folder: Path) -> Path:
    """Return ``folder``, made when missing, for its owner only, so that it survives a power cut.

    Raises
    ------
    UnwritableFolder
        If it cannot be made or written, or is a link that another user made.
    """
    try:
        for missing in reversed([each for each in (folder, *folder.parents) if not os.path.lexists(each)]):
            with suppress(FileExistsError):  # another kernel was quicker
                missing.mkdir(OWNER_ONLY)
            files.sync_folder(missing.parent)
        _refuse_foreign_link(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno not in _FULL or not folder.is_dir():
            raise UnwritableFolder(folder, error) from error
    return folder


def private(parent: Path, name: str) -> Path:
    """Return a folder in ``parent``, which everybody may write to, that is this user's alone.

    It is called ``name`` or, where somebody else has taken that, ``name-2`` and so on. If all these are
    taken, it gets a name that cannot be guessed, another one in every process.

    Raises
    ------
    OSError
        If none can be made.
    """
    for each in _names(name):
        with suppress(FileExistsError):
            (parent / each).mkdir(OWNER_ONLY)
        if _is_ours(parent / each):
            return parent / each
    return _unguessable(parent, name)


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in range(2, TRIES + 1))


@functools.cache
def _unguessable(parent: Path, name: str) -> Path:
    return Path(tempfile.mkdtemp(dir=parent, prefix=f"{name}-"))


def _is_ours(folder: Path) -> bool:
    """Tell whether only this user could ever write to ``folder``, and see to it that others cannot read."""
    if os.name != "posix":  # Windows has a temporary folder for every user
        return folder.is_dir()
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # a link, a file, or somebody else's
        return False
    try:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid() or found.st_mode & _OTHERS_MAY_WRITE:
            return False
        if stat.S_IMODE(found.st_mode) != OWNER_ONLY:
            os.fchmod(handle, OWNER_ONLY)
    finally:
        os.close(handle)
    return True


def _refuse_foreign_link(folder: Path) -> None:
    found = folder.lstat()
    if os.name == "posix" and stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, "it is a link that another user made")
