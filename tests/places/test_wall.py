"""The class page in Chromium, on the wall and on a desk: no table is cut, and nothing is asked for."""

import pytest
from environments import ROOT

pytest.importorskip("playwright", reason="needs requirements-places.txt")
import chromium
import simulated_class
from playwright.sync_api import sync_playwright

from coursekit import classroom
from coursekit._core import published

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="needs Chromium: apt install chromium")
SCREENSHOTS = ROOT / "screenshots"
CUT = """[...document.querySelectorAll('.wide')].filter(each => each.scrollWidth > each.clientWidth)
  .map(each => `${each.querySelector('th').textContent}: ${each.scrollWidth} > ${each.clientWidth}`)"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    simulated_class.simulate(folder, 200, seed=3)
    return classroom.read(folder)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024])
@pytest.mark.parametrize("present", [True, False], ids=["wall", "desk"])
def test_no_table_is_cut(found, tmp_path, monkeypatch, theme, width, present):
    monkeypatch.setattr(published, "repository", lambda: ("https://github.com/ada/course", "v1"))
    page = tmp_path / "class.html"
    page.write_text(classroom.page(found, present=present), encoding="utf-8")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium.find(), args=[*chromium.FLAGS])
        tab = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=theme)
        asked = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        SCREENSHOTS.mkdir(exist_ok=True)
        tab.screenshot(path=SCREENSHOTS / f"class-{'wall' if present else 'desk'}-{width}-{theme}.png")
        cut = tab.evaluate(CUT)
        browser.close()
    assert cut == []
    assert asked == [page.as_uri()]
