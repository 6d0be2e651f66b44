"""Texts that live in TOML files: reading and checking them, and their small markup (`code`, **strong**)."""

import difflib
import functools
import html
import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_CODE = re.compile(r"`([^`]+)`")
LONGEST_NAME = 80  # characters that a message repeats
MOST_NAMES = 20  # that a message lists
_STRONG = re.compile(r"\*\*([^*]+)\*\*")


def load(path: Path) -> dict[str, Any]:
    """Return what the TOML file at ``path`` says. Errors: ValueError that names the file and the line."""
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _parsed(path: Path, _changed: int) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{place(path)}: {error}") from error


def place(path: Path) -> str:
    """Return how messages name a text file: with its notebook's folder, ``nb05/claims.toml``."""
    return f"{path.parent.name}/{path.name}"


def fields(
    where: str, table: Any, required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, Any]:
    """Return ``table`` if it has every required key, no unknown one, and values of the right types.

    Errors: ValueError that names the place, the key, what came and what is allowed.
    """
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table; got {type(table).__name__}")
    allowed = {**required, **optional}
    for key in table:
        if key not in allowed:
            raise ValueError(f"{where} has an unknown key {key!r}; allowed are {', '.join(allowed)}")
    for key in required:
        if key not in table:
            raise ValueError(f"{where} has no {key!r}")
    for key, value in table.items():
        if type(value) is not allowed[key] or value == "":
            raise ValueError(f"{where}: {key} must be a {allowed[key].__name__} and not empty; got {value!r}")
    return table


def unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for a ``name`` that is not ``known``, with the nearest ones."""
    names, asked = sorted(known), textwrap.shorten(name, LONGEST_NAME, placeholder=" …")
    near = difflib.get_close_matches(asked, names, n=3, cutoff=0.5)
    if near:
        return ValueError(f"there is no {what} {asked!r}; did you mean {' or '.join(map(repr, near))}?")
    some = ", ".join([*names[:MOST_NAMES], *["…"] * (len(names) > MOST_NAMES)])
    return ValueError(f"there is no {what} {asked!r}; there are: {some or 'none yet'}")


def rich(text: str) -> str:
    """Return ``text`` as HTML: everything escaped, `code` and **strong** marked up."""
    pieces = _CODE.split(text)  # every second piece stood between backticks
    return "".join(
        f"<code>{html.escape(piece)}</code>"
        if i % 2
        else _STRONG.sub(r"<strong>\1</strong>", html.escape(piece))
        for i, piece in enumerate(pieces)
    )


def plain(text: str) -> str:
    """Return ``text`` for a terminal, without the marks for strong."""
    return _STRONG.sub(r"\1", text)
