import asyncio
import linecache
import os
import random
import re
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from coursekit import data, roofline, runtime
from coursekit._core import imports_bar, progress


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_device_follows_the_variable(monkeypatch, cuda):
    monkeypatch.delenv("COURSEKIT_DEVICE", raising=False)
    assert runtime.device().type == "cuda"
    monkeypatch.setenv("COURSEKIT_DEVICE", "cpu")
    assert runtime.device().type == "cpu"
    assert runtime.device("cuda").type == "cuda"


def test_auto_without_cuda_is_cpu(monkeypatch, no_cuda):
    monkeypatch.setenv("COURSEKIT_DEVICE", "auto")
    assert runtime.device().type == "cpu"


def test_missing_cuda_says_what_to_do(monkeypatch, no_cuda):
    with pytest.raises(RuntimeError, match=r"no CUDA device here.*'cpu'.*Colab.*nvidia-smi"):
        runtime.device("cuda")
    monkeypatch.setenv("COURSEKIT_DEVICE", "cuda")
    with pytest.raises(RuntimeError, match="COURSEKIT_DEVICE asks for 'cuda'"):
        runtime.start()


@pytest.mark.parametrize("value", ["gpu", "CUDA", "0"])
def test_unknown_device_names_are_refused(monkeypatch, value):
    monkeypatch.setenv("COURSEKIT_DEVICE", value)
    with pytest.raises(ValueError, match=f"COURSEKIT_DEVICE must be one of auto, cpu, cuda; got '{value}'"):
        runtime.device()


def test_a_device_that_was_passed_is_called_device(no_cuda):
    with pytest.raises(ValueError, match="^device must be one of auto, cpu, cuda; got 'gpu'"):
        runtime.device("gpu")
    with pytest.raises(RuntimeError, match="^device asks for 'cuda'"):
        runtime.device("cuda")


def test_threads_are_restored_also_after_an_error():
    before = torch.get_num_threads()
    seen = []

    def work():
        with runtime.threads(before + 1):
            seen.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_threads_refuse_bad_counts(count, error):
    before = torch.get_num_threads()
    with pytest.raises(error, match="count"), runtime.threads(count):
        pass
    assert torch.get_num_threads() == before


def test_start_seeds_every_generator(monkeypatch):
    monkeypatch.setenv("COURSEKIT_DEVICE", "cpu")
    draws = []
    for _ in range(2):
        runtime.start(seed=4)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: NPY002
    assert draws[0] == draws[1]


def test_torch_is_seeded_when_it_comes_and_is_not_fetched_for_that():
    code = """
import sys
from coursekit import runtime
runtime.start(seed=4)
runtime.set_seed(5)
assert "torch" not in sys.modules
import torch
print(torch.rand(1).item())
torch.manual_seed(5)
print(torch.rand(1).item())
"""
    env = os.environ | {"COURSEKIT_DEVICE": "cpu"}
    made = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    first, second = made.stdout.split()
    assert first == second


def test_in_a_tab_results_go_where_they_outlive_it(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(runtime, "KEPT_IN_A_TAB", tmp_path)
    assert runtime.home() == tmp_path / "coursekit"
    assert runtime.host() == "browser"


def test_without_psutil_memory_and_user_are_still_known(monkeypatch):
    usual = runtime._all_memory()
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert runtime._all_memory() == pytest.approx(usual, rel=1e-3)
    assert runtime._user() == "user"
    monkeypatch.setattr(os, "sysconf", lambda name: -1)
    assert runtime._all_memory() == 2**32


def test_presenter_mode_is_set_by_start_and_by_the_variable(monkeypatch):
    monkeypatch.setenv("COURSEKIT_DEVICE", "cpu")
    monkeypatch.setenv("COURSEKIT_PRESENT", "0")
    assert "presenting" in str(runtime.start(present=True))
    assert runtime.presenting()
    assert "presenting" not in str(runtime.start(present=False))


def test_host_is_told_by_its_marks(monkeypatch):
    for variable in ("COLAB_RELEASE_TAG", "BINDER_SERVICE_HOST", "BINDER_REPO_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert runtime.host() == "local"
    monkeypatch.setenv("BINDER_SERVICE_HOST", "hub")
    assert runtime.host() == "Binder"
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert runtime.host() == "Colab"


def test_home_is_the_chosen_folder_and_is_made(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "a" / "b"))
    assert runtime.home() == tmp_path / "a" / "b"
    assert runtime.home().is_dir()


def test_a_chosen_home_that_cannot_be_written_is_an_error(monkeypatch, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    monkeypatch.setenv("COURSEKIT_HOME", str(blocker / "home"))
    with pytest.raises(OSError, match="cannot be written"):
        runtime.home()


def test_the_default_home_falls_back_with_a_warning(monkeypatch, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    monkeypatch.setattr(runtime.platformdirs, "user_data_path", lambda *a, **k: blocker / "home")
    monkeypatch.setattr(runtime.tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.warns(UserWarning, match="COURSEKIT_HOME"):
        assert runtime.home().parent == tmp_path
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runtime.home().parent == tmp_path  # said once is enough


def test_describe_shows_what_decides_int8():
    machine = runtime.describe()
    text = str(machine)
    for word in ("CPU", "cores", "memory", "CPU flags", "INT8", "GPU", "torch"):
        assert word in text
        assert word in machine._repr_html_()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.memory > 2**28


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("AVX2", "AVX-512", "VNNI"), "VNNI: INT8 products are added up in hardware"),
        (("AVX2", "AVX-512", "VNNI", "AMX"), "VNNI and AMX"),
        (("AVX2",), "no INT8 dot product"),
        ((), "flags unknown"),
    ],
)
def test_flags_are_explained(flags, says):
    machine = runtime.Machine("x", 1, 1, flags, None, "s", "3", ())
    assert says in machine.int8


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (
            "model name : A\nflags : fpu avx2 avx512f avx512_vnni amx_int8\n",
            ("AVX2", "AVX-512", "VNNI", "AMX"),
        ),
        ("model name : A\nflags : fpu avx2 avx_vnni\n", ("AVX2", "VNNI")),
        ("Features : fp asimd asimddp i8mm\n", ("NEON dot product", "I8MM")),
        ("flags : fpu sse2\n", ()),
    ],
)
def test_flags_are_read_as_linux_spells_them(monkeypatch, cpuinfo, expected):
    monkeypatch.setattr(runtime, "_read", lambda path: cpuinfo)
    assert runtime._flags() == expected


def test_flags_are_read_as_macos_spells_them(monkeypatch):
    answers = {("sysctl", "hw.optional.arm"): "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0"}
    monkeypatch.setattr(runtime, "_read", lambda path: "")
    monkeypatch.setattr(runtime, "_ask", lambda *command: answers.get(command, ""))
    assert runtime._flags() == ("NEON dot product",)


def test_container_limits_count(monkeypatch):
    limits = {"/sys/fs/cgroup/cpu.max": "100000 100000", "/sys/fs/cgroup/memory.max": "450000000"}
    monkeypatch.setattr(runtime, "_read", lambda path: limits.get(path, ""))
    assert runtime._cores() == 1
    assert runtime._memory() == 450_000_000


def test_fingerprint_tells_machines_apart():
    def one(**change):
        facts = {
            "cpu": "a",
            "cores": 2,
            "memory": 1,
            "flags": (),
            "gpu": None,
            "system": "s",
            "python": "3",
            "versions": (),
        }
        return runtime.Machine(**(facts | change)).fingerprint

    assert one() == one(python="3.12")
    assert len({one(), one(cpu="b"), one(cores=4), one(gpu="g")}) == 4


def test_progress_counts_calls_and_shows_nothing_outside_a_notebook(capsys):
    step = runtime.progress("Training", 3)
    for number in range(5):
        assert step(number, "whatever") is None
    assert capsys.readouterr() == ("", "")


def test_progress_moves_a_bar_and_ends_it(monkeypatch):
    shown = []

    class Recorded:
        def __init__(self, title):
            shown.append(title)

        def __call__(self, fraction):
            shown.append(fraction)

        def end(self, sentence):
            shown.append(sentence)

    monkeypatch.setattr(progress, "Bar", Recorded)
    step = runtime.progress("Training", 4)
    assert shown == ["Training", 0.0], "a reader who waits for the first step sees what is being done"
    for _ in range(4):
        step()
    assert shown == ["Training", 0.0, 0.25, 0.5, 0.75, "Training: done."]
    shown.clear()
    many = runtime.progress("Much", 10_000)
    for _ in range(10_000):
        many()
    assert len(shown) <= 103


def recorded(monkeypatch):
    """Return the list into which every bar's fractions and last sentences go from now on."""
    shown = []

    class Recorded:
        def __init__(self, title):
            pass

        def __call__(self, fraction):
            shown.append(fraction)

        def end(self, sentence):
            shown.append(sentence)

    monkeypatch.setattr(progress, "Bar", Recorded)
    return shown


def test_a_bar_that_cannot_be_shown_does_not_stop_the_work(monkeypatch):
    def gone(*args, **kwargs):
        raise OSError("the socket is closed")

    monkeypatch.setattr(progress, "notebook_shell", lambda: True)
    monkeypatch.setattr("IPython.display.display", gone)
    assert list(runtime.track("ab", "letters")) == ["a", "b"]


def test_no_shell_is_found_where_ipython_is_made_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert progress.notebook_shell() is None


def test_a_tracked_loop_gets_its_items_and_moves_the_bar(monkeypatch):
    shown, seen = recorded(monkeypatch), []
    for item in runtime.track({"a": 1, "b": 2}, "letters"):
        assert len(shown) == 1 + len(seen), "an item counts when its work is done"
        seen.append(item)
    assert seen == ["a", "b"]
    assert shown == [0.0, 0.5, "letters: done."]


def test_a_tracked_loop_that_is_left_early_says_so_and_a_longer_one_ends_once(monkeypatch):
    shown = recorded(monkeypatch)
    for item in runtime.track(range(4), "numbers"):
        if item == 2:
            break
    assert shown == [0.0, 0.25, 0.5, "numbers: stopped after 2 of 4."]

    def failing():
        for item in runtime.track(range(4), "numbers"):
            assert not item

    shown.clear()
    with pytest.raises(AssertionError):
        failing()
    assert shown == [0.0, 0.25, "numbers: stopped after 1 of 4."]

    shown.clear()
    longer = [0, 1]
    for item in runtime.track(longer, "numbers"):
        if item < 5:
            longer.append(item + 1)
    assert shown == [0.0, 0.5, "numbers: done."]

    shown.clear()
    table = pd.DataFrame({"a": range(10), "b": range(10)})
    assert list(runtime.track(table, "columns")) == ["a", "b"]
    assert shown[-1] == "columns: done.", "ten rows, but a loop over two columns"


def test_track_takes_whatever_has_a_length(monkeypatch):
    loader = torch.utils.data.DataLoader([1, 2, 3], batch_size=2)
    assert [each.tolist() for each in runtime.track(loader, "batches")] == [[1, 2], [3]]
    assert len([*runtime.track(torch.zeros(3, 2), "rows")]) == 3


@pytest.mark.parametrize(
    ("items", "title", "says"),
    [
        (3, "a", "items must be counted"),
        (iter("ab"), "a", "list"),
        (np.array(3), "a", "items must be counted"),
        (range(10**30), "a", "items must be counted"),
        ([], "a", "number of items"),
        ("ab", 3, "title"),
    ],
)
def test_track_refuses_what_it_cannot_count_before_the_loop(items, title, says):
    with pytest.raises((TypeError, ValueError), match=says):
        runtime.track(items, title)


MODULES = ("first_one", "second_one", "third_one")


class Shell:
    """As much of IPython's shell as the bar for imports needs; ``end`` ends a cell."""

    kernel = None

    def __init__(self):
        self.events, self.called = self, {"pre_run_cell": [], "post_run_cell": []}

    def register(self, name, action):
        self.called[name].append(action)

    def unregister(self, name, action):
        self.called[name].remove(action)

    def trigger(self, name):
        for action in list(self.called[name]):
            action(None)


@pytest.fixture
def cell(monkeypatch, tmp_path):
    """Return a function that runs a cell as a kernel does, and gives back what a bar showed."""
    shell, shown = Shell(), []

    class Recorded:
        def __init__(self, title):
            self.title = title

        def __call__(self, fraction):
            shown.append((self.title, round(fraction, 2)))

        def end(self, sentence):
            shown.append(sentence)

    def run(source, ends=True):
        name = f"<cell {hash(source)}>"
        monkeypatch.setitem(linecache.cache, name, (len(source), None, source.splitlines(True), name))
        shown.clear()
        try:
            exec(compile(source, name, "exec"), {})
        finally:
            if ends:
                shell.trigger("post_run_cell")
                assert not any(shell.called.values())
        return list(shown)

    monkeypatch.setattr(imports_bar, "Bar", Recorded)
    monkeypatch.setattr(imports_bar, "notebook_shell", lambda: shell)
    monkeypatch.syspath_prepend(tmp_path)
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text("import math\n")
    run.shell, run.shown = shell, shown
    yield run
    for name in MODULES:
        sys.modules.pop(name, None)


SET_UP = """from coursekit import runtime

runtime.loading()

import json
import first_one

from second_one import math
from coursekit import data, roofline, runtime
"""


def test_a_cell_says_which_of_its_imports_comes_now_and_only_the_first_time(cell):
    finders = list(sys.meta_path)
    assert {data.__name__, roofline.__name__} <= set(sys.modules), "nothing to load"
    *bars, end = cell(SET_UP)
    assert bars == [("Loading first_one", 0.0)] * 2 + [("Loading second_one", 0.5)]
    assert re.fullmatch(r"Loaded 2 of 2 modules in [\d.]+ [mµ]?s\.", end)
    assert cell(SET_UP) == []
    assert sys.meta_path == finders


def test_a_failed_import_ends_the_bar_with_what_came(cell):
    finders = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError):
        cell(SET_UP.replace("import first_one", "import first_one, nowhere_at_all"))
    assert sys.meta_path == finders
    assert "second_one" not in sys.modules


def test_the_bar_does_not_go_back_for_a_module_that_another_asks_for_before_its_turn(cell, tmp_path):
    asks = "import importlib.util\nimport second_one\nimportlib.util.find_spec('third_one')\n"
    (tmp_path / "first_one.py").write_text(asks)
    *bars, end = cell(SET_UP.replace("import first_one", "import first_one, third_one"))
    (_, *named), (_, *fractions) = zip(*bars, strict=True)
    assert named == [f"Loading {name}_one" for name in ("first", "second", "third", "third")]
    assert fractions == [0.0, 0.33, 0.67, 0.67], "who only looks whether it is there has not loaded it"
    assert end.startswith("Loaded 3 of 3")


def test_the_bar_for_imports_ends_where_others_put_the_finders_back(cell):
    finders = list(sys.meta_path)
    *_, end = cell(f"import sys\nkept = list(sys.meta_path)\n{SET_UP}sys.meta_path[:] = kept\n")
    assert end.startswith("Loaded 2 of 2")
    assert sys.meta_path == finders


def test_the_bar_for_imports_ends_where_no_end_of_the_cell_is_told_as_in_jupyterlite(cell):
    finders = list(sys.meta_path)

    async def run():
        cell(SET_UP, ends=False)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert cell.shown[-1].startswith("Loaded 2 of 2")
    assert sys.meta_path == finders


def test_the_next_cell_ends_the_bar_of_one_that_failed_where_no_end_is_told(cell):
    finders = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError):
        cell(SET_UP.replace("import json", "import json, nowhere_at_all"), ends=False)
    cell.shell.trigger("pre_run_cell")
    assert cell.shown[-1].startswith("Loaded 0 of 3")
    assert sys.meta_path == finders


def test_modules_kept_elsewhere_are_known_by_the_name_under_which_they_load(monkeypatch):
    source = (
        "from coursekit import __version__, launches, roofline\nfrom .near import thing\n"
        "from coursekit.course.nb98 import things\nimport a.b as c"
    )
    monkeypatch.delitem(sys.modules, "coursekit.timing.launches", raising=False)
    assert imports_bar.pending(source, 0) == ["coursekit.timing.launches", "coursekit.course.nb98", "a.b"]
    assert imports_bar.pending(f"%pip install a\n{source}", 0) == [], "no bar, and no error"
    assert imports_bar.pending(f"await f()\n{source}", 5) == [], "as cells may"
    above = imports_bar.pending(f"import above\n{source}", 4)
    assert above == ["a.b"], "what stands above the call is loaded"


def test_outside_a_notebook_loading_shows_and_watches_nothing(capsys):
    finders = list(sys.meta_path)
    runtime.loading()
    assert sys.meta_path == finders
    assert capsys.readouterr() == ("", "")


def test_what_a_slow_thread_shows_does_not_stand_after_the_end(monkeypatch):
    shown, showing, ended = [], threading.Event(), threading.Event()

    class Slow:
        def __init__(self, title):
            pass

        def __call__(self, fraction):
            if fraction:
                showing.set()
                ended.wait(0.2)
            shown.append(fraction)

        def end(self, sentence):
            shown.append(sentence)
            ended.set()

    monkeypatch.setattr(progress, "Bar", Slow)
    step = runtime.progress("Training", 2)
    first = threading.Thread(target=step)
    first.start()
    showing.wait(10)
    step()
    first.join()
    assert shown == [0.0, 0.5, "Training: done."]


@pytest.mark.parametrize(
    ("title", "total", "says"),
    [(3, 4, "title"), ("a", 0, "total"), ("a", 2.5, "total"), ("a", True, "total")],
)
def test_progress_refuses_what_it_cannot_count(title, total, says):
    with pytest.raises((TypeError, ValueError), match=says):
        runtime.progress(title, total)


def test_a_session_reads_as_a_sentence_in_a_terminal_too():
    assert repr(runtime.start(seed=4)) == str(runtime.start(seed=4))
    assert repr(runtime.start()).startswith("Running on ")
