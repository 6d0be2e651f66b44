"""Make an edition of notebook 01 that a browser's tab runs alone (JupyterLite, Python by Pyodide); try it.

python tools/lite.py builds it in build/lite; python tools/lite.py --try opens it in Chromium, runs every cell
and fails if one does. Needs requirements-lite.txt. Only notebook 01: Pyodide has no torch. The pages load
Pyodide's own release, and packages that it carries, from its content network; what else the notebook needs
lies beside them.
"""

import argparse
import functools
import http.server
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "01-floating-point-basics.ipynb"
INSTALL = "# Python runs in this tab: nothing leaves it.\n%pip install -q coursekit\n\n"
# Pure Python that Pyodide does not carry. ipykernel and widgetsnbextension are replaced by the kernel's own.
WHEELS = ("filelock", "ipywidgets", "jupyterlab_widgets", "comm")
HOST = "127.0.0.1"
RUN_MS = 600_000  # the packages come over a network, and WebAssembly is slower


def wheels(folder: Path) -> list[Path]:
    """Put coursekit's wheel, and those that Pyodide lacks, into ``folder``; return them.

    Errors: CalledProcessError if pip fails.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    subprocess.run([*pip, "download", "--no-deps", "--dest", folder, *WHEELS], check=True)
    return sorted(folder.glob("*.whl"))


def contents(folder: Path) -> Path:
    """Write the students' copy into ``folder``, with a set-up cell that installs coursekit in the tab."""
    notebook = nbformat.read(ROOT / "notebooks" / NOTEBOOK, 4)
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    setup.source = INSTALL + setup.source
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder / NOTEBOOK


def build(output: Path, pyodide: str | None = None) -> Path:
    """Build the pages in ``output`` and return it; ``pyodide`` is a folder or archive to carry along, if any.

    Errors: CalledProcessError if pip or JupyterLite fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rooms = {name: Path(scratch, name) for name in ("wheels", "contents", "work")}
        for room in rooms.values():
            room.mkdir()
        contents(rooms["contents"])
        command = [sys.executable, "-m", "jupyterlite_core", "build", f"--output-dir={output.resolve()}"]
        command += [f"--contents={rooms['contents']}", f"--lite-dir={rooms['work']}"]
        command += [f"--piplite-wheels={wheel}" for wheel in wheels(rooms["wheels"])]
        command += [f"--pyodide={pyodide}"] if pyodide else []
        subprocess.run(command, check=True, cwd=rooms["work"])
    return output


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and does not say so."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve ``folder`` on this machine alone inside the block; yield the address."""
    with http.server.ThreadingHTTPServer((HOST, 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()


def faults(folder: Path, picture: Path | None = None) -> list[str]:
    """Run all cells of the notebook in Chromium; return what failed, and keep a picture of the page's end.

    Errors: RuntimeError if there is no Chromium; TimeoutError if the cells do not end in time.
    """
    import browser
    import chromium
    from playwright.sync_api import sync_playwright

    if chromium.find() is None:
        raise RuntimeError("there is no Chromium on this machine: apt install chromium")
    with served(folder) as address, sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.FLAGS])
        page = running.new_page(viewport=browser.WINDOW)
        try:
            page.goto(f"{address}/lab/index.html?path={NOTEBOOK}")
            page.wait_for_selector(browser.IDLE, timeout=RUN_MS)
            page.click('.lm-MenuBar-itemLabel:text("Run")')
            page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
            page.wait_for_function(browser.ALL_RAN, timeout=RUN_MS)
            page.wait_for_selector(browser.IDLE, timeout=RUN_MS)
            return page.locator(browser.FAULTS).all_inner_texts()
        finally:
            if picture is not None:
                page.screenshot(path=picture)
            running.close()


def main(arguments: list[str] | None = None) -> int:
    """Build or try the edition; return 1 if a cell failed."""
    summary, kind = __doc__, argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=summary, formatter_class=kind)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "lite", help="the pages' folder")
    parser.add_argument("--pyodide", help="a release of Pyodide to carry along; by default pages load it")
    parser.add_argument("--try", action="store_true", dest="run", help="run what was built there")
    options = parser.parse_args(arguments)
    if not options.run:
        print(f"built {build(options.output, options.pyodide)}")
        return 0
    found = faults(options.output, options.output / "tried.png")
    print("\n".join(found) or "every cell ran")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
