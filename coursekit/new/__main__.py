"""The command ``python -m coursekit.new``: lay a notebook down, or build what was laid down."""

import argparse
import importlib.util
import shlex
import sys
from pathlib import Path

from coursekit.new import lay_down

__all__ = ["main"]

NEEDED = ("ipykernel", "jupytext", "nbclient", "nbformat")
NEXT = """
Try it:  python -m pytest {test}
Build it:  python -m coursekit.new --build {folder}
Then open {notebook}. What to change is said in the files themselves.
"""


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.new", description=__doc__.partition(": ")[2])
    parser.add_argument("name", nargs="?", help="the new notebook's name, such as 20-my-topic")
    parser.add_argument("--folder", default=".", help="where it is to lie (default: here)")
    parser.add_argument(
        "--build", metavar="FOLDER", help="run the masters in FOLDER/source, write both copies"
    )
    parser.add_argument("--all", action="store_true", help="with --build: also what is up to date")
    options = parser.parse_args(arguments)
    if (options.name is None) == (options.build is None):
        parser.error("give either a name, such as 20-my-topic, or --build FOLDER")
    try:
        return (
            _build(Path(options.build), options.all) if options.build else _new(options.name, options.folder)
        )
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _new(name: str, folder: str) -> int:
    print("\n".join(f"{path} written" for path in lay_down(name, folder)))
    paths = {"folder": folder, "test": f"{folder}/{name}", "notebook": f"{folder}/{name}.ipynb"}
    print(NEXT.format(**{key: shlex.quote(path) for key, path in paths.items()}))
    return 0


def _build(folder: Path, force: bool) -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'building needs {", ".join(missing)}: pip install "coursekit[authoring]"')
    from coursekit.new import building

    found = building.Folder(folder.resolve())
    names = list(found.masters())
    if not names:
        raise ValueError(f"folder must hold masters in {folder / 'source'}; there are none")
    return 1 if building.build_all(found, names, force=force) else 0


if __name__ == "__main__":
    sys.exit(main())
