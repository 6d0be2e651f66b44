"""Courses as files: a folder per notebook, with its ``checks.py``, ``claims.toml`` and ``quiz.toml``."""

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from coursekit._core import arguments, texts

OURS = "coursekit.course"
PUBLIC = "coursekit.exercises"  # where teachers import these names from
CHECKS, CLAIMS, QUIZ = FILES = ("checks.py", "claims.toml", "quiz.toml")
HINTS = "hints.toml"  # beside the checks; no notebook has hints alone
_ONE_AT_A_TIME = threading.RLock()  # two threads that import a checks.py at once would tear it in half
SHORT = re.compile(r"nb(\d+|[A-Z])")  # a number or a letter cannot begin a package's name
FOLDER = re.compile(r"(?P<name>[A-Za-z0-9]+)(-[^.]*)?")

Source = ModuleType | str | PathLike[str]


class Course:
    """The checks, claims and quizzes of a course's notebooks, found in a package or in a folder.

    Every folder in it that holds a ``checks.py``, ``claims.toml`` or ``quiz.toml`` belongs to one notebook;
    a source that holds them itself is a course of one notebook. The folder's name up to its first dash is the
    notebook's, and every id begins with it: ``20-my-topic`` holds the claim "20-…"; ``nb05`` stands for "05".

    Parameters
    ----------
    source : module, str or path
        A package that can be imported (the module or its name), or a folder. A relative folder is looked for
        in the working folder and in the one above it, so that copies in ``solutions/`` find it too.

    Attributes
    ----------
    package : str
        The package's name; empty for a folder.
    folder : Path
        Where it lies.
    notebooks : Mapping
        The notebooks' names, each with its folder.

    Raises
    ------
    TypeError, ValueError
        If there is no such package or folder, it has no notebook, or two of one name.

    """

    __module__ = PUBLIC

    def __init__(self, source: Source) -> None:
        self.package, self.folder = _place(source)
        self.notebooks: Mapping[str, Path] = MappingProxyType(dict(_notebooks(self.folder)))

    def __repr__(self) -> str:
        return f"Course {self.package or self.folder}: {', '.join(self.notebooks)}"

    def checkers(self, notebook: str) -> Mapping[str, Callable[[Any], Any]]:
        """Return the ``CHECKERS`` in a notebook's ``checks.py``, by exercise id; empty where it has none.

        A file in a folder is read again after an edit, also of what lies beside it.

        Parameters
        ----------
        notebook : str
            The notebook's name, such as "05".

        Raises
        ------
        ValueError
            If the file cannot be run, has no ``CHECKERS``, or one whose id belongs to another notebook.

        """
        if notebook not in self.notebooks:
            raise texts.unknown("notebook", notebook, self.notebooks)
        path = self.notebooks[notebook] / CHECKS
        if not path.exists():
            return {}
        found = getattr(self._checks(path), "CHECKERS", None)
        if not isinstance(found, Mapping):
            raise ValueError(f"{path} must define CHECKERS, a dict of exercise id to function")
        for id, checker in found.items():
            if not isinstance(id, str) or not id.startswith(f"{notebook}-"):
                raise ValueError(f"{path}: ids must begin with '{notebook}-'; got {id!r}")
            if not callable(checker):
                raise ValueError(f"{path}: {id!r} must be a function; got {type(checker).__name__}")
        return found

    def _checks(self, path: Path) -> ModuleType:
        inside = ".".join(path.with_suffix("").relative_to(self.folder).parts)
        try:
            if self.package:
                return importlib.import_module(f"{self.package}.{inside}")
            return _run(self.folder, inside, _stamp(self.folder, path.parent))
        except (Exception, SystemExit) as error:
            raise ValueError(_reason(error, path)) from error


def use(source: Course | Source) -> Course:
    """Add a course to those that ``check``, ``quiz``, ``predict`` and ``claims.show`` look into; return it.

    Doing so again is harmless and finds notebooks that were added meanwhile.

    Parameters
    ----------
    source : Course, module, str or path
        What ``Course`` takes: a package or a folder.

    Returns
    -------
    Course
        The course.

    Raises
    ------
    TypeError, ValueError
        As ``Course``, and if another course has a notebook of the same name.

    """
    course = source if isinstance(source, Course) else Course(source)
    others = [other for other in courses() if other.folder != course.folder]
    for other in others:
        both = other.notebooks.keys() & course.notebooks.keys()
        # One folder may be reached alone and with its neighbours: that is the same notebook.
        if taken := sorted(name for name in both if other.notebooks[name] != course.notebooks[name]):
            raise ValueError(
                f"source has a notebook {taken[0]!r} ({course.notebooks[taken[0]]}), and so has {other!r}; "
                "rename the folder"
            )
    _added()[:] = [other for other in _added() if other.folder != course.folder]
    if course.folder != _ours().folder:
        _added().append(course)
    return course


use.__module__ = PUBLIC


def courses() -> tuple[Course, ...]:
    """Return the course that comes with coursekit, and those that ``use`` added, in that order."""
    return (_ours(), *_added())


def notebooks() -> dict[str, Course]:
    """Return the names of all notebooks, each with the course it belongs to."""
    return {name: course for course in courses() for name in course.notebooks}


def files(name: str) -> dict[str, Path]:
    """Return notebook to its file called ``name``, for all notebooks that have one."""
    found = ((key, folder / name) for course in courses() for key, folder in course.notebooks.items())
    return {key: path for key, path in found if path.exists()}


def notebook_name(folder: str) -> str:
    """Return the notebook's name that the name of its ``folder`` means ("05" for nb05); "" for none."""
    found = FOLDER.fullmatch(folder)
    if not found:
        return ""
    short = SHORT.fullmatch(found["name"])
    return short[1] if short else found["name"]


@functools.cache
def _ours() -> Course:
    return Course(OURS)


@functools.cache
def _added() -> list[Course]:
    return []


# Where a course lies


def _place(source: Any) -> tuple[str, Path]:
    """Return the package's name (empty for a folder) and the folder."""
    if isinstance(source, ModuleType):
        if not getattr(source, "__path__", None):
            raise TypeError(f"source must be a package or a folder; got the module {source.__name__!r}")
        return source.__name__, Path(source.__path__[0]).resolve()
    if not isinstance(source, str | PathLike) or not isinstance(fspath(source), str):
        raise TypeError(f"source must be a package or a folder; got {arguments.shown(source)}")
    package, folder = _package(source), _folder(fspath(source))
    # A folder of plain files beside the notebook looks like a package, too, but is one that gets edited.
    if package and (folder is None or (package / "__init__.py").exists()):
        return str(source), package
    if folder is None:
        raise ValueError(
            f"source must be a package or a folder; there is neither at {arguments.shown(str(source))}"
        )
    return "", folder


def _package(source: Any) -> Path | None:
    if not isinstance(source, str) or not all(part.isidentifier() for part in source.split(".")):
        return None
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]).resolve() if places else None


def _folder(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text)
    if text.startswith("~"):
        with contextlib.suppress(RuntimeError):  # there is no such user
            path = path.expanduser()
    with contextlib.suppress(OSError):  # a name that is too long for any folder
        return next((place.resolve() for place in (path, ".." / path) if place.is_dir()), None)
    return None


def _notebooks(folder: Path) -> Iterator[tuple[str, Path]]:
    own = [folder] if _is_notebook(folder) else sorted(filter(_is_notebook, folder.iterdir()))
    if not own:
        raise ValueError(f"source must hold a notebook's {' or '.join(FILES)}; {folder} holds none of them")
    names: dict[str, Path] = {}
    for place in own:
        name = notebook_name(place.name)
        if not name:
            raise ValueError(
                "source: a notebook's folder must be named by letters or digits, more only behind a dash, "
                f"without dots, like '20-my-topic'; got {place.name!r}"
            )
        if name in names:
            raise ValueError(
                f"source: {names[name]} and {place} are both notebook {name!r}; rename one of them"
            )
        names[name] = place
        yield name, place


def _is_notebook(folder: Path) -> bool:
    hidden = folder.name.startswith((".", "_"))
    return not hidden and folder.is_dir() and any((folder / name).exists() for name in FILES)


# Running a checks.py that is in no package


def _stamp(*folders: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a Python file in one of the folders is edited, added or removed."""
    found = sorted(path for folder in set(folders) for path in folder.glob("*.py"))
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found)


def _run(folder: Path, inside: str, stamp: tuple[Any, ...]) -> ModuleType:
    """Import ``inside`` as if ``folder`` were a package, so that a file can import what lies beside it."""
    with _ONE_AT_A_TIME:
        return _run_afresh(folder, inside, stamp)


@functools.lru_cache(maxsize=64)
def _run_afresh(folder: Path, inside: str, _stamp: tuple[Any, ...]) -> ModuleType:
    name = f"_course_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    for old in [old for old in list(sys.modules) if old.partition(".")[0] == name]:
        del sys.modules[old]
    package = ModuleType(name, f"The course in {folder}.")
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    importlib.invalidate_caches()
    with _no_bytecode():
        return importlib.import_module(f"{name}.{inside}")


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Leave no ``__pycache__`` behind: it takes a file edited twice in a second for the old one."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _reason(error: BaseException, path: Path) -> str:
    """Return in one line what keeps the file at ``path`` from being run, and where."""
    where = str(path)
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        frames.append((error.filename or "", error.lineno))
    ours = [(file, line) for file, line in frames if Path(file).parent in (path.parent, path.parent.parent)]
    if ours:
        where = f"{ours[-1][0]}, line {ours[-1][1]}"
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    missing = error.name if isinstance(error, ModuleNotFoundError) else ""
    beside = missing and (path.parent / f"{missing}.py").exists()
    advice = f"; what lies beside it is imported as 'from . import {missing}'" if beside else ""
    return f"{where}: {type(error).__name__}: {' '.join(said.split())}{advice}"
