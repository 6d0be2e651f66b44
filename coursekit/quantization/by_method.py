"""Models, methods and bits in one table: how far each rounded model is from its original."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from coursekit._core import arguments, display

__all__ = ["MEASURES", "Measure", "MethodRow", "MethodTable", "Reading"]

Measure = Literal["kl", "loss_added", "same"]
MEASURES: tuple[Measure, ...] = ("kl", "loss_added", "same")
Reading = tuple[float, float, float]  # a mean and the ends of its interval
LONGEST = {"model": 30, "method": 14}  # characters, so that both fit a picture
MOST_BITS, MOST_MODELS, MOST_METHODS = 16, 2, 6


@dataclass(frozen=True)
class MethodRow:
    """One model, rounded by one method to so many bits.

    Parameters
    ----------
    model, method : str
        Their names, up to 30 and 14 characters.
    bits : int
        1 to 16, of each integer.
    bits_per_weight : float
        With the scales, at least 1.
    kl : tuple of 3 float
        Kullback-Leibler divergence to the original in nats, above 0, and the ends of its interval.
    loss_added : tuple of 3 float
        The loss minus that of the original, nats per token, and the ends of its interval.
    same : tuple of 3 float
        The fraction of tokens at which both put the same token first, and the ends of its interval.
    group : int, optional
        How many weights share a scale; None: a row or the whole tensor.

    Raises
    ------
    TypeError, ValueError
        For other numbers, and for an interval that does not hold its mean.
    """

    model: str
    method: str
    bits: int
    bits_per_weight: float
    kl: Reading
    loss_added: Reading
    same: Reading
    group: int | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            name: arguments.text(name, getattr(self, name), longest) for name, longest in LONGEST.items()
        }
        checked["bits"] = arguments.integer("bits", self.bits, 1, MOST_BITS)
        checked["bits_per_weight"] = arguments.real("bits_per_weight", self.bits_per_weight, 1)
        checked |= {name: _reading(name, getattr(self, name)) for name in MEASURES}
        if not checked["kl"][0] > 0:
            raise ValueError(f"kl must be above 0; got {checked['kl'][0]:g}")
        if self.group is not None:
            checked["group"] = arguments.integer("group", self.group, 1)
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, repr=False)
class MethodTable(display.Tabled):
    """Rows of one or two models: which method keeps which model nearest to its original.

    Parameters
    ----------
    rows : sequence of MethodRow
        Each model, method and bits once; up to 2 models and 6 methods.

    Raises
    ------
    TypeError, ValueError
        For what is not a row, a row given twice, no rows, or more models or methods.
    """

    rows: tuple[MethodRow, ...]

    def __post_init__(self) -> None:
        rows = arguments.instances("rows", self.rows, MethodRow)
        object.__setattr__(self, "rows", rows)
        keys = [(row.model, row.method, row.bits) for row in rows]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"rows must hold each model, method and bits once; got {twice} again")
        for name, found, most in (
            ("models", self.models, MOST_MODELS),
            ("methods", self.methods, MOST_METHODS),
        ):
            if len(found) > most:
                raise ValueError(f"rows must hold at most {most} {name}; got {len(found)}")

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in the order of the rows."""
        return tuple(dict.fromkeys(row.model for row in self.rows))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods' names, in the order of the rows."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def bits(self) -> tuple[int, ...]:
        """All numbers of bits, falling."""
        return tuple(sorted({row.bits for row in self.rows}, reverse=True))

    def row(self, model: str, method: str, bits: int) -> MethodRow | None:
        """Return what was measured, or None where nothing was.

        Parameters
        ----------
        model, method : str
            Two of the table's.
        bits : int
            One of the table's.

        Returns
        -------
        MethodRow or None
            The row.
        """
        wanted = (model, method, bits)
        return next((row for row in self.rows if (row.model, row.method, row.bits) == wanted), None)

    def best(self, model: str, bits: int, measure: Measure = "kl") -> Sequence[str]:
        """Return the leading method at so many bits, and those whose interval reaches into its own.

        Parameters
        ----------
        model : str
            One of the table's.
        bits : int
            One of the table's.
        measure : str
            One of MEASURES.

        Returns
        -------
        sequence of str
            The leader first, then those whose interval reaches into the leader's. Rows that were compared
            window by window may differ clearly though their intervals overlap.

        Raises
        ------
        ValueError
            For another measure.
        """
        name = arguments.choice("measure", measure, MEASURES)
        sign = -1.0 if name == "same" else 1.0
        found = [row for row in self.rows if (row.model, row.bits) == (model, bits)]
        ranked = sorted(found, key=lambda row: sign * getattr(row, name)[0])
        if not ranked:
            return ()
        far = max(sign * end for end in getattr(ranked[0], name)[1:])
        return tuple(row.method for row in ranked if min(sign * end for end in getattr(row, name)[1:]) <= far)

    def _table(self) -> display.Table:
        headers = ("model, method", "bits", "bits per weight", "KL (nats)", "loss added", "same choice (%)")
        rows = [
            (
                f"{row.model}, {row.method}",
                str(row.bits),
                f"{row.bits_per_weight:.2f}",
                _said(row.kl, "{:.3g}"),
                _said(row.loss_added, "{:+.3f}"),
                _said(tuple(100 * part for part in row.same), "{:.1f}"),
            )
            for row in self.rows
        ]
        return display.Table(headers, rows)


def _said(reading: Sequence[float], form: str) -> str:
    mean, low, high = (form.format(part) for part in reading)
    return f"{mean} ({low} to {high})"


def _reading(name: str, value: Any) -> Reading:
    parts = arguments.reals(name, value)
    if len(parts) != 3 or not all(map(math.isfinite, parts)):
        raise ValueError(
            f"{name} must be a mean and the two ends of its interval; got {arguments.shown(value)}"
        )
    mean, low, high = parts
    if not low <= mean <= high:
        raise ValueError(f"{name} must lie in its interval; got {mean:g} and {low:g} to {high:g}")
    return mean, low, high
