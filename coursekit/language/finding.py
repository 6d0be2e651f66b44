"""Where this machine has a llama.cpp: in a Python package, or as a library beside a program on the path."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coursekit.language.llama_h import declared

__all__ = ["FORK", "INSTALLED", "ORDER", "PACKAGES", "binding", "place"]

FORK = "ik_llama_cpp"  # some of its kinds of files are its own
# Packages that carry llama.cpp, by the name that Python imports: what pip calls them.
PACKAGES = {
    "llama_cpp": "llama-cpp-python",
    "llama_cpp_py_sync": "llama-cpp-py-sync",
    FORK: "ik-llama-cpp-python",
}
# Their modules that declare its functions and structs for Python, where there is one.
MODULES = {"llama_cpp": "llama_cpp.llama_cpp", FORK: "ik_llama_cpp._ctypes_api"}
INSTALLED = "installed"  # by Homebrew, conda, or whoever built it
ORDER = ("llama_cpp", "llama_cpp_py_sync", INSTALLED, FORK)
PROGRAMS = ("llama-cli", "llama-server", "llama-quantize")
HEADERS = ("_cffi_bindings.py", "include/llama.h", "include/llama/llama.h")
LIBRARIES = (
    *("libllama.so", "libllama.dylib", "llama.dll", "bin/llama.dll"),
    *("lib*/libllama.so", "lib*/libllama.dylib", "lib/*/libllama.so"),
)


def place(package: str) -> Path | None:
    """Return a package's folder, or the one above that of llama.cpp's programs.

    Parameters
    ----------
    package : str
        A key of ``PACKAGES``, or ``INSTALLED``.

    Returns
    -------
    Path or None
        The folder, if there is one.
    """
    if package == INSTALLED:
        program = _program()
        return program and program.parents[1]
    spec = importlib.util.find_spec(package)
    return Path(next(iter(spec.submodule_search_locations or [""]))) if spec else None


def binding(package: str) -> str | dict[str, Any]:
    """Return what ``engine_worker.Library`` takes.

    Parameters
    ----------
    package : str
        A key of ``PACKAGES``, or ``INSTALLED``.

    Returns
    -------
    str or dict
        A module's name, or a library's path with what its header declares.

    Raises
    ------
    ValueError
        If there is no library with a header, or not of this form.
    """
    if package in MODULES:
        return MODULES[package]
    root = place(package)
    header, library = (next(_files(root, names), None) for names in (HEADERS, LIBRARIES))
    if header is None or library is None:
        name = getattr(_program(), "name", package)
        raise ValueError(f"{name} gives no logits, and there is no libllama with its llama.h in {root}")
    return {"path": str(library), **declared(header.read_text("utf-8", "replace"))}


def _program() -> Path | None:
    programs = (shutil.which(name) for name in PROGRAMS)
    return next((Path(program).resolve() for program in programs if program), None)


def _files(root: Path | None, names: tuple[str, ...]) -> Iterator[Path]:
    if root is not None:
        for name in names:
            yield from (path for path in sorted(root.glob(name)) if path.is_file())
