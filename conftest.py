"""Every notebook that pytest collects runs once on the CPU and, where there is one, once more on the GPU.

Both copies do: in the one with the solutions every exercise must be right.
"""

import functools
import os
import re
import signal
import tempfile
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from coursekit.new import health

# What may be missing in continuous integration, and how a test says that it needs it.
EXCUSES = {"gpu": re.compile(r"\b(GPU|CUDA)\b"), "users": re.compile(r"\bother users\b")}
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure(config: pytest.Config) -> None:
    """Run notebooks with this Python, whatever kernel named python3 the user has installed.

    Keep what tests check out of the user's own progress, if no test chooses another place for it.

    And let no property test fail because the machine is busy, nor a test of interrupts because the shell that
    started us in the background made its children deaf to them.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports from its first import on
    # Threads that wait for work ask for it again and again, which takes the cores from the other workers:
    # four at once, each with the small language model, need 1.3 CPU seconds so, and 3.2 otherwise.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home = tempfile.TemporaryDirectory(prefix="coursekit-")
    config.add_cleanup(home.cleanup)
    os.environ.setdefault("COURSEKIT_HOME", home.name)
    config.option.nbval_current_env = True
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent: pytest.Collector) -> Iterator[None]:
    """Replace nbval's collector of a notebook by one per device."""
    found = yield
    return [
        each for one in found for each in (_per_device(one, parent) if isinstance(one, IPyNbFile) else [one])
    ]


def _per_device(notebook: IPyNbFile, parent: pytest.Collector) -> list["DeviceNotebook"]:
    kinds = {"cpu": CpuNotebook, "cuda": CudaNotebook}
    return [kinds[device].from_parent(parent, path=notebook.path) for device in devices()]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge a file that skips as a whole."""
    return judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge a test, or a fixture, that skips."""
    return judged((yield))


def judged(report: Report) -> Report:
    """Return the report; with COURSEKIT_SKIPS=gpu (or gpu,users) a skip for another reason fails.

    A test that is skipped wherever it runs is no test. Continuous integration has everything but a GPU, and
    where it does not run as root, other users.
    """
    if report.nodeid.startswith(
        "tests/places/"
    ):  # which `make test` leaves out; they have a rule of their own
        return report
    allowed = [EXCUSES[name] for name in os.environ.get("COURSEKIT_SKIPS", "").split(",") if name]
    if report.skipped and not hasattr(report, "wasxfail") and allowed:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(excuse.search(why) for excuse in allowed):
            report.outcome = "failed"
            report.longrepr = f"COURSEKIT_SKIPS is set, and this was skipped for another reason. {why}"
    return report


@functools.cache
def devices() -> tuple[str, ...]:
    """Return the devices to run notebooks on: COURSEKIT_TEST_DEVICES ("cpu,cuda"), else those that exist."""
    chosen = os.environ.get("COURSEKIT_TEST_DEVICES")
    if chosen:
        return tuple(chosen.split(","))
    import torch

    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


class DeviceNotebook(IPyNbFile):
    """A notebook on one device: its kernel has settings of its own, its cells' names show the device."""

    device = ""

    @property
    def is_solved(self) -> bool:
        """Whether this is the copy with the solutions."""
        return self.path.parent.name == "solutions"

    def setup(self) -> None:
        """Start the kernel with the settings, and put ours back at once."""
        self.home = tempfile.TemporaryDirectory(prefix="coursekit-")
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("COURSEKIT_")]:
                patch.delenv(name)
            patch.setenv("COURSEKIT_DEVICE", self.device)
            patch.setenv("COURSEKIT_HOME", self.home.name)
            patch.setenv("COURSEKIT_STRICT", "1" if self.is_solved else "claims")
            super().setup()

    def teardown(self) -> None:
        """Stop the kernel and drop what it recorded."""
        super().teardown()
        self.home.cleanup()

    def collect(self) -> Iterator["DeviceCell"]:
        """Yield the code cells as "Cell 3[cpu]"; "Cell 3" on the command line selects it on every device."""
        for cell in super().collect():
            yield DeviceCell.from_parent(
                self,
                name=f"{cell.name}[{self.device}]",
                cell_num=cell.cell_num,
                cell=cell.cell,
                options=self.options(self.compared(cell.options, cell.cell)),
            )

    def compared(self, options: dict[str, object], cell: NotebookNode) -> dict[str, object]:
        """Return nbval's options, with the comparison off where no output is stored.

        A student's copy holds some back; a cell that was never executed is found by other tests.
        """
        chosen = options.copy()  # which knows nbval's defaults, as a new dict would not
        if cell.execution_count is None or (health.is_answer(cell) and not self.is_solved):
            chosen["check"] = False
        return chosen

    def options(self, options: dict[str, object]) -> dict[str, object]:
        """Return nbval's options for a cell."""
        return options


class CpuNotebook(DeviceNotebook):
    """The device that the stored outputs come from: they are compared."""

    device = "cpu"


class CudaNotebook(DeviceNotebook):
    """Another device counts differently in the last digits: cells must run, but outputs are not compared."""

    device = "cuda"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.add_marker("cuda")

    def options(self, options: dict[str, object]) -> dict[str, object]:
        """Return nbval's options for a cell, with the comparison off."""
        options["check"] = False
        return options


class DeviceCell(IPyNbCell):
    """A cell that must keep stderr empty, also where its output is not compared."""

    def runtest(self) -> None:
        """Run the cell as nbval does, then look at what it left on stderr."""
        super().runtest()
        text = "".join(output.text for output in self.test_outputs if output.get("name") == "stderr")
        if text:
            raise NbCellError(self.cell_num, "The cell wrote to stderr", self.cell.source, text)

    def reportinfo(self) -> tuple[object, int, str]:
        """Return where the cell stands, with the device in its description."""
        path, line, text = super().reportinfo()
        return path, line, f"{text} on {self.parent.device}"
