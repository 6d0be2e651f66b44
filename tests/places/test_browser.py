"""Real JupyterLab in a real Chromium: every notebook runs, every panel is drawn and obeys the keyboard."""

from pathlib import Path

import pytest
import students
from environments import ROOT

pytest.importorskip("playwright", reason="needs requirements-places.txt")
import browser
import chromium

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="needs Chromium: apt install chromium")
SCREENSHOTS = ROOT / "screenshots"
KINDS = {"slider", "toggle", "choice", "dropdown", "square", "action", "button"}
# The notebook whose button measures for a second; elsewhere it takes longer and shows nothing else.
MEASURES = "03"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    return folder, browser.copy_of(ROOT, folder)


@pytest.fixture(scope="module")
def someone(stored):
    SCREENSHOTS.mkdir(exist_ok=True)
    with browser.course(stored[0]) as reader:
        yield reader


@pytest.fixture
def reader(someone):
    yield someone
    someone.close()


@pytest.fixture(scope="module")
def seen():
    """Return the kinds of controls that changed a picture, and those that Tab reached, in all notebooks."""
    return {"moved": set(), "reached": set()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", students.ONE_BY_ONE)
def test_a_notebook_runs_and_its_panels_obey(reader, stored, seen, name):
    reader.open(name)
    reader.run_all()
    assert reader.faults() == []
    for number, panel in enumerate(reader.panels(stored[1][name]), 1):
        try_out(panel, SCREENSHOTS / f"{Path(name).stem}-{number}", seen)
    assert reader.faults() == []


def test_every_kind_of_control_moved_and_was_reached_by_tab(seen):
    assert seen["moved"] >= KINDS
    assert seen["reached"] >= KINDS


def try_out(panel, path, seen):
    """Move one control of each kind, keep two pictures of the panel, and note the kinds that changed it.

    Not every control has to: a brush changes what the next stroke does. That each does what it should is held
    without a browser, in tests/widgets.
    """
    assert panel.alternative, path.name
    panel.root.screenshot(path=f"{path}.png")
    controls = panel.controls()
    seen["reached"] |= {kind for kind, control in controls.items() if panel.reached(control)}
    if "slider" in controls:  # first: another control may switch it off
        # Between two or three values a short way is none.
        moved = any(panel.drag(controls["slider"], pixels) for pixels in (40, 160))
        assert moved, f"{path.name}: the mouse changes nothing"
    action = controls.pop("action", None)
    changed = {kind for kind, control in controls.items() if panel.press(kind, control)}
    assert changed, f"{path.name}: none of {sorted(controls)} changes the picture"
    if action and path.name.startswith(MEASURES):
        assert panel.act(action), f"{path.name}: a new measurement changes nothing"
        changed.add("action")
    seen["moved"] |= changed
    panel.rest()
    assert panel.message == "", path.name
    panel.root.screenshot(path=f"{path}-moved.png")
