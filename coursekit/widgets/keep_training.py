"""The panel whose button trains language models for some seconds more, so that one sees their loss fall."""

import time
from collections.abc import Mapping
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.lines import Line2D
from torch import Tensor

from coursekit import language
from coursekit._core import arguments
from coursekit.language import Trainer
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.widgets.panel import Panel, View

__all__ = ["SECONDS", "KeepTrainingView", "keep_training", "smoothed"]

SECONDS = 20.0  # of training per press
REDRAWN = 1.0  # seconds between two pictures of a training that goes on
MOST = 4  # models: as many as there are colours
GROWN = 1.5  # times the steps that did not fit: the axes are drawn anew seldom
SMOOTHED = 16  # steps of which a line shows the mean


def keep_training(trainers: Mapping[str, Trainer], data: Tensor, seconds: float = SECONDS) -> Panel:
    """Return a panel that trains a model further with every press of its button.

    The picture follows while it trains. An interrupted kernel keeps the steps that were done.

    Parameters
    ----------
    trainers : mapping of str to language.Trainer
        Up to four, by name; what they have done so far is shown.
    data : Tensor
        int64 [count, length + 1] of ``language.windows``: text that none of them is trained on.
    seconds : float, optional
        Of training per press.

    Returns
    -------
    Panel
        Controls: model. Button: train.

    Raises
    ------
    TypeError, ValueError
        For something else than trainers, none or too many of them, or seconds that are not above 0.
    """
    seconds = arguments.positive("seconds", seconds, "s")
    if not isinstance(trainers, Mapping) or not 1 <= len(trainers) <= MOST:
        raise ValueError(f"trainers must map 1 to {MOST} names; got {arguments.shown(trainers)}")
    for each in trainers.values():
        arguments.instance("trainers", each, Trainer)
    view = KeepTrainingView(dict(trainers), data)
    toggle = ipywidgets.ToggleButtons(options=list(trainers), description="model")

    def train(progress: Any) -> None:
        trainer, begin = trainers[toggle.value], time.perf_counter()
        shown = begin

        def report(done: int, _: int) -> None:
            nonlocal shown
            now = time.perf_counter()
            progress(min(1.0, (now - begin) / seconds))
            if now - shown >= REDRAWN:
                shown = now
                panel.refresh()

        try:
            if not trainer.done:
                trainer.run(seconds, report)
        finally:
            view.judge(toggle.value)

    panel = Panel(view, {"model": toggle}, actions={f"Train {seconds:g} s more": train})
    return panel


class KeepTrainingView(View):
    """The loss on the training text step by step, and on other text wherever it was judged.

    Parameters
    ----------
    trainers : dict of str to Trainer
        By name.
    data : Tensor
        int64 [count, length + 1]: text that none of them is trained on.
    """

    alt = (
        "The loss of each model against its training steps: a line for the text that it is trained on, and "
        "open marks for text that it has not seen."
    )

    def __init__(self, trainers: dict[str, Trainer], data: Tensor) -> None:
        super().__init__()
        self.trainers, self.data = trainers, data
        self.room, self.settled = (0, 0.0), False
        self.judged: dict[str, list[tuple[int, float]]] = {name: [] for name in trainers}
        with style.look():
            self.ax = self.figure.add_subplot()
            self.lines: list[Line2D] = []
            self.rings: list[Line2D] = []
            for number, name in enumerate(trainers):
                dress: dict[str, Any] = {"color": style.SERIES[number], "linestyle": style.DASHES[number]}
                (line,) = self.ax.plot([], [], label=f"{name}: training text", **dress)
                look: dict[str, Any] = {"markerfacecolor": "none", "markersize": 10, "markeredgewidth": 2}
                (ring,) = self.ax.plot(
                    [],
                    [],
                    style.MARKERS[number],
                    color=style.SERIES[number],
                    label=f"{name}: other text",
                    **look,
                )
                self.lines.append(line)
                self.rings.append(ring)
            describe(self.ax, "training steps", "loss (nats per token)")
            self.title = self.ax.set_title(" ")
            self.ax.legend(loc="upper right", ncols=len(trainers))
        self.moving = [*self.lines, *self.rings, self.title]
        for name in trainers:
            self.judge(name)

    def _make_room(self, steps: int, height: float) -> None:
        """Let the axes hold so many steps and such a loss; what does not fit moves them well beyond it."""
        if steps <= self.room[0] and height <= self.room[1]:
            return
        self.room = max(steps, int(GROWN * steps) if any(self.room) else 0), max(height, self.room[1])
        self.ax.set_xlim(-0.02 * self.room[0], 1.03 * self.room[0])
        self.ax.set_ylim(0, 1.3 * self.room[1])
        if self.settled:
            self.settle()

    def settle(self) -> None:
        """Draw what stays, also when the axes have grown; see :class:`View`."""
        super().settle()
        self.settled = True

    def judge(self, name: str) -> None:
        """Measure a model's loss on the text that it is not trained on.

        Parameters
        ----------
        name : str
            Which one.
        """
        trainer = self.trainers[name]
        trainer.model.eval()
        self.judged[name].append((len(trainer.losses), language.losses(trainer.model, self.data).mean))

    def update(self, model: str) -> dict[str, Any]:
        """Show all that was done so far.

        Parameters
        ----------
        model : str
            Which one the title speaks of.

        Returns
        -------
        dict of str to object
            By name: the steps and losses of the model.
        """
        steps, heights = 1, [0.0]
        for line, ring, name in zip(self.lines, self.rings, self.trainers, strict=True):
            losses = np.array(self.trainers[name].losses)
            smooth = smoothed(losses)
            line.set_data(np.arange(1, len(losses) + 1), smooth)
            ring.set_data(*np.array(self.judged[name]).T)
            steps = max(steps, len(losses))
            heights += [*smooth, *(loss for _, loss in self.judged[name])]
        self._make_room(steps, max(heights))
        (_, first), (done, last) = self.judged[model][0], self.judged[model][-1]
        before = f"{first:.2f}, now " if len(self.judged[model]) > 1 else ""
        self.title.set_text(f"{model}, loss on other text: {before}{last:.2f} after {done:,} steps")
        return {"model": model, "steps": len(self.trainers[model].losses), "first": first, "last": last}


def smoothed(losses: Any) -> Any:
    """Return for each step the mean of the last few losses.

    Parameters
    ----------
    losses : ndarray
        [steps].

    Returns
    -------
    ndarray
        [steps].
    """
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(losses) + 1)
    begins = np.maximum(0, ends - SMOOTHED)
    return (sums[ends] - sums[begins]) / (ends - begins)
