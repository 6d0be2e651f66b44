"""The instructor's guides: their figures are those of the stored notebooks, written in by the build."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

PATHS = tuple(Path("docs", name) for name in ("instructor-guide.md", "beyond-guide.md", "grading.md"))
ID = re.compile(r"`((?:\d\d|[A-Z]|dashboard)-[a-z0-9-]+)`")
CARD = re.compile(
    r"^Claim (?P<id>\S+) \(\w+\)\n(?:(?!Claim ).*\n)*?"
    r"This machine says: (?P<says>.*)\nVerdict: +(?P<verdict>[^.\n]*)",
    re.MULTILINE,
)
MACHINE = re.compile(r"^Running on \w+ \((.*); [^;]*\), seed ", re.MULTILINE)
MEASURED, VERDICT = "measured on ", "verdict"
BAR = re.compile(r"(?<!\\)\|")
# A number, its unit, and the ends of its interval with the same unit each.
INTERVAL = re.compile(r"([-\d.,e]+)(\D.*|) \[([-\d.,e]+)\2 to ([-\d.,e]+)\2\]")


@dataclass(frozen=True)
class Figure:
    """What the card of a claim says in a stored notebook, and the machine that the notebook ran on."""

    says: str
    verdict: str
    machine: str


def figures(notebooks: Iterable[NotebookNode]) -> dict[str, Figure]:
    """Return claim id to what its card says in the outputs of ``notebooks``; of several cards the last."""
    found = {}
    for notebook in notebooks:
        texts = list(_texts(notebook))
        machines = [match for text in texts for match in MACHINE.findall(text)]
        for text in texts:
            for card in CARD.finditer(text):
                found[card["id"]] = Figure(card["says"], card["verdict"], machines[-1] if machines else "")
    return found


def with_figures(guide: str, known: dict[str, Figure]) -> str:
    """Return the guide with the figures of all rows that name claims in their first cell written anew.

    Only tables with a column "measured on …" are touched: the first such column, its header, and the column
    "verdict" if there is one. A row that names a claim without a figure stays as it is; see ``unknown``.
    """
    lines = guide.split("\n")
    for first, last in _tables(lines):
        header = _cells(lines[first])
        column = next((n for n, cell in enumerate(header) if cell.startswith(MEASURED)), None)
        if column is not None:
            lines[first:last] = _written(lines[first:last], column, known)
    return "\n".join(lines)


def unknown(guide: str, known: dict[str, Figure]) -> list[str]:
    """Return the claims that the guide wants a figure for and no stored notebook shows."""
    lines = guide.split("\n")
    tables = [lines[first:last] for first, last in _tables(lines)]
    wanted = [
        id
        for header, *rows in tables
        if any(cell.startswith(MEASURED) for cell in _cells(header))
        for row in rows
        for id in _ids(row)
    ]
    return [id for id in dict.fromkeys(wanted) if id not in known]


def short(says: str) -> str:
    """Return a card's text with the unit written once: ``2 points [1 to 3]`` for each with its "points"."""
    match = INTERVAL.fullmatch(says)
    return f"{match[1]}{match[2]} [{match[3]} to {match[4]}]" if match else says


def _texts(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text") or output.get("data", {}).get("text/plain", "")


def _tables(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield where each table starts and ends (the line after it)."""
    first = None
    for number, line in enumerate([*lines, ""]):
        if line.startswith("|") and first is None:
            first = number
        elif not line.startswith("|") and first is not None:
            yield first, number
            first = None


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in BAR.split(row)[1:-1]]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ids(row: str) -> list[str]:
    return ID.findall(next(iter(_cells(row)), ""))


def _written(table: list[str], column: int, known: dict[str, Figure]) -> list[str]:
    """Return the lines of one table with its figures, verdicts and machine written anew."""
    header, *rows = table
    titles, machines, lines = _cells(header), [], []
    verdict = titles.index(VERDICT) if VERDICT in titles else None
    for row in rows:
        cells, asked = _cells(row), _ids(row)
        found = [known[id] for id in asked if id in known]
        if asked and len(found) == len(asked):
            cells[column] = _joined(short(figure.says) for figure in found)
            if verdict is not None:
                cells[verdict] = _joined(figure.verdict for figure in found)
            machines += [figure.machine for figure in found if figure.machine]
            row = _line(cells)
        lines.append(row)
    if machines:
        titles[column] = MEASURED + _joined(dict.fromkeys(machines))
        header = _line(titles)
    return [header, *lines]


def _joined(texts: Iterable[str]) -> str:
    return " · ".join(text.replace("|", r"\|") for text in texts)
