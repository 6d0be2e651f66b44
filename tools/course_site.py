"""Build the course site: an index, a page per notebook and document, the decks. No cell runs, no network.

The pages lie in a scratch folder as their files lie in the repository, so relative links keep their meaning.
"""

import argparse
import base64
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

import digits_page
import gallery
import generated
import nbformat
import pages
import reference
import slides
from build_notebooks import Course
from nbformat import NotebookNode

from coursekit.new import masters
from coursekit.new.health import WIDGET_VIEW

OUTPUT = generated.ROOT / "build" / "site"
SETTINGS = generated.ROOT / "site"
# Sphinx leaves this file; a folder without it is not an old site, and nothing in it is deleted.
BY_SPHINX = ".buildinfo"
DOCUMENTS = ("docs/*.md", "docs/*.png")


def build(output: Path = OUTPUT, root: Path = generated.ROOT) -> None:
    """Write the site of the course under ``root`` to ``output``, decks included.

    Errors: CalledProcessError if Sphinx warns about anything, a link that leads nowhere included.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, built = Path(scratch, "source"), Path(scratch, "built")
        lay_out(root, source)
        gallery.write(source)
        reference.write(source / reference.FOLDER)
        sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning"]
        search = os.pathsep.join([os.fspath(root), os.fspath(generated.ROOT / "tools"), *sys.path])
        subprocess.run(
            [*sphinx, "--doctree-dir", f"{scratch}/.doctrees", source, built],
            check=True,
            env=os.environ | {"PYTHONPATH": search},  # the reference imports the package
        )
        if (output / BY_SPHINX).exists():
            shutil.rmtree(output)
        shutil.copytree(built, output, dirs_exist_ok=True)
    slides.build(output / "slides", root)
    if digits_page.available():
        digits_page.write((output / digits_page.FOLDER).absolute())


def lay_out(root: Path, folder: Path) -> None:
    """Write Sphinx's settings and the sources of all pages of the course under ``root`` into ``folder``."""
    shutil.copytree(SETTINGS, folder, dirs_exist_ok=True)
    for file in files(root):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".ipynb":
            nbformat.write(page(root, file), target)
        elif file.suffix == ".md":
            text = (root / file).read_text(encoding="utf-8")
            target.write_text(pages.relinked(text, file, root, files(root)), encoding="utf-8")
        else:
            target.write_bytes((root / file).read_bytes())
    (folder / "index.md").write_text(index(root, folder), encoding="utf-8")


@cache
def files(root: Path) -> tuple[PurePosixPath, ...]:
    """Return the files of the course that the site shows, relative to ``root``."""
    course = Course(root)
    copies = [path for name in course.masters() for path in course.paths(name)]
    documents = [path for pattern in DOCUMENTS for path in sorted(root.glob(pattern))]
    return tuple(map(course.relative, [*copies, *documents]))


def page(root: Path, file: PurePosixPath) -> NotebookNode:
    """Return the notebook as a page: buttons for badges, alt texts where myst-nb looks for them."""
    notebook = nbformat.read(root / file, as_version=4)
    head = notebook.cells[0]
    head.source = pages.with_buttons(head.source)
    if file.parent.name == "solutions":
        # Reached from its notebook only; a search should find the notebook itself.
        notebook.metadata["orphan"] = notebook.metadata["nosearch"] = True
    else:
        top = "../" * len(file.parent.parts)
        head.source += f' · <a href="{top}slides/{file.stem}.html">Slides</a>'
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = pages.relinked(cell.source, file, root, files(root))
        elif pages.pictures(cell):
            alt = " ".join(output.metadata[pages.PNG]["alt"] for output in pages.pictures(cell))
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
    return notebook


def index(root: Path, folder: Path) -> str:
    """Return the Markdown of the first page; the pictures of its cards go into ``folder``."""
    repo, course = generated.repository(root), Course(root)
    notebooks = list(map(course.relative, course.students()))
    documents = [file for file in files(root) if file.parent.name == "docs" and file.suffix == ".md"]
    lecture, beyond = (
        [file for file in notebooks if file.parent.name == place.name] for place in course.places
    )
    parts = {
        "repository": repo.url,
        "cards": cards(lecture, root, folder),
        "beyond": cards(beyond, root, folder),
        "page": digits_page.LINK if digits_page.available() else "",
        "notebooks": toctree("Notebooks", lecture) + "\n\n" + toctree("Beyond the lecture", beyond),
        "documents": toctree("About the course", documents),
        "package": toctree("The package", map(PurePosixPath, (gallery.PAGE, f"{reference.FOLDER}/index"))),
    }
    text = (SETTINGS / "index.md").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], text)


def toctree(caption: str, files: Iterable[PurePosixPath]) -> str:
    """Return a hidden table of contents, which the theme shows at the side."""
    names = [str(file.with_suffix("")) for file in files]
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *names, "```"])


def cards(notebooks: Iterable[PurePosixPath], root: Path, folder: Path) -> str:
    """Return the HTML of the notebooks' cards; their pictures go into ``folder``."""
    return "\n".join(['<div class="notebooks">', *(card(file, root, folder) for file in notebooks), "</div>"])


def card(file: PurePosixPath, root: Path, folder: Path) -> str:
    """Return the HTML of a notebook's card: its first panel, its title, its minutes, its buttons."""
    notebook, repo = nbformat.read(root / file, as_version=4), generated.repository(root)
    title, minutes = masters.summary(notebook)
    shown = [output for cell in notebook.cells for output in pages.pictures(cell)]
    panels = [output for output in shown if WIDGET_VIEW in output.data]
    picture = thumbnail([*panels, *shown][0], file.stem, folder) if shown else ""
    number = masters.number(file.stem)
    label = f"{number}{' ·' * number.isalpha()} {html.escape(title)}"
    link = f'<a class="title" href="{file.with_suffix(".html")}">{label}</a>'
    buttons = pages.button("Colab", repo.colab(str(file))) + pages.button("Binder", repo.binder(str(file)))
    time = f"<span>{minutes} minutes</span>" if minutes else ""
    return f'<div class="notebook">{picture}{link}<div class="launches">{time}{buttons}</div></div>'


def thumbnail(output: NotebookNode, name: str, folder: Path) -> str:
    """Write the picture of ``output`` where Sphinx copies it from; return the HTML that shows it."""
    target = folder / "_static" / "cards" / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(base64.b64decode(output.data[pages.PNG]))
    return f'<img src="_static/cards/{name}.png" alt="{html.escape(output.metadata[pages.PNG]["alt"])}">'


def main(arguments: list[str] | None = None) -> int:
    """Build the site where the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT, help="default: build/site")
    output = parser.parse_args(arguments).output
    try:
        build(output)
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"open {output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
