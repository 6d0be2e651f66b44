"""Numbers with units, tables and cards: one look for everything that coursekit prints.

Sizes use decimal units throughout (1 kB = 1000 B), as disks and model cards do.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
# A page that its front end calls dark: JupyterLab, VS Code. There a light picture that FOLLOWS is INVERTED:
# white becomes the page's #111111, black #EEEEEE, and turning the hue halfway brings the colours back.
DARK_PAGE = ':is([data-jp-theme-light="false"], [data-vscode-theme-kind*="dark"])'
FOLLOWS = "coursekit-follows"
INVERTED = "invert(0.933) hue-rotate(180deg)"
SESSION = "coursekit-session"  # on what the setup cell shows: in its notebook, all pictures follow
_PICTURES = f".jp-Notebook:has(.{SESSION}) .jp-RenderedImage img"
FOLLOW = f"<style>{DARK_PAGE} {_PICTURES} {{ filter: {INVERTED}; }}</style>"
_TONES = {"good": "#009E73", "bad": "#D55E00", "neutral": "#0072B2", "quiet": "#8C8C8C"}


class Shown:
    """A result whose ``repr`` is its ``__str__``: it reads the same alone and in a list."""

    def __repr__(self) -> str:
        return str(self)


class Text(Shown):
    """A result that shows in a notebook as it shows in a terminal, in one line."""

    def _repr_html_(self) -> str:
        return f"<span>{html.escape(str(self))}</span>"


@dataclass(frozen=True)
class Table:
    """A table as text and as HTML.

    ``title`` stands above it in both, ``caption`` in HTML alone, ``notes`` below it in both. The first
    ``left`` columns are left-aligned. With ``facts`` the text is lines of name and value, without headers.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""
    left: int = 1
    notes: Sequence[str] = ()
    facts: bool = False

    def __str__(self) -> str:
        body = facts_text if self.facts else lambda rows: table_text(self.headers, rows, left=self.left)
        return "\n".join([*filter(None, [self.title]), body(self.rows), *self.notes])

    def html(self) -> str:
        """Return the table as HTML."""
        table = table_html(self.headers, self.rows, self.title or self.caption, left=self.left)
        return table + "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)


class Tabled(Shown):
    """A result that shows as the table that its ``_table`` returns."""

    def _table(self) -> Table:
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table().html()


def significant(value: float, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` significant digits and no exponent for everyday sizes."""
    if value == 0:
        return "0"
    text = f"{value:#.{digits}g}"
    if "e" in text:
        text = f"{float(text):.0f}" if abs(value) < 1e15 and abs(value) >= 1 else f"{value:.{digits - 1}e}"
    return text.rstrip(".")


def seconds(value: float, digits: int = 3) -> str:
    """Return a duration in seconds as text with a sensible unit, e.g. ``1.25 ms``."""
    unit, name = next(((u, n) for u, n in _TIMES if _reaches(value, u)), _TIMES[-1])
    return f"{significant(value / unit, digits)} {name}"


def size(nbytes: float, digits: int = 3) -> str:
    """Return a number of bytes as text with a decimal unit, e.g. ``70.2 kB``."""
    for unit, name in _SIZES:
        if _reaches(nbytes, unit):
            return f"{significant(nbytes / unit, digits)} {name}"
    return f"{nbytes:.0f} B"


def table_text(headers: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> str:
    """Return a plain-text table: the first ``left`` columns left-aligned, the others right-aligned."""
    cells = [list(map(str, headers)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = [
        "  ".join(
            c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


def facts_text(facts: Iterable[Sequence[str]]) -> str:
    """Return (name, value) pairs as lines, the values below each other."""
    pairs = [(name, value) for name, value in facts]
    width = max(len(name) for name, _ in pairs) + 2
    return "\n".join(f"{name:{width}}{value}" for name, value in pairs)


def table_html(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    *,
    left: int = 1,
    escaped: bool = False,
) -> str:
    """Return an HTML table, aligned as ``table_text`` does; cells are escaped, or HTML already."""
    cell = str if escaped else lambda text: html.escape(str(text))
    head = "".join(f'<th style="{_align(i, left)}">{html.escape(str(h))}</th>' for i, h in enumerate(headers))
    body = "".join(
        "<tr>" + "".join(f'<td style="{_align(i, left)}">{cell(c)}</td>' for i, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    title = f'<caption style="text-align:left">{html.escape(caption)}</caption>' if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def card_html(title: str, lines: Iterable[str], tone: str = "neutral") -> str:
    """Return a card with a coloured edge; ``lines`` are HTML, ``title`` is escaped.

    Tones: good, bad, neutral, quiet.
    """
    body = "".join(f"<div>{line}</div>" for line in lines)
    return (
        f'<div style="border-left:5px solid {_TONES[tone]};padding:.3em .9em;margin:.4em 0;max-width:48em">'
        f"<div><strong>{html.escape(title)}</strong></div>{body}</div>"
    )


def _align(column: int, left: int) -> str:
    return "text-align:left" if column < left else "text-align:right"


def _reaches(value: float, unit: float) -> bool:
    # Rounded first, as it will be shown: 999.9 µs is 1.00 ms, not 1000 µs.
    return abs(float(f"{value:.2e}")) >= unit
