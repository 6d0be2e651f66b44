"""What must hold for every folder of built pages: nothing comes from elsewhere, nothing leads nowhere."""

import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup

ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_CSS = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
# What a page loads by itself; `a` is missing, because a reader decides to follow a link.
LOADED = {"src", "srcset", "poster", "data"}


@cache
def parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def html_files(folder: Path) -> list[Path]:
    """Return the pages in ``folder``: not the theme's templates, not reveal.js."""
    return sorted(p for p in folder.rglob("*.html") if not {"_static", "reveal"} & set(p.parts))


def loaded_from_elsewhere(folder: Path) -> list[str]:
    """Return what the pages and style sheets in ``folder`` load from other servers."""
    found = []
    for path in html_files(folder):
        page = parsed(path)
        values = [tag[key] for tag in page.find_all() for key in LOADED if tag.has_attr(key)]
        values += [tag["href"] for tag in page.find_all("link", href=True)]
        styles = [tag.get_text() for tag in page.find_all("style")] + [
            tag["style"] for tag in page.find_all(style=True)
        ]
        found += [value for value in values if ELSEWHERE.match(value)]
        found += IN_CSS.findall("\n".join(styles))
    for path in folder.rglob("*.css"):
        found += IN_CSS.findall(path.read_text(encoding="utf-8"))
    return found


def broken_links(folder: Path) -> list[str]:
    """Return the relative links, pictures, scripts and anchors in ``folder`` that lead nowhere."""
    found = []
    for path in html_files(folder):
        for tag in parsed(path).find_all():
            for key in {"href", "src"} & set(tag.attrs):
                target, _, anchor = tag[key].partition("#")
                if re.match(r"[a-z]+:", target) or ELSEWHERE.match(target):
                    continue
                place = path.parent / unquote(target.partition("?")[0]) if target else path
                if not place.exists() or (anchor and not has_anchor(place, unquote(anchor))):
                    found.append(f"{path.relative_to(folder)}: {tag[key]}")
    return found


def has_anchor(path: Path, anchor: str) -> bool:
    return path.suffix != ".html" or parsed(path).find(id=anchor) is not None


def pictures_without_words(folder: Path) -> list[str]:
    """Return the pictures in ``folder`` that have no alt text."""
    images = [(path, tag) for path in html_files(folder) for tag in parsed(path).find_all("img")]
    return [f"{path.name}: {str(tag)[:80]}" for path, tag in images if not tag.get("alt", "").strip()]


@contextmanager
def opened():
    """Yield a page of a real browser, and the lists of what it asks for and complains about."""
    pytest.importorskip("playwright", reason="needs requirements-places.txt")
    import chromium

    if chromium.find() is None:
        pytest.skip("needs Chromium: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.FLAGS])
        page = running.new_page(viewport={"width": 1280, "height": 720})
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, asked, complaints
        running.close()
