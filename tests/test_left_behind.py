"""Nothing is left behind by a notebook that is interrupted, fails, or loses its kernel in the middle."""

import contextlib
import os
import signal
import socket
import time

import nbformat
import psutil
import pytest
from build_notebooks import Course, code_cells
from jupyter_client.manager import start_new_kernel
from ports import listening

from coursekit.new.execution import environment

SECONDS = 120
APP = """
import time
from fastapi import FastAPI
from coursekit import data, serving

archive = data.archive(size=100_000)
app = FastAPI()


@app.get("/slow")
def slow():
    time.sleep(2)


@app.get("/quick")
def quick():
    return 1
"""
ASK = """
with serving.serve(app) as server, server.client() as client:
    print(server.port, flush=True)
    {work}
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


class Kernel:
    """A kernel as a notebook has it, whose temporary files go into a folder of their own."""

    def __init__(self, folder, home):
        env = {**environment(str(home)), "TMPDIR": str(folder)}
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", env=env, cwd=str(home), extra_arguments=["--log-level=ERROR"]
        )
        self.folder, self.pid = folder, self.manager.provisioner.pid
        self.client.execute_interactive("", timeout=SECONDS)  # the last of its own ports is open now
        self.own = listening(self.pid)

    def run(self, code):
        """Run a cell to its end and return the name of its error, if it had one."""
        reply = self.client.execute_interactive(code, timeout=SECONDS, output_hook=lambda message: None)
        return reply["content"].get("ename")

    def start(self, code):
        """Start a cell, wait until it listens on a port, and return the message's id and the port."""
        before = self.ports()
        message = self.client.execute(code)
        until(lambda: self.ports() - before, "no port was opened")
        (port,) = self.ports() - before
        return message, port

    def finish(self, message):
        """Wait for a cell that was started and return the name of its error, if it had one."""
        while True:
            reply = self.client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"].get("ename")

    def ports(self):
        """Return the ports on which the kernel listens, besides its own."""
        return {port for _, port in listening(self.pid) - self.own}

    def scratch(self):
        """Return the course's temporary folders."""
        return list(self.folder.glob("coursekit-*"))

    def shut_down(self):
        """End the kernel as Jupyter does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


def until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def family(pid):
    """Return the process and those below it, while it still lives."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def is_alive(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def assert_nothing_left(kernel, processes):
    until(lambda: not any(map(is_alive, processes)), f"still running: {processes}")
    until(lambda: not kernel.scratch(), f"still there: {kernel.scratch()}")


@pytest.fixture
def kernel(tmp_path):
    folder, home = tmp_path / "tmp", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    started = Kernel(folder, home)
    yield started
    with contextlib.suppress(Exception):
        started.manager.shutdown_kernel(now=True)


@pytest.fixture
def ready(kernel):
    assert kernel.run(APP) is None
    assert len(kernel.scratch()) == 1
    return kernel


def test_an_interrupt_in_the_middle_of_a_request_closes_the_port_and_the_notebook_goes_on(ready):
    message, port = ready.start(ASK.format(work="client.get('/slow')"))
    assert is_open(port)
    ready.manager.interrupt_kernel()
    assert ready.finish(message) == "KeyboardInterrupt"
    assert not is_open(port)
    assert ready.ports() == set()
    # The archive belongs to the cells that follow: they still work.
    assert ready.run(ASK.format(work="assert client.get('/quick').json() == 1")) is None
    processes = family(ready.pid)
    ready.shut_down()
    assert_nothing_left(ready, processes)


def test_a_cell_that_fails_closes_its_port(ready):
    assert ready.run(ASK.format(work="raise ValueError('a mistake in the cell')")) == "ValueError"
    assert ready.ports() == set()
    processes = family(ready.pid)
    ready.shut_down()
    assert_nothing_left(ready, processes)


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGKILL"])
def test_a_kernel_that_is_killed_in_the_middle_of_a_request_leaves_nothing(ready, sent):
    _, port = ready.start(ASK.format(work="client.get('/slow')"))
    processes = family(ready.pid)
    ready.manager.stop_restarter()
    os.kill(ready.pid, getattr(signal, sent))
    assert_nothing_left(ready, processes)
    assert not is_open(port)


def test_a_restart_in_the_middle_of_a_request_leaves_nothing_of_the_old_kernel(ready):
    _, port = ready.start(ASK.format(work="client.get('/slow')"))
    processes = family(ready.pid)
    ready.manager.restart_kernel(now=True)
    assert_nothing_left(ready, processes)
    assert not is_open(port)


def test_notebook_03_interrupted_at_its_first_request_leaves_nothing(kernel):
    notebook = nbformat.read(Course().paths("03-profiling-basics")[0], as_version=4)
    for cell in code_cells(notebook):
        if "serving.serve(" in cell.source:
            break
        assert kernel.run(cell.source) is None, cell.source
    assert len(kernel.scratch()) == 1
    message, port = kernel.start(cell.source)
    kernel.manager.interrupt_kernel()
    assert kernel.finish(message) == "KeyboardInterrupt"
    assert not is_open(port)
    processes = family(kernel.pid)
    kernel.shut_down()
    assert_nothing_left(kernel, processes)
