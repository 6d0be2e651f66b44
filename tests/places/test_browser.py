"""Real JupyterLab in a real Chromium: every notebook runs, every panel is drawn and obeys the keyboard."""

from pathlib import Path

import nbformat
import pytest
from notebook_health import WIDGET_VIEW

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "screenshots"
KINDS = {"slider", "toggle", "dropdown", "square", "button"}
browser = pytest.importorskip("browser", reason="needs playwright")
pytestmark = pytest.mark.skipif(browser.chromium() is None, reason="needs Chromium: apt install chromium")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    return folder, browser.copy_of(ROOT / "notebooks", folder)


@pytest.fixture(scope="module")
def reader(names):
    SCREENSHOTS.mkdir(exist_ok=True)
    with browser.course(names[0]) as someone:
        yield someone


def stored_panels(path):
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    return sum(WIDGET_VIEW in output.get("data", {}) for output in outputs)


@pytest.mark.timeout(1200)
def test_every_notebook_runs_and_its_panels_obey(reader, names):
    _, course = names
    moved = set()
    for name in course:
        reader.open(name)
        reader.run_all()
        assert reader.faults() == [], name
        panels = reader.panels()
        assert len(panels) == stored_panels(ROOT / "notebooks" / name), name
        for number, panel in enumerate(panels, 1):
            moved |= try_out(panel, SCREENSHOTS / f"{Path(name).stem}-{number}")
        reader.close()
    assert moved >= KINDS


def try_out(panel, path):
    """Move one control of each kind, keep two pictures of the panel, and return the kinds that changed it.

    Not every control has to: a brush changes what the next stroke does. That each does what it should is held
    without a browser, in tests/widgets.
    """
    assert panel.drawn, path.name
    panel.root.screenshot(path=f"{path}.png")
    controls = panel.controls()
    if "slider" in controls:  # first: another control may switch it off
        assert panel.drag(controls["slider"], 40), f"{path.name}: the mouse changes nothing"
    changed = {kind for kind, control in controls.items() if panel.press(kind, control)}
    assert changed, f"{path.name}: none of {sorted(controls)} changes the picture"
    panel.root.screenshot(path=f"{path}-moved.png")
    return changed
