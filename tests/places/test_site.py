"""The course site as a reader opens it: from files, without a network and without a kernel."""

import re
import subprocess
import sys

import chromium
import digits_page
import generated
import nbformat
import pages
import pytest
import web
from build_notebooks import Course

ROOT = generated.ROOT
REPO = generated.repository(ROOT)
COURSE = Course()
NOTEBOOKS = list(map(COURSE.relative, COURSE.students()))
SCREENSHOTS = ROOT / "screenshots"
for package in ("sphinx", "sphinx_book_theme", "myst_nb", "sphinx_revealjs", "latex2mathml"):
    pytest.importorskip(package, reason="needs requirements-site.txt")
pytestmark = pytest.mark.timeout(900)  # the first test waits until the whole site is built
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with a space") / "site"
    command = [sys.executable, str(ROOT / "tools" / "course_site.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_nothing_on_the_site_comes_from_elsewhere(site):
    assert web.loaded_from_elsewhere(site) == []


def test_every_link_on_the_site_leads_somewhere(site):
    assert web.broken_links(site) == []


def test_the_page_of_notebook_f_is_there_where_it_can_be_made(site):
    page = site / digits_page.FOLDER / "index.html"
    assert page.exists() == digits_page.available()
    links = [link["href"] for link in web.parsed(site / "index.html").select("a[href]")]
    assert (f"{digits_page.FOLDER}/index.html" in links) == digits_page.available()


def test_every_picture_on_the_site_is_said_in_words(site):
    assert web.pictures_without_words(site) == []


@every
def test_a_page_shows_all_pictures_and_no_remains_of_widgets(site, path):
    page = web.parsed(site / path.with_suffix(".html"))
    stored = [output for cell in nbformat.read(ROOT / path, 4).cells for output in pages.pictures(cell)]
    assert stored
    assert [image["alt"] for image in page.select(".cell_output img")] == [
        output.metadata["image/png"]["alt"] for output in stored
    ]
    assert "widget" not in " ".join(tag.get("type", "") for tag in page.find_all("script"))


@every
def test_a_page_has_its_buttons_its_solution_and_its_slides(site, path):
    page = web.parsed(site / path.with_suffix(".html"))
    assert [button["href"] for button in page.select("a.launch")] == [
        REPO.colab(str(path)),
        REPO.binder(str(path)),
    ]
    links = {link["href"] for link in page.select("article a[href]")}
    assert {
        f"solutions/{path.stem}.html",
        f"{'../' * len(path.parent.parts)}slides/{path.stem}.html",
    } <= links


@every
def test_formulas_are_drawn_by_the_browser_itself(site, path):
    page = web.parsed(site / path.with_suffix(".html"))
    prose = " ".join(
        cell.source for cell in nbformat.read(ROOT / path, 4).cells if cell.cell_type == "markdown"
    )
    formulas = [match for match in pages.FORMULA.finditer(prose) if not match["code"]]
    assert len(page.find_all("math")) == len(formulas)


def test_the_site_opens_without_a_request_or_an_error(site):
    SCREENSHOTS.mkdir(exist_ok=True)
    with web.opened() as (page, asked, complaints):
        for path in (site / "index.html", *(site / path.with_suffix(".html") for path in NOTEBOOKS)):
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 800})
                page.goto(path.as_uri())
                wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert wider <= 0, f"{path.name} is wider than {width} pixels"
                page.screenshot(path=SCREENSHOTS / f"site-{path.stem}-{width}.png")
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert complaints == []


@pytest.mark.long
@pytest.mark.skipif(chromium.find() is None, reason="needs Chromium: apt install chromium")
def test_the_course_is_printed(tmp_path):
    output = tmp_path / "with a space.pdf"
    command = [sys.executable, str(ROOT / "tools" / "course_pdf.py"), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = output.read_bytes()
    assert made.startswith(b"%PDF")
    assert made.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b(?!s)", made)) > 10 * len(NOTEBOOKS)
