"""Going on where another machine left off: the records of a report become records of this machine."""

from dataclasses import dataclass
from pathlib import Path

from coursekit._core import arguments, display
from coursekit.exercises import handed
from coursekit.exercises.handed import LOGS

__all__ = ["Resumed", "resume"]


@dataclass(frozen=True, repr=False)
class Resumed(display.Text):
    """What ``resume`` took in.

    Parameters
    ----------
    name, made : str
        Whose report it was, and when it was made.
    new, newer : int
        How many records were not here yet, and how many took the place of an older one.
    """

    __module__ = "coursekit.exercises"

    name: str
    made: str
    new: int
    newer: int

    def __str__(self) -> str:
        if not self.new + self.newer:
            return f"All that the report of {self.name} holds was here already."
        newer = f", {self.newer} of them newer than ours" * bool(self.newer)
        when = self.made[:16].replace("T", " ")
        return (
            f"Taken up from the report of {self.name} ({when} UTC): {self.new + self.newer} records{newer}."
        )


def resume(file: str | Path, *, edited: bool = False) -> Resumed:
    """Take up where another machine left off: take in what a report holds and is not here yet.

    Doing so again changes nothing, and no record here gives way to an older one. Claims and results of the
    other machine stay those of that machine.

    Parameters
    ----------
    file : str or Path
        What ``report`` wrote.
    edited : bool
        Whether a report is taken that was changed by hand.

    Returns
    -------
    Resumed
        How much was taken in.

    Raises
    ------
    TypeError, ValueError
        If it is no report, a damaged one, or one that was edited and ``edited`` is not set; then nothing is
        taken in.
    OSError
        If it cannot be read, or the results folder cannot be written.
    """
    path = arguments.place("file", file)
    take_edited = arguments.flag("edited", edited)
    if not path.exists():
        raise ValueError(f"file must be a report; there is none at {str(path)!r}")
    try:
        found = handed.read(path)
    except ValueError as error:
        raise ValueError(f"file must be a report of coursekit; {path.name}: {error}") from None
    if found.status == handed.EDITED and not take_edited:
        raise ValueError(
            f"file must be as report wrote it; {path.name} was changed since. If you know why, "
            "resume(…, edited=True) takes it all the same"
        )
    counts = [LOGS[name].merge(records) for name, records in found.records.items()]
    return Resumed(found.name, found.made, sum(new for new, _ in counts), sum(newer for _, newer in counts))
