"""Write the repository's address everywhere: pyproject.toml, the README's table, badges and install lines.

Notebooks keep their outputs: nothing is run.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import generated
from build_notebooks import Course, difference, keep_outputs, load, replace_text, update_readme, write
from generated import AddressError, Repository

from coursekit.new import masters

BRANCHES = ("main", "master", "head", "trunk", "develop")


def origin(root: Path, ref: str) -> Repository:
    """Return the repository that git's ``origin`` names, at ``ref``.

    Errors: AddressError if there is no origin, or if it is not on GitHub.
    """
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        raise AddressError("git is not installed; give the address: make links REPO=owner/name") from None
    if result.returncode:
        raise AddressError("git knows no 'origin' here; give the address: make links REPO=owner/name")
    try:
        return generated.parse_address(result.stdout, ref)
    except AddressError as error:
        raise AddressError(f"git's origin: {error}; or use make links REPO=owner/name") from None


def write_address(course: Course, repo: Repository) -> list[str]:
    """Write ``repo`` into pyproject.toml and what is made from it; return what changed or is left to do."""
    pyproject = course.root / "pyproject.toml"
    before = pyproject.read_text(encoding="utf-8")
    after = generated.with_repository(before, repo)
    done = []
    if after != before:
        replace_text(pyproject, after)
        done.append("pyproject.toml written")
    done += update_readme(course)
    return done + [line for name in course.masters() for line in _rewrite(course, name)]


def fixed(ref: str) -> str:
    """Return a tag or a commit as it is.

    Errors: AddressError for the name of a branch, which would change under a class.
    """
    if ref.casefold() in BRANCHES:
        raise AddressError(
            f"--ref must be a tag or a commit, such as v0.2.0; {ref!r} is a branch, which moves"
        )
    return ref


def main(arguments: list[str] | None = None, course: Course | None = None) -> int:
    """Rewrite the links as the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("repository", nargs="?", help="owner/name or its address (default: git's origin)")
    parser.add_argument(
        "--ref", help="the tag or commit that badges and install lines open (default: as now)"
    )
    given = parser.parse_args(arguments)
    course = course or Course()
    try:
        ref = fixed(given.ref) if given.ref else generated.repository(course.root).ref
        repo = (
            generated.parse_address(given.repository, ref) if given.repository else origin(course.root, ref)
        )
        done = write_address(course, repo)
    except (AddressError, masters.BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(done or ["nothing to change"]))
    print(f"links lead to {repo.url} at {repo.ref}")
    return 0


def _rewrite(course: Course, name: str) -> list[str]:
    """Write both copies of ``name`` with the new address and the old outputs; leave what has to run."""
    done = []
    for path, fresh in zip(course.paths(name), course.expected(name), strict=True):
        old = load(path)
        if old is not None and not difference(old, fresh):
            continue
        where = os.fspath(path.relative_to(course.root))
        if old is None or not keep_outputs(old, fresh):
            done.append(f"{where} is not what its master says: run `make notebooks`")
            continue
        write(path, fresh)
        done.append(f"{where} written")
    return done


if __name__ == "__main__":
    sys.exit(main())
