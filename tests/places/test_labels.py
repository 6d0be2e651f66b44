"""Every panel in real JupyterLab, light and dark, on a wide and on a narrow window: what it says can be read.

The panels are those of ``tools/examples.py``, on made-up measurements, so that all stand in one notebook.
"""

import nbformat
import pytest
from environments import ROOT

pytest.importorskip("playwright", reason="needs requirements-places.txt")
import browser
import chromium

from coursekit import widgets

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="needs Chromium: apt install chromium")
SCREENSHOTS = ROOT / "screenshots"
NAME = "panels.ipynb"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (1440, 1024)
# What is written beside, in or under a control, and is wider than its place.
CUT = """panel => [...panel.querySelectorAll('.widget-label, .widget-label-basic, .widget-readout, button')]
  .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth)
  .map(each => `${each.className}: ${each.textContent.trim()} (${each.scrollWidth} > ${each.clientWidth})`)"""
# How a pressed button differs from its unpressed neighbours, apart from its colours.
FRAMES = """panel => [...panel.querySelectorAll('.widget-toggle-button')]
  .map(each => [each.classList.contains('mod-active'), getComputedStyle(each).boxShadow !== 'none',
                getComputedStyle(each).textDecorationLine === 'underline'])"""
# What the page makes of the picture's upper left corner, which is its ground.
FILTER = "image => getComputedStyle(image).filter"


def notebook(folder):
    """Write a notebook with a cell per panel."""
    cells = [
        nbformat.v4.new_code_cell(
            f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tools')!r}]\n"
            "import examples\nfrom coursekit import runtime\nruntime.start()"
        ),
        *(nbformat.v4.new_code_cell(f"examples.moving({name!r})") for name in widgets.PANELS),
        nbformat.v4.new_code_cell("examples.plot('comparison.bars')"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / NAME)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panels")
    notebook(folder)
    SCREENSHOTS.mkdir(exist_ok=True)
    with browser.course(folder) as someone:
        someone.open(NAME)
        someone.run_all()
        assert someone.faults() == []
        yield someone
        someone.close()


def wear(reader, theme):
    """Choose a theme in JupyterLab's own menu and wait until the page has it."""
    page = reader.page
    page.click('.lm-MenuBar-itemLabel:text("Settings")')
    page.hover('.lm-Menu-itemLabel:text-is("Theme")')
    page.click(f'.lm-Menu-itemLabel:text-is("{THEMES[theme]}")')
    light = str(theme == "light").lower()
    page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
def test_nothing_is_cut_and_what_is_pressed_shows(reader, theme, width):
    reader.page.set_viewport_size({"width": width, "height": 1000})
    wear(reader, theme)
    cut = {}
    for name, panel in zip(widgets.PANELS, reader.panels(len(widgets.PANELS)), strict=True):
        cut[name] = panel.root.evaluate(CUT)
        for pressed, framed, underlined in panel.root.evaluate(FRAMES):
            assert pressed == framed == underlined, name
        assert (panel.picture.evaluate(FILTER) != "none") is (theme == "dark"), name
        panel.root.screenshot(path=SCREENSHOTS / f"panel-{name}-{theme}-{width}.png")
    assert {name: found for name, found in cut.items() if found} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_a_plain_picture_follows_the_page(reader, theme):
    wear(reader, theme)
    picture = reader.page.locator(".jp-RenderedImage img").last
    assert (picture.evaluate(FILTER) != "none") is (theme == "dark")
    picture.screenshot(path=SCREENSHOTS / f"picture-{theme}.png")


def test_there_are_labels_to_cut(reader):
    """Squeeze one: the measure finds it."""
    panel = reader.panels(len(widgets.PANELS))[0]
    label = panel.root.locator(".widget-label").first
    label.evaluate("each => { each.style.width = '10px'; }")
    assert len(panel.root.evaluate(CUT)) == 1
