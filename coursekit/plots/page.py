"""Pages: Axes to write on, and numbers as texts that fit their place.

The unit of a page is one pixel at normal size, y points down as text does; in presenter mode all of it grows.
"""

from decimal import Decimal
from math import isfinite, isnan

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from coursekit.plots import style
from coursekit.plots.lettering import RAISED

__all__ = ["brief", "decimal", "page", "raised", "rounded", "tint"]

LONGEST_POWER = 6  # characters, of "e-1074"
_TO_RAISED = str.maketrans("0123456789-+\N{MINUS SIGN}", RAISED + "⁻")


def page(figure: style.Picture, width: float = 700.0, height: float = 400.0) -> Axes:
    """Return an Axes that fills a figure and counts pixels at normal size from the top left corner.

    Parameters
    ----------
    figure : Picture
        The figure, still empty.
    width : float, optional
        The page's width, in pixels.
    height : float, optional
        Its height, in pixels.

    Returns
    -------
    Axes
        The page, without axis lines.
    """
    figure.set_layout_engine("none")  # a page has its own layout
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    return ax


def raised(number: object) -> str:
    """Return a number in superscript characters.

    Parameters
    ----------
    number : object
        What is written as digits and a sign.

    Returns
    -------
    str
        The superscript.
    """
    return str(number).translate(_TO_RAISED)


def brief(text: str, width: int) -> str:
    """Return a text, without its middle if it is too long; a power of ten stays.

    Parameters
    ----------
    text : str
        The text.
    width : int
        The most characters.

    Returns
    -------
    str
        At most ``width`` characters.
    """
    power = len(text) - text.lower().rfind("e")
    tail = power if power <= LONGEST_POWER else 4
    return text if len(text) <= width else f"{text[: width - tail - 1]}…{text[-tail:]}"


def decimal(value: float, width: int = 20) -> str:
    """Return the exact digits of ``value``; an ellipsis says that ``width`` characters were too few.

    Parameters
    ----------
    value : float
        The number; NaN and infinities have their own texts.
    width : int, optional
        The most characters.

    Returns
    -------
    str
        The digits.
    """
    if not isfinite(value):
        return "NaN" if isnan(value) else "∞" if value > 0 else "−∞"
    exact = Decimal(value)
    plain = f"{exact:f}".replace("-", "−")
    if len(plain) <= width:
        return plain
    power = exact.adjusted()
    if "." in plain and -4 <= power < width - 4:
        return f"{plain[: width - 1]}…"
    tail = f"×10{raised(power)}"
    digits = "".join(map(str, exact.as_tuple().digits)).rstrip("0")
    room = max(1, width - len(tail) - 3)
    sign, more = "−" * (value < 0), "…" * (len(digits) > room)
    return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:room]}{more}{tail}"


def rounded(value: float, digits: int = 3) -> str:
    """Return a short ``value``: all of it where eight characters do, else ``digits`` significant digits.

    Parameters
    ----------
    value : float
        The number.
    digits : int, optional
        How many significant digits remain of a long one.

    Returns
    -------
    str
        The number's text.
    """
    if value == 0 or not isfinite(value) or len(decimal(value, 400)) <= 8:
        return decimal(value)
    number, power = f"{value:.{digits - 1}e}".split("e")
    plain = -4 < int(power) < 6
    text = f"{value:.{max(0, digits - 1 - int(power))}f}" if plain else f"{number}×10{raised(int(power))}"
    return text.replace("-", "−")


def tint(colour: str, strength: float = 0.15) -> tuple[float, ...]:
    """Return ``colour`` mixed with white: a background on which dark type stays readable.

    Parameters
    ----------
    colour : str
        Any colour of Matplotlib.
    strength : float, optional
        The share of it, 0 (white) to 1.

    Returns
    -------
    tuple of float
        Red, green and blue, 0 to 1.
    """
    return tuple(1 - strength * (1 - part) for part in to_rgb(colour))
