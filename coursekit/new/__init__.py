"""A notebook of one's own: ``python -m coursekit.new 20-my-topic`` lays one down, ``--build`` builds it.

The master is a percent script in ``source/``; beside it lies a folder of the notebook's name with its checks,
claims and quiz, and a test. All of it works at once, and is there to be replaced piece by piece.
"""

import contextlib
import os
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path

from coursekit._core import courses

__all__ = ["lay_down"]

NAME = re.compile(r"[A-Za-z0-9]+(-[a-z0-9]+)+")
SOURCE = "source"
PIECES = {name: f"{name}.txt" for name in ("checks.py", "claims.toml", "hints.toml", "quiz.toml")}


def lay_down(name: str, folder: str | os.PathLike[str] = ".") -> list[Path]:
    """Write a master, checks, claims, hints, a quiz and a test for the notebook ``name``; return their paths.

    Parameters
    ----------
    name : str
        A number or a letter, a dash and the topic, such as "20-my-topic". What stands before the first dash
        begins the ids of its exercises and claims, so no other notebook may have it.
    folder : path
        Where the notebook is to lie; made if it is not there yet.

    Returns
    -------
    list of Path
        ``source/NAME.py`` and the files in ``NAME/``.

    Raises
    ------
    TypeError, ValueError
        If the name cannot be used or is taken, or if ``folder`` is not a folder.
    FileExistsError
        If one of the targets exists. Then, and if writing fails, nothing is left behind.

    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        kind = ValueError if isinstance(name, str) else TypeError
        raise kind(
            f"name must be like '20-my-topic': a number, a dash, the topic in small letters; got {name!r}"
        )
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise ValueError(f"folder must be a folder; got the file {str(place)!r}")
    _refuse_taken(name, place)
    number = courses.notebook_name(name)
    topic = name.partition("-")[2].replace("-", " ")
    words = {"@NAME@": name, "@NUMBER@": number, "@TITLE@": topic.capitalize()}
    test = f"test_{name.replace('-', '_').lower()}.py"
    inside = {name: _filled(template, words) for name, template in {**PIECES, test: "test.py.txt"}.items()}
    return _written(place, name, _filled("master.py.txt", words), inside)


def _refuse_taken(name: str, place: Path) -> None:
    for target in (place / SOURCE / f"{name}.py", place / name, place / f"{name}.ipynb"):
        if os.path.lexists(target):
            raise FileExistsError(f"{target} exists already; nothing was written")
    # On macOS and Windows 20A-topic and 20a-topic are one file.
    number = courses.notebook_name(name)
    known = courses.notebooks().items()
    there = [course.notebooks[taken] for taken, course in known if taken.casefold() == number.casefold()]
    beside = (*place.glob("*"), *place.glob(f"{SOURCE}/*.py"))
    there += [path for path in beside if _number(path).casefold() == number.casefold()]
    if there:
        raise ValueError(
            f"name must begin with a number that is free; {number!r} is the notebook {there[0].stem}"
        )


def _number(path: Path) -> str:
    is_notebook = path.is_dir() or path.suffix == ".py"
    return courses.notebook_name(path.stem) if is_notebook else ""


def _filled(template: str, words: dict[str, str]) -> str:
    text = resources.files(__name__).joinpath("template", template).read_text(encoding="utf-8")
    return re.sub("|".join(words), lambda match: words[match[0]], text)


def _written(place: Path, name: str, master: str, inside: dict[str, str]) -> list[Path]:
    """Write everything to a folder nobody looks into, then move both parts to their places."""
    targets = place / name, place / SOURCE / f"{name}.py"
    with contextlib.ExitStack() as undo:
        for path in reversed([path for path in (place / SOURCE, place, *place.parents) if not path.exists()]):
            path.mkdir()
            undo.callback(path.rmdir)
        draft = Path(tempfile.mkdtemp(dir=place, prefix=f".{name}-"))
        undo.callback(shutil.rmtree, draft)
        (draft / name).mkdir()
        _write(draft / "master", master)
        for file, text in inside.items():
            _write(draft / name / file, text)
        (draft / name).rename(targets[0])
        undo.callback(shutil.rmtree, targets[0])
        (draft / "master").rename(targets[1])
        undo.pop_all()
    draft.rmdir()
    return [targets[1], *(targets[0] / file for file in inside)]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
