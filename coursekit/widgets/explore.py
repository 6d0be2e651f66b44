"""One line makes a panel from a function of the reader's own: a control for each of its arguments."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.claims.rules import plain_number
from coursekit.plots import style
from coursekit.widgets.panel import Panel, View

__all__ = ["ExploreView", "Lines", "explore"]

STEPS = 100  # of a slider whose range says nothing about them
FEW, SHORT = 4, 24  # choices that stand side by side as buttons, with so many characters together
DIGITS = 6  # of a number that is shown as text
LARGE = 2.4  # times the usual size: a number or a text that is the whole picture
DECIMALS = 9
DIGITS_KEPT = 12  # of a start in the middle: 0.1 + 0.2 becomes 0.3
LONG = 1e9  # from here on a number is written with a power of ten
TICKS = 5  # intervals between them: making ticks and writing their labels takes most of a drag
GROUND = 255  # of a pixel on which nothing is drawn
Lines = list[tuple[NDArray[Any], NDArray[Any]]]
KINDS = "(low, high), (low, high, step), a list of choices, True or False, or a text"


def explore(f: Callable[..., Any], /, **ranges: Any) -> Panel:
    """Return a panel with a control for every argument in ``ranges``, and what ``f`` makes of them.

    Parameters
    ----------
    f : callable
        Either draws, if its first parameter is called ``ax``: ``f(ax, **values)`` gets an empty Axes of
        matplotlib each time. Or returns what is to be shown: numbers [n] or columns of them [n, k] as lines
        over their index, a tuple ``(x, y)`` or ``(x, y, z, …)`` as lines over x, one number or text as text.
    **ranges
        A range for each argument: ``(low, high)`` or ``(low, high, step)`` for a slider, which takes whole
        numbers if all of these are ints; a list of choices (numbers, texts, functions); True or False for a
        box to tick; a text for a field to type in. A slider or a choice starts at the default value that
        ``f`` gives its argument, or else in the middle of the range and at the first choice.

    Returns
    -------
    Panel
        ``panel.values`` holds the arguments and, as ``result``, what a function that does not draw returned.

    Raises
    ------
    TypeError, ValueError
        If ``f`` cannot be called with these arguments, a range is not of the kinds above, or ``f`` returns
        something else. What ``f`` itself raises later stands under the picture, and is raised as well.

    Examples
    --------
    >>> import numpy as np
    >>> from coursekit import widgets
    >>> panel = widgets.explore(lambda bits: 2.0 ** -np.arange(bits), bits=(1, 8))
    >>> panel.values["bits"]
    4

    """
    if not callable(f):
        raise TypeError(f"f must be a function; got {f!r} ({type(f).__name__})")
    if not ranges:
        raise TypeError("ranges must name at least one argument of f, such as bits=(2, 8)")
    defaults = _defaults(f, ranges)
    controls = {name: _control(name, value, defaults.get(name)) for name, value in ranges.items()}
    for name, control in controls.items():
        control.description = name
    return Panel(ExploreView(f, tuple(ranges)), controls)


class ExploreView(View):
    """What a reader's function draws or returns, on one pair of axes.

    Parameters
    ----------
    f : callable
        The reader's function.
    names : tuple of str
        Of its arguments, one per control.
    """

    def __init__(self, f: Callable[..., Any], names: tuple[str, ...]) -> None:
        self.alt = _alt(f, names)
        super().__init__()
        self.f, self.draws = f, _draws(f)
        self.shown: list[Any] = []  # the artists, kept as long as f returns as many lines
        self.settled = False
        with style.look():
            self.ax: Axes = self.figure.add_subplot()

    def update(self, /, **values: Any) -> dict[str, Any]:
        """Call the function and show what comes.

        Parameters
        ----------
        **values : object
            The function's arguments.

        Returns
        -------
        dict of str to object
            ``values`` and, unless the function draws, its ``result``.
        """
        with style.look():
            if self.draws:
                self._clear()
                self.f(self.ax, **values)
            else:
                values["result"] = self.f(**values)
                shown = _shown(values["result"])
                self._write(shown) if isinstance(shown, str) else self._plot(shown)
        return values

    def settle(self) -> None:
        """Solve the layout and keep it until a label would be cut: solving takes as long as drawing."""
        super().settle()
        self.settled = True

    def png(self) -> bytes:
        """Return the picture as it stands; the layout is solved anew if something would be cut.

        Returns
        -------
        bytes
            The PNG.
        """
        drawn = super().png()
        if not (self.settled and self._touches_the_edge()):
            return drawn
        self.figure.set_layout_engine("constrained")
        self.settle()
        return super().png()

    def _touches_the_edge(self) -> bool:
        """Look at the outermost pixels: asking every tick for its place would take as long as drawing."""
        pixels = np.asarray(self.figure.canvas.buffer_rgba())[..., :3]
        edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
        if any((edge != GROUND).any() for edge in edges):
            return True
        room, ax = self.figure.bbox, self.ax  # between two lines of a text the edge is empty, too
        named = [text for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts) if text.get_text()]
        boxes = [text.get_window_extent(self.figure.canvas.get_renderer()) for text in named]
        return any(box.x0 < 0 or box.y0 < 0 or box.x1 > room.x1 or box.y1 > room.y1 for box in boxes)

    def _clear(self) -> None:
        self.ax.clear()
        self.ax.set_axis_on()
        style.keep_type_size(self.ax)
        self.ax.locator_params(nbins=TICKS)
        self.shown = []

    def _write(self, text: str) -> None:
        if not (len(self.shown) == 1 and hasattr(self.shown[0], "set_text")):
            self._clear()
            self.ax.set_axis_off()
            place: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "transform": self.ax.transAxes,
                "wrap": True,
            }
            self.shown = [self.ax.text(0.5, 0.5, "", fontsize=LARGE * style.TYPE, **place)]
        self.shown[0].set_text(text)

    def _plot(self, lines: Lines) -> None:
        if len(self.shown) != len(lines) or not all(hasattr(artist, "set_data") for artist in self.shown):
            self._clear()
            looks = [_look(number) for number in range(len(lines))]
            self.shown = [self.ax.plot([], [], **look)[0] for look in looks]
        for line, (x, y) in zip(self.shown, lines, strict=True):
            line.set_data(x, y)
        self.ax.relim()
        self.ax.autoscale_view()


def _look(number: int) -> dict[str, Any]:
    return {
        "color": style.SERIES[number % len(style.SERIES)],
        "linestyle": style.DASHES[number % len(style.DASHES)],
    }


# What f returns


def _shown(result: Any) -> str | Lines:
    """Return a single number or a text as it is to be written, everything else as (x, y) of every line."""
    value = result if np.ma.isMaskedArray(result) else arguments.to_numpy(result)
    if value is None:
        raise TypeError(
            "f must return numbers or a text, or draw on its first argument, called ax; it returned None"
        )
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if isinstance(value, tuple):
        return _over_x(value)
    if isinstance(value, list) or np.ndim(value):
        y = _numbers(value)
        return [(np.arange(len(y)), column) for column in y.T]
    number = _numbers([value]).item()
    return plain_number(number, DIGITS)


def _over_x(parts: tuple[Any, ...]) -> Lines:
    x, *rest = (_numbers(part) for part in parts)
    if not rest or x.shape[1] != 1 or any(len(part) != len(x) for part in rest):
        shapes = ", ".join(str(np.shape(arguments.to_numpy(part))) for part in parts)
        raise ValueError(f"f must return (x, y) or (x, y, z, …), all of one length; got shapes {shapes}")
    return [(x[:, 0], column) for part in rest for column in part.T]


def _numbers(value: Any) -> NDArray[np.float64]:
    """Return numbers in columns, [n, k]; what is masked or infinite, for which no axis has room, as NaN."""
    if np.ma.isMaskedArray(value):
        value = np.where(np.ma.getmaskarray(value), np.nan, np.ma.getdata(value))
    try:
        array = np.asarray(arguments.to_numpy(value))
        if not np.iscomplexobj(array):
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"f must return numbers or a text; got {type(value).__name__} of other things"
        ) from None
    if np.iscomplexobj(array):
        raise TypeError("f must return real numbers; got complex ones: return their abs, real or imag")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"f must return numbers in shape [n] or [n, k]; got shape {array.shape}")
    array = array if array.ndim == 2 else array[:, None]
    return array if len(array) == 1 else np.where(np.isfinite(array), array, np.nan)


# What ranges mean


def _control(name: str, value: Any, default: Any) -> ipywidgets.Widget:
    if isinstance(value, bool):
        start = value if default is None else arguments.flag(f"the default of {name}", default)
        return ipywidgets.Checkbox(start, indent=False)
    if isinstance(value, str):
        return ipywidgets.Text(value, continuous_update=False)
    if isinstance(value, tuple):
        return _slider(name, value, default)
    if isinstance(value, list | range):
        return _choices(name, list(value), default)
    raise TypeError(f"{name} must be {KINDS}; got {value!r} ({type(value).__name__})")


def _slider(name: str, value: tuple[Any, ...], default: Any) -> ipywidgets.Widget:
    if len(value) not in (2, 3):
        raise ValueError(f"{name} must be {KINDS}; got a tuple of {len(value)}")
    numbers = [arguments.real(name, number) for number in value]
    low, high = numbers[:2]
    whole = all(number == int(number) for number in numbers) and not any(isinstance(v, float) for v in value)
    step = numbers[2] if len(numbers) == 3 else 1.0 if whole else (high - low) / STEPS
    if not math.isfinite(high - low):
        raise ValueError(f"{name} must be a range that one float can span; got {value}")
    if not low < high or not 0 < step <= high - low:
        raise ValueError(f"{name} must ascend from low to high, by steps that fit between them; got {value}")
    start = _start(name, low, high, step, default)
    if whole:
        return ipywidgets.IntSlider(int(start), min=int(low), max=int(high), step=int(step))
    decimals = _decimals(low, step)
    look: dict[str, Any] = {"readout_format": f".{decimals}f" if decimals else ".5g"}
    return ipywidgets.FloatSlider(start, min=low, max=high, step=step, **look)


def _start(name: str, low: float, high: float, step: float, default: Any) -> float:
    """Return f's own default, or the stop next to the middle of the range."""
    if default is None:
        stops = round((high - low) / 2 / step - 1e-9)
        return min(max(low, float(f"{low + step * stops:.{DIGITS_KEPT}g}")), high)
    return arguments.real(f"the default of {name}", default, low, high)


def _decimals(low: float, step: float) -> int | None:
    """Return how many decimals tell all stops of a slider apart; None where it takes powers of ten."""
    exact = (
        d for d in range(1, DECIMALS) if all(math.isclose(round(n, d), n, rel_tol=1e-9) for n in (low, step))
    )
    return next(exact, None) if max(abs(low), step) < LONG else None


def _choices(name: str, values: list[Any], default: Any) -> ipywidgets.Widget:
    labels = [value if isinstance(value, str) else getattr(value, "__name__", str(value)) for value in values]
    if not values or len(set(labels)) != len(labels):
        raise ValueError(f"{name} must offer one choice or more, all different; got {labels}")
    side_by_side = len(labels) <= FEW and sum(map(len, labels)) <= SHORT
    kind = ipywidgets.ToggleButtons if side_by_side else ipywidgets.Dropdown
    if default is not None and not any(_same(value, default) for value in values):
        raise ValueError(f"the default of {name} must be one of its choices, {labels}; got {default!r}")
    start = values[0] if default is None else next(value for value in values if _same(value, default))
    control = kind(options=list(zip(labels, values, strict=True)), value=start)
    if side_by_side:
        control.style.button_width = "auto"
    return control


def _same(value: Any, default: Any) -> bool:
    return value is default or bool(np.all(value == default))


# The function itself


def _draws(f: Callable[..., Any]) -> bool:
    return next(iter(_parameters(f)), "") == "ax"


def _defaults(f: Callable[..., Any], ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Return f's own defaults; raise TypeError if it cannot be called with what ``ranges`` names."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return {}
    try:
        signature.bind(*[None] * _draws(f), **ranges)
    except TypeError as error:
        called = ", ".join(["ax"] * _draws(f) + list(ranges))
        raise TypeError(
            f"f cannot be called as f({called}): {error}; ranges must name its arguments"
        ) from None
    known = {name: parameter.default for name, parameter in signature.parameters.items()}
    return {name: value for name, value in known.items() if value is not inspect.Parameter.empty}


def _parameters(f: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        return []


def _alt(f: Callable[..., Any], names: tuple[str, ...]) -> str:
    """Return the first sentence of f's docstring, or else what it is called and depends on."""
    said = (inspect.getdoc(f) or "").partition("\n\n")[0].replace("\n", " ").strip()
    if said and hasattr(f, "__code__"):  # a class's or a partial's docstring is about something else
        return said if said.endswith(".") else f"{said}."
    name = getattr(f, "__name__", type(f).__name__)
    what = "a function" if name == "<lambda>" else name
    return f"What {what} gives for the controls {' and '.join(names)}."
