"""What a sceptic finds in a changed notebook: errors, fallen claims, refused answers, titles, numbers."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from coursekit.claims import rules
from sceptic.running import Run, notebook, text_of

__all__ = ["Finding", "assertions", "judge", "literal_titles", "typed_numbers"]

REFUSED = "right answer refused"
REFUSALS = ("✗ wrong", "○ not tried yet")
FELL = ("does not hold here", "more than that", "less than that")
CARD = re.compile(r"^Claim [\w-]+ \(", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
SIZE = 1000  # from here on a number is a size that a change of the network or the data should move
DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
# Sizes of networks that a cell makes for a purpose of its own: no change reaches them, and none is typed.
OWN_SIZES = {
    "06-onnx-export-and-quantization": ("scikit-learn ", "sk "),  # its own kind of network
    "07-pruning-basics": ("parameters ",),  # a network wide enough that its speed can be measured
    # The small language model is shipped, its memory is room for its longest texts, and requests that
    # begin alike are of one length each, whatever they say.
    # How many numbers learn follows from the small model's shapes and the rank, whatever is learned.
    "E-fine-tuning-with-lora-and-qlora": ("full ", "rank # "),
    "B-four-bits-and-fewer": tuple(f"{name}_proj " for name in ("q", "k", "v", "o", "gate", "up", "down")),
    "D-the-kv-cache-pages-and-engines": (
        "small: ",
        "one slot: ",
        "contiguous: ",
        "# tokens computed ",
        "pieces of ",
    ),
}
# What a title says when it says what was found; a title without such a word names what is shown.
ASSERTS = re.compile(
    r"\b(is|are|stands?|helps?|pays?|keeps?|fits?|wins?|loses?|beats?|takes?|adds?|predicts?|moves?|answers?|lies?|"
    r"has|have|better|worse|best|worst|more|less|fewer|than|no|not|never|nothing|only|same|then|twice|half|most|"
    r"almost|cliff|flat)\b",
    re.IGNORECASE,
)
ANYWHERE = ("suptitle", "set_title")


@dataclass(frozen=True)
class Finding:
    """One contradiction: the notebook, the change, the code cell (from 0; -1: none), and what it is."""

    notebook: str
    change: str
    cell: int
    kind: str
    text: str

    def __str__(self) -> str:
        place = f"cell {self.cell}" if self.cell >= 0 else "its claims"
        return f"{self.notebook}, {self.change}, {place}: {self.kind}: {self.text}"


def judge(run: Run) -> list[Finding]:
    """Return what one changed run shows to be wrong.

    Parameters
    ----------
    run : Run
        A notebook under a change.

    Returns
    -------
    list of Finding
        Errors and text on stderr, claims that must hold and do not, right answers that a check refuses.

    """
    found = [(number, kind, text) for number, cell in enumerate(run.cells) for kind, text in _outputs(cell)]
    found = [each for each in found if each[1] != REFUSED or not _excused(run, each[2])]
    found += [(-1, "claim", text) for text in _claims(run)]
    return [Finding(run.name, run.change.name, *each) for each in found]


def _outputs(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    for output in cell.outputs:
        if output.output_type == "error":
            yield "error", f"{output.ename}: {output.evalue}"[:300]
        elif output.get("name") == "stderr":
            yield "stderr", output.text.strip()[:300]
        elif text_of(output).startswith(REFUSALS):
            yield REFUSED, text_of(output).replace("\n", " ")


def _excused(run: Run, verdict: str) -> bool:
    """Tell whether the exercise is meant for what the change broke; its verdict says so."""
    return any(rules.CONDITIONS[name] in verdict for name in run.change.breaks)


def _claims(run: Run) -> Iterator[str]:
    for id, record in run.claims.items():
        claim = rules.find(id)
        lost = any(record["verdict"].startswith(word) for word in FELL)
        excused = set(claim.when) & run.change.breaks
        if claim.must_hold and lost and not excused:
            yield f"{id} ({claim.kind}) {record['verdict']}: {record['measured']}"
        if re.search(r"\b(inf|nan)\b", record["measured"], re.IGNORECASE):
            yield f"{id} shows {record['measured']}"


def literal_titles(master: Path) -> list[Finding]:
    """Return titles and alternative texts that a master asserts in words of its own, whatever the data say.

    Parameters
    ----------
    master : Path
        The percent script.

    Returns
    -------
    list of Finding
        One for each such text.

    """
    cells = [cell for cell in notebook(master).cells if cell.cell_type == "code"]
    return [
        Finding(master.stem, "read", number, "title asserts", text)
        for number, cell in enumerate(cells)
        for text in assertions(cell.source)
    ]


def assertions(source: str) -> list[str]:
    """Return the constant titles in some code that state a finding.

    Parameters
    ----------
    source : str
        Python, with or without magics.

    Returns
    -------
    list of str
        The titles.

    """
    tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))
    return [text for call in ast.walk(tree) if isinstance(call, ast.Call) for text in _titles(call)]


def _titles(call: ast.Call) -> Iterator[str]:
    given = [word.value for word in call.keywords if word.arg == "title"]
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ANYWHERE:
        given += call.args[:1]
    if name == "describe":
        given += call.args[3:4]
    for value in given:
        text = value.value if isinstance(value, ast.Constant) else None
        if isinstance(text, str) and ASSERTS.search(text) and not text.endswith("?"):
            yield text


def typed_numbers(runs: Sequence[Run]) -> list[Finding]:
    """Return sizes that stay under every change although their cell works with what was changed.

    Parameters
    ----------
    runs : sequence of Run
        One notebook under several changes, and as it stands.

    Returns
    -------
    list of Finding
        One for each line of an output that holds such a number.

    """
    changed = [(run, touched(run)) for run in runs]
    changed = [(run, cells) for run, cells in changed if cells]
    if len(changed) < 2:  # with one there is nothing to compare
        return []
    always = set.intersection(*(cells for _, cells in changed))
    found = []
    for number in sorted(always):
        lines = [_sizes(run.cells[number]) for run, _ in changed]
        for line in sorted(set.intersection(*lines)):
            if line.partition(" in: ")[2].startswith(OWN_SIZES.get(runs[0].name, ())):
                continue
            found.append(Finding(runs[0].name, "every change", number, "number stays", line))
    return found


def _sizes(cell: NotebookNode) -> set[str]:
    texts = [CARD.split(text)[0] for text in map(text_of, cell.outputs)]  # a card quotes, alone or in a table
    return {
        f"{size} in: {re.sub(NUMBER, '#', line.strip())[:100]}"
        for text in texts
        for line in text.splitlines()
        for size in NUMBER.findall(DATE.sub("", line))
        if float(size.replace(",", "")) >= SIZE
    }


def touched(run: Run) -> set[int]:
    """Return the cells that work with what a change made another, by the names that they use.

    Parameters
    ----------
    run : Run
        A notebook under a change.

    Returns
    -------
    set of int
        Their numbers.

    """
    names: set[str] = set()
    found: set[int] = set()
    for number, cell in enumerate(run.cells):
        source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)
        taken, given = _names(ast.parse(source))
        root = number in run.edited or (run.change.roots and re.search(run.change.roots, source))
        if number and (root or taken & names):
            found.add(number)
            names |= given
        else:
            names -= given
    return found


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the names that a cell takes from the cells above, and those that it gives to the cells below."""
    taken: set[str] = set()
    given: set[str] = set()
    for statement in tree.body:
        nodes = list(ast.walk(statement))
        inner = {node.arg for node in nodes if isinstance(node, ast.arg)}
        for node in nodes:
            if isinstance(node, ast.For | ast.comprehension):
                inner |= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        names = [node for node in nodes if isinstance(node, ast.Name)]
        taken |= {node.id for node in names if isinstance(node.ctx, ast.Load)} - inner - given
        given |= {node.id for node in names if isinstance(node.ctx, ast.Store)} - inner
        given |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return taken, given
