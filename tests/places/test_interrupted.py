"""Every long cell stopped half-way and run again, then Restart & Run All: success, and nothing left."""

import json
import queue
import re
import shutil
import sys
import time

import nbformat
import psutil
import pytest
import students
from jupyter_client.manager import start_new_kernel
from run_notebooks import run

from coursekit.new.execution import environment

PATIENCE = 0.4  # seconds until the reader presses the square
# What text or guide send a reader back to: checks, quizzes, claims, panels, the stopwatch of notebook 03.
AGAIN = re.compile(r"^(exercises\.|claims\.show|widgets\.|start = )", re.MULTILINE)
CELL_TIMEOUT = 240
LOOK = 2.0  # seconds of silence until it is looked whether the kernel lives


class KernelDied(Exception):
    """The kernel's process has ended: a library's own code did not survive the interrupt."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a copy of the notebooks, and the settings of a kernel: results stay between the notebooks."""
    folder = tmp_path_factory.mktemp("interrupted")
    for path in students.ALL:
        shutil.copy(path, folder)
    return folder, environment(str(folder / "home"), COURSEKIT_STRICT="claims")


def records(folder):
    """Return how many results each file holds; one with half a line cannot be read."""
    files = (folder / "home").glob("*.jsonl")
    return {file.name: len([*map(json.loads, file.read_text("utf-8").splitlines())]) for file in files}


class Reader:
    """Someone at a kernel who loses patience."""

    def __init__(self, folder, env):
        arguments = ["--log-level=ERROR"]
        self.manager, self.client = start_new_kernel(cwd=str(folder), env=env, extra_arguments=arguments)

    def execute(self, source, patience=None):
        """Run a cell, interrupt it after ``patience`` seconds; return its error's name and its stderr."""
        self.heard = []
        sent = {"output_hook": self.heard.append, "timeout": patience or CELL_TIMEOUT}
        try:
            self.client.execute_interactive(source, **sent)
        except TimeoutError:
            self.manager.interrupt_kernel()
            self.wait_until_idle()
        return self.contents("error", "ename"), self.contents("stream", "text", name="stderr")

    def wait_until_idle(self):
        deadline = time.monotonic() + CELL_TIMEOUT
        while self.heard[-1]["content"].get("execution_state") != "idle" if self.heard else True:
            try:
                self.heard.append(self.client.get_iopub_msg(timeout=LOOK))
            except queue.Empty:
                if not self.manager.is_alive():
                    raise KernelDied from None
                assert time.monotonic() < deadline, "the kernel lives and says nothing"

    def contents(self, kind, what, **where):
        found = [each["content"] for each in self.heard if each["msg_type"] == kind]
        return "".join(each[what] for each in found if where.items() <= each.items())

    def trace(self):
        found = [each["content"]["traceback"] for each in self.heard if each["msg_type"] == "error"]
        return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(line for trace in found for line in trace))

    def restart(self):
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=CELL_TIMEOUT)

    def processes(self):
        if not self.manager.is_alive():
            return []
        return psutil.Process(self.manager.provisioner.pid).children(recursive=True)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", students.A_FEW_BY_ONE)
def test_a_stopped_cell_says_so_runs_again_and_leaves_nothing(place, name):
    folder, env = place
    cells = [cell for cell in nbformat.read(folder / name, 4).cells if cell.cell_type == "code"]
    reader, started = Reader(folder, env), set()
    try:
        for cell in cells:
            before = records(folder)
            try:
                error, _ = reader.execute(cell.source, PATIENCE)
            except KernelDied:
                # PyTorch's import ends the process now and then: the front end starts another one.
                assert "runtime.start()" in cell.source, f"the kernel died of an interrupt:\n{cell.source}"
                error = ""
            started.update(reader.processes())
            now = records(folder)
            assert all(now.get(file, 0) >= count for file, count in before.items()), cell.source
            if "runtime.start()" in cell.source:
                # As its first line says. Not only after an error: torch clears an interrupt of numpy's import
                # away, and goes on with half of it.
                reader.restart()
            else:
                assert error in ("", "KeyboardInterrupt"), f"{cell.source}\n{reader.trace()}"
            wrong = reader.execute(cell.source)
            assert wrong == ("", ""), f"run again:\n{cell.source}\n{reader.trace()}"
            started.update(reader.processes())
        for cell in filter(lambda cell: AGAIN.search(cell.source), reversed(cells)):
            wrong = reader.execute(cell.source)
            assert wrong == ("", ""), f"out of order:\n{cell.source}\n{reader.trace()}"
    finally:
        reader.close()
    assert psutil.wait_procs(started, timeout=60)[1] == []
    assert records(folder), "no result was ever kept"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", students.A_FEW_BY_ONE)
def test_restart_and_run_all_meets_what_the_last_run_left(place, name):
    folder, env = place
    result = run(folder / name, sys.executable, folder, env)
    assert (result["error"], result["stderr"]) == (None, "")
