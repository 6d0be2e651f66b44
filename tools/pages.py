"""What the site and the slides share: pictures, buttons, and links that work outside of the course."""

import html
import os
import re
from collections.abc import Container
from pathlib import Path, PurePosixPath

import generated
from nbformat import NotebookNode

from coursekit.new.masters import ABSOLUTE, LINK

BADGE = re.compile(r"\[!\[([^\]]+)\]\([^)]*\)\]\(([^)]+)\)")
PNG = "image/png"
# Formulas between dollar signs; code comes first, because a dollar sign in it does not begin a formula.
FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL
)


def pictures(cell: NotebookNode) -> list[NotebookNode]:
    """Return the outputs of the cell that hold a picture."""
    return [output for output in cell.get("outputs", []) if PNG in output.get("data", {})]


def button(label: str, address: str) -> str:
    """Return the HTML of a launch button."""
    return f'<a class="launch" href="{html.escape(address)}">{html.escape(label)}</a>'


def with_buttons(text: str) -> str:
    """Return the Markdown with buttons in place of badges, whose pictures come from other servers."""
    return BADGE.sub(lambda match: button(match[1], match[2]), text)


def relinked(text: str, file: PurePosixPath, root: Path, shown: Container[PurePosixPath] = ()) -> str:
    """Return the Markdown of ``file`` with its links to files that are not ``shown`` leading to GitHub.

    Links to GitHub lead to what is ``shown`` instead. ``file`` and ``shown`` are relative to ``root``. A link
    to a file that does not exist stays as it is.
    """
    repo = generated.repository(root)

    def target(match: re.Match) -> str:
        path, hash_, anchor = match[2].partition("#")
        here = PurePosixPath(path.removeprefix(repo.source("")))
        if path.startswith(repo.source("")) and here in shown:
            return match[1] + os.path.relpath(here, file.parent) + hash_ + anchor
        place = PurePosixPath(os.path.normpath(file.parent / path))
        stays = ABSOLUTE.match(match[2]) or place in shown or not (root / place).exists()
        return match[0] if stays else match[1] + repo.source(os.fspath(place)) + hash_ + anchor

    return LINK.sub(target, text)
