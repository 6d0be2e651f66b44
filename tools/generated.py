"""Text that names the repository: badges, install lines, the README table. One setting makes them all."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coursekit.new import masters

ROOT = Path(__file__).resolve().parents[1]
# GitHub's rule for owners allows no underscore, so nobody can ever own the placeholder YOUR_NAME.
OWNER = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})"
NAME = r"[A-Za-z0-9._-]+?"
ADDRESS = re.compile(
    rf"(?:https?://(?:[^@/\s]+@)?github\.com/|ssh://git@github\.com/|git@github\.com:)?(YOUR_NAME|{OWNER})/({NAME})(?:\.git)?/?"
)
# Names of tags, branches and commits that need no quoting in an address or in a shell.
REF = re.compile(r"[A-Za-z0-9][\w.-]*")
SETTINGS = {
    name: re.compile(rf'^({name}\s*=\s*")([^"]*)(")', re.MULTILINE)
    for name in ("Repository", "Changelog", "ref")
}
IMAGE = re.compile(r"(!\[[^\]]*\]\()[^)]*?(docs/[\w.-]+\.png\))")
BEYOND = "beyond"  # the folder of the lettered notebooks, and the name of their table
TABLE = re.compile(rf"(<!-- (notebooks|{BEYOND}) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


# Of each notebook's students' copy, relative to the repository: its title and its minutes.
Summaries = Mapping[PurePosixPath, tuple[str, str]]


class AddressError(ValueError):
    """The repository's address cannot be used."""


@dataclass(frozen=True)
class Repository:
    """Where the course lives on GitHub, and the links that follow from it; ``ref`` is a tag or a commit."""

    owner: str
    name: str
    ref: str = "main"

    @property
    def slug(self) -> str:
        """The short form, ``owner/name``."""
        return f"{self.owner}/{self.name}"

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        return f"https://github.com/{self.slug}"

    @property
    def install(self) -> str:
        """The requirement that pip installs the package from."""
        return f"coursekit @ git+{self.url}@{self.ref}"

    def colab(self, path: str) -> str:
        """Return the link that opens the file ``path`` in Colab."""
        return f"https://colab.research.google.com/github/{self.slug}/blob/{self.ref}/{path}"

    def binder(self, path: str) -> str:
        """Return the link that opens the file ``path`` in JupyterLab on Binder."""
        return f"https://mybinder.org/v2/gh/{self.slug}/{self.ref}?urlpath=lab/tree/{path}"

    def source(self, path: str) -> str:
        """Return the link to the file ``path`` on GitHub."""
        return f"{self.url}/blob/{self.ref}/{path}"


def parse_address(text: str, ref: str = "main") -> Repository:
    """Return the repository that ``owner/name``, an https or an ssh address of GitHub means, at ``ref``.

    Errors: AddressError, with the forms that are understood.
    """
    if not REF.fullmatch(ref):
        raise AddressError(f"{ref!r} is not a tag or commit: letters, digits, '.', '_' and '-' are allowed")
    match = ADDRESS.fullmatch(text.strip())
    if match is None or match[2] in (".", "..") or match[1].endswith("-"):
        raise AddressError(
            f"{text!r} is not a GitHub repository; give owner/name, https://github.com/owner/name "
            "or git@github.com:owner/name.git"
        )
    return Repository(match[1], match[2], ref)


def repository(root: Path = ROOT) -> Repository:
    """Return the repository that pyproject.toml names under [project.urls], at [tool.coursekit]'s ref."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        address, ref = settings["project"]["urls"]["Repository"], settings["tool"]["coursekit"]["ref"]
    except KeyError:
        raise AddressError(
            "pyproject.toml must have a Repository under [project.urls] and a ref under [tool.coursekit]"
        ) from None
    return parse_address(address, ref)


def with_repository(pyproject: str, repo: Repository) -> str:
    """Return the text of pyproject.toml with the address and the ref changed to those of ``repo``."""
    values = {"Repository": repo.url, "Changelog": repo.source("CHANGELOG.md"), "ref": repo.ref}
    for name, value in values.items():
        pyproject, count = SETTINGS[name].subn(rf"\g<1>{value}\g<3>", pyproject)
        if count != 1:
            raise AddressError(f"pyproject.toml must have one line '{name} = \"…\"'; it has {count}")
    return pyproject


def with_images(readme: str, repo: Repository) -> str:
    """Return the README with the addresses of its pictures written out: PyPI shows no relative ones."""
    base = f"https://raw.githubusercontent.com/{repo.slug}/{repo.ref}/"
    return IMAGE.sub(rf"\g<1>{base}\g<2>", readme)


def colab_badge(repo: Repository, path: str) -> str:
    """Return the Colab badge for the file ``path`` as Markdown."""
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({repo.colab(path)})"


def binder_badge(repo: Repository, path: str) -> str:
    """Return the Binder badge for the file ``path`` as Markdown."""
    return f"[![Open on Binder](https://mybinder.org/badge_logo.svg)]({repo.binder(path)})"


def badges(repo: Repository, student: PurePosixPath, *, solution: bool = False) -> str:
    """Return the badge row of a notebook, or of its solutions, as one line of Markdown.

    ``student`` is the students' copy, relative to the repository.
    """
    solved = student.parent / "solutions" / student.name
    path, other = map(str, (solved, student) if solution else (student, solved))
    title, near = ("The exercises", "..") if solution else ("Solutions", "solutions")
    return " ".join(
        (
            colab_badge(repo, path),
            binder_badge(repo, path),
            # Colab opens one file only, so a relative link leads nowhere there.
            f"[{title}]({near}/{student.name}) ([in Colab]({repo.colab(other)}))",
            f"· [Source on GitHub]({repo.source(path)})",
        )
    )


def table(repo: Repository, summaries: Summaries, folder: str) -> str:
    """Return a table of the README: a row for each notebook in ``folder``."""
    rows = ["| | notebook | minutes | open it |", "|---|---|---|---|"]
    for file, (title, minutes) in summaries.items():
        if file.parent.name == folder:
            links = f"{colab_badge(repo, str(file))} {binder_badge(repo, str(file))}"
            rows.append(f"| {masters.number(file.stem)} | [{title}]({file}) | {minutes} | {links} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str, repo: Repository, summaries: Summaries) -> str:
    """Return the README with the tables between their markers and its pictures' addresses written anew."""
    tabled = TABLE.sub(lambda match: match[1] + table(repo, summaries, match[2]) + match[3], readme)
    return with_images(tabled, repo)
