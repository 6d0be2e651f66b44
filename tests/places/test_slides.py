"""The decks as a lecture hall shows them: from files, without a network, every page within its bounds."""

import generated
import nbformat
import pages
import pytest
import slides
import web
from build_notebooks import Course

for package in ("sphinx_revealjs", "latex2mathml"):
    pytest.importorskip(package, reason="needs requirements-site.txt")
NOTEBOOKS = Course().students()
SCREENSHOTS = generated.ROOT / "screenshots"
# Of 28 pixels on a slide of 720: type that the back row can still read.
SMALLEST = 0.85
MEASURE = """() => {
  const page = Reveal.getCurrentSlide();
  const pictures = [...page.querySelectorAll("img")].map((image) =>
    Math.min(image.clientHeight / image.naturalHeight, image.clientWidth / image.naturalWidth));
  const wide = [...page.querySelectorAll("*")].some((box) => box.scrollWidth > 1281);
  const [size, height] = [parseFloat(page.style.fontSize), page.scrollHeight];
  return {size, height, wide, pictures, text: page.innerText};
}"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with a space") / "slides"
    folder.mkdir(parents=True)
    (folder / "00-gone.html").write_text(slides.OURS)
    (folder / "mine.html").write_text("not a deck of the course")
    slides.build(folder)
    (folder / "mine.html").unlink()  # fails if the build has done it
    return folder


def test_every_notebook_has_a_deck_with_all_its_pictures(decks):
    assert [path.stem for path in web.html_files(decks)] == sorted(path.stem for path in NOTEBOOKS)
    for path in NOTEBOOKS:
        stored = [output for cell in nbformat.read(path, 4).cells for output in pages.pictures(cell)]
        assert [image["alt"] for image in web.parsed(decks / f"{path.stem}.html").find_all("img")] == [
            output.metadata["image/png"]["alt"] for output in stored
        ]


def test_a_reveal_with_its_files_elsewhere_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(slides, "REVEAL_FILES", ("dist/reveal.*s", "dist/no-such-theme.css"))
    with pytest.raises(FileNotFoundError, match=r"sphinx-revealjs has no dist/no-such-theme\.css"):
        slides.install_reveal(tmp_path)


def test_nothing_in_a_deck_comes_from_elsewhere(decks):
    assert web.loaded_from_elsewhere(decks) == []


def test_every_link_in_a_deck_leads_somewhere(decks):
    assert web.broken_links(decks) == []


@pytest.mark.timeout(900)
def test_every_page_fits_and_can_be_read_from_the_back_row(decks):
    SCREENSHOTS.mkdir(exist_ok=True)
    with web.opened() as (page, asked, complaints):
        for path in web.html_files(decks):
            page.goto(path.as_uri())
            page.wait_for_function("Reveal.isReady()")
            faults = []
            for h, v in page.evaluate("Reveal.getSlides().map(Reveal.getIndices).map(({h, v}) => [h, v])"):
                page.evaluate("([h, v]) => Reveal.slide(h, v, 99)", [h, v])
                seen = page.evaluate(MEASURE)
                small = seen["size"] < SMALLEST or any(scale < SMALLEST for scale in seen["pictures"])
                if small or seen["wide"] or seen["height"] > 720 or not (seen["text"] or seen["pictures"]):
                    faults.append((path.stem, h + 1, v + 1, seen))
            assert faults == []
            page.evaluate("Reveal.slide(1, 0, 99)")
            page.screenshot(path=SCREENSHOTS / f"slides-{path.stem}.png")
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert complaints == []


def test_formulas_in_code_stay_as_they_are():
    shown = pages.FORMULA.sub(slides.mathml, "cost `$a$`, $b^2$ and\n```\n$c$\n```\n$$d$$")
    assert shown.count("<math") == 2
    assert 'display="block"' in shown
    assert "`$a$`" in shown
    assert "\n$c$\n" in shown
