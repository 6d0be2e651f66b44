"""What readers without a kernel get: the sources of the course site, and how slides are cut into pages."""

import base64
import re
from pathlib import PurePosixPath

import course_site
import generated
import nbformat
import pages
import pytest
import slides
from build_notebooks import Course

ROOT = generated.ROOT
REPO = generated.repository(ROOT)
COURSE = Course(ROOT)
NOTEBOOKS = COURSE.students()
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def text(source, kind="fragment"):
    return nbformat.v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}})


def code(source, *outputs):
    return nbformat.v4.new_code_cell(
        source, outputs=list(outputs), metadata={"slideshow": {"slide_type": "-"}}
    )


def printed(lines):
    return nbformat.v4.new_output("stream", name="stdout", text="out\n" * lines)


def drawn(height=400):
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (700).to_bytes(4) + height.to_bytes(4)
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": "A line."}
    return nbformat.v4.new_output("display_data", data=data)


def cut(*cells):
    """Return the pages: lists of what their cells say."""
    made = []
    for cell in slides.paged([text("# Title", "slide"), *cells]):
        if slides.slide_type(cell) in ("slide", "subslide"):
            made.append([])
        made[-1].append(cell.source or "result")
    return made


def said(cells):
    return "".join("".join(cell.source.split()) for cell in cells)


def results(cells):
    return [output for cell in cells for output in cell.get("outputs", [])]


# Links


def test_badges_become_buttons_with_the_same_addresses():
    row = pages.with_buttons(generated.badges(REPO, PurePosixPath("notebooks/01-toy.ipynb")))
    assert re.findall(r'<a class="launch" href="([^"]+)">', row) == [
        REPO.colab("notebooks/01-toy.ipynb"),
        REPO.binder("notebooks/01-toy.ipynb"),
    ]
    assert "![" not in row
    assert "[Solutions](solutions/01-toy.ipynb)" in row


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("../docs/contributing.md", "../docs/contributing.md"),
        ("../README.md", REPO.source("README.md")),
        ("../README.md#start", REPO.source("README.md") + "#start"),
        ("../docs/contributing.md#rules", "../docs/contributing.md#rules"),
        ("source/01-floating-point-basics.py", REPO.source("notebooks/source/01-floating-point-basics.py")),
        ("no-such-file.md", "no-such-file.md"),
        ("https://example.org/README.md", "https://example.org/README.md"),
        ("#quiz", "#quiz"),
    ],
)
def test_links_to_what_the_site_does_not_show_lead_to_github(link, leads_to):
    shown = {PurePosixPath("docs/contributing.md")}
    file = PurePosixPath("notebooks/01-toy.ipynb")
    assert pages.relinked(f"See [it]({link}).", file, ROOT, shown) == f"See [it]({leads_to})."


# The site's sources


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    course_site.lay_out(ROOT, folder)
    return folder


@every
def test_every_notebook_and_its_solution_are_pages(sources, path):
    student, solved = (
        read(sources / COURSE.relative(each)) for each in (path, path.parent / "solutions" / path.name)
    )
    assert "http" not in "".join(re.findall(r"!\[[^]]*\]\(([^)]*)", student.cells[0].source))
    assert f"](solutions/{path.name})" in student.cells[0].source
    assert len(student.cells) == len(read(path).cells)
    assert f"](../{path.name})" in solved.cells[0].source


@every
def test_pictures_have_their_alt_text_where_the_site_looks_for_it(sources, path):
    for before, after in zip(read(path).cells, read(sources / COURSE.relative(path)).cells, strict=True):
        for picture in pages.pictures(before):
            assert picture.metadata["image/png"]["alt"] in after.metadata["mystnb"]["image"]["alt"]


@every
def test_the_first_page_has_a_card_with_buttons_for_every_notebook(sources, path):
    index = (sources / "index.md").read_text(encoding="utf-8")
    file = COURSE.relative(path)
    assert f'href="{file.with_suffix(".html")}"' in index
    assert f'href="{REPO.colab(str(file))}"' in index
    assert f'href="{REPO.binder(str(file))}"' in index
    assert f"\n{file.with_suffix('')}\n" in index
    assert "{{" not in index


# Slides


def test_a_page_takes_what_fits_and_text_goes_with_its_code():
    assert cut(text("one"), code("two", printed(3)), text("three")) == [["# Title", "one", "two", "three"]]
    assert cut(text("one"), code("two", printed(15)), text("three"), code("four", printed(8))) == [
        ["# Title", "one", "two"],
        ["three", "four"],
    ]


def test_what_one_page_cannot_hold_is_two():
    assert cut(code("\n".join("abcdefghijklmno"), drawn())) == [
        ["# Title", "\n".join("abcdefghijklmno")],
        ["result"],
    ]
    assert cut(code("draw", drawn())) == [["# Title", "draw"]]
    assert cut(code("draw", drawn(height=700))) == [["# Title", "draw"]]
    assert cut(code("draw", drawn()), code("more", printed(9))) == [["# Title", "draw"], ["more"]]
    assert cut(code("draw", drawn(height=200)), code("more", printed(9))) == [["# Title", "draw", "more"]]


def test_headings_open_pages_even_inside_a_cell_and_are_never_left_alone():
    assert cut(text("end\n\n## Next\n\nstart")) == [["# Title", "end"], ["## Next\n\nstart"]]
    assert cut(text("## Long", "slide"), code("x", printed(22))) == [
        ["# Title"],
        ["## Long", "x"],
    ]


@every
def test_slides_show_everything_but_the_set_up_and_what_is_skipped(path):
    kept = [cell for cell in read(path).cells if "%pip install" not in cell.source]
    before = [cell for cell in kept if slides.slide_type(cell) != "skip"]
    assert len(before) >= len(kept) - 1
    after = list(slides.paged(read(path).cells))
    assert said(after) == said(before)
    assert results(after) == results(before)
    assert len({cell.id for cell in after}) == len(after)


@every
def test_no_page_is_much_too_full(path):
    used = 0.0
    for cell in slides.paged(read(path).cells):
        used = slides.lines(cell) + (0.0 if slides.slide_type(cell) in ("slide", "subslide") else used)
        assert used <= 1.4 * slides.PAGE, cell.source
