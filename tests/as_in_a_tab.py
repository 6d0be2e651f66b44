"""Run a notebook's cells in one process that lacks what a browser's tab lacks: torch, threads, processes.

python tests/as_in_a_tab.py NOTEBOOK prints a line of JSON: cells that ran, errors, peak memory in bytes.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

ABSENT = ("torch", "psutil", "onnx", "onnxruntime", "pandas", "fcntl", "pwd", "termios")


def refuse(*_, **__):
    """Stand for whatever starts a thread or a process."""
    raise RuntimeError("can't start new thread or process: this is a tab of a browser")


class Missing:
    """A finder for which the packages of ABSENT are not installed."""

    def find_spec(self, name, path=None, target=None):
        """Refuse them; leave the others to the next finder."""
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(notebook: Path) -> None:
    """Run the cells; a failed one does not stop the others."""
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.history_manager = None  # it writes in a thread of its own
    shell = InteractiveShell.instance()
    for name in [name for name in sys.modules if name.partition(".")[0] in ABSENT]:
        del sys.modules[name]
    sys.meta_path.insert(0, Missing())
    threading.Thread.start = refuse
    subprocess.Popen.__init__ = refuse
    for name in ("fork", "posix_spawn", "system"):
        setattr(os, name, refuse)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    errors = []
    for source in code:
        made = shell.run_cell(source)
        if not made.success:
            errors.append(f"{source[:80]!r}: {made.error_before_exec or made.error_in_exec!r}")
    print("\n" + json.dumps({"cells": len(code), "errors": errors, "peak": peak()}))


def peak() -> int:
    """Return the most memory of this process; what the kernel's accounts keep of the parent is not in it."""
    status = Path("/proc/self/status")
    if not status.exists():  # only Linux tells
        return 0
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
