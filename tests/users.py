"""Whether this process may run code as other users."""

import os
from pathlib import Path

import pytest

MANY = 65_535  # user numbers, nobody's among them


def _known(kind: str) -> int:
    """Return how many numbers of users ("uid") or groups ("gid") the namespace knows; all where none is."""
    try:
        lines = Path(f"/proc/self/{kind}_map").read_text(encoding="utf-8").splitlines()
    except OSError:
        return MANY
    return sum(int(line.split()[2]) for line in lines)


def can_be_others() -> bool:
    """Tell whether we are root, and not in a namespace that knows root alone."""
    is_root = getattr(os, "geteuid", lambda: 1)() == 0
    return is_root and min(_known("uid"), _known("gid")) >= MANY


needs_other_users = pytest.mark.skipif(not can_be_others(), reason="only root can become other users")
