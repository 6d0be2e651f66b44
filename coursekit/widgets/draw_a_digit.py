"""The panel to paint a digit on: several models answer side by side."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.data import Digits, Split
from coursekit.plots import style
from coursekit.widgets.paint_grid import SIDE, PaintGrid, pixels
from coursekit.widgets.panel import Panel, View

__all__ = ["LONGEST_NAME", "LONGEST_TITLE", "DigitView", "DrawADigit", "Model", "draw_a_digit"]

Model = Callable[[NDArray[np.float32]], Any]

MOST_MODELS = 4
CLASSES = 10
SUMS_TO_ONE = 1e-3
LONGEST_NAME, LONGEST_TITLE = 12, 62  # characters that fit above the bars, and above all


@dataclass(frozen=True)
class _Layout:
    """Where the image and the models' bars stand, as shares of the figure's width and height."""

    image: float = 0.22  # wide
    left: float = 0.29  # where the bars are
    bottom: float = 0.2
    top: float = 0.73
    right: float = 0.985
    between: float = 0.025  # two models' bars
    bar: float = 0.8  # of a digit's row


LAYOUT = _Layout()


def draw_a_digit(models: Mapping[str, Model], digits: Digits | Split, picture: int | None = None) -> Panel:
    """Return a panel where a digit is painted on 8 × 8 squares and every model answers at once.

    Parameters
    ----------
    models : mapping of str to callable
        1 to 4 models by name: functions from float32 [n, 64] to logits or probabilities [n, 10], or to labels
        [n].
    digits : data.Digits or data.Split
        The test pictures to choose from.
    picture : int, optional
        The picture to start with. Default: the first on which the models disagree.

    Returns
    -------
    Panel
        Controls: picture (a test picture to start from), grid (see ``PaintGrid``).

    Raises
    ------
    TypeError, ValueError
        For bad models, or for what they answer.
    """
    split = digits.test if isinstance(digits, Digits) else digits
    if not isinstance(split, Split) or not len(split):
        raise TypeError(f"digits must be Digits or a Split with pictures; got {type(digits).__name__}")
    view = DigitView(_named(models), split)
    start = view.first_disagreement() if picture is None else picture
    start = arguments.integer("picture", start, 0, len(split) - 1)
    controls = {
        "picture": ipywidgets.IntSlider(
            start, 0, len(split) - 1, description="test picture", continuous_update=False
        ),
        "grid": PaintGrid(split.x[start]),
    }
    return DrawADigit(view, controls)


class DrawADigit(Panel):
    """The panel; choosing a test picture fills the grid with it, and one redraw follows."""

    view: "DigitView"

    def rows(self) -> list[ipywidgets.Widget]:
        """Return the grid; beside it stand the choice of a test picture and the brush.

        Returns
        -------
        list of Widget
            The grid only.
        """
        grid = self.controls["grid"]
        grid.tools.children = (self.controls["picture"], *grid.tools.children)
        return [grid]

    def arrange(self, moved: str) -> None:
        """Let the grid follow the choice of a picture.

        Parameters
        ----------
        moved : str
            The name of the control that moved.
        """
        if moved == "picture":
            self.controls["grid"].value = self.view.split.x[self.controls["picture"].value]


class DigitView(View):
    """The picture as the models get it, and beside it a column of bars per model.

    Parameters
    ----------
    models : dict of str to Model
        Functions from pictures to answers, by name.
    split : Split
        The test pictures.
    """

    alt = (
        "A painted digit of eight by eight squares, and for each model a column of bars that tell how "
        "probable it holds each of the ten digits to be, its answer in colour."
    )

    def __init__(self, models: dict[str, Model], split: Split) -> None:
        super().__init__()
        self.models = models
        self.split = split
        self.labels = {name: _chances(name, ask, split.x).argmax(1) for name, ask in models.items()}
        answers = np.stack([*self.labels.values()])
        self.differing = np.flatnonzero((answers != answers[0]).any(0))
        self._draw()

    def first_disagreement(self) -> int:
        """Return the first test picture on which the models disagree, 0 where there is none.

        Returns
        -------
        int
            Its number.
        """
        return int(self.differing[0]) if len(self.differing) else 0

    @style.look()
    def _draw(self) -> None:
        figure = self.figure
        figure.set_layout_engine("none")
        self.title = figure.text(0.02, 0.955, "", va="top", fontsize=self._points(1.1), weight="bold")
        self.reading = figure.text(0.02, 0.02, self._reading())
        high = LAYOUT.image * figure.bbox.width / figure.bbox.height
        ax = figure.add_axes((0.02, (LAYOUT.top + LAYOUT.bottom - high) / 2, LAYOUT.image, high))
        self.image = ax.pcolormesh(np.zeros((SIDE, SIDE)), cmap="Greys", vmin=0, vmax=1)
        # A little air, or the picture, which is drawn anew each time, would cover its frame.
        ax.set(xticks=[], yticks=[], xlim=(-0.1, SIDE + 0.1), ylim=(SIDE + 0.1, -0.1))
        ax.spines[["top", "right"]].set_visible(True)
        self.caption = ax.text(0, -0.06, "", va="top", transform=ax.transAxes)
        wide = (LAYOUT.right - LAYOUT.left - LAYOUT.between * (len(self.models) - 1)) / len(self.models)
        lefts = (LAYOUT.left + number * (wide + LAYOUT.between) for number in range(len(self.models)))
        tall = LAYOUT.top - LAYOUT.bottom
        columns = [figure.add_axes((left, LAYOUT.bottom, wide, tall)) for left in lefts]
        made = [
            _column(ax, name, number == 0)
            for number, (ax, name) in enumerate(zip(columns, self.models, strict=True))
        ]
        self.bars = [bars for bars, _ in made]
        self.heads = [head for _, head in made]
        self.moving = [self.title, self.caption, self.image, *self.bars, *self.heads]

    def update(self, picture: int, grid: Any) -> dict[str, Any]:
        """Ask every model about the grid.

        Parameters
        ----------
        picture : int
            The number of the test picture.
        grid : object
            64 numbers from 0 to 1.

        Returns
        -------
        dict of str to object
            By name; ``label`` is the test picture's own until somebody paints on it, then None.
        """
        x = np.array(pixels("grid", grid), np.float32)
        chances = {name: _chances(name, ask, x[None])[0] for name, ask in self.models.items()}
        answers = {name: int(each.argmax()) for name, each in chances.items()}
        label = int(self.split.y[picture]) if np.array_equal(x, self.split.x[picture]) else None
        self.image.set_array(x.reshape(SIDE, SIDE))
        self.caption.set_text(_caption(label, x))
        self.title.set_text(_title(answers, not x.any()))
        usual = Counter(answers.values()).most_common(1)[0][0]
        for bars, head, (name, each) in zip(self.bars, self.heads, chances.items(), strict=True):
            same = answers[name] == usual
            colour = style.BLUE if same else style.ORANGE
            _show(bars, each, colour)
            head.set_text(f"{'' if same else '≠ '}{answers[name]} ({each.max():.0%})")
            head.set_color(style.legible(colour))
        return {
            "picture": picture,
            "label": label,
            "grid": x,
            "answers": answers,
            "probabilities": chances,
            "agree": len(set(answers.values())) == 1,
        }

    def _reading(self) -> str:
        bars = "Bars: how probable each digit is."
        if len(self.models) == 1:
            return bars
        count, total = len(self.split) - len(self.differing), len(self.split)
        return f"{bars} The models agree on {count} of {total} test pictures."

    @staticmethod
    def _points(share: float) -> float:
        import matplotlib as mpl

        return share * mpl.rcParams["font.size"]


def _column(ax: Axes, name: str, first: bool) -> tuple[PolyCollection, Any]:
    """Make a model's column: ten empty bars, its name, and a place for its answer."""
    style.keep_type_size(ax)
    bars = PolyCollection([], linewidth=0, zorder=2)
    ax.set_axisbelow(True)
    ax.spines[:].set_zorder(1)  # what moves is drawn above what stands
    ax.add_collection(bars, autolim=False)
    ax.set(xlim=(0, 1), ylim=(CLASSES - 0.4, -0.6), xticks=[0, 1], yticks=range(CLASSES))
    ax.set_xticklabels(["0", "100 %"])
    for label, side in zip(ax.get_xticklabels(), ("left", "right"), strict=True):
        label.set(ha=side)
    ax.tick_params(axis="y", length=0, labelleft=first)
    ax.text(0, 1.115, name, transform=ax.transAxes, weight="bold")
    return bars, ax.text(0, 1.02, "", transform=ax.transAxes)


def _show(bars: PolyCollection, chances: NDArray[np.float64], colour: str) -> None:
    rows, half = np.arange(CLASSES), LAYOUT.bar / 2
    corners = [
        [(0, row - half), (chance, row - half), (chance, row + half), (0, row + half)]
        for row, chance in zip(rows, chances, strict=True)
    ]
    bars.set_verts(corners)
    bars.set_facecolor([colour if row == chances.argmax() else style.MUTED for row in rows])


def _title(answers: dict[str, int], empty: bool) -> str:
    """Return in one sentence who says what."""
    groups: dict[int, list[str]] = {}
    for name, digit in answers.items():
        groups.setdefault(digit, []).append(name)
    if len(groups) == 1:
        (digit,) = groups
        who = {1: next(iter(answers)), 2: "both models"}.get(len(answers), f"all {len(answers)} models")
        says = f"{who} say{'s' if len(answers) == 1 else ''} {digit}"
        return f"Nothing is painted, yet {says}" if empty else says[0].upper() + says[1:]
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    named = [f"{_and(names)} say{'s' if len(names) == 1 else ''} {digit}" for digit, names in ranked]
    counted = [f"{len(names)} of {len(answers)} say {digit}" for digit, names in ranked]
    titles = ("They disagree: " + ", ".join(each) for each in (named, counted))
    return next((title for title in titles if len(title) <= LONGEST_TITLE), "The models disagree")


def _and(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _caption(label: int | None, x: NDArray[np.float32]) -> str:
    if label is not None:
        return f"test picture of a {label}"
    return "painted by hand" if x.any() else "empty"


def _named(models: Any) -> dict[str, Model]:
    if not isinstance(models, Mapping):
        raise TypeError(f"models must map names to functions; got {type(models).__name__}")
    if not 1 <= len(models) <= MOST_MODELS:
        raise ValueError(f"models must hold 1 to {MOST_MODELS} models; got {len(models)}")
    for name, ask in models.items():
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
            raise ValueError(f"a model's name must have 1 to {LONGEST_NAME} characters; got {name!r}")
        if not callable(ask):
            raise TypeError(
                f"models[{name!r}] must be a function of float32 [n, 64]; got {type(ask).__name__}"
            )
    return dict(models)


def _chances(name: str, ask: Model, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [n, 10] probabilities, whatever the model answers with; ValueError for anything else."""
    given = arguments.array(f"what {name} answers", ask(x.copy()), np.float64)
    if given.shape == (len(x),) and np.array_equal(given, np.clip(np.rint(given), 0, CLASSES - 1)):
        return np.eye(CLASSES)[given.astype(int)]
    if given.shape != (len(x), CLASSES):
        raise ValueError(
            f"{name} must answer float32 {x.shape} with {len(x)} labels or shape {(len(x), CLASSES)}; "
            f"got shape {given.shape}"
        )
    if given.min() >= 0 and np.abs(given.sum(1) - 1).max() <= SUMS_TO_ONE:
        return given
    powers = np.exp(given - given.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
