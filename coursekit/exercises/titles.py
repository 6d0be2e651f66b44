"""What exercises are called, and where they stand: read from ``hints.toml``; no check is imported."""

from dataclasses import dataclass
from typing import Any

from coursekit._core import courses, published, texts

__all__ = ["Titled", "titles"]

_WEB = "https://"


@dataclass(frozen=True)
class Titled:
    """An exercise's title, and the address of the notebook's section; either may be empty."""

    title: str = ""
    address: str = ""


def titles() -> dict[str, Titled]:
    """Return the exercises of all courses that have a title or a place, by id.

    Returns
    -------
    dict
        A course's file that cannot be read has none: whoever lists exercises has their ids.
    """
    ours, found = courses.courses()[0].notebooks, dict[str, Titled]()
    for notebook, path in courses.files(courses.HINTS).items():
        try:
            tables = texts.load(path).get("exercise", [])
        except (OSError, ValueError):
            continue
        for table in tables if isinstance(tables, list) else ():
            if isinstance(table, dict) and isinstance(table.get("id"), str):
                at = _text(table, "at")
                address = published.source(at) if at and notebook in ours else ""
                found[table["id"]] = Titled(_text(table, "title"), at if at.startswith(_WEB) else address)
    return found


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key, "")
    return " ".join(value.split()) if isinstance(value, str) else ""
