"""The panels as a package: every name is there at once, and costs nothing before it is used."""

import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys
import typing

import pytest

from coursekit import widgets
from coursekit.widgets import InputError, Panel, View, explore
from coursekit.widgets.panel import Panel as PanelAtHome


@pytest.mark.parametrize("name", widgets.PANELS)
def test_a_panel_is_a_module_and_a_function_at_once(name):
    module = importlib.import_module(f"coursekit.widgets.{name}")
    function = getattr(module, name)
    assert inspect.ismodule(module)
    assert getattr(widgets, name) is module is sys.modules[module.__name__]
    assert inspect.isfunction(function)
    assert inspect.signature(module) == inspect.signature(function)
    assert module.__doc__ == function.__doc__
    assert pickle.loads(pickle.dumps(function)) is function


def test_calling_the_module_calls_the_panel():
    import coursekit.widgets.number_line as module
    from coursekit.widgets.number_line import number_line

    assert module is widgets.number_line
    shown = [made([0.5, -1.0], bits=4).values for made in (module, number_line)]
    assert repr(shown[0]) == repr(shown[1])
    with pytest.raises(TypeError, match="number_line"):
        module(nonsense=1)


@pytest.mark.parametrize(
    "first",
    [
        "import coursekit.widgets.noise",
        "from coursekit.widgets import noise",
        "from coursekit.widgets.noise import noise",
        "import coursekit.widgets as w; w.noise",
        "import coursekit.widgets.panel",
    ],
)
def test_the_order_of_imports_does_not_matter(first):
    then = "from coursekit import widgets\nimport coursekit.widgets.noise as m\nassert m is widgets.noise\n"
    last = "assert callable(m) and m.noise.__module__ == m.__name__"
    subprocess.run([sys.executable, "-c", f"{first}\n{then}{last}"], check=True)


def test_the_package_names_what_it_has():
    assert dir(widgets) == widgets.__all__
    assert widgets.Panel is Panel is PanelAtHome
    for name in widgets.__all__:
        assert name in pydoc.render_doc(widgets)
    with pytest.raises(AttributeError, match="no attribute 'no_such_panel'"):
        _ = widgets.no_such_panel
    with pytest.raises(AttributeError):
        _ = widgets.panels


def test_a_type_checker_sees_every_name():
    text = inspect.getsource(widgets).partition("if TYPE_CHECKING")[2].partition("__all__")[0]
    seen = {
        name.strip()
        for line in text.splitlines()
        if " import " in line
        for name in line.split(" import ")[1].split(",")
    }
    assert seen == set(widgets.__all__)


def test_types_of_the_parts_report_the_package():
    for part in (Panel, View, InputError):
        assert part.__module__ == "coursekit.widgets"
        assert typing.get_type_hints(explore.explore)["return"] is Panel


def test_importing_the_package_loads_no_panel():
    heavy = ("coursekit.widgets.", "ipywidgets", "matplotlib")
    code = f"import sys, coursekit.widgets; print([m for m in sys.modules if m.startswith({heavy})])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
