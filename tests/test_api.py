"""What can be found: every public module says what it offers, and everything offered says where it lives."""

import ast
import importlib
import inspect
import pkgutil
import pydoc
import re
import types
import typing

import pytest

import coursekit

# Exercises are reached by their id, through CHECKERS.
REACHED_OTHERWISE = "checks"


def public_names():
    yield "coursekit"
    for found in pkgutil.walk_packages(coursekit.__path__, "coursekit."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield found.name


NAMES = sorted(public_names())


def loaded(name):
    return importlib.import_module(name)


def offered(name):
    """Yield (name, object) of everything that a module offers."""
    module = loaded(name)
    for each in module.__all__:
        yield each, getattr(module, each)


def defined(module):
    """Return the names of the public functions and classes that the module's own text defines."""
    with open(module.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


def is_a_definition(thing):
    """Tell functions and classes of ours from constants, type aliases and modules."""
    return isinstance(thing, type | types.FunctionType) and not typing.get_origin(thing)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_module_says_what_it_offers(name):
    module = loaded(name)
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [each for each in module.__all__ if not hasattr(module, each)]
    assert not missing
    assert not [each for each in module.__all__ if each.startswith("_")]
    if not name.endswith(f".{REACHED_OTHERWISE}"):
        assert defined(module) <= set(module.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_offered_reports_a_public_module_and_can_be_had_there(name):
    for each, thing in offered(name):
        if is_a_definition(thing) and thing.__module__.startswith("coursekit"):
            home = thing.__module__
            assert not any(part.startswith("_") for part in home.split(".")), f"{each} says {home}"
            assert getattr(loaded(home), thing.__qualname__) is thing, f"{each} is not in {home}"


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_all_that_is_offered(name):
    shown = pydoc.plain(pydoc.render_doc(loaded(name)))
    assert not [each for each in loaded(name).__all__ if not re.search(rf"\b{each}\b", shown)]


@pytest.mark.parametrize(
    "name",
    ["coursekit", "coursekit.deployment", "coursekit.plots", "coursekit.quantization", "coursekit.widgets"],
)
def test_names_that_load_on_first_use_are_seen_by_help_completion_and_type_checkers(name):
    module = loaded(name)
    assert set(module.__all__) <= set(dir(module))
    with open(module.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    early = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    imports = early + [x for block in blocks for x in ast.walk(block) if isinstance(x, ast.ImportFrom)]
    assert any(ast.unparse(block.test) == "TYPE_CHECKING" for block in blocks)
    seen = {alias.asname or alias.name for node in imports for alias in node.names}
    assert seen >= set(module.__all__)


def sections(docstring):
    """Return the numpydoc sections of a docstring."""
    return set(re.findall(r"^(\w+)\n-+$", inspect.cleandoc(docstring), re.M))


def missing_sections(function):
    """Return the sections that a function's signature and its prose ask for and its docstring lacks."""
    text, signature = function.__doc__ or "", inspect.signature(function)
    found, wanted = sections(text), {"Parameters"} if signature.parameters else set()
    if signature.return_annotation not in (None, "None", inspect.Signature.empty) and "Yields" not in found:
        wanted.add("Returns")
    if re.search(r"\bErrors?: |\bRaises (as|[A-Z]\w+Error)\b", text):
        wanted.add("Raises")
    return wanted - found


def test_sections_are_missed_where_the_signature_asks_for_them():
    def bare(x: int) -> int:
        """Return x. Errors: ValueError below 0."""
        return x

    def full(x: int) -> None:
        """Take x.

        Parameters
        ----------
        x : int
            Any.
        """

    def nothing() -> None:
        """Do nothing."""

    assert missing_sections(bare) == {"Parameters", "Returns", "Raises"}
    assert missing_sections(full) == missing_sections(nothing) == set()


@pytest.mark.parametrize("name", [each for each in NAMES if not each.endswith(f".{REACHED_OTHERWISE}")])
def test_functions_say_in_sections_what_they_take_return_and_raise(name):
    functions = {
        f"{name}.{each}": thing
        for each, thing in offered(name)
        if isinstance(thing, types.FunctionType) and thing.__module__ == name
    }
    lacking = {each: missing_sections(thing) for each, thing in functions.items()}
    assert {each: gaps for each, gaps in lacking.items() if gaps} == {}
