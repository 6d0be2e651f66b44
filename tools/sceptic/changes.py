"""The changes that a sceptic makes to a notebook: to its data, its networks, its training, its chances.

A change is made where a reader would make it: in the text of the cells (widths, seeds, epochs, threads), or
in what the cells call (``inside``: the data, a layer more), by a line put behind the set-up cell.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["CHANGES", "NAMES", "SHORT", "Change", "chosen"]

HIDDEN = (12, 32, 512)
OTHER_SEEDS = 500  # added to every range of seeds
_DATA = r"\bdata\.(digits|messages|archive)\("
_FIT = (
    r"\b(models\.(fit|fit_many|tune_many)|pruning\.finetune(_many)?|"
    r"distillation\.(distil|distil_many|match_hidden))\("
)
_TUPLE = re.compile(r"\(64, (128|256), 10\)")
# A fourth size where three are unpacked would be no deeper network, but an error of the sceptic's own.
_UNPACKED = re.compile(r"(\w+, ){2}\w+ = ")
_FIRST = re.compile(r"nn\.Linear\(64, 128\)")
_LAST = re.compile(r"nn\.Linear\(128, 10\)")


@dataclass(frozen=True)
class Change:
    """One change, or several at once.

    Parameters
    ----------
    name : str
        What the table calls it.
    edit : callable
        From a cell's code to the changed code.
    inside : tuple of str
        Functions of ``sceptic.inside`` that are called behind the set-up cell.
    breaks : frozenset of str
        Conditions that no longer hold, as ``claims.toml`` names them in ``when``.
    roots : str
        What a cell calls whose results are others now, as a regular expression; "" if only edited cells are.
    env : mapping of str to str
        Variables of the kernel.
    first : bool
        Whether only the first cell that there is something to edit in is edited: the notebook's own network,
        and not those that it makes for a purpose later.

    """

    name: str
    edit: Callable[[str], str] = str
    inside: tuple[str, ...] = ()
    breaks: frozenset[str] = frozenset()
    roots: str = ""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    first: bool = False


def _hidden(width: int) -> Callable[[str], str]:
    def edit(source: str) -> str:
        source = _TUPLE.sub(f"(64, {width}, 10)", source)
        source = source.replace("(64, 16, 10)", f"(64, {max(4, width // 8)}, 10)")  # 08's student
        return _LAST.sub(f"nn.Linear({width}, 10)", _FIRST.sub(f"nn.Linear(64, {width})", source))

    return edit


def _deeper(source: str) -> str:
    # A network that is built layer by layer gets a LayerNorm too; one trained in an ensemble cannot have one.
    source = re.sub(r"models\.mlp\(\(64, (128|256), 10\)\)", r"inside.deeper(\1)", source)
    source = _FIRST.sub("nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 96), nn.LayerNorm(96)", source)
    source = _LAST.sub("nn.Linear(96, 10)", source)
    return "\n".join(
        line if _UNPACKED.match(line) else _TUPLE.sub(r"(64, \1, 96, 10)", line)
        for line in source.split("\n")
    )


def _seeds(source: str) -> str:
    source = re.sub(r"\brange\(20\)", f"range({OTHER_SEEDS}, {OTHER_SEEDS + 20})", source)
    source = re.sub(r"\brange\(10\)(?=.*seed)", f"range({OTHER_SEEDS}, {OTHER_SEEDS + 10})", source)
    source = source.replace("runtime.start()", f"runtime.start(seed={OTHER_SEEDS})")
    source = source.replace("with_outliers(ours)", "with_outliers(ours, seed=0)")  # its default
    return re.sub(r"\b(seed=|manual_seed\()(\d+)", lambda m: f"{m[1]}{int(m[2]) + OTHER_SEEDS}", source)


def _epochs(source: str) -> str:
    source = re.sub(r"\bepochs=(\d+)", lambda m: f"epochs={2 * int(m[1])}", source)
    source = source.replace("STEPS = 24", "STEPS = 48")  # E's
    return re.sub(
        r"seeds, epochs, training = range\(20\), (\d+)",
        lambda m: f"seeds, epochs, training = range(20), {2 * int(m[1])}",
        source,
    )


def _threads(source: str) -> str:
    return source.replace("torch.set_num_threads(1)", "torch.set_num_threads(2)")


def _text(source: str) -> str:
    source = source.replace(
        '"docstrings": language.text("evaluation")', '"docstrings": language.text("calibration")'
    )  # E's, which forgets docstrings
    source = source.replace('language.text("evaluation")', 'language.text("code")')
    return source.replace('text="evaluation"', 'text="code"')  # B's windows


def _windows(source: str) -> str:
    # B's, all three texts; of the one to learn from, its 300 windows remain.
    source = source.replace("language.text(text))", "language.text(text)[14_000:])")
    source = source.replace("text[:20_000]", "text[20_000:40_000]")  # E's code and docstrings
    source = source.replace("[:12_000]", "[40_000:52_000]")  # A's text, and where its prompts begin
    return source.replace("range(0, 4200, 350)", "range(9000, 13200, 350)")


def _everything(source: str) -> str:
    return _text(_windows(_epochs(_seeds(_hidden(32)(source)))))


CHANGES = (
    Change("as it stands"),
    Change("shuffled labels", inside=("shuffled_labels",), breaks=frozenset({"labels"}), roots=_DATA),
    Change("two classes", inside=("two_classes",), breaks=frozenset({"classes"}), roots=_DATA),
    Change("another split", inside=("another_split",), breaks=frozenset({"split"}), roots=_DATA),
    *(
        Change(f"{width} hidden neurons", edit=_hidden(width), breaks=frozenset({"network"}))
        for width in HIDDEN
    ),
    Change("one more layer", edit=_deeper, breaks=frozenset({"network"}), first=True),
    Change("other seeds", edit=_seeds, inside=("other_seeds",), roots=r"\bmodels\.(mlp|fit)\("),
    Change(
        "twice the epochs",
        edit=_epochs,
        inside=("twice_the_epochs",),
        breaks=frozenset({"training"}),
        roots=_FIT,
    ),
    Change("another text", edit=_text),
    Change("other windows", edit=_windows),
    Change("two threads", edit=_threads, env=MappingProxyType({"OMP_NUM_THREADS": "2"})),
    Change("one thread", env=MappingProxyType({"OMP_NUM_THREADS": "1"})),
)
SHORT = (
    Change(
        "everything at once",
        edit=_everything,
        inside=("shuffled_labels", "another_split", "other_seeds"),
        breaks=frozenset({"labels", "split", "network", "training"}),
        roots=_DATA,
    ),
)
NAMES = tuple(change.name for change in CHANGES)


def chosen(names: list[str], *, short: bool) -> list[Change]:
    """Return the changes that are meant, the unchanged notebook first.

    Parameters
    ----------
    names : list of str
        Of changes; none means all.
    short : bool
        Whether one change stands for all.

    Returns
    -------
    list of Change
        In the order of the table.

    """
    if short:
        return [*SHORT]
    return [change for change in CHANGES if not names or change.name in names]
