"""Courses as files: a folder per notebook, with its ``checks.py``, ``claims.toml`` and ``quiz.toml``."""

import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

OURS = "coursekit.course"
CHECKS, CLAIMS, QUIZ = FILES = ("checks.py", "claims.toml", "quiz.toml")
SHORT = re.compile(r"nb(\d\d|[A-Z])")  # a number or a letter cannot begin a package's name
NAME = re.compile(r"[A-Za-z0-9]+")

Source = ModuleType | str | PathLike[str]


class Course:
    """The checks, claims and quizzes of a course's notebooks, found in a package or in a folder.

    Every folder in it that holds a ``checks.py``, ``claims.toml`` or ``quiz.toml`` belongs to one notebook;
    a source that holds them itself is a course of one notebook. The folder's name up to its first dash is the
    notebook's, and every id begins with it: ``20-my-topic`` holds the claim "20-…"; ``nb05`` stands for "05".

    Parameters
    ----------
    source : module, str or path
        A package that can be imported (the module or its name), or a folder.

    Raises
    ------
    TypeError, ValueError
        If there is no such package or folder, it has no notebook, or two of one name.

    """

    def __init__(self, source: Source) -> None:
        self.package, self.folder = _place(source)
        self.notebooks: Mapping[str, Path] = MappingProxyType(dict(_notebooks(self.folder)))

    def __repr__(self) -> str:
        return f"Course {self.package or self.folder}: {', '.join(self.notebooks)}"

    def checkers(self, notebook: str) -> Mapping[str, Any]:
        """Return the ``CHECKERS`` in a notebook's ``checks.py``, by exercise id; empty where it has none.

        Raises
        ------
        ValueError
            If the file has no ``CHECKERS``, or one whose id belongs to another notebook.

        """
        path = self.notebooks[notebook] / CHECKS
        if not path.exists():
            return {}
        found = getattr(self._checks(path), "CHECKERS", None)
        if not isinstance(found, Mapping):
            raise ValueError(f"{path} must define CHECKERS, a dict of exercise id to function")
        strange = [id for id in found if not str(id).startswith(f"{notebook}-")]
        if strange:
            raise ValueError(f"{path}: ids must begin with {notebook!r}-; got {strange[0]!r}")
        return found

    def _checks(self, path: Path) -> ModuleType:
        if self.package:
            inside = path.with_suffix("").relative_to(self.folder).parts
            return importlib.import_module(".".join((self.package, *inside)))
        return _loaded(path, path.stat().st_mtime_ns)


def use(source: Course | Source) -> Course:
    """Add a course to those that ``check``, ``quiz``, ``predict`` and ``claims.show`` look into; return it.

    Doing so again is harmless and finds notebooks that were added meanwhile.

    Parameters
    ----------
    source : Course, module, str or path
        What ``Course`` takes: a package or a folder.

    Raises
    ------
    TypeError, ValueError
        As ``Course``, and if another course has a notebook of the same name.

    """
    course = source if isinstance(source, Course) else Course(source)
    others = [other for other in courses() if other.folder != course.folder]
    for other in others:
        if taken := sorted(set(other.notebooks) & set(course.notebooks)):
            raise ValueError(
                f"source has a notebook {taken[0]!r} ({course.notebooks[taken[0]]}), and so has {other!r}; "
                "rename the folder"
            )
    _added()[:] = [other for other in _added() if other.folder != course.folder]
    if course.folder != _ours().folder:
        _added().append(course)
    return course


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


@functools.cache
def _ours() -> Course:
    return Course(OURS)


@functools.cache
def _added() -> list[Course]:
    return []


def _place(source: Any) -> tuple[str, Path]:
    """Return the package's name (empty for a folder) and the folder."""
    if isinstance(source, ModuleType):
        if not getattr(source, "__path__", None):
            raise TypeError(f"source must be a package or a folder; got the module {source.__name__!r}")
        return source.__name__, Path(source.__path__[0]).resolve()
    if not isinstance(source, str | PathLike):
        raise TypeError(f"source must be a package or a folder; got {source!r} ({type(source).__name__})")
    if isinstance(source, str) and all(part.isidentifier() for part in source.split(".")):
        places = _search_path(source)
        if places:
            return source, Path(places[0]).resolve()
    folder = Path(fspath(source)).expanduser()
    if not folder.is_dir():
        raise ValueError(f"source must be a package or a folder; there is neither at {str(source)!r}")
    return "", folder.resolve()


def _search_path(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return [] if spec is None else list(spec.submodule_search_locations or [])


def _notebooks(folder: Path) -> Iterator[tuple[str, Path]]:
    own = [folder] if _is_notebook(folder) else sorted(filter(_is_notebook, folder.iterdir()))
    if not own:
        raise ValueError(f"source must hold a notebook's {' or '.join(FILES)}; there is none in {folder}")
    names: dict[str, Path] = {}
    for place in own:
        name = SHORT.sub(r"\1", place.name).partition("-")[0]
        if not NAME.fullmatch(name):
            raise ValueError(f"a notebook's folder must begin with letters or digits; got {place.name!r}")
        if name in names:
            raise ValueError(f"{names[name]} and {place} are both notebook {name!r}; rename one of them")
        names[name] = place
        yield name, place


def _is_notebook(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).exists() for name in FILES)


@functools.lru_cache(maxsize=64)
def _loaded(path: Path, _changed: int) -> ModuleType:
    """Run a file that is in no package; as if it were one, so that it can import what lies beside it."""
    name = f"_course_of_{abs(hash(path.parent))}"
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
