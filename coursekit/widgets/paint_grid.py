"""A small picture to paint: a grid of buttons, for the mouse and for the keyboard."""

from typing import Any

import ipywidgets
import numpy as np
import traitlets

from coursekit._core import arguments

__all__ = ["HALO", "SIDE", "PaintGrid", "Pixels", "pixels"]

SIDE = 8
LEVELS = 16  # steps from empty to full, as in scikit-learn's digits
STRENGTHS = (("erase", 0.0), ("light", 0.25), ("medium", 0.5), ("dark", 0.75), ("full", 1.0))
HALO = 0.4  # of the strength, for the four neighbours of what a soft brush paints
PAPER, INK = 255, 34  # the grey of an empty and of a full square

Pixels = tuple[float, ...]


class _Picture(traitlets.TraitType):
    """A trait that takes any form of a picture and holds it as a tuple."""

    default_value: Pixels = ()

    def validate(self, obj: Any, value: Any) -> Pixels:
        """Return ``value`` as 64 numbers; errors as ``pixels``."""
        return pixels("value", value)


class PaintGrid(ipywidgets.HBox):
    """8 × 8 buttons and a brush: pressing a button paints its square (by Tab and Space, too).

    ``value`` is a tuple of 64 numbers from 0 (empty) to 1 (full), row by row; set it to any [64] or [8, 8] of
    such numbers, or press. A square that already is as dark as the brush is emptied. ``brush`` and ``soft``
    are the brush's controls, ``clear`` empties all.

    Parameters
    ----------
    value : object, optional
        The picture to begin with; by default an empty one.

    Raises
    ------
    TypeError, ValueError
        For what is not such a picture; ``value`` keeps what it was.
    """

    value = _Picture(help="64 numbers from 0 to 1, row by row")

    def __init__(self, value: Any = None) -> None:
        square = ipywidgets.Layout(
            width="26px", height="26px", margin="1px", padding="0", border="1px solid #bbb"
        )
        self.squares = [ipywidgets.Button(layout=square) for _ in range(SIDE * SIDE)]
        for number, button in enumerate(self.squares):
            button.on_click(lambda _, number=number: self.press(number))
        self.brush = ipywidgets.ToggleButtons(options=STRENGTHS, value=1.0, description="brush")
        self.brush.style.button_width = "auto"
        self.soft = ipywidgets.Checkbox(value=True, description="soft: its neighbours, too")
        self.clear = ipywidgets.Button(description="Clear", layout=ipywidgets.Layout(width="auto"))
        self.clear.on_click(lambda _: setattr(self, "value", np.zeros(SIDE * SIDE)))
        lines = [ipywidgets.HBox(self.squares[start : start + SIDE]) for start in range(0, SIDE * SIDE, SIDE)]
        self.tools = ipywidgets.VBox([self.brush, self.soft, self.clear])
        super().__init__([ipywidgets.VBox(lines), self.tools])
        self._shown: list[int | None] = [None] * (SIDE * SIDE)
        self.value = np.zeros(SIDE * SIDE) if value is None else value

    def press(self, number: int) -> None:
        """Paint a square as a press of its button does.

        Parameters
        ----------
        number : int
            Row by row, from 0.

        Raises
        ------
        ValueError
            For a number that is not 0 to 63.
        """
        number = arguments.integer("number", number, 0, SIDE * SIDE - 1)
        pixels, strength = np.array(self.value).reshape(SIDE, SIDE), float(self.brush.value)
        row, column = divmod(number, SIDE)
        if pixels[row, column] == strength:
            pixels[row, column] = 0.0
        else:
            pixels[row, column] = strength
            for near in self._halo(row, column):
                pixels[near] = max(pixels[near], round(HALO * strength * LEVELS) / LEVELS)
        self.value = pixels

    def _halo(self, row: int, column: int) -> list[tuple[int, int]]:
        if not self.soft.value:
            return []
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        return [(r, c) for r, c in around if 0 <= r < SIDE and 0 <= c < SIDE]

    @traitlets.observe("value")
    def _show(self, change: Any) -> None:
        """Colour the squares that changed, and say in their tooltips how dark they are."""
        for number, pixel in enumerate(change["new"]):
            level = round(pixel * LEVELS)
            if self._shown[number] != level:
                self._shown[number] = level
                grey = round(PAPER + (INK - PAPER) * level / LEVELS)
                row, column = divmod(number, SIDE)
                self.squares[number].style.button_color = f"#{grey:02x}{grey:02x}{grey:02x}"
                self.squares[number].tooltip = f"row {row + 1}, column {column + 1}: {level} of {LEVELS}"


def pixels(name: str, value: Any) -> Pixels:
    """Return a picture as 64 numbers, row by row.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    value : object
        [64] or [8, 8].

    Returns
    -------
    Pixels
        64 numbers from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        For what is not an array of numbers; ValueError unless 64 (or 8 × 8) finite ones, 0 to 1.
    """
    given = arguments.array(name, value, np.float64)
    if given.shape not in ((SIDE * SIDE,), (SIDE, SIDE)):
        raise ValueError(f"{name} must have shape ({SIDE * SIDE},) or ({SIDE}, {SIDE}); got {given.shape}")
    if given.min() < 0 or given.max() > 1:
        raise ValueError(f"{name} must be numbers from 0 to 1; got {given.min():g} to {given.max():g}")
    return tuple(given.ravel().tolist())
