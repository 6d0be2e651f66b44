"""Build the notebooks from their masters: students' copies and solutions, both executed on the CPU.

Only what differs from its master is written, and only notebooks whose code changed run again, so that outputs
do not churn in git. With --check nothing is run or written. How it is done stands in ``coursekit.new``, where
everyone has it; here stands what only this course has: a README with tables, two instructor's guides, badges.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import generated
import glossary
import guide
from nbformat import NotebookNode

from coursekit.new import masters
from coursekit.new.building import (
    Folder,
    build,
    build_all,
    code_cells,
    difference,
    keep_outputs,
    load,
    replace_text,
    stale,
    write,
)
from coursekit.new.masters import BADGES, INSTALL, BuildError

__all__ = [
    "Course",
    "build",
    "check",
    "code_cells",
    "difference",
    "keep_outputs",
    "load",
    "main",
    "replace_text",
    "write",
]
FIX = "fix it with `make notebooks`"


class Course(Folder):
    """The folders of this course under ``root``, whose notebooks carry badges."""

    def __init__(self, root: Path = generated.ROOT) -> None:
        super().__init__(root / "notebooks", generated.BEYOND)
        self.root = root

    def texts(self, name: str, *, solution: bool) -> dict[str, str]:
        """Return what replaces the placeholders in a copy of ``name``."""
        repo, student = generated.repository(self.root), self.relative(self.paths(name)[0])
        return {INSTALL: repo.install, BADGES: generated.badges(repo, student, solution=solution)}

    def expected(self, name: str) -> tuple[NotebookNode, NotebookNode]:
        """Return what a master says, as ``Folder`` does; its words lead to the glossary."""
        copies, repo = super().expected(name), generated.repository(self.root)
        for copy in copies:
            glossary.link(copy, [term for term in glossary.terms(self.root) if term.notebook == name], repo)
        return copies

    def relative(self, path: Path) -> PurePosixPath:
        """Return how addresses name the file ``path`` of this course."""
        return PurePosixPath(path.relative_to(self.root))


def readme(course: Course) -> tuple[str, str]:
    """Return the README as it is and as it should be; both empty if there is none."""
    path = course.root / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    summaries = {
        course.relative(course.paths(name)[0]): masters.summary(masters.read(master))
        for name, master in course.masters().items()
    }
    return text, generated.with_table(text, generated.repository(course.root), summaries)


def update_readme(course: Course) -> list[str]:
    """Write the README's tables anew if they are not what the masters say; return what was done."""
    before, after = readme(course)
    if before == after:
        return []
    replace_text(course.root / "README.md", after)
    return ["README.md written"]


def instructor_guides(course: Course) -> tuple[dict[Path, str], dict[str, guide.Figure]]:
    """Return the instructor's guides that there are, as they are, and the figures of the stored notebooks.

    The solutions' copies hold all outputs, so theirs count where both have one.
    """
    texts = {
        path: (course.root / path).read_text(encoding="utf-8")
        for path in guide.PATHS
        if (course.root / path).exists()
    }
    built = [load(path) for name in course.masters() for path in course.paths(name) if texts]
    return texts, guide.figures(filter(None, built))


def update_guides(course: Course) -> list[str]:
    """Write the guides' figures anew if they are not those of the stored notebooks; return what was done."""
    texts, known = instructor_guides(course)
    changed = {
        path: after for path, text in texts.items() if (after := guide.with_figures(text, known)) != text
    }
    for path, text in changed.items():
        replace_text(course.root / path, text)
    return [f"{path} written" for path in changed]


def check(folder: Folder, names: list[str]) -> list[str]:
    """Return what is wrong with the built notebooks, one line each; runs no notebook."""
    found = stale(folder, names)
    if not isinstance(folder, Course):
        return found
    before, after = readme(folder)
    if before != after:
        found.append("README.md: its tables of notebooks are not what the masters say")
    return found + list(_check_guides(folder))


def main(arguments: list[str] | None = None, course: Folder | None = None) -> int:
    """Build or check what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", help="notebooks: 01, A or 01-floating-point-basics (default: all)"
    )
    parser.add_argument("--all", action="store_true", help="rebuild and run even what is up to date")
    parser.add_argument("--check", action="store_true", help="only look; fail if something is stale")
    parser.add_argument("--folder", type=Path, help="a folder of your own, with its masters in source/")
    options = parser.parse_args(arguments)
    folder = Folder(options.folder.resolve()) if options.folder else course or Course()
    try:
        names = folder.select(options.names)
        if options.check:
            return _report_check(check(folder, names), names)
        return _build_all(folder, names, options.all)
    except (BuildError, generated.AddressError) as error:
        print(error, file=sys.stderr)
        return 1


def _build_all(folder: Folder, names: list[str], force: bool) -> int:
    if build_all(folder, names, force=force):
        return 1
    if isinstance(folder, Course):
        for line in update_readme(folder) + update_guides(folder):
            print(line)
    return 0


def _report_check(lines: list[str], names: list[str]) -> int:
    count = f"{len(names)} notebooks are what their masters say"
    print("\n".join(lines) or ("1 notebook is what its master says" if len(names) == 1 else count))
    if lines:
        print(FIX)
    return 1 if lines else 0


def _check_guides(course: Course) -> Iterator[str]:
    texts, known = instructor_guides(course)
    for path, text in texts.items():
        if text != guide.with_figures(text, known):
            yield f"{path}: its figures are not those of the stored notebooks"
        for id in guide.unknown(text, known):
            yield f"{path}: no stored notebook shows the claim {id}; correct its name there"


if __name__ == "__main__":
    sys.exit(main())
