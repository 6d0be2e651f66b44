"""Which technique when: the course's rules of thumb, each beside what this machine measured for it."""

from dataclasses import dataclass

from coursekit._core import display
from coursekit.variants.rows import BASELINE, Row, Sitting

__all__ = ["Decisions", "decisions"]

HEADERS = ("you need", "try first", "it costs you", "size here", "speed here", "answers here")
LEFT = 3  # columns of words
RULES = (
    ("a smaller file, now", "INT8 in one line of PyTorch", "a line", "int8-dynamic"),
    ("the same answers sooner, or no Python", "ONNX Runtime", "an export", "onnx-fp32"),
    ("a smaller file without Python", "INT8 in ONNX Runtime", "an export and a line", "onnx-int8"),
    ("fewer neurons, same design", "structured pruning", "some training", "pruned"),
    ("another, smaller design", "distillation", "training from the start", "distilled"),
    ("as small as it gets", "distil, prune, quantize, ONNX", "all of that", "stacked"),
)


@dataclass(frozen=True, repr=False)
class Decisions(display.Tabled):
    """The rules with their evidence, in rows as HEADERS says."""

    rows: tuple[tuple[str, ...], ...]
    machine: str
    about: str = Sitting.about

    @property
    def title(self) -> str:
        """Where the evidence comes from."""
        return f"Evidence: one sitting on {self.machine}, {self.about}"

    def _table(self) -> display.Table:
        return display.Table(HEADERS, self.rows, self.title, left=LEFT)


def decisions(sitting: Sitting) -> Decisions:
    """Return the rules of thumb with the evidence of this sitting, set against its baseline.

    Parameters
    ----------
    sitting : Sitting
        As ``measure`` returns it. Rules about a variant that it does not hold are left out.

    Returns
    -------
    Decisions
        A table.

    Raises
    ------
    TypeError
        If it is not a Sitting.
    """
    if not isinstance(sitting, Sitting):
        raise TypeError(f"sitting must be a Sitting; got {type(sitting).__name__}")
    whole = sitting[BASELINE]
    known = (rule for rule in RULES if rule[-1] in sitting.names)
    rows = (rule[:-1] + _evidence(sitting[rule[-1]], whole) for rule in known)
    return Decisions(tuple(rows), sitting.machine, sitting.about)


def _evidence(row: Row, whole: Row) -> tuple[str, str, str]:
    smaller = f"÷ {display.significant(whole.size_bytes / row.size_bytes, 2)}"
    speed = "same speed" if row.speed == "same" else f"× {display.significant(row.ratio.value)}"
    points = 100 * (row.accuracy.value - whole.accuracy.value)
    if row.paired.verdict == "same":
        return smaller, speed, "no difference shown"
    return smaller, speed, f"{points:+.1f} points (p = {row.paired.p_value:.2g})"
