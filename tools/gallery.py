"""Draw every panel and every plot from its example, and write the page that shows them with their calls."""

import base64
import html
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import examples

from coursekit import widgets
from coursekit.plots import style

PAGE = "gallery"
PICTURES = "_static/gallery"
HEAD = """# Gallery

Every panel and every plot, drawn from made-up measurements, with the call that makes it. A panel moves only
where a kernel runs; its picture here is the one it starts with.
"""


class Shown(NamedTuple):
    """One entry: its call, what it does, where it is described, its picture and words for the picture."""

    call: str
    line: str
    anchor: str
    png: bytes
    alt: str


def write(folder: Path) -> str:
    """Write the page and its pictures into ``folder``; return the page's name."""
    parts = [HEAD]
    for title, entries in (("Panels", panels()), ("Plots", plots())):
        cards = [card(entry, folder) for entry in entries]
        parts.append(f'## {title}\n\n<div class="gallery">\n' + "\n".join(cards) + "\n</div>\n")
    (folder / f"{PAGE}.md").write_text("\n".join(parts), encoding="utf-8")
    return PAGE


def panels() -> Iterator[Shown]:
    """Yield an entry for every panel."""
    for name in widgets.PANELS:
        panel = examples.panel(name)
        function = getattr(importlib.import_module(f"coursekit.widgets.{name}"), name)
        anchor = f"reference/coursekit.widgets.html#coursekit.widgets.{name}.{name}"
        yield entry(f"widgets.{name}", function, anchor, panel.view.figure.png(), panel.view.alt)


def plots() -> Iterator[Shown]:
    """Yield an entry for every plot."""
    for name in sorted([*examples.PLOTS, *examples.PICTURES]):
        room, _, function_name = name.partition(".")
        function = getattr(importlib.import_module(f"coursekit.plots.{room}"), function_name)
        anchor = f"reference/coursekit.plots.{room}.html#coursekit.plots.{name}"
        alt = f"An example of plots.{name}: {first_line(function)}"
        yield entry(f"plots.{name}", function, anchor, examples.plot(name).png(), alt)


def entry(name: str, function: Any, anchor: str, png: bytes, alt: str) -> Shown:
    """Return an entry whose call has the names and default values of the function's arguments."""
    parameters = inspect.signature(function).parameters.values()
    given = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    call = f"{name}{inspect.Signature(given)}".replace("(*, ", "(").replace(", *, ", ", ").replace(", /", "")
    return Shown(call, first_line(function), anchor, png, alt)


def first_line(function: Any) -> str:
    """Return the first sentence of a docstring, without its marks for code."""
    return str(inspect.getdoc(function)).partition("\n")[0].replace("``", "")


def card(shown: Shown, folder: Path) -> str:
    """Write the picture where Sphinx copies it from; return the HTML of the entry."""
    name = shown.call.partition("(")[0]
    target = folder / PICTURES / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(base64.b64decode(style.picture_bundle(shown.png, shown.alt)[0]["image/png"]))
    return (
        f'<div class="example"><a href="{shown.anchor}">'
        f'<img src="{PICTURES}/{target.name}" loading="lazy" alt="{html.escape(shown.alt)}"></a>'
        f"<p>{html.escape(shown.line)}</p><code>{html.escape(shown.call)}</code></div>"
    )
