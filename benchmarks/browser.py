"""Browser: milliseconds from a mouse move to the new picture, in JupyterLab in Chromium.

A drag in real JupyterLab: from the browser's own event to the moment when it has decoded the picture, the way
to the kernel and back included. Needs `make places` once (playwright) and a Chromium of the system.
"""

import contextlib
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from coursekit._core import display

ROOT = Path(__file__).parents[1]
REACH, STEP = 96, 4  # pixels: a drag to the left, then as far to the right; and one mouse move
PATIENCE_MS = 1000  # a move may change the value and leave the picture as it is
# Each time the picture loads, note how long ago the last move was.
WATCH = """image => {
  window.waits = [];
  for (const event of ['pointermove', 'pointerup'])
    document.addEventListener(event, () => { window.moved ??= performance.now(); }, true);
  image.addEventListener('load', () => image.decode().then(() => {
    if (window.moved) window.waits.push(performance.now() - window.moved);
    window.moved = undefined;
  }));
}"""


def main() -> None:
    """Print one row per panel that has a slider."""
    sys.path.append(str(ROOT / "tools"))
    try:
        browser = importlib.import_module("browser")
    except ModuleNotFoundError as error:
        print(f"not measured: {error.name} is missing (make places)")
        return
    if browser.chromium.find() is None:
        print("not measured: there is no Chromium (apt install chromium)")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        stored = browser.copy_of(ROOT, Path(folder))
        with browser.course(Path(folder)) as reader:
            for name, panels in stored.items():
                rows += _measure(reader, name, panels, browser.TimeoutError)
    print(display.table_text(("notebook", "panel", "pictures", "median", "9 of 10 below"), rows))


def _measure(reader: Any, name: str, panels: int, nothing: type[Exception]) -> list[tuple[str, ...]]:
    reader.open(name)
    reader.run_all()
    rows = []
    for number, panel in enumerate(reader.panels(panels), 1):
        waits = _drag(panel, nothing) if "slider" in panel.controls() else []
        if waits:
            numbers = (f"{np.quantile(waits, share):.0f} ms" for share in (0.5, 0.9))
            rows.append((Path(name).stem[:12], str(number), str(len(waits)), *numbers))
    reader.close()
    return rows


def _drag(panel: Any, nothing: type[Exception]) -> list[float]:
    """Drag the panel's first slider to both sides and return the waits in ms.

    ``nothing`` is what playwright raises when a move brings no picture.
    """
    handle, page = panel.controls()["slider"], panel.root.page
    handle.scroll_into_view_if_needed()
    panel.picture.evaluate(WATCH)
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for shift in (*range(-STEP, -REACH, -STEP), *range(-REACH, REACH, STEP)):
        before = page.evaluate("() => { window.moved = undefined; return window.waits.length }")
        value = handle.get_attribute("aria-valuenow")
        page.mouse.move(x + shift, y)
        if handle.get_attribute("aria-valuenow") == value:  # too short a move for a coarse slider
            continue
        with contextlib.suppress(nothing):
            page.wait_for_function("n => window.waits.length > n", arg=before, timeout=PATIENCE_MS)
    page.evaluate("window.moved = undefined")
    page.mouse.up()
    if not page.evaluate("window.waits.length"):  # a slider whose panel is drawn when the mouse lets go
        page.wait_for_function("window.waits.length", timeout=PATIENCE_MS)
    return page.evaluate("window.waits")


if __name__ == "__main__":
    main()
