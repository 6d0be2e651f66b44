"""Sliders over several powers of ten that stop at round numbers: 4 can be set, not 3.98 and then 4.07."""

import math
from collections.abc import Callable, Sequence

import ipywidgets

__all__ = ["round_slider", "round_stops", "written"]

CLOSE = 0.004  # a stop nearer to a given value, as a part of it, gives way


def round_stops(low: float, high: float, given: Sequence[float] = ()) -> list[float]:
    """Return all numbers of two significant digits from one to another, and those that are given.

    Parameters
    ----------
    low : float
        Above 0.
    high : float
        Not below ``low``.
    given : sequence of float, optional
        What must be among the stops, exactly.

    Returns
    -------
    list of float
        Ascending.
    """
    powers = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 1)
    # Read from text: 3 * 0.1 is not 0.3.
    stops = [float(f"{digits}e{power}") for power in powers for digits in range(10, 100)]
    kept = [
        stop for stop in stops if low <= stop <= high and all(abs(stop / g - 1) > CLOSE for g in given if g)
    ]
    return sorted({*kept, *given})


def written(value: float) -> str:
    """Return a number with up to three significant digits and no exponent.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        Such as "0.05", "4" or "12,000".
    """
    return f"{float(f'{value:.3g}'):,.12g}"


def round_slider(
    value: float,
    low: float,
    high: float,
    description: str,
    *,
    given: Sequence[float] = (),
    show: Callable[[float], str] = written,
) -> ipywidgets.SelectionSlider:
    """Return a slider that stops at round numbers, and at ``value`` and the ``given`` ones.

    Parameters
    ----------
    value : float
        Where it starts.
    low, high : float
        Its ends lie inside them, both above 0.
    description : str
        Its label.
    given : sequence of float, optional
        What else it must be able to show, exactly.
    show : callable, optional
        From a number to the text beside the slider.

    Returns
    -------
    SelectionSlider
        The slider.
    """
    stops = round_stops(low, high, [float(value), *map(float, given)])
    options = [(show(stop), stop) for stop in stops]
    return ipywidgets.SelectionSlider(options=options, value=float(value), description=description)
