"""The rules of the house: who imports whom, what loads what, how long things are, which versions."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import coursekit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "coursekit"
# The layers of the house, lowest first. A module may import its own layer and those below; a room inside
# another one stands where that stands, also where it is imported from coursekit.
LAYERS = (
    {"_core"},
    {"runtime", "data"},
    {
        "floats",
        "quantization",
        "memory",
        "models",
        "pruning",
        "distillation",
        "onnx_models",
        "language",
        "kv_cache",
        "finetuning",
    },
    {"timing", "accuracy", "batching", "scoreboard", "variants", "deployment"},
    {"claims", "exercises"},
    {"classroom"},
    {"plots"},
    {"widgets"},
    {"course", "new"},
)
TOPICS = sorted(LAYERS[1] | LAYERS[2])
# Lines of code in a module, without docstrings: no module is cut at a line, but a longer one holds two ideas.
MOST_LINES = 400
CHECKED = [
    path
    for folder in ("coursekit", "tools", "tests", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "__pycache__" not in path.parts
] + [ROOT / "conftest.py"]
# What Windows lacks: met while a file is read, it ends all of the file's tests there, skipped ones too.
POSIX_ONLY = {"SIGHUP", "SIGKILL", "fcntl", "fork", "geteuid", "killpg", "resource", "sched_getaffinity"}
# Conda's names of what pip calls otherwise.
CONDA = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
PIP_FILES = [
    *sorted(ROOT.glob("requirements*.txt")),
    ROOT / "binder" / "requirements.txt",
    *sorted((ROOT / "tests" / "places").glob("*.txt")),
]
NOT_PINNED = {"python", "pip", "conda-forge"}


def modules():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in path.parts]


def name_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def level(name):
    """Return the number of the layer that a room stands in."""
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported(path):
    """Return the names of everything that the file imports, early or late, except for type checkers only."""
    blocks = [node for node in ast.walk(tree(path)) if isinstance(node, ast.If)]
    typing = {x for node in blocks if "TYPE_CHECKING" in ast.unparse(node.test) for x in ast.walk(node)}
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import) and node not in typing:
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node not in typing:
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def inside(path):
    """Return the rooms of coursekit that the file imports from; a room inside another one counts as that."""
    names = {name.split(".")[1] for name in imported(path) if name.startswith("coursekit.")}
    return {coursekit._ELSEWHERE.get(name, name).split(".")[0] for name in names} - {"__version__"}


def named(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(), ids=named)
def test_imports_run_one_way(path):
    if path != PACKAGE / "__init__.py":
        mine = level(name_of(path))
        above = {name for name in inside(path) if level(name) > mine}
        assert not above, f"{path.name} imports {above}, which stand above it"


def test_every_public_module_has_its_place_in_the_house():
    there = {name_of(path) for path in modules()} - {"__init__"}
    missing = there - set().union(*LAYERS)
    assert not missing, f"give {missing} a layer in this file"


def test_the_house_is_small_at_the_top_and_has_rooms_instead_of_prefixes():
    there = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(there) <= 28, "find it a room: what stands at the top is what a newcomer has to look through"
    assert not [path.name for path in there if re.fullmatch(r"_[a-z]+_\w+\.py", path.name)]
    for folder in {path.parent for path in modules()}:
        inside_it = {path.stem for path in folder.glob("*.py")}
        prefixes = [name.lstrip("_").partition("_")[0] for name in inside_it if "_" in name.strip("_")]
        # Three modules that begin alike are a package spelled with underscores.
        assert not [each for each in set(prefixes) if prefixes.count(each) > 2], folder


def private_names_of_others(path):
    """Yield "module.name" for every name with an underscore that the file takes from another module."""
    code = tree(path)
    ours = {}
    rooms = ("coursekit", "benchmarks")
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in rooms:
            for alias in node.names:
                ours[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if alias.name.startswith("_") and alias.name != "_core" and not alias.name.startswith("__"):
                    yield f"{node.module}.{alias.name}"
    for node in ast.walk(code):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            if private and node.attr != "_core":
                yield f"{ours[node.value.id]}.{node.attr}"


@pytest.mark.parametrize("path", [path for path in CHECKED if "tests" not in path.parts], ids=named)
def test_private_names_stay_in_their_module(path):
    assert list(private_names_of_others(path)) == []


def test_private_names_of_others_are_found(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "from coursekit.batching.queueing import _times\nfrom coursekit import models\nmodels._orders()\n"
        "from coursekit._core import log\nlog.read()\nself._own = models.__name__\n",
        encoding="utf-8",
    )
    assert list(private_names_of_others(bad)) == [
        "coursekit.batching.queueing._times",
        "coursekit.models._orders",
    ]


def test_lint_checks_the_types():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(BIN)/mypy" in re.search(r"^lint:.*?\n\n", makefile, re.M | re.S)[0]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert {"coursekit", "tools"} <= set(settings["files"])


def test_the_import_rule_sees_late_imports_and_forgives_types(tmp_path):
    bad = tmp_path / "floats.py"
    bad.write_text(
        "from typing import TYPE_CHECKING\nfrom coursekit import runtime\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    from coursekit.widgets import panel\n    import coursekit.claims\n",
        encoding="utf-8",
    )
    assert inside(bad) == {"runtime", "widgets", "claims"}
    assert "torch" not in imported(bad)


def test_a_room_inside_another_one_stands_in_its_layer(tmp_path):
    files = {
        "late": "def f():\n    from coursekit import serving\n",
        "whole": "import coursekit.timing.roofline\n",
    }
    for name, code in files.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    assert [inside(tmp_path / f"{name}.py") for name in files] == [{"deployment"}, {"timing"}]
    assert level("deployment") > level("quantization")
    assert name_of(PACKAGE / "quantization" / "dynamic" / "survey.py") == "quantization"
    rooms = {home.split(".")[0] for home in coursekit._ELSEWHERE.values()}
    assert rooms <= set(coursekit.__all__)


@pytest.mark.parametrize("path", modules(), ids=named)
def test_only_widgets_import_ipywidgets_and_only_pictures_import_matplotlib(path):
    wanted = imported(path)
    roots = {name.split(".")[0] for name in wanted}
    assert "ipywidgets" not in roots or name_of(path) == "widgets"
    assert "matplotlib" not in roots or name_of(path) in ("plots", "widgets")
    assert not any("pyplot" in name for name in wanted)


def loaded_by(statement):
    """Return the modules that a fresh Python has loaded after the statement."""
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(run.stdout.split())


def test_importing_coursekit_loads_nothing_heavy():
    assert not loaded_by("import coursekit") & {
        "torch",
        "matplotlib",
        "ipywidgets",
        "numpy",
        "sklearn",
        "IPython",
    }


def test_topic_modules_load_neither_matplotlib_nor_ipywidgets():
    rooms = [*(f"import coursekit.{name}" for name in TOPICS), "from coursekit import dynamic, serving"]
    loaded = loaded_by("; ".join(rooms))
    assert not loaded & {"matplotlib", "ipywidgets", "IPython"}


def test_modules_useful_without_torch_do_not_load_it():
    names = ["runtime", "data", "floats", "quantization", "timing", "accuracy", "scoreboard", "claims"]
    assert "torch" not in loaded_by("; ".join(f"import coursekit.{name}" for name in names))


def test_a_room_inside_another_one_loads_nothing_else_of_it_but_what_it_uses():
    loaded = loaded_by("from coursekit import serving")
    assert {name for name in loaded if name.startswith("coursekit.deployment.")} == {
        "coursekit.deployment.serving"
    }
    assert not loaded & {"torch", "onnx", "onnxruntime", "httpx", "uvicorn"}
    assert loaded == loaded_by("import coursekit; coursekit.deployment.serving")
    assert "torch" not in loaded_by("from coursekit import launches, profiles, roofline")


def test_a_room_inside_another_one_is_found_as_its_attribute_too():
    homes = coursekit._ELSEWHERE.values()
    loaded = loaded_by("; ".join(["import coursekit", *(f"coursekit.{home}" for home in homes)]))
    assert {f"coursekit.{home}" for home in homes} <= loaded


def test_importing_everything_has_no_side_effect():
    code = """
import random, sys, threading
import matplotlib, numpy, torch
state = lambda: (random.getstate(), str(numpy.random.get_state()), torch.random.get_rng_state().tolist(),
                 dict(matplotlib.rcParams), torch.get_num_threads(), torch.get_default_dtype())
before = state()
import importlib, pkgutil, coursekit
for module in pkgutil.walk_packages(coursekit.__path__, "coursekit."):
    importlib.import_module(module.name)
names = "random numpy torch rcParams threads dtype".split()
changed = [name for name, old, new in zip(names, before, state(), strict=True) if old != new]
print(changed, threading.active_count())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[] 1"
    assert run.stderr == ""


def has_docstring(node):
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, kinds) and ast.get_docstring(node) is not None


def docstring_lines(node):
    return node.body[0].end_lineno - node.body[0].lineno + 1 if has_docstring(node) else 0


def length(function):
    """Return how many lines of code a function has; its docstring does not count."""
    return function.end_lineno - function.lineno + 1 - docstring_lines(function)


def test_the_length_of_a_function_leaves_its_docstring_out():
    code = 'def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\ndef g(): return 2'
    f, g = ast.parse(code).body
    assert (length(f), length(g)) == (3, 1)


@pytest.mark.parametrize("path", CHECKED, ids=named)
def test_modules_and_functions_stay_short_and_plain(path):
    said = sum(map(docstring_lines, filter(has_docstring, ast.walk(tree(path)))))
    lines = len(path.read_text(encoding="utf-8").splitlines()) - said
    assert lines <= MOST_LINES or path.is_relative_to(ROOT / "tests"), "look for the second idea in it"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert length(node) <= 40, f"{node.name} is longer than 40 lines"
        assert not isinstance(node, ast.Global), "no global"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), "no bare except"
        assert not (isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)), (
            "no star import"
        )


def evaluated_early(node):
    """Yield what Python evaluates when it reads a file: decorators and defaults, but no function's body."""
    yield node
    late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (late and field == "body"):
                yield from evaluated_early(child)


def posix_only(code):
    """Return what the file needs from POSIX already when it is read."""
    found = set()
    for node in evaluated_early(code):
        names = {getattr(node, "attr", None), getattr(node, "module", None)}
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        found |= names & POSIX_ONLY
        if isinstance(node, ast.Call) and re.match(r"(\w+\.)*CDLL\((name=)?None", ast.unparse(node)):
            found.add("CDLL(None)")
    return found


@pytest.mark.parametrize("path", CHECKED, ids=named)
def test_files_can_be_read_on_windows(path):
    assert posix_only(tree(path)) == set()


@pytest.mark.parametrize(
    "code",
    [
        "import signal\nsignal.SIGKILL",
        "import fcntl",
        "from signal import SIGKILL",
        "from resource import getrusage",
        "@skipif(not hasattr(ctypes.CDLL(None), 'f'))\ndef test(): pass",
        "@parametrize('sent', [signal.SIGTERM, signal.SIGKILL])\ndef test(sent): pass",
        "def test(cores=os.sched_getaffinity(0)): pass",
        "class Test:\n    @parametrize('sent', [signal.SIGKILL])\n    def test(self): pass",
    ],
)
def test_what_windows_lacks_is_found_where_it_is_evaluated_early(code):
    assert posix_only(ast.parse(code))
    inside_a_function = "def f():\n" + "\n".join(f"    {line}" for line in code.splitlines())
    assert not posix_only(ast.parse(inside_a_function))


def test_the_median_function_is_short():
    nodes = [node for path in modules() for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
    lengths = sorted(map(length, nodes))
    assert lengths[len(lengths) // 2] <= 10


def public(body, prefix=""):
    for node in body:
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


@pytest.mark.parametrize("path", modules(), ids=named)
def test_everything_public_says_what_it_is_and_has_types(path):
    assert ast.get_docstring(tree(path)), "the module says nothing"
    for name, node in public(tree(path).body):
        overrides = any("override" in ast.unparse(d) for d in node.decorator_list)
        assert ast.get_docstring(node) or overrides, f"{name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not bare, f"{name}: no types on {bare}"
            assert node.returns is not None, f"{name}: no type for what it returns"


# Versions


def pins():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line.strip() and not line.startswith("#")]
    assert all("==" in line for line in wanted), "every line of requirements.txt is an exact pin"
    return dict(line.strip().split("==") for line in wanted)


def conda_pins():
    lines = re.findall(
        r"^  - ([\w.-]+)(?:=([\w.]+))?$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.M
    )
    return {CONDA.get(name, name): version for name, version in lines if name not in NOT_PINNED}


def test_pip_and_conda_pin_the_same_versions():
    assert conda_pins() == pins()
    assert len(pins()) > 20


def read_by_pip(path):
    """Return the requirements that pip reads in a file; lines that it refuses raise."""
    from pip._internal.network.session import PipSession
    from pip._internal.req.req_file import parse_requirements

    return [each.requirement for each in parse_requirements(str(path), session=PipSession())]


@pytest.mark.parametrize("path", PIP_FILES, ids=named)
def test_pip_reads_the_files_of_requirements(path):
    assert len(read_by_pip(path)) > 1


def test_pip_reads_what_conda_hands_it(tmp_path):
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = re.findall(r"^      - (.+)$", text.partition("\n  - pip:\n")[2], re.M)
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert read_by_pip(file) == ["."]


def test_pip_refuses_the_options_that_only_its_command_line_has(tmp_path):
    from pip._internal.exceptions import RequirementsFileParseError

    file = tmp_path / "requirements.txt"
    file.write_text("--no-deps --editable .", encoding="utf-8")
    with pytest.raises(RequirementsFileParseError, match="no-deps"):
        read_by_pip(file)


def floors():
    """Return package to the oldest version that pyproject.toml admits, for all that the notebooks import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["notebooks"]])
    return {each.name: Version(s.version) for each in wanted for s in each.specifier if s.operator == ">="}


def test_the_oldest_set_is_the_oldest_that_pyproject_admits():
    oldest = dict(map(re.compile("==").split, read_by_pip(ROOT / "tests" / "places" / "oldest.txt")))
    tried = {name: Version(version) for name, version in oldest.items() if name in floors()}
    # Where only one torch can be had, it is the one tried: weekly.yml tries the oldest.
    assert {**tried, "torch": floors()["torch"]} == floors()
    weekly = (ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8")
    assert [Version(v) for v in re.findall(r"torch==(\d[\d.]+)", weekly)] == [floors()["torch"]]


def test_the_ranges_of_pyproject_admit_the_pins_and_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    pinned = {name.lower().replace("_", "-"): version for name, version in pins().items()}
    for text in [*project["dependencies"], *extras]:
        wanted = Requirement(text)
        version = pinned.get(wanted.name.lower().replace("_", "-"))
        assert version is not None, f"{wanted.name} is not pinned in requirements.txt"
        assert wanted.specifier.contains(Version(version)), f"{text} does not admit {version}"


def test_binder_pins_the_same_versions_and_the_cpu_build_of_torch():
    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    binder = dict(line.split("==") for line in lines if "==" in line)
    assert binder == {name: pins()[name] + "+cpu" * (name == "torch") for name in binder}
    assert {"torch", "jupyterlab"} <= set(binder)
    assert lines[-1] == "."


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run = subprocess.run(
        [sys.executable, "-c", "import coursekit; print(coursekit.__version__)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert run.stdout.strip() == project["version"]


# Documents


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_documents_link_only_to_what_exists(path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    missing = [link for link in local if not (path.parent / link).exists()]
    assert not missing


def test_every_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {
        name
        for path in documents
        for name in re.findall(r"(?:^|`)make ([a-z]+)", path.read_text("utf-8"), re.M)
    }
    assert named
    assert named <= targets
