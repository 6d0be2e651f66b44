"""Measurements that are stored with the course: made by ``python -m benchmarks``, read in a notebook."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["read"]

Found = TypeVar("Found")


def read(path: Path, make: Callable[[dict[str, Any]], Found]) -> Found:
    """Return what ``make`` makes of the recording at ``path``.

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged: {type(error).__name__}: {error}") from error
