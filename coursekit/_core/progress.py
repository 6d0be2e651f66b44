"""A bar for work that takes seconds: in a notebook it grows in place, elsewhere nothing is shown.

Plain HTML, so it needs no widgets, works in Colab, and stays readable in a stored notebook.
"""

import html
import itertools
import sys
from collections.abc import Callable
from typing import Any

TENTHS = 10
_BAR = '<div>{text}</div><progress value="{done:.0f}" max="100" style="width:24em"></progress>'


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
        if not _in_notebook():
            return
        from IPython.display import display

        bundle = {"text/plain": text, "text/html": markup}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


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


def _in_notebook() -> bool:
    """Tell whether a Jupyter kernel runs this, without loading IPython where there is none."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
