"""Pages of one file: no script, no request, light and dark, on a screen, on a wall and on paper."""

import html
import re
from collections.abc import Iterable, Sequence

__all__ = ["document", "main_of", "table"]

# Whatever slips through the escaping: a browser that reads this runs no script and asks nobody for anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_MAIN = re.compile(r"<main>(.*)</main>", re.S)
_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d6d6d6;
  --pale: #f3f4f6; --good: #00734f; --bad: #b04600; --blue: #00639c; --mark: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ground: #15171a; --ink: #ececec; --soft: #a9adb3;
  --line: #3a3f45; --pale: #21252a; --good: #35c79a; --bad: #ff9a4d; --blue: #6cbcf0; --mark: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main, header, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.5rem; }
footer { color: var(--soft); font-size: .85rem; padding: 1rem 1.25rem 2.5rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .5rem; padding-bottom: .25rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.3rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .3rem 0 .7rem; max-width: 60rem; }
.soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: .8rem 0; }
.figures div { background: var(--pale); border-radius: .4rem; padding: .5rem .9rem; }
.figures b { display: block; font-size: 1.5rem; line-height: 1.2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0 1rem; font-size: .93rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; text-align: right;
  overflow-wrap: anywhere; min-width: 3.2rem; max-width: 26rem; }
td.l:first-child { min-width: 9rem; }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; overflow-wrap: normal; }
.figures a { color: inherit; text-decoration: none; } td code { font-size: .95em; }
td a { color: var(--blue); } .id { display: block; color: var(--soft); font-size: .85em; }
.l { text-align: left; } tbody tr:hover { background: var(--pale); }
pre { background: var(--pale); padding: .6rem .9rem; overflow-x: auto; white-space: pre-wrap; }
svg { display: block; max-width: 100%; height: auto; margin: .2rem 0 1.2rem; }
svg.bar { margin: .2rem 0; width: clamp(6rem, 20vw, 15rem); max-width: none; }
svg text { fill: var(--ink); font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
svg .soft { fill: var(--soft); color: var(--soft); }
details > summary { cursor: pointer; color: var(--blue); margin: .3rem 0; }
.switch { float: right; font-size: .9rem; color: var(--soft); cursor: pointer; margin-left: 1rem; }
:root:has(#present:checked) { font-size: 150%; }
:root:has(#present:checked) :is(main, header, footer) { max-width: none; }
:root:has(#present:checked) .named { display: none; }
:root:has(#present:checked) svg:not(.bar) { width: 100%; }
@media print {
  :root { color-scheme: light; --ground: #fff; --ink: #000; --soft: #444; --line: #bbb; --pale: #f3f3f3;
    --good: #00734f; --bad: #b04600; --blue: #00639c; --mark: #0072b2; font-size: 75%; }
  @page { margin: 1.5cm; }
  .switch { display: none; } .wide { overflow: visible; }
  h2, h3, caption { break-after: avoid; } tr, svg, .figures { break-inside: avoid; }
  thead { display: table-header-group; } tbody tr:hover { background: none; }
}
"""


def document(title: str, head: str, main: str, footer: str, *, kind: str, data: str = "") -> str:
    """Return a page; ``head``, ``main``, ``footer`` and ``data`` are HTML, the others are escaped."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="generator" content="{html.escape(kind)}">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{_STYLE}</style></head><body>",
            f"<header>{head}</header>",
            f"<main>{main}</main>",
            f"<footer>{footer}</footer>",
            *([data] if data else []),
            "</body></html>",
            "",
        ]
    )


def main_of(page: str) -> str:
    """Return what stands in a page's ``main``, as far as its lines go; "" if there is none."""
    found = _MAIN.search(page)
    return "\n".join(found[1].split("\n")).replace("\r", "").strip() if found else ""


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str = "",
    *,
    left: int = 1,
    escaped: bool = False,
) -> str:
    """Return a table whose first ``left`` columns are left-aligned; cells are escaped, or HTML already."""
    show = str if escaped else html.escape
    side = [' class="l"' if i < left else "" for i in range(len(headers))]
    head = "".join(f"<th{c}>{html.escape(h)}</th>" for c, h in zip(side, headers, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{c}>{show(cell)}</td>' for c, cell in zip(side, row, strict=True))}</tr>"
        for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
