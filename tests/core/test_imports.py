"""An interrupt waits until an import is done."""

import contextlib
import importlib
import re
import signal
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from coursekit._core import imports

SLOW = """
import signal
signal.raise_signal(signal.SIGINT)
done = True
"""


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Return the name of a module that the reader interrupts half-way."""
    (tmp_path / "interrupted_module.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    yield "interrupted_module"
    sys.modules.pop("interrupted_module", None)


def test_the_interrupt_comes_after_the_import(slow):
    with pytest.raises(KeyboardInterrupt):
        imports.whole(slow)
    assert sys.modules[slow].done
    assert imports.whole(slow).done


def test_the_readers_own_handler_gets_it_and_stays(slow):
    heard = []

    def mine(number, _):
        heard.append((number, sys.modules[slow].done))

    before = signal.signal(signal.SIGINT, mine)
    try:
        assert imports.whole(slow).done
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [(signal.SIGINT, True)]


def test_a_module_that_fails_gives_the_handler_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ModuleNotFoundError):
        imports.whole("no_such_module_anywhere")
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_imports_as_ever():
    found = []
    thread = threading.Thread(target=lambda: found.append(imports.whole("math")))
    thread.start()
    thread.join()
    assert found == [sys.modules["math"]]


@pytest.mark.parametrize("package", ["coursekit", "coursekit.plots", "coursekit.widgets"])
def test_what_loads_on_first_use_loads_whole(package, monkeypatch):
    module, wanted = importlib.import_module(package), []
    name = module.__all__[-1]
    monkeypatch.setattr(imports, "whole", wanted.append)
    monkeypatch.setitem(vars(module), name, None)  # remembered, to be put back
    del vars(module)[name]
    with contextlib.suppress(KeyError):  # nothing was loaded
        getattr(module, name)
    assert wanted == [f"{package}.{name}"]


@pytest.fixture
def extras():
    """Return what pyproject.toml says of the extras: name to the packages in it."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)["project"]["optional-dependencies"]
    return {name: {Requirement(each).name for each in wanted} for name, wanted in found.items()}


def asked_for():
    """Return (module, extra) of every call of ``need`` in the package."""
    texts = [path.read_text(encoding="utf-8") for path in Path(imports.__file__).parents[1].rglob("*.py")]
    calls = [
        found for text in texts for found in re.findall(r'(?<!memory\.)\bneed\("(\w[\w.]*)"(, "\w+")?', text)
    ]
    return {(module, extra.strip(', "') or "notebooks") for module, extra in calls}


def test_what_is_missing_is_asked_for_by_the_extra_that_brings_it(extras):
    asked = asked_for()
    assert {"onnx", "onnxruntime", "uvicorn", "httpx"} <= {module for module, _ in asked}
    assert [module for module, extra in asked if module.partition(".")[0] not in extras[extra]] == []


def test_the_advice_names_what_is_missing_and_in_colab_the_set_up_cell(monkeypatch):
    with pytest.raises(ImportError, match=r'^no_such_thing is not .*: pip install "coursekit\[notebooks\]"$'):
        imports.need("no_such_thing")
    with pytest.raises(ImportError, match=r'pip install "coursekit\[authoring\]"$'):
        imports.need("no_such_thing.inside", "authoring")
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    with pytest.raises(ImportError, match="run the notebook's set-up cell"):
        imports.need("no_such_thing")
    assert imports.need("math") is sys.modules["math"]
