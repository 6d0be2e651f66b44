"""The glossary's terms, and the links to them: each where its section of the course first uses it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pages
from generated import Repository
from nbformat import NotebookNode

FILE = PurePosixPath("docs", "glossary.md")
ENTRY = re.compile(
    r"- \*\*(?P<term>[^*]+)\*\*: (?P<says>[^\n]+)\n"
    r"  \[(?P<nb>\S+) §(?P<number>\d)\]\((?P<file>[^)#]+)#(?P<anchor>[^)]+)\)(?:, `(?P<claim>[^`]+)`)?\n"
)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
# What is no running text: code and formulas, headings, rows of tables, links and pictures, HTML.
FIXED = re.compile(
    rf"{pages.FORMULA.pattern}|^(?:#|\|).*?$|!?\[[^\]]*\]\([^)]*\)|<[^>]+>", re.DOTALL | re.MULTILINE
)


class Term(NamedTuple):
    """A term of the glossary, and the section whose text it is taken from."""

    name: str
    notebook: str  # its file's name, without the ending
    anchor: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What counts as a use of the term: itself or its plural, in any case, also as code."""
        return re.compile(rf"(?<![\w`-])(`?){re.escape(self.name)}(?:s|es)?\1(?![\w`-])", re.IGNORECASE)

    @property
    def link(self) -> str:
        """Where in the glossary it stands: under its letter."""
        return f"{FILE}#{self.name[0].lower()}"


def terms(root: Path) -> Iterator[Term]:
    """Yield the terms of the glossary of the course under ``root``, if it has one."""
    path = root / FILE
    for entry in ENTRY.finditer(path.read_text(encoding="utf-8") if path.exists() else ""):
        yield Term(entry["term"], PurePosixPath(entry["file"]).stem, entry["anchor"])


def slug(heading: str) -> str:
    """Return a heading's anchor as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(notebook: NotebookNode, wanted: Iterable[Term], repo: Repository) -> None:
    """Link a use of each of ``wanted`` in the running text to the glossary in ``repo``.

    It is the first one in the term's own section, else the first of the notebook.
    """
    texts: list[tuple[str, NotebookNode]] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = HEADING.findall(cell.source)
            texts.append((slug(headings[-1]) if headings else texts[-1][0] if texts else "", cell))
    for term in wanted:
        for _, cell in sorted(texts, key=lambda text: text[0] != term.anchor):
            before, cell.source = cell.source, _linked(cell.source, term, repo)
            if cell.source != before:
                break


def _linked(text: str, term: Term, repo: Repository) -> str:
    fixed = [match.span() for match in FIXED.finditer(text)]
    for use in term.pattern.finditer(text):
        inside = [(a, b) for a, b in fixed if a < use.end() and use.start() < b]
        if not inside or inside == [use.span()]:
            return f"{text[: use.start()]}[{use[0]}]({repo.source(term.link)}){text[use.end() :]}"
    return text
