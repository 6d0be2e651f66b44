"""A bar for work that takes seconds: in a notebook it grows in place, elsewhere nothing is shown.

Plain HTML, so it needs no widgets, works in Colab, and stays readable in a stored notebook.
"""

import contextlib
import html
import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Protocol, TypeVar

from coursekit._core import arguments

PUBLIC = "coursekit.runtime"  # where progress and track are imported from
Item = TypeVar("Item", covariant=True)

TENTHS = 10
_BAR = (
    "<div>{text}</div>"
    '<progress aria-label="{text}" value="{done:.0f}" max="100" style="width:24em"></progress>'
)


class Bar:
    """Called with the part done (0 to 1), it shows ``title`` and a bar; ``end`` leaves one sentence."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._handle: Any = None

    def __call__(self, fraction: float) -> None:
        """Show that this part of the work is done."""
        percent = 100 * min(max(fraction, 0.0), 1.0)
        markup = _BAR.format(text=html.escape(self.title), done=percent)
        self._show(f"{self.title}: {percent:.0f} %", markup)

    def end(self, sentence: str) -> None:
        """Put ``sentence`` in the place of the bar."""
        self._show(sentence, f"<div>{html.escape(sentence)}</div>")

    def _show(self, text: str, markup: str) -> None:
        if notebook_shell() is None:
            return
        from IPython.display import display

        bundle = {"text/plain": text, "text/html": markup}
        with contextlib.suppress(Exception):  # the work goes on, whatever became of the frontend
            if self._handle is None:
                self._handle = display(bundle, raw=True, display_id=True)
            else:
                self._handle.update(bundle, raw=True)


class Counted(Sized, Iterable[Item], Protocol[Item]):
    """What has a length and can be looped over: a list, an array, a DataLoader."""


class Steps:
    """Called at each of ``total`` steps, it moves a bar; ``end`` says how work ended before them."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self._bar, self._alone = Bar(title), threading.Lock()
        self._bar(0.0)  # the first step may take long, too

    def __call__(self, *_: object) -> None:
        """Count a step; those beyond the total show nothing."""
        with self._alone:  # what another thread shows late would stay
            self.done += 1
            before, now = (100 * done // self.total for done in (self.done - 1, self.done))
            if self.done == self.total:
                self._bar.end(f"{self.title}: done.")
            elif before < now < 100:
                self._bar(self.done / self.total)

    def end(self, how: str) -> None:
        """Say how the work ended, unless all steps were counted."""
        with self._alone:
            if self.done < self.total:
                self._bar.end(f"{self.title}: {how}.")


def progress(title: str, total: int) -> Callable[..., None]:
    """Return a counter that shows in a notebook how far a piece of work is, from now on; elsewhere nothing.

    Parameters
    ----------
    title : str
        What is being done.
    total : int
        How many steps there are.

    Returns
    -------
    callable
        Counts a step with every call, whatever it is given: hand it to a training as ``after``.

    Raises
    ------
    TypeError, ValueError
        For a title that is not text, or a total below 1.
    """
    return Steps(arguments.label("title", title), arguments.integer("total", total, 1))


def track(items: Counted[Item], title: str) -> Iterator[Item]:
    """Give a loop its items, and show in a notebook how many of them are done; elsewhere nothing.

    A loop that is left early says after how many.

    Parameters
    ----------
    items : collection
        What the loop works on, with a length: at least one.
    title : str
        What is being done.

    Returns
    -------
    iterator
        The items.

    Raises
    ------
    TypeError, ValueError
        For a title that is not text, no item, and items that cannot be counted.
    """
    try:
        total, left = len(items), iter(items)
    except (TypeError, OverflowError):
        got = arguments.shown(items)
        raise TypeError(f"items must be counted, as in a list; got {got}: use list(items)") from None
    count = Steps(arguments.label("title", title), arguments.integer("the number of items", total, 1))

    def steps() -> Iterator[Item]:
        how = "stopped after {done:,} of {total:,}"
        try:
            for each in left:
                yield each
                count()
            how = "done"
        finally:
            count.end(how.format(done=count.done, total=count.total))

    return steps()


progress.__module__ = track.__module__ = PUBLIC


class Tenths:
    """Calls a reader's ``after``, if there is one, ten times in all, as shares of the work are reached.

    Parameters
    ----------
    after : callable or None
        Called without arguments.
    steps : int
        How many calls of ``step`` make the whole work.
    """

    def __init__(self, after: Callable[[], object] | None, steps: int = TENTHS) -> None:
        self._after, self._steps = after, steps
        self._done, self._told = itertools.count(1), 0

    def step(self) -> None:
        """Count one of the steps."""
        self.reach(next(self._done) / self._steps)

    def reach(self, share: float) -> None:
        """Call ``after`` for every tenth up to this share of the work."""
        while self._after is not None and self._told < min(TENTHS, int(TENTHS * share)):
            self._told += 1
            self._after()


def notebook_shell() -> Any:
    """Return IPython's shell if a Jupyter kernel runs this, else None, and load no IPython for it."""
    found = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = found() if found else None
    return shell if hasattr(shell, "kernel") else None
