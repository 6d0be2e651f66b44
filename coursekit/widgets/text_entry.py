"""Numbers that a reader types into a panel's text field."""

from fractions import Fraction
from typing import Any

from coursekit.floats.exact import exact, is_finite, shown, to_float
from coursekit.plots.page import brief
from coursekit.widgets.panel import InputError

__all__ = ["WHOLE", "as_text", "typed", "typed_finite"]

WHOLE = 2**63  # whole numbers up to here are written with all their digits
LONGEST = 200  # characters; no format needs more, and a pasted page must not hang the panel


def as_text(value: Any) -> str:
    """Return a number, or its text, as the text that a reader would type.

    Parameters
    ----------
    value : object
        A number, or its text.

    Returns
    -------
    str
        The text.

    Raises
    ------
    TypeError, ValueError
        For what is not a number; in words for a programmer.
    """
    number = exact(value)
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise ValueError(
                f"value must have at most {LONGEST} characters; got {len(value)}: {shown(value)}"
            )
        return value
    whole = isinstance(number, Fraction) and number.denominator == 1 and abs(number) < WHOLE
    return str(number) if whole else repr(to_float(number))


def typed(text: str) -> Fraction | float:
    """Return the number that a text means, exactly; a float for zero, infinity and NaN.

    Parameters
    ----------
    text : str
        What the reader typed.

    Returns
    -------
    Fraction or float
        The number.

    Raises
    ------
    InputError
        For a text that is not a number; in words for the reader.
    """
    if len(text) > LONGEST:
        raise InputError(f"That number has {len(text)} characters; {LONGEST} are enough here.")
    try:
        return exact(text)
    except ValueError:
        found = f"“{brief(text.strip(), 24)}” is not a number" if text.strip() else "There is no number yet"
        raise InputError(f"{found}: type one such as 6.5, -0.1, 1e-40 or 1/3.") from None


def typed_finite(text: str) -> Fraction | float:
    """Return the finite number that a text means.

    Parameters
    ----------
    text : str
        What the reader typed.

    Returns
    -------
    Fraction or float
        The number.

    Raises
    ------
    InputError
        As for ``typed``, and for infinity and NaN.
    """
    number = typed(text)
    if not is_finite(number):
        raise InputError(
            "Only numbers up to about 10^400 can be written out digit by digit: no infinity, no NaN."
        )
    if number == 0 and any(digit in "123456789" for digit in text.lower().partition("e")[0]):
        raise InputError("That is closer to zero than 10^-400, and so than any number here but zero itself.")
    return number
