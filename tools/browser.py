"""Drive the notebooks as a reader does: JupyterLab behind, Chromium in front, keyboard and mouse between.

Needs playwright and a Chromium of the system (apt install chromium); nothing is downloaded.
"""

import json
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chromium
import lab
import nbformat
from build_notebooks import Course
from playwright.sync_api import Locator, Page, TimeoutError, expect, sync_playwright

from coursekit.new.health import WIDGET_VIEW, clear_outputs

SETTINGS = {  # every cell stays in the page, also far below what the window shows; no questions
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}',
    "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
WINDOW = {"width": 1300, "height": 1000}
OPEN_MS, RUN_MS, REDRAW_MS = 120_000, 300_000, 10_000
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
# Every cell has run (its prompt holds a number), or one has failed and the rest never will. A folded cell's
# placeholder has a prompt without a number.
ALL_RAN = """() => {
  const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt:not(.jp-Placeholder *)')];
  const failed = document.querySelector('[data-mime-type="application/vnd.jupyter.error"]');
  return failed || (prompts.length && prompts.every(prompt => /\\[\\d+\\]/.test(prompt.textContent)));
}"""
FAULTS = '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'
PICTURE = "img.widget-image"
PROGRESS, ALTERNATIVE, MESSAGE = ".widget-hprogress", ".coursekit-alt", ".coursekit-message"
# For so many ms the kernel has been idle, and no new picture has come.
REST_MS = 400
AT_REST = f"""image => {{
  const busy = !document.querySelector('{IDLE}');
  if (busy || window.rest?.src !== image.src) window.rest = {{src: image.src, since: performance.now()}};
  return image.complete && performance.now() - window.rest.since > {REST_MS};
}}"""
# What a reader moves, and the key that moves it once it has the focus.
CONTROLS = {
    "square": ('button.widget-button[title^="row "]', "Space"),  # of a paint grid: before its brush moves
    "slider": (".noUi-target:not([disabled]) .noUi-handle", "ArrowRight"),
    "toggle": (".widget-toggle-button:enabled:not(.widget-toggle-buttons *)", "Space"),  # one bit
    "choice": (".widget-toggle-buttons button:enabled:not(.mod-active)", "Space"),
    "dropdown": (".widget-dropdown select:enabled", "Space ArrowDown Enter"),
    "checkbox": (".widget-checkbox input:enabled", "Space"),
    "action": ("button.coursekit-action:enabled", "Space"),  # works for a while, with a progress bar
    "button": (
        'button.widget-button:not(.widget-toggle-button, .coursekit-action, [title^="row "]):enabled',
        "Space",
    ),
}
BACK = {"ArrowRight": "ArrowLeft", "ArrowDown": "ArrowUp"}
AT_ITS_END = """control => control.options
  ? control.selectedIndex == control.options.length - 1
  : control.ariaValueNow && control.ariaValueNow == control.ariaValueMax"""

# Note that the bar was seen: fast work shows it for a moment only.
WATCH_BAR = """bar => {
  window.barSeen = false;
  const look = () => { window.barSeen ||= getComputedStyle(bar).visibility === 'visible'; };
  new MutationObserver(look).observe(bar, {attributes: true});
}"""
# Whether Tab comes to no other control of the panel before it comes to this one.
IS_FIRST = """(control, panel) => control === [...panel.querySelectorAll('button, select, input, [tabindex]')]
  .find(each => each.tabIndex >= 0 && !each.disabled && each.checkVisibility())"""


@contextmanager
def course(folder: Path) -> Iterator["Reader"]:
    """Serve the notebooks in ``folder`` to a browser inside the block; both are gone after it.

    Errors: RuntimeError if there is no Chromium; LabError if JupyterLab does not start.
    """
    if chromium.find() is None:
        raise RuntimeError("there is no Chromium on this machine: apt install chromium")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        server, address, token = _serve(folder, Path(scratch))
        try:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.FLAGS])
            yield Reader(browser.new_page(viewport=WINDOW), address, token)
            browser.close()
        finally:
            lab.stop(server)


def _serve(folder: Path, scratch: Path) -> tuple[subprocess.Popen[bytes], str, str]:
    for name, text in SETTINGS.items():
        path = scratch / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    # Two that start at once must not both find the same port free.
    token, port = secrets.token_hex(16), lab.free_port(9700 + secrets.randbelow(20_000))
    rooms = {f"JUPYTER_{name}_DIR": str(scratch / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    rooms |= {f"JUPYTERLAB_{name}_DIR": str(scratch / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    env = {**lab.environment(token), **rooms, "COURSEKIT_HOME": str(scratch / "results")}
    messages = scratch / "messages.txt"  # on the terminal they would be a wall
    with messages.open("wb") as errors:
        command = lab.command(port, folder)
        server = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=errors)
    try:
        lab.wait(server, port, token, messages)
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
        self.page.wait_for_selector(IDLE, timeout=OPEN_MS)
        deadline = time.monotonic() + OPEN_MS / 1000
        while not any(k["connections"] and k["execution_state"] == "idle" for k in self.kernels()):
            assert time.monotonic() < deadline, f"{name}: the page does not connect to its kernel"
            self.page.wait_for_timeout(200)

    def run_all(self) -> None:
        """Choose Run > Run All Cells and wait until all have run, or one has failed."""
        self.page.click('.lm-MenuBar-itemLabel:text("Run")')
        self.page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        self.page.wait_for_function(ALL_RAN, timeout=RUN_MS)
        self.page.wait_for_selector(IDLE, timeout=RUN_MS)  # a kernel says so after its last output

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

    def panels(self, count: int) -> list["Shown"]:
        """Return the panels on the page, from top to bottom.

        Errors: AssertionError if there are not ``count`` of them in time, or one has no picture.
        """
        outputs = self.page.locator(".jp-OutputArea-output").filter(has=self.page.locator(PICTURE))
        expect(outputs).to_have_count(count, timeout=REDRAW_MS)
        panels = [Shown(each) for each in outputs.all()]
        for number, panel in enumerate(panels, 1):
            assert panel.drawn(), f"panel {number} has no picture"
        return panels


class Shown:
    """A panel as the page shows it."""

    def __init__(self, root: Locator) -> None:
        self.root, self.picture = root, root.locator(PICTURE).first

    def drawn(self) -> bool:
        """Wait for the picture; False if it does not arrive in time."""
        return self._comes("image => image.complete && image.naturalWidth > 100")

    @property
    def alternative(self) -> str:
        """What a screen reader says in place of the picture."""
        return (self.root.locator(ALTERNATIVE).text_content(timeout=REDRAW_MS) or "").strip()

    @property
    def message(self) -> str:
        """What the panel says under its controls, because something went wrong."""
        return (self.root.locator(MESSAGE).text_content(timeout=REDRAW_MS) or "").strip()

    def controls(self) -> dict[str, Locator]:
        """Return the first control of each kind that the panel has."""
        found = {kind: self.root.locator(selector).first for kind, (selector, _) in CONTROLS.items()}
        return {kind: control for kind, control in found.items() if control.count() and control.is_visible()}

    def press(self, kind: str, control: Locator) -> bool:
        """Move a control from the keyboard; return whether a new picture came."""
        self.rest()
        if not control.count():  # another control has switched it off
            return False
        before = self.picture.get_attribute("src")
        control.focus()
        at_its_end = control.evaluate(AT_ITS_END)
        for key in CONTROLS[kind][1].split():
            self.root.page.keyboard.press(BACK.get(key, key) if at_its_end else key)
        return self.changes(before)

    def act(self, button: Locator) -> bool:
        """Press a button that works for a while; return whether a new picture came when its bar was gone."""
        self.rest()
        before, bar = self.picture.get_attribute("src"), self.root.locator(PROGRESS)
        bar.evaluate(WATCH_BAR)
        button.focus()
        self.root.page.keyboard.press("Space")
        self.root.page.wait_for_function("window.barSeen", timeout=REDRAW_MS)
        expect(bar).to_be_hidden(timeout=RUN_MS)
        self.rest()
        return self.changes(before)

    def reached(self, control: Locator) -> bool:
        """Whether Tab reaches the control from its neighbour in the panel."""
        control.focus()
        first = control.evaluate(IS_FIRST, self.root.element_handle())
        for key in ("Tab", "Shift+Tab") if first else ("Shift+Tab", "Tab"):
            self.root.page.keyboard.press(key)
        return control.evaluate("control => control === document.activeElement")

    def rest(self) -> None:
        """Wait until nothing more comes of what was done before."""
        self.root.page.evaluate("window.rest = undefined")
        assert self._comes(AT_REST, RUN_MS), "the kernel does not come to rest"

    def drag(self, handle: Locator, pixels: int) -> bool:
        """Drag a slider's handle sideways with the mouse, not beyond its end; return whether it changes."""
        before = self.picture.get_attribute("src")
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse = self.root.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x - pixels if handle.evaluate(AT_ITS_END) else x + pixels, y, steps=8)
        mouse.up()
        return self.changes(before)

    def changes(self, before: str | None) -> bool:
        """Wait for another picture than ``before``; False if none comes in time."""
        return self._comes(f"image => image.src !== {json.dumps(before)} && image.complete")

    def _comes(self, condition: str, timeout: int = REDRAW_MS) -> bool:
        picture = self.picture.element_handle()
        try:
            self.root.page.wait_for_function(condition, arg=picture, timeout=timeout)
        except TimeoutError:
            return False
        return True


def copy_of(root: Path, folder: Path) -> dict[str, int]:
    """Copy the course's notebooks to ``folder``, without outputs: what the page shows has just been computed.

    Return how many panels each of them shows: the copy with the solutions has stored all of them.
    """
    panels = {}
    for path, solution in map(Course(root).paths, Course(root).masters()):
        notebook, solved = nbformat.read(path, 4), nbformat.read(solution, 4)
        stored = [output for cell in solved.cells for output in cell.get("outputs", [])]
        panels[path.name] = sum(WIDGET_VIEW in output.get("data", {}) for output in stored)
        nbformat.write(clear_outputs(notebook), folder / path.name)
    return panels
