"""Where the installed coursekit says that its course lies: the repository, and the tag or commit of it."""

import importlib.metadata
import re

__all__ = ["repository", "source"]

_REF = re.compile(r"/blob/([^/]+)/")
# As GitHub allows owners to be called: a copy that nobody has given an address yet does not match.
_GITHUB = re.compile(r"https://github\.com/[A-Za-z0-9][A-Za-z0-9-]*/[\w.-]+")


def repository() -> tuple[str, str] | None:
    """Return address and tag, None where coursekit is not installed or says neither."""
    try:
        known = importlib.metadata.metadata("coursekit").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    urls = dict(line.split(", ", 1) for line in known)
    ref = _REF.search(urls.get("Changelog", ""))
    return (urls["Repository"], ref[1]) if ref and "Repository" in urls else None


def source(path: str) -> str:
    """Return the link to a file of the repository; "" where its address is not known."""
    known = repository()
    if known is None or not _GITHUB.fullmatch(known[0]):
        return ""
    return f"{known[0]}/blob/{known[1]}/{path}"
