"""What a teacher adds over labels alone, at every temperature, weight and length of training."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import NDArray

from coursekit._core import arguments, display
from coursekit._core.statistics import PairedDifference, paired
from coursekit.plots import style

# White where nothing changed and a colour for either sign; in grey the cells' numbers still tell.
SIGNED = LinearSegmentedColormap.from_list(
    "loss to gain", [style.legible(style.VERMILLION), "#FFFFFF", style.BLUE]
)
LEAST_RANGE = 1.0  # points: below it the colours would make mountains of noise
SAID = {"a better": "the teacher helps", "b better": "the teacher harms", "same": "no difference shown"}


@dataclass(frozen=True, repr=False, eq=False)
class GainGrid:
    """Accuracy with a teacher minus without, in points: ``gain`` [epochs, temperatures, alphas, seeds].

    ``epochs``, ``temperatures`` and ``alphas`` ascend. Errors: ValueError for shapes that do not fit or fewer
    than two seeds.
    """

    epochs: tuple[int, ...]
    temperatures: tuple[float, ...]
    alphas: tuple[float, ...]
    gain: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("epochs", "temperatures", "alphas"):
            object.__setattr__(self, name, _ascending(name, getattr(self, name)))
        gain = arguments.array("gain", self.gain, np.float64, ndim=4)
        shape = tuple(len(part) for part in (self.epochs, self.temperatures, self.alphas))
        if gain.shape[:3] != shape or gain.shape[3] < 2:
            raise ValueError(f"gain must have shape {shape} and at least two seeds; got {gain.shape}")
        object.__setattr__(self, "gain", gain)

    @property
    def seeds(self) -> int:
        """How many seeds each cell holds."""
        return self.gain.shape[3]

    def means(self, epochs: int) -> NDArray[np.float64]:
        """Return the mean gain in points after so many epochs, [temperatures, alphas]."""
        return self.gain[_index("epochs", epochs, self.epochs)].mean(-1)

    def at(self, epochs: int, temperature: float, alpha: float) -> NDArray[np.float64]:
        """Return the gain of every seed in points; ValueError for what was not measured."""
        row = _index("temperature", temperature, self.temperatures)
        column = _index("alpha", alpha, self.alphas)
        return self.gain[_index("epochs", epochs, self.epochs), row, column]

    def difference(self, epochs: int, temperature: float, alpha: float) -> PairedDifference:
        """Return the mean gain in points with its interval over the seeds."""
        gains = self.at(epochs, temperature, alpha)
        return paired(gains, np.zeros(len(gains)))

    def _table(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [str(epochs), f"{t:g}", *(signed(value) for value in self.means(epochs)[row])]
            for epochs in self.epochs
            for row, t in enumerate(self.temperatures)
        ]
        return ["epochs", "T", *(f"α = {alpha:g}" for alpha in self.alphas)], rows

    def __str__(self) -> str:
        return display.table_text(*self._table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        caption = f"points gained by the teacher, mean of {self.seeds} seeds"
        return display.table_html(*self._table(), caption=caption)


class GainMap:
    """The artists of ``gain_map``: the image and the number in each of its cells."""

    def __init__(self, image: AxesImage, texts: list[Text]) -> None:
        self.image, self.texts = image, texts

    def show(self, means: NDArray[np.float64]) -> None:
        """Show the mean gains [temperatures, alphas]."""
        self.image.set_data(means)
        for text, value in zip(self.texts, means.flat, strict=True):
            text.set(text=signed(value), color=style.ink_on(self.image.to_rgba(value)))


@style.look()
def gain_map(ax: Axes, grid: GainGrid, epochs: int | None = None) -> GainMap:
    """Draw the mean gains over temperature (rows) and alpha (columns) after ``epochs`` (the most)."""
    limit = max(LEAST_RANGE, *(float(np.abs(grid.means(length)).max()) for length in grid.epochs))
    look = {"cmap": SIGNED, "vmin": -limit, "vmax": limit, "aspect": "auto", "interpolation": "nearest"}
    image = ax.imshow(np.zeros((len(grid.temperatures), len(grid.alphas))), **look)
    cells = product(range(len(grid.temperatures)), range(len(grid.alphas)))
    texts = [ax.text(column, row, "", ha="center", va="center", zorder=4) for row, column in cells]
    ax.set_xticks(range(len(grid.alphas)), [f"{alpha:g}" for alpha in grid.alphas])
    ax.set_yticks(range(len(grid.temperatures)), [f"{t:g}" for t in grid.temperatures])
    ax.tick_params(length=0)
    ax.set_xlabel("alpha, the weight of the teacher")
    ax.set_ylabel("temperature")
    made = GainMap(image, texts)
    made.show(grid.means(grid.epochs[-1] if epochs is None else epochs))
    return made


def signed(value: float) -> str:
    """Return points with their sign, a true minus, and one decimal: "+2.3"."""
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def sentence(found: PairedDifference) -> str:
    """Return in a few words what the interval of a difference says."""
    return SAID[found.verdict]


def _ascending(name: str, given: Any) -> tuple[Any, ...]:
    numbers = tuple(arguments.array(name, given, np.float64, ndim=1).tolist())
    if list(numbers) != sorted(set(numbers)):
        raise ValueError(f"{name} must ascend; got {numbers}")
    return tuple(int(number) if number == int(number) else number for number in numbers)


def _index(name: str, value: Any, measured: tuple[Any, ...]) -> int:
    number = arguments.real(name, value)
    if number not in measured:
        raise ValueError(f"{name} must be one of {', '.join(f'{m:g}' for m in measured)}; got {number:g}")
    return measured.index(number)
