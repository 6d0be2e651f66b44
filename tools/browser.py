"""Drive the notebooks as a reader does: JupyterLab behind, Chromium in front, keyboard and mouse between.

Needs playwright and a Chromium of the system (apt install chromium); nothing is downloaded.
"""

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lab
import nbformat
from playwright.sync_api import Locator, Page, TimeoutError, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
SETTINGS = {  # every cell stays in the page, also far below what the window shows; no questions
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}',
    "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
WINDOW = {"width": 1300, "height": 1000}
OPEN_MS, RUN_MS, REDRAW_MS = 120_000, 300_000, 10_000
# Every cell has run (its prompt holds a number), or one has failed and the rest never will.
ALL_RAN = """() => {
  const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
  const failed = document.querySelector('[data-mime-type="application/vnd.jupyter.error"]');
  return failed || (prompts.length && prompts.every(prompt => /\\[\\d+\\]/.test(prompt.textContent)));
}"""
FAULTS = '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'
PICTURE = "img.widget-image"
# What a reader moves, and the key that moves it once it has the focus.
CONTROLS = {
    "slider": (".noUi-target:not([disabled]) .noUi-handle", "ArrowRight"),
    "toggle": (".widget-toggle-button:enabled:not(.mod-active)", "Space"),
    "dropdown": (".widget-dropdown select:enabled", "Space ArrowDown Enter"),
    "checkbox": (".widget-checkbox input:enabled", "Space"),
    "square": ('button.widget-button[title^="row "]', "Space"),  # of a paint grid
    "button": ('button.widget-button:not(.widget-toggle-button, [title^="row "]):enabled', "Space"),
}
BACK = {"ArrowRight": "ArrowLeft", "ArrowDown": "ArrowUp"}
AT_ITS_END = """control => control.options
  ? control.selectedIndex == control.options.length - 1
  : control.ariaValueNow && control.ariaValueNow == control.ariaValueMax"""


def chromium() -> str | None:
    """Return the path of the system's Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def course(folder: Path) -> Iterator["Reader"]:
    """Serve the notebooks in ``folder`` to a browser inside the block; both are gone after it."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        server, address, token = _serve(folder, Path(scratch))
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS])
            yield Reader(browser.new_page(viewport=WINDOW), address, token)
            browser.close()
        finally:
            lab.stop(server)


def _serve(folder: Path, scratch: Path) -> tuple[subprocess.Popen[bytes], str, str]:
    for name, text in SETTINGS.items():
        path = scratch / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    token, port = secrets.token_hex(16), lab.free_port(9700)
    rooms = {f"JUPYTER_{name}_DIR": str(scratch / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    rooms |= {f"JUPYTERLAB_{name}_DIR": str(scratch / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    env = {**lab.environment(token), **rooms, "COURSEKIT_HOME": str(scratch / "results")}
    # Its messages would be a wall: what fails shows in the page.
    server = subprocess.Popen(
        lab.command(port, folder), env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        lab.wait(server, port, token)
    except BaseException:
        lab.stop(server)
        raise
    return server, f"http://{lab.HOST}:{port}", token


class Reader:
    """Someone who sits in front of the browser and has at most one notebook open."""

    def __init__(self, page: Page, address: str, token: str) -> None:
        self.page, self.address, self.token = page, address, token
        self.header = {"Authorization": f"token {token}"}

    def open(self, name: str) -> None:
        """Open a notebook and wait until its kernel is ready."""
        self.page.goto(f"{self.address}/lab/tree/{name}?reset&token={self.token}")
        idle = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
        self.page.wait_for_selector(idle, timeout=OPEN_MS)
        deadline = time.monotonic() + OPEN_MS / 1000
        while not any(k["connections"] and k["execution_state"] == "idle" for k in self.kernels()):
            assert time.monotonic() < deadline, f"{name}: the page does not connect to its kernel"
            self.page.wait_for_timeout(200)

    def run_all(self) -> None:
        """Choose Run > Run All Cells and wait until all have run, or one has failed."""
        self.page.click('.lm-MenuBar-itemLabel:text("Run")')
        self.page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        self.page.wait_for_function(ALL_RAN, timeout=RUN_MS)

    def close(self) -> None:
        """Shut the kernel down, so that the next notebook has the machine for itself."""
        for kernel in self.kernels():
            self.page.request.delete(f"{self.address}/api/kernels/{kernel['id']}", headers=self.header)

    def kernels(self) -> list[dict[str, Any]]:
        """Return what the server says about its kernels."""
        return self.page.request.get(f"{self.address}/api/kernels", headers=self.header).json()

    def faults(self) -> list[str]:
        """Return the texts of errors and of stderr that the page shows."""
        return self.page.locator(FAULTS).all_inner_texts()

    def panels(self) -> list["Shown"]:
        """Return the panels on the page, from top to bottom."""
        outputs = self.page.locator(".jp-OutputArea-output").filter(has=self.page.locator(PICTURE))
        return [Shown(each) for each in outputs.all()]


class Shown:
    """A panel as the page shows it."""

    def __init__(self, root: Locator) -> None:
        self.root, self.picture = root, root.locator(PICTURE).first

    @property
    def drawn(self) -> bool:
        """Whether the picture has arrived and has an alternative text."""
        return self.picture.evaluate("image => image.complete && image.naturalWidth > 100")

    def controls(self) -> dict[str, Locator]:
        """Return the first control of each kind that the panel has."""
        found = {kind: self.root.locator(selector).first for kind, (selector, _) in CONTROLS.items()}
        return {kind: control for kind, control in found.items() if control.count() and control.is_visible()}

    def press(self, kind: str, control: Locator) -> bool:
        """Move a control from the keyboard; return whether a new picture came."""
        if not control.count():  # another control has switched it off
            return False
        before = self.picture.get_attribute("src")
        control.focus()
        at_its_end = control.evaluate(AT_ITS_END)
        for key in CONTROLS[kind][1].split():
            self.root.page.keyboard.press(BACK.get(key, key) if at_its_end else key)
        return self.changes(before)

    def drag(self, handle: Locator, pixels: int) -> bool:
        """Drag a slider's handle sideways with the mouse; return whether a new picture came."""
        before = self.picture.get_attribute("src")
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse = self.root.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + pixels, y, steps=8)
        mouse.up()
        return self.changes(before)

    def changes(self, before: str | None) -> bool:
        """Wait for another picture than ``before``; False if none comes in time."""
        try:
            self.root.page.wait_for_function(
                "([image, before]) => image.src !== before && image.complete",
                arg=[self.picture.element_handle(), before],
                timeout=REDRAW_MS,
            )
        except TimeoutError:
            return False
        return True


def copy_of(notebooks: Path, folder: Path) -> list[str]:
    """Copy the notebooks to ``folder``, without outputs: what the page shows has just been computed."""
    names = sorted(path.name for path in notebooks.glob("*.ipynb"))
    for name in names:
        notebook = nbformat.read(notebooks / name, 4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / name)
    return names
