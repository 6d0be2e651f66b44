"""The notebooks as readers get them: grammar, pictures for static readers, solutions that solve."""

import ast
import itertools
import re

import answers
import nbformat
import pytest
from bs4 import BeautifulSoup
from build_notebooks import Course, check, code_cells
from IPython.core.inputtransformer2 import TransformerManager
from nbconvert import HTMLExporter

from coursekit.new import health, masters

COURSE = Course()
NAMES = list(COURSE.masters())
NUMBERED = [name for name in NAMES if masters.number(name)]  # or lettered: all but the dashboard
LAST = ["Quiz", "What you should remember", "Where to go next"]
MAX_CODE_LINES = 15
# Where nbconvert's two templates show stderr and tracebacks.
ERRORS = ", ".join(
    f'[data-mime-type="application/vnd.jupyter.{kind}"], .output_{kind}' for kind in ("stderr", "error")
)
REPR = re.compile(r"<[\w.]+ (?:object )?at 0x|\bat 0x[0-9a-f]{6}|<Figure size|^\w+\(\w+=", re.MULTILINE)
EXCLAMATION = re.compile(r"[^\W\d_]!(?:\s|$)")
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u26ff]")

every = pytest.mark.parametrize("name", NAMES)


def student(name):
    return nbformat.read(COURSE.paths(name)[0], as_version=4)


def whole(name):
    """Return the copy that stores all outputs: the solutions', once it was executed."""
    solution = nbformat.read(COURSE.paths(name)[1], as_version=4)
    return solution if outputs(solution) else student(name)


def solved(name):
    return COURSE.expected(name)[1]


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def plain(markdown):
    """Return the prose without code, formulas and pictures."""
    return re.sub(r"```.*?```|`[^`\n]*`|\$[^$]*\$|!\[", "", markdown, flags=re.DOTALL)


def headings(notebook, level=2):
    return re.findall(rf"^{'#' * level} (.+)$", prose(notebook), re.MULTILINE)


def parsed(cell):
    return ast.parse(TransformerManager().transform_cell(cell.source))


def calls(notebook, *functions):
    """Return (function, first argument if it is text) of every call of the named functions, in order."""
    nodes = [n for cell in code_cells(notebook) for n in ast.walk(parsed(cell)) if isinstance(n, ast.Call)]
    named = [(ast.unparse(node.func), node.args[:1]) for node in nodes]
    return [(name, args[0].value) for name, args in named if name in functions and args and _is_text(args[0])]


def names_of_runtime(cell):
    """Return what a cell uses of ``runtime`` outside the functions that it defines."""
    body = [node for node in parsed(cell).body if not isinstance(node, ast.FunctionDef)]
    return {
        node.attr
        for node in itertools.chain.from_iterable(map(ast.walk, body))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "runtime"
    }


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def pictures(notebook):
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


def code_lines(cell):
    """Return how many lines of the cell are code: no blank lines, comments or docstrings."""
    texts = [
        node.body[0]
        for node in ast.walk(parsed(cell))
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
    ]
    quiet = sum(text.end_lineno - text.lineno + 1 for text in texts)
    lines = [line.strip() for line in cell.source.split("\n")]
    return sum(bool(line) and not line.startswith("#") for line in lines) - quiet


# What is stored


def test_the_course_has_notebooks_and_they_are_what_their_masters_say():
    assert NUMBERED
    waiting = [f"{COURSE.relative(COURSE.paths(name)[1])}: cell" for name in answers.NOT_ADOPTED]
    found = check(COURSE, NAMES)
    assert [x for x in found if not (x.startswith(tuple(waiting)) and "was not executed" in x)] == []


@every
def test_the_student_copy_is_executed_clean_and_small(name):
    path = COURSE.paths(name)[0]
    assert list(health.faults(student(name), path.stat().st_size)) == []
    assert student(name).metadata.kernelspec.name == "python3"


@every
def test_outputs_show_results_and_no_python_reprs(name):
    for output in outputs(student(name)) + outputs(whole(name)):
        assert not REPR.search(health.output_text(output)), health.output_text(output)[:300]


@every
def test_no_source_names_a_folder_of_one_machine(name):
    for cell in solved(name).cells:
        assert not health.MACHINE_PATH.search(cell.source), cell.source


@every
def test_every_cell_has_its_place_in_the_slides(name):
    kinds = {cell.metadata.slideshow.slide_type for cell in student(name).cells}
    assert kinds <= {"slide", "subslide", "fragment", "skip", "notes", "-"}
    assert student(name).cells[0].metadata.slideshow.slide_type == "slide"


@every
def test_pictures_carry_an_alt_text(name):
    for output in pictures(student(name)) + pictures(whole(name)):
        assert output.metadata["image/png"]["alt"].strip()
        assert output.data["text/plain"].strip() == output.metadata["image/png"]["alt"].strip()


@every
def test_relative_links_lead_somewhere_from_both_copies(name):
    for path in COURSE.paths(name):
        links = re.findall(r"\]\(([^)#\s]+)", prose(nbformat.read(path, as_version=4)))
        missing = [
            link for link in links if not re.match(r"[a-z]+:", link) and not (path.parent / link).exists()
        ]
        assert not missing


# What static readers see


@every
@pytest.mark.parametrize("template", ["lab", "classic"])
def test_html_without_a_kernel_shows_every_picture_and_no_error(name, template):
    html, _ = HTMLExporter(template_name=template).from_filename(str(COURSE.paths(name)[0]))
    page = BeautifulSoup(html, "html.parser")
    shown = page.select('img[src^="data:image/png"]')
    assert len(shown) == len(pictures(student(name)))
    assert not page.select(ERRORS)
    assert health.WIDGET_STATE not in html
    if template == "classic":  # the other one knows no alt texts for outputs
        assert [image["alt"] for image in shown] == [
            o.metadata["image/png"]["alt"] for o in pictures(student(name))
        ]


# Grammar


@every
def test_the_first_cell_says_what_you_will_be_able_to_do_and_how_long_it_takes(name):
    text = student(name).cells[0].source
    assert text.startswith("# ")
    assert re.search(r"\byou (?:can|will be able to)\b", text)
    assert re.search(r"\b\d+ minutes\b", text)
    assert re.search(r"\bneeds\b", text)
    assert re.search(r"\bnot cover\b|\bcovers neither\b", text)
    assert "colab.research.google.com" in text
    assert "mybinder.org" in text
    assert f"(solutions/{name}.ipynb)" in text


@every
def test_the_second_cell_sets_up_and_does_nothing_else(name):
    cell = solved(name).cells[1]
    assert cell.cell_type == "code"
    assert "nbval-ignore-output" in cell.metadata.tags
    *before, last = parsed(cell).body
    assert ast.unparse(last).startswith("runtime.start(")
    first, colab, own, loading, *imports = before
    assert ast.unparse(first) == "import sys"
    assert isinstance(colab, ast.If)
    assert "google.colab" in ast.unparse(colab.test)
    assert ast.unparse(own) == "from coursekit import runtime"
    assert ast.unparse(loading) == "runtime.loading()", "the imports below it take seconds"
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in imports)
    assert cell.source.count("%pip install") == 1
    assert not re.search(r"%pip install.*(?:torch|numpy|ipywidgets|protobuf)\b", cell.source)


@every
def test_code_cells_are_short_and_every_one_is_introduced(name):
    cells = solved(name).cells
    for cell in code_cells(solved(name))[1:]:
        assert code_lines(cell) <= MAX_CODE_LINES, cell.source
    assert all(cell.source.strip() for cell in cells)
    assert cells[2].cell_type == "markdown"


@every
def test_sections_then_quiz_then_what_to_remember_then_where_to_go(name):
    titles = headings(student(name))
    last = LAST if name in NUMBERED else LAST[1:]  # the dashboard asks with its panels
    sections = titles[: -len(last)]
    assert titles[-len(last) :] == last
    assert 4 <= len(sections) <= 7
    assert [title.split(".")[0] for title in sections] == [str(n) for n in range(1, len(sections) + 1)]
    assert len(headings(student(name), 1)) == 1


@every
def test_at_most_five_things_to_remember(name):
    text = prose(student(name)).split("## What you should remember")[1].split("\n## ")[0]
    items = re.findall(r"^(?:\d\.|-) \S", text, re.MULTILINE)
    assert 1 <= len(items) <= 5


@every
def test_exercises_quiz_panels_and_claims_are_there_and_carry_the_notebooks_number(name):
    notebook, number = solved(name), name.partition("-")[0]
    exercises = [cell for cell in code_cells(notebook) if "exercise" in cell.metadata.get("tags", [])]
    is_numbered = name in NUMBERED
    assert (3 if is_numbered else 1) <= len(exercises) <= 5
    assert [value for _, value in calls(notebook, "exercises.quiz")] == [number] * is_numbered
    checks = [value for _, value in calls(notebook, "exercises.check")]
    assert len(set(checks)) == len(checks) == len(exercises)
    claims = [value for _, value in calls(notebook, "claims.show")]
    assert claims
    others = [value for _, value in calls(notebook, "exercises.predict")]
    assert [value for value in checks + claims + others if not value.startswith(f"{number}-")] == []


@every
def test_at_least_two_panels_and_none_is_the_only_cell_of_its_section(name):
    panels = [o for o in pictures(whole(name)) if health.WIDGET_VIEW in o.data]
    assert len(panels) >= 2
    for section in sections(whole(name)):
        shows = [
            o for cell in code_cells(section) for o in cell.outputs if health.WIDGET_VIEW in o.get("data", {})
        ]
        is_panel_section = any("image/png" in output.data for output in shows)
        assert not is_panel_section or len(code_cells(section)) >= 2, section.cells[0].source


def sections(notebook):
    """Yield a notebook per section: the cells from one heading of the second level to the next."""
    part = nbformat.v4.new_notebook()
    for cell in notebook.cells:
        if cell.source.startswith("## ") and cell.cell_type == "markdown":
            yield part
            part = nbformat.v4.new_notebook()
        part.cells.append(cell)
    yield part


@every
def test_the_prose_does_not_shout(name):
    text = plain(prose(student(name)))
    assert not EXCLAMATION.search(text), EXCLAMATION.search(text)
    assert not EMOJI.search(text)


@every
def test_tests_skip_only_output_that_belongs_to_the_machine(name):
    tags = {tag for cell in student(name).cells for tag in cell.metadata.get("tags", [])}
    assert tags <= {"exercise", "answer", "nbval-ignore-output", "remove-input", "hide-input"}
    ignored = [
        cell for cell in code_cells(student(name)) if "nbval-ignore-output" in cell.metadata.get("tags", [])
    ]
    assert len(ignored) < len(code_cells(student(name)))


@every
def test_a_cell_with_a_bar_is_not_compared(name):
    """Of a bar nbval sees only how it begins."""
    for cell in code_cells(solved(name)):
        if names_of_runtime(cell) & {"progress", "track", "loading"}:
            assert "nbval-ignore-output" in cell.metadata.get("tags", []), cell.source


# Solutions


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.xfail(reason="to be built")] * (name in answers.NOT_ADOPTED))
        for name in NAMES
    ],
)
def test_the_solutions_are_executed_clean_and_small(name):
    path = COURSE.paths(name)[1]
    assert list(health.faults(nbformat.read(path, as_version=4), path.stat().st_size)) == []


@every
def test_copies_differ_in_the_exercises_and_nowhere_else(name):
    for left, right in zip(code_cells(student(name)), code_cells(solved(name)), strict=True):
        is_exercise = "exercise" in left.metadata.get("tags", [])
        assert (left.source != right.source) == is_exercise
