"""Start one student's server: limits first, then the course's files, then JupyterHub's own program.

It runs as the student, in the student's home, in place of ``jupyterhub-singleuser``, and hands on its
arguments. It needs nothing but Python, so that the same file serves a single machine
and a cluster's image.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1] / "notebooks"
# Not the students' to read before they have tried, and what a run leaves behind.
LEFT_OUT = {"solutions", "source", "__pycache__", ".ipynb_checkpoints"}


def limit(memory: int | None, processes: int | None) -> None:
    """Let this process and all that it starts have so many bytes each, and their user so many threads.

    Who asks for more memory gets a MemoryError, and nobody else notices. The limits cannot be raised again
    but by root. What is mapped and cannot be written, a model's file, does not count.
    """
    import resource  # no such module on Windows, where JupyterHub does not run either

    for name, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_NPROC, processes)):
        if most:
            hard = resource.getrlimit(name)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(name, (most, most))


def files(course: Path) -> Iterator[Path]:
    """Yield what a student gets, relative to ``course``."""
    for path in sorted(course.rglob("*")):
        inside = path.relative_to(course)
        if path.is_file() and not LEFT_OUT & {*inside.parts}:
            yield inside


def hand_out(course: Path, folder: Path) -> list[Path]:
    """Copy what is missing in ``folder`` from ``course`` and return it; what is there stays as it is.

    A notebook that the student deletes is fresh again at the next start. If killed, it leaves whole files.
    """
    given = []
    for inside in files(course):
        target = folder / inside
        if os.path.lexists(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as aside:
            copy = Path(shutil.copyfile(course / inside, Path(aside) / target.name))
            try:
                os.link(copy, target)  # unlike a rename, it replaces nothing
            except FileExistsError:  # made by another start of this student's server, a moment ago
                continue
        given.append(inside)
    return given


def open_hand_in(folder: Path) -> None:
    """Make the folder of this student's reports, which no other student can read.

    Errors: SystemExit if somebody else made it first.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        sys.exit(f"{folder} belongs to somebody else; ask your teacher to remove it")


def main(arguments: list[str]) -> None:
    """Become the student's server."""
    memory, processes = (os.environ.get(name) for name in ("MEM_LIMIT", "HUB_PROCESSES"))
    limit(int(memory or 0), int(processes or 0))
    hand_out(COURSE, Path.home() / "course")
    if folder := os.environ.get("COURSEKIT_HAND_IN"):
        open_hand_in(Path(folder))
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
