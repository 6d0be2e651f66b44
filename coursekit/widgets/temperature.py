"""The panel that softens a teacher's answer: temperature on a slider, probabilities as bars."""

from typing import Any

import ipywidgets
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from coursekit import data, distillation, models
from coursekit._core import arguments
from coursekit._core.display import significant
from coursekit.plots import style
from coursekit.widgets.panel import Panel, View
from coursekit.widgets.stops import round_slider

__all__ = ["VISIBLE", "TemperatureView", "temperature"]

COLDEST, HOTTEST, RESTING = 0.5, 20.0, 4.0
VISIBLE = 0.025  # a smaller share would round to less than the 3 % of the lecture's example
LEVEL = 0.95  # of the highest possible entropy: the bars look alike
SURE = 0.95  # the teacher's share for its first guess: hard to tell from a label
MOST_CLASSES = 16
TOP = 112.0  # percent: room for a number above a full bar


def temperature(
    logits: ArrayLike | None = None, images: ArrayLike | None = None, labels: ArrayLike | None = None
) -> Panel:
    """Return a panel that softens a teacher's answers by a temperature.

    It starts with a picture about which the teacher is sure, and whose second and third guess show at T = 4.

    Parameters
    ----------
    logits : array_like, optional
        A teacher's answers [n, classes], 2 to 16 classes. Default: a teacher is trained and asked about the
        test pictures.
    images : array_like, optional
        What it was asked about, [n, height, width]; together with ``logits`` or not at all.
    labels : array_like, optional
        Class numbers [n], where known.

    Returns
    -------
    Panel
        Controls: temperature (0.5 to 20), picture.

    Raises
    ------
    TypeError, ValueError
        Where only one of logits and images is given, lengths differ, or something is not finite.
    """
    if (logits is None) != (images is None):
        raise ValueError("logits and images must be given together, or neither")
    if logits is None:
        logits, images, labels = _default()
    view = TemperatureView(*_checked(logits, images, labels))
    controls = {
        "temperature": round_slider(RESTING, COLDEST, HOTTEST, "temperature"),
        "picture": ipywidgets.IntSlider(view.telling(), 0, len(view.logits) - 1, description="picture"),
    }
    return Panel(view, controls)


class TemperatureView(View):
    """A picture on the left, the teacher's probabilities for it on the right.

    Parameters
    ----------
    logits : ndarray of float32
        The teacher's, [n, classes].
    images : ndarray of float32
        [n, height, width].
    labels : ndarray of int64
        [n], or None if unknown.
    """

    alt = (
        "A picture of a digit, and beside it a bar per class: the teacher's probabilities, softened by a "
        "temperature, over the outlines of those without it."
    )

    def __init__(
        self, logits: NDArray[np.float32], images: NDArray[np.float32], labels: NDArray[np.int64] | None
    ) -> None:
        super().__init__()
        self.logits, self.images, self.labels = logits, images, labels
        self._draw()

    @style.look()
    def _draw(self) -> None:
        grid = self.figure.add_gridspec(1, 2, width_ratios=(1, 3))
        left, right = (self.figure.add_subplot(grid[0, column]) for column in range(2))
        look = {"cmap": "gray_r", "vmin": self.images.min(), "vmax": self.images.max()}
        self.image = left.imshow(self.images[0], interpolation="nearest", **look)
        left.set_axis_off()
        below: dict[str, Any] = {"ha": "center", "va": "top", "transform": left.transAxes, "zorder": 5}
        self.caption = left.text(0.5, -0.04, "\n", **below)
        self._bars(right)
        self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving = [self.image, self.caption, self.title, self.reading]
        self.moving += [*self.bars, *self.outlines, *self.numbers]

    def _bars(self, ax: Axes) -> None:
        places = np.arange(self.logits.shape[1])
        empty = np.zeros(len(places))
        self.bars = list(ax.bar(places, empty, 0.8, zorder=3))
        edge: dict[str, Any] = {
            "facecolor": "none",
            "edgecolor": style.INK,
            "linewidth": 1.2,
            "linestyle": (0, (2, 2)),
        }
        self.outlines = list(ax.bar(places, empty, 0.8, zorder=4, **edge))
        size = mpl.rcParams["font.size"] * 0.9
        self.numbers = [
            ax.text(x, 0, "", ha="center", va="bottom", fontsize=size, zorder=5) for x in places.tolist()
        ]
        self.reading = ax.set_title(" ", fontweight="normal", zorder=6)
        ax.set_ylim(0, TOP)
        ax.set_yticks(range(0, 101, 20))
        ax.set_xticks(places)
        ax.tick_params(axis="x", length=0)
        ax.set_xlabel("class (dashed: T = 1)")
        ax.set_ylabel("probability (%)")

    def telling(self) -> int:
        """Return a picture whose second and third guess, and no others, come out of nothing by T = 4.

        Returns
        -------
        int
            Its number.
        """
        plain, soft = (np.sort(distillation.soften(self.logits, t).numpy()) for t in (1.0, RESTING))
        right = True if self.labels is None else self.logits.argmax(1) == self.labels
        score = soft[:, -min(3, soft.shape[1])] + right
        sure = (plain[:, -1] >= SURE) & ((plain >= VISIBLE).sum(1) == 1)
        score += 2 * ((soft >= VISIBLE).sum(1) == 3) + 4 * sure
        return int(score.argmax())

    def update(self, temperature: float, picture: int) -> dict[str, Any]:
        """Soften one answer.

        Parameters
        ----------
        temperature : float
            Above 0.
        picture : int
            The number of the picture.

        Returns
        -------
        dict of str to object
            By name; ``entropy`` is in bits, ``visible`` counts the guesses with 2.5 % or more.
        """
        row = self.logits[picture]
        plain, soft = (distillation.soften(row, t).numpy().astype(np.float64) for t in (1.0, temperature))
        shown: dict[str, Any] = {
            "temperature": temperature,
            "picture": picture,
            "probabilities": soft,
            "entropy": distillation.entropy(soft),
            "guesses": np.argsort(-row, kind="stable"),
            "visible": int((soft >= VISIBLE).sum()),
        }
        self.image.set_data(self.images[picture])
        self.caption.set_text(self._named(picture))
        self._raise(plain, soft, shown["guesses"])
        self.title.set_text(f"T = {temperature:.3g}: {self._sentence(shown)}")
        most = significant(np.log2(len(soft)))
        self.reading.set_text(f"entropy {shown['entropy']:.2f} bits of at most {most}")
        return shown

    def _raise(
        self, plain: NDArray[np.float64], soft: NDArray[np.float64], guesses: NDArray[np.intp]
    ) -> None:
        ranks = np.argsort(guesses)
        for number, (bar, outline, text) in enumerate(
            zip(self.bars, self.outlines, self.numbers, strict=True)
        ):
            share = 100 * soft[number]
            bar.set(height=share, facecolor=_colour(ranks[number]))
            outline.set_height(100 * plain[number])
            text.set(y=share + 1, text=f"{share:.0f}" if soft[number] >= VISIBLE else "")

    def _named(self, picture: int) -> str:
        label = "" if self.labels is None else f"\nlabel: {self.labels[picture]}"
        return f"picture {picture}{label}"

    def _sentence(self, shown: dict[str, Any]) -> str:
        if shown["entropy"] >= LEVEL * np.log2(len(shown["probabilities"])):
            return "so hot that all guesses look alike"
        visible = shown["visible"]
        if visible > 3:
            return f"{visible} guesses are visible"
        return (
            "only the first guess is visible",
            "the second guess is visible",
            "the second and third guess are visible",
        )[visible - 1]


def _colour(rank: int) -> str:
    return style.BLUE if rank == 0 else style.ORANGE if rank < 3 else style.MUTED


def _default() -> tuple[Any, Any, Any]:
    digits = data.digits()
    teacher = models.fit_many(distillation.TEACHER, digits.train.x, digits.train.y, seeds=[0])
    return teacher.logits(digits.test.x)[0], digits.test.images, digits.test.y


def _checked(logits: Any, images: Any, labels: Any) -> tuple[Any, Any, Any]:
    scores = arguments.array("logits", logits, ndim=2)
    pictures = arguments.array("images", images, ndim=3)
    classes = None if labels is None else arguments.array("labels", labels, np.int64, ndim=1)
    counts = [len(scores), len(pictures), len(scores) if classes is None else len(classes)]
    if len(set(counts)) > 1:
        raise ValueError(f"logits, images and labels must be equally long; got {counts}")
    if not 2 <= scores.shape[1] <= MOST_CLASSES or len(scores) < 2:
        raise ValueError(
            f"logits must be at least 2 rows of 2 to {MOST_CLASSES} classes; got shape {scores.shape}"
        )
    return scores, pictures, classes
