"""Environments of their own, with other versions than ours, and copies of the course to try in them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NOT_THE_COURSE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "screenshots")


def checkout(folder: Path) -> Path:
    """Copy the course to ``folder``, without what only this machine has, and return ``folder``."""
    return shutil.copytree(ROOT, folder, ignore=NOT_THE_COURSE)


def settings_but(*prefixes: str) -> dict[str, str]:
    """Return our environment variables without those that begin with one of ``prefixes``."""
    return {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}


def output(*command: Any, **options: Any) -> str:
    """Run a command that must succeed and return what it printed."""
    made = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert made.returncode == 0, f"{command}\n{made.stdout[-3000:]}\n{made.stderr[-2000:]}"
    return made.stdout


def create(folder: Path, *what: Any) -> Path:
    """Create an environment in ``folder``, let pip install ``what`` into it, and return its Python."""
    output(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    output(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)
    return python


def versions(python: Path) -> dict[str, str]:
    """Return the versions of everything that is installed beside ``python``, by its canonical name."""
    listed = json.loads(output(python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"))
    return {canonicalize_name(each["name"]): each["version"] for each in listed}
