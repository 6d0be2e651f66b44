"""What a cell hands to ``claims.show``, as a number with its interval, a truth or a verdict."""

import math
from typing import Any

import numpy as np

from coursekit._core import arguments
from coursekit.accuracy import PairedDifference, PairedTest
from coursekit.claims.judging import Reading
from coursekit.claims.rules import Claim

__all__ = ["read"]

PER_CENT = ("%", "points")  # a unit that begins so turns shares into per cent
NOTHING = "Nothing was found"
NO_END = "The interval has no end"


def read(measured: Any, claim: Claim) -> Reading:
    """Return ``measured`` as the claim's rule sees it.

    Parameters
    ----------
    measured : object
        A number, a bool, a verdict (text), or a result: with ``value``, ``low`` and ``high``, with ``median``
        and ``samples``, a paired test or difference of ``accuracy``, or with ``verdict``. None, an infinity
        or NaN stand for "nothing was found", unless the claim is arithmetic.
    claim : Claim
        What it is measured for.

    Returns
    -------
    Reading
        Value, low and high: all equal for a plain number, low and high NaN for words.

    Raises
    ------
    TypeError, ValueError
        If the rule cannot judge it.

    """
    rule = claim.holds
    if measured is None and claim.kind != "arithmetic":
        return Reading(None, reason=NOTHING)
    if rule.name == "verdict":
        verdict = getattr(measured, "verdict", measured)
        if not isinstance(verdict, str):
            raise TypeError(
                f"claim {claim.id} needs a verdict ({claim.expected}); got {arguments.shown(verdict)}"
            )
        return Reading(verdict)
    if rule.name == "is":
        if not isinstance(measured, bool | np.bool_):
            raise TypeError(f"claim {claim.id} needs True or False; got {arguments.shown(measured)}")
        return Reading(bool(measured))
    return _number_reading(measured, claim)


def _number_reading(measured: Any, claim: Claim) -> Reading:
    low, value, high = _numbers(measured, claim)
    if claim.kind == "arithmetic" and not all(map(math.isfinite, (low, value, high))):
        raise ValueError(f"claim {claim.id} is arithmetic and needs a finite number; got {value}")
    if not math.isfinite(value):
        return Reading(None, reason=NOTHING)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Reading(None, reason=NO_END, found=value)
    if low > high:
        raise ValueError(f"claim {claim.id} needs an interval with low <= high; got {low} to {high}")
    return Reading(value, low, high)


def _numbers(measured: Any, claim: Claim) -> tuple[float, float, float]:
    """Return (low, value, high); accuracies and their differences become per cent where the unit says so."""
    if hasattr(measured, "median") and hasattr(measured, "samples"):
        low, high = np.percentile(np.asarray(measured.samples, dtype=np.float64), (25, 75))
        return float(low), _number(claim, measured.median), float(high)
    if isinstance(measured, PairedTest):
        measured = measured.difference
    if hasattr(measured, "low") and hasattr(measured, "high"):
        middle = "mean" if isinstance(measured, PairedDifference) else "value"
        shares = hasattr(measured, "confidence") and claim.unit.startswith(PER_CENT)
        factor = 100 if shares else 1
        low, value, high = (
            factor * _number(claim, getattr(measured, n, None)) for n in ("low", middle, "high")
        )
        return low, value, high
    if claim.holds.name == "same":
        raise TypeError(
            f"claim {claim.id} says 'same' and needs a result with an interval, such as "
            f"comparison.ratio(name) or accuracy.difference(…); got {arguments.shown(measured)}"
        )
    value = _number(claim, measured)
    return value, value, value


def _number(claim: Claim, value: Any) -> float:
    dtype = str(getattr(value, "dtype", ""))
    if isinstance(value, bool | str | bytes) or dtype in ("bool", "torch.bool"):
        raise TypeError(f"claim {claim.id} needs a number; got {arguments.shown(value)}")
    try:
        number = float(arguments.dense(f"what claim {claim.id} measured", value))
    except OverflowError:
        raise ValueError(
            f"claim {claim.id} needs a number that a float can hold; got {arguments.shown(value)}"
        ) from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"claim {claim.id} needs a number; got {arguments.shown(value)}") from None
    return value if isinstance(value, int) else number  # an int keeps all its digits
