"""Build a reveal.js deck per notebook, from what the notebook stored. No cell runs, no network.

Sections lie side by side, the pages of a section below its heading; a page holds what the back row can read.
"""

import argparse
import base64
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path, PurePosixPath

import generated
import nbformat
import pages
from build_notebooks import Course
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

OUTPUT = generated.ROOT / "build" / "slides"
TEMPLATES = Path(__file__).resolve().parent
REVEAL = "reveal"
OURS = '<meta name="generator" content="coursekit">'  # as deck/index.html.j2 has it
# Of reveal.js, the speaker's notes and one theme with its letters are enough.
REVEAL_FILES = (
    "dist/reveal.*s",
    "dist/theme/white.css",
    "dist/theme/fonts/source-sans-pro/*",
    "plugin/notes/notes.js",
)
# Heights in lines of text, as deck/deck.css has them: a page holds 19 lines of 110 characters.
PAGE, WIDTH, CODE_WIDTH = 19.0, 110, 93
HEADING, GAP, CODE_LINE, ROW, CARD_LINE = 1.0, 0.5, 0.78, 1.05, 0.9
# A table of claims: a sentence, what is accepted, what this machine says, the verdict; in characters.
CLAIM_WIDTHS, CELL_LINE, CELL_GAP = (58, 26, 22, 22), 0.74, 0.2
# A picture takes at least its own pixels, of which a line has 38 and a page 640, and at most what is left.
PICTURE_LINE, PICTURE_MOST = 38, 640
HEADING_LINE = re.compile(r"^(?=## )", re.MULTILINE)
# Tables are counted by their rows, and what a quiz says to an answer is folded.
UNSEEN = re.compile(r"<table.*?</table>|(?<=</summary>).*?(?=</details>)", re.DOTALL)


def build(output: Path = OUTPUT, root: Path = generated.ROOT) -> None:
    """Write a deck for every notebook under ``root``, and the reveal.js that shows them, to ``output``.

    Our own decks of an earlier build are removed first: their notebooks may be gone.
    """
    install_reveal(output / REVEAL)
    for old in output.glob("*.html"):
        if OURS in old.read_text(encoding="utf-8", errors="replace"):
            old.unlink()
    course = Course(root)
    for path in course.students():
        text = deck(nbformat.read(path, as_version=4), course.relative(path), root)
        (output / f"{path.stem}.html").write_text(text, encoding="utf-8")


def install_reveal(folder: Path) -> None:
    """Copy what a deck needs of reveal.js from the package that carries it into ``folder``.

    Errors: FileNotFoundError if the package has its files elsewhere.
    """
    source = Path(str(files("sphinx_revealjs"))) / "_static" / "revealjs"
    for pattern in REVEAL_FILES:
        found = list(source.glob(pattern))
        if not found:
            raise FileNotFoundError(f"sphinx-revealjs has no {pattern} in {source}")
        for file in found:
            target = folder / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def deck(notebook: NotebookNode, file: PurePosixPath, root: Path) -> str:
    """Return the HTML of the deck of ``notebook``, which is the ``file`` under ``root``."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = pages.relinked(pages.with_buttons(cell.source), file, root)
            cell.source = pages.FORMULA.sub(mathml, text)
        # Two empty lines around a function are good style, and too much room on a slide.
        cell.source = cell.source.replace("\n\n\n", "\n\n")
    notebook.cells = list(paged(notebook.cells))
    exporter = SlidesExporter(
        template_name="deck",
        extra_template_basedirs=[os.fspath(TEMPLATES)],
        reveal_url_prefix=REVEAL,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        config=Config({"CSSHTMLHeaderPreprocessor": {"style": "default"}}),
    )
    title = re.search(r"^# (.+)$", notebook.cells[0].source, re.MULTILINE)
    return exporter.from_notebook_node(notebook, {"metadata": {"name": title[1] if title else file.stem}})[0]


def paged(cells: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield the cells with a slide type that begins a new page wherever the old one is full.

    The cell that only installs and imports is left out, and what its master marks ``skip``; code with a large
    result has it on the next page.
    """
    shown = [cell for cell in cells if "%pip install" not in cell.source and slide_type(cell) != "skip"]
    parts = [part for cell in shown for part in split(cell)]
    used = 0.0
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        # Text announces the code below it: better both on the next page than the text alone on this one.
        company = lines(after) if part.cell_type == "markdown" and after and slide_type(after) == "-" else 0.0
        opens = slide_type(part) in ("slide", "subslide")
        only_heading = used <= 1 + HEADING + GAP
        if opens or (not only_heading and used + lines(part) + company > PAGE):
            used = 0.0
            part.metadata["slideshow"] = {"slide_type": slide_type(part) if opens else "subslide"}
        used += lines(part)
        yield part


def split(cell: NotebookNode) -> list[NotebookNode]:
    """Return the parts of the cell: text by its headings, code and results if one page cannot hold both."""
    if cell.cell_type == "markdown":
        texts = HEADING_LINE.split(cell.source)
        texts = [text.strip() for text in texts if text.strip()]
        kinds = [slide_type(cell), *["slide"] * (len(texts) - 1)]
        return [
            _part(cell, n, kind, source=text) for n, (kind, text) in enumerate(zip(kinds, texts, strict=True))
        ]
    if not cell.get("outputs") or lines(cell) <= PAGE:
        return [cell]
    results = [_part(cell, n, "subslide", source="", outputs=some) for n, some in enumerate(_pages(cell), 1)]
    for result in results:
        result.metadata.transient = {"remove_source": True}
    return [_part(cell, 0, slide_type(cell), outputs=[]), *results]


def _pages(cell: NotebookNode) -> list[list[NotebookNode]]:
    """Return the outputs of a cell, page by page."""
    found: list[list[NotebookNode]] = [[]]
    for output in cell.outputs:
        if found[-1] and sum(map(_output_lines, [*found[-1], output])) > PAGE:
            found.append([])
        found[-1].append(output)
    return found


def _part(cell: NotebookNode, number: int, kind: str, **changes: object) -> NotebookNode:
    metadata = {"slideshow": {"slide_type": kind}}
    return nbformat.from_dict({**cell, "id": f"{cell.id}-{number}", "metadata": metadata, **changes})


def slide_type(cell: NotebookNode) -> str:
    """Return the cell's slide type, ``-`` if it has none."""
    return cell.metadata.get("slideshow", {}).get("slide_type") or "-"


def lines(cell: NotebookNode) -> float:
    """Return about how high the cell is on a slide, in lines of text."""
    rows = cell.source.splitlines()
    if cell.cell_type == "markdown":
        heading = HEADING if cell.source.startswith("#") else 0.0
        return heading + GAP * cell.source.count("\n\n") + GAP + _wrapped(_paragraphs(rows), WIDTH)
    code = CODE_LINE * _wrapped(rows, CODE_WIDTH) + GAP if rows else 0.0
    return code + sum(_output_lines(output) for output in cell.outputs)


def _output_lines(output: NotebookNode) -> float:
    data = output.get("data", {})
    if pages.PNG in data:
        return GAP + min(_png_height(data[pages.PNG]), PICTURE_MOST) / PICTURE_LINE
    if "text/html" in data:
        return _html_lines(data["text/html"])
    text = output.get("text", "") or data.get("text/plain", "")
    return CODE_LINE * len(text.splitlines()) + GAP


def _png_height(data: str) -> int:
    # The first chunk of every PNG holds width and height (W3C, PNG, 11.2.1), four bytes each from byte 16 on.
    return int.from_bytes(base64.b64decode(data[:32])[20:24])


def _html_lines(text: str) -> float:
    table = ROW * text.count("<tr")
    blocks = re.split(r"</?(?:div|li|details)\b", UNSEEN.sub("", text))
    texts = [seen for block in blocks if (seen := re.sub(r"^[^>]*>|<[^>]*>", "", block).strip())]
    if table and "<details" in text:
        return _claims_lines(text)
    columns = 2 if "<details" in text else 1
    return table + GAP + CARD_LINE * _wrapped(texts, WIDTH // columns) / columns


def _claims_lines(text: str) -> float:
    """Return how high a table of claims is: a row is as high as its highest cell, and "Why" is folded."""
    height = GAP + ROW
    for row in re.sub(r"(?<=<summary>Why</summary>).*?(?=</details>)", "", text).split("<tr")[1:]:
        cells = [re.split(r"<div>|<details>", cell) for cell in re.split(r"<t[dh]", row)[1:]]
        blocks = [[re.sub(r"^[^<]*?>|<[^>]*>", "", block) for block in cell] for cell in cells]
        widths = CLAIM_WIDTHS[: len(blocks)]
        height += CELL_GAP + CELL_LINE * max(map(_wrapped, blocks, widths))
    return height


def _paragraphs(rows: list[str]) -> list[str]:
    """Return the lines of Markdown as they are shown: those of one paragraph run together."""
    shown = [""]
    for row in rows:
        starts = not row.strip() or re.match(r"\s*(?:[-*|#>]|\d+\.)\s", row)
        shown = [*shown, row] if starts else [*shown[:-1], f"{shown[-1]} {row}"]
    return [row for row in shown if row.strip()]


def _wrapped(rows: list[str], width: int) -> int:
    return sum(max(1, math.ceil(len(row) / width)) for row in rows)


def mathml(match: re.Match) -> str:
    """Return what stands between dollar signs as MathML; code stays as it is."""
    from latex2mathml.converter import convert

    if match["code"]:
        return match["code"]
    return convert(match["block"] or match["inline"], display="block" if match["block"] else "inline")


def main(arguments: list[str] | None = None) -> int:
    """Build the decks where the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT, help="default: build/slides")
    output = parser.parse_args(arguments).output
    build(output)
    print(f"{len(Course().students())} decks are in {output}: open one in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
