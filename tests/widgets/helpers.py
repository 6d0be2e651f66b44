"""What every panel has to keep, asked the same way of each of them.

Use it from a test in this folder: ``from helpers import sweep, texts_collide``.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import ipywidgets
import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from coursekit.plots.lettering import Lettering
from coursekit.widgets.panel import Panel, View

STEPS = 9
MANY = 30  # options of a slider with round stops
FORMAT_NAME = re.compile(r"\b(?:INT|FP|BF|TF)\d+\b")


def span(control: ipywidgets.Widget, steps: int = STEPS) -> list[Any]:
    """Return values from one end of the control's range to the other; every option where it has options."""
    if hasattr(control, "options"):
        options = control.options.items() if isinstance(control.options, dict) else control.options
        values = [option[1] if isinstance(option, tuple) else option for option in options]
        return (
            values
            if len(values) <= MANY
            else [values[i] for i in np.linspace(0, len(values) - 1, steps, dtype=int)]
        )
    if isinstance(control, ipywidgets.ToggleButton | ipywidgets.Checkbox):
        return [not control.value, control.value]
    assert hasattr(control, "min"), f"{type(control).__name__} has no range: say which values to try"
    ends = np.linspace(control.min, control.max, steps)
    if isinstance(control, ipywidgets.FloatLogSlider):
        return [float(control.base**power) for power in ends]
    kind = int if isinstance(control.min, int) else float
    return sorted({kind(value) for value in ends})


def move(panel: Panel, name: str, value: Any) -> dict[str, Any]:
    """Set one control as a reader would and return the numbers now shown; the panel must not complain."""
    panel.controls[name].value = value
    assert panel.message.value == "", f"{name} = {value!r}: {panel.message.value}"
    return dict(panel.values)


def sweep(panel: Panel, name: str, values: Iterable[Any] | None = None) -> list[dict[str, Any]]:
    """Move one control through its range (or ``values``): each stop changes the numbers and the pixels."""
    shown = []
    for value in span(panel.controls[name]) if values is None else values:
        if value == panel.controls[name].value:
            continue
        numbers, picture = fingerprint(panel.values), pixels(panel)
        shown.append(move(panel, name, value))
        assert fingerprint(panel.values) != numbers, f"{name} = {value!r} left panel.values as they were"
        assert not np.array_equal(pixels(panel), picture), f"{name} = {value!r} left the picture as it was"
    assert shown, f"{name} never moved"
    return shown


def pixels(panel: Panel) -> np.ndarray:
    """Return the picture that the panel shows now, [height, width, 3]."""
    return np.asarray(Image.open(io.BytesIO(panel.picture.value)).convert("RGB"))


def redrawn(panel: Panel) -> np.ndarray:
    """Return the same picture drawn from scratch: what a fast redraw must equal."""
    for artist in panel.view.moving:
        artist.set_animated(False)
    fresh = np.asarray(Image.open(io.BytesIO(panel.view.figure.png())).convert("RGB"))
    for artist in panel.view.moving:
        artist.set_animated(True)
    return fresh


def fingerprint(values: dict[str, Any]) -> str:
    """Return numbers, arrays and NaNs as one text, so that they compare."""
    return repr({key: np.asarray(value).tolist() for key, value in sorted(values.items())})


def texts_collide(view: View, slack: float = 1.0) -> list[str]:
    """Return what cannot be read: texts that overlap, or leave the picture, by more than ``slack`` pixels."""
    texts, boxes = zip(*_ink(view), strict=True)
    x0, y0, x1, y1 = np.array([box.extents for box in boxes]).T
    width, height = view.figure.bbox.size
    out = (x0 < -slack) | (y0 < -slack) | (x1 > width + slack) | (y1 > height + slack)
    wide = np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0)
    high = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)
    touching = np.argwhere(np.triu((wide > slack) & (high > slack), k=1))
    outside = [f"{texts[index]!r} leaves the picture" for index in np.flatnonzero(out)]
    return outside + [f"{texts[first]!r} lies on {texts[second]!r}" for first, second in touching]


@contextlib.contextmanager
def counted(panel: Panel) -> Iterator[list[bytes]]:
    """Collect the pictures that the panel sends to the browser inside the block."""
    sent: list[bytes] = []

    def collect(change: Any) -> None:
        sent.append(change["new"])

    panel.picture.observe(collect, names="value")
    try:
        yield sent
    finally:
        panel.picture.unobserve(collect, names="value")


def assert_keeps_the_rules(
    panel: Panel, moves: Iterable[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each move sends one picture, as if drawn afresh; the panel shows itself and hides no error."""
    resting = {name: control.value for name, control in panel.controls.items()}
    for name, value in moves:
        with counted(panel) as sent:
            move(panel, name, value)
        assert len(sent) == 1, f"{name} = {value!r} sent {len(sent)} pictures"
        assert np.array_equal(pixels(panel), redrawn(panel)), f"{name} = {value!r}: the fast redraw is wrong"
    assert_shows_itself(panel, monkeypatch)
    assert_no_pyplot_figures()
    assert not any(character.isdigit() for character in FORMAT_NAME.sub("", panel.view.alt))
    assert_errors_surface(panel, name, resting[name], monkeypatch)


def assert_errors_surface(panel: Panel, name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the view: moving a control must raise, not fail in silence."""

    def broken(**values: Any) -> dict[str, Any]:
        raise ZeroDivisionError("the view is broken")

    monkeypatch.setattr(panel.view, "update", broken)
    with pytest.raises(ZeroDivisionError, match="the view is broken"):
        panel.controls[name].value = value


def assert_shows_itself(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Widget, picture and alt text travel together; static mode leaves the widget out."""
    monkeypatch.delenv("COURSEKIT_WIDGETS", raising=False)
    data, metadata = panel.bundle()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert data["text/plain"] == metadata["image/png"]["alt"] == panel.view.alt
    monkeypatch.setenv("COURSEKIT_WIDGETS", "static")
    assert set(panel.bundle()[0]) == {"image/png", "text/plain"}


def assert_no_pyplot_figures() -> None:
    """No panel may register a figure with pyplot: it would be shown twice, and never freed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def _ink(view: View) -> list[tuple[str, Any]]:
    renderer = view.figure.canvas.get_renderer()
    texts = [text for text in view.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    unseen = _unseen(view)
    drawn = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text not in unseen]
    return drawn + [found for letters in view.figure.findobj(Lettering) for found in _phrases(letters)]


def _phrases(letters: Lettering) -> list[tuple[str, Bbox]]:
    corners = [
        (phrase.text, np.array(phrase.box).reshape(2, 2)) for phrase in letters.phrases if phrase.paths
    ]
    to_pixels = letters.axes.transData.transform
    return [(text, Bbox(np.sort(to_pixels(points), axis=0))) for text, points in corners]


def _unseen(view: View) -> set[Text]:
    """Tick labels that matplotlib keeps but does not draw: beyond the axis' ends, or the axis is off."""
    unseen: set[Text] = set()
    for ax in view.figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not (ax.axison and axis.get_visible() and low <= tick.get_loc() <= high):
                    unseen |= {tick.label1, tick.label2}
    return unseen
