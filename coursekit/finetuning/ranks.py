"""Runs of fine-tuning side by side: what learned, how the loss fell, what it takes in bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from coursekit._core import arguments, display
from coursekit._core.statistics import PairedDifference
from coursekit.finetuning.learning import Learned

__all__ = ["RankRow", "RankTable", "Reading", "rank_row"]

Reading = tuple[float, float, float]  # a mean and the ends of its interval
LONGEST = 8  # characters of a name, so that it fits a picture
MOST_ROWS = 6


@dataclass(frozen=True)
class RankRow:
    """One run.

    Parameters
    ----------
    name : str
        Such as "rank 4", up to 8 characters.
    learned : int
        How many numbers learned.
    bytes : int
        Of gradients and of what the optimizer keeps.
    steps : tuple of int
        After which the loss was measured, ascending.
    losses : tuple of float
        Nats per token, for each of ``steps``.
    gained : tuple of 3 float
        The loss on the new text before minus after, and the ends of its interval.
    forgot : tuple of 3 float
        The loss on the old text after minus before, and the ends of its interval.

    Raises
    ------
    TypeError, ValueError
        For other numbers, and for an interval that does not hold its mean.
    """

    name: str
    learned: int
    bytes: int
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    gained: Reading
    forgot: Reading

    def __post_init__(self) -> None:
        checked = {
            "name": arguments.text("name", self.name, LONGEST),
            "learned": arguments.integer("learned", self.learned, 1),
            "bytes": arguments.integer("bytes", self.bytes, 1),
            "steps": arguments.ascending("steps", self.steps, 0),
            "losses": arguments.reals("losses", self.losses, 0),
            "gained": _reading("gained", self.gained),
            "forgot": _reading("forgot", self.forgot),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if len(self.steps) != len(self.losses) or not self.steps:
            raise ValueError(
                f"losses must be one for each of steps; got {len(self.losses)} and {len(self.steps)}"
            )


@dataclass(frozen=True, repr=False)
class RankTable(display.Tabled):
    """Runs of the same length, each name once.

    Parameters
    ----------
    rows : sequence of RankRow
        One to six, the one that all are compared with last.

    Raises
    ------
    TypeError, ValueError
        For what is not a row, a name given twice, and rows that were measured after different steps.
    """

    rows: tuple[RankRow, ...]

    def __post_init__(self) -> None:
        rows = arguments.instances("rows", self.rows, RankRow)
        object.__setattr__(self, "rows", rows)
        if len(rows) > MOST_ROWS:
            raise ValueError(f"rows must be at most {MOST_ROWS}; got {len(rows)}")
        if len(set(self.names)) < len(rows):
            raise ValueError(f"rows must have each name once; got {', '.join(self.names)}")
        if any(row.steps != rows[0].steps for row in rows):
            raise ValueError("rows must all be measured after the same steps")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the rows."""
        return tuple(row.name for row in self.rows)

    @property
    def steps(self) -> tuple[int, ...]:
        """After which all rows were measured."""
        return self.rows[0].steps

    def row(self, name: str) -> RankRow:
        """Return the row of a name.

        Parameters
        ----------
        name : str
            One of the table's.

        Returns
        -------
        RankRow
            The row.
        """
        return self.rows[self.names.index(arguments.choice("name", name, self.names))]

    def _table(self) -> display.Table:
        headers = ("", "numbers that learn", "gradients + Adam", "gained (nats)", "forgot (nats)")
        rows = [
            (row.name, f"{row.learned:,}", display.size(row.bytes), _said(row.gained), _said(row.forgot))
            for row in self.rows
        ]
        note = (
            "Gained: loss on the new text, before minus after. Forgot: on the old text, after minus before."
        )
        return display.Table(headers, rows, notes=[note])


def rank_row(name: str, run: Learned, gained: PairedDifference, forgot: PairedDifference) -> RankRow:
    """Return the row of a run.

    Parameters
    ----------
    name : str
        What tables call it.
    run : Learned
        Of :func:`fine_tune`, with its loss on other windows.
    gained, forgot : accuracy.PairedDifference
        Of the windows' losses, as ``RankRow`` has them.

    Returns
    -------
    RankRow
        The row.
    """
    run = arguments.instance("run", run, Learned)
    readings = [
        (found.mean, found.low, found.high)
        for found in (
            arguments.instance("gained", gained, PairedDifference),
            arguments.instance("forgot", forgot, PairedDifference),
        )
    ]
    return RankRow(name, run.bytes.learned, run.bytes.learning, run.steps, run.seen, *readings)


def _said(reading: Sequence[float]) -> str:
    mean, low, high = (f"{part:+.3f}" for part in reading)
    return f"{mean} ({low} to {high})"


def _reading(name: str, value: Sequence[float]) -> Reading:
    parts = arguments.reals(name, value)
    if len(parts) != 3:
        raise ValueError(
            f"{name} must be a mean and the two ends of its interval; got {arguments.shown(value)}"
        )
    mean, low, high = parts
    if not low <= mean <= high:
        raise ValueError(f"{name} must lie in its interval; got {mean:g} and {low:g} to {high:g}")
    return mean, low, high
