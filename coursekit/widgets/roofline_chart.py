"""The panel that moves a measured layer along the roofline of this machine."""

import math
from collections.abc import Sequence
from typing import Any

import ipywidgets

from coursekit import roofline
from coursekit._core.display import seconds, significant
from coursekit.plots import style
from coursekit.plots.roofline import GIGA, of, show
from coursekit.plots.roofline import roofline as draw
from coursekit.timing.roofline import Point, Roof
from coursekit.widgets.panel import Panel, View

__all__ = ["RooflineView", "roofline_chart"]


def roofline_chart(roof: Roof, points: Sequence[Point]) -> Panel:
    """Return a panel with a layer's measured ``points`` below a measured ``roof``.

    It starts at the largest batch left of the ridge.

    Parameters
    ----------
    roof : roofline.Roof
        What the machine can do.
    points : sequence of roofline.Point
        One for every combination of batch, precision and source.

    Returns
    -------
    Panel
        Controls: batch, precision, source (whether the weights come from memory or stay in the cache).

    Raises
    ------
    TypeError
        For anything but a Roof and Points.
    ValueError
        Where a combination is missing or has no roof.
    """
    view = RooflineView(_roof(roof), _points(points, roof))
    batches = sorted({point.batch for point in view.points})
    resting = max([batches[0], *(p.batch for p in view.points if _waits_for_memory(p, roof))])
    controls = {
        "batch": ipywidgets.SelectionSlider(options=batches, value=resting, description="batch"),
        "precision": _choice(view.points, "precision"),
        "source": _choice(view.points, "source", "weights from"),
    }
    return Panel(view, controls)


class RooflineView(View):
    """The roof of one precision and source, the layer's points below it, and one batch in the foreground.

    Parameters
    ----------
    roof : Roof
        The machine's roof.
    points : sequence of Point
        The layer's.
    """

    alt = (
        "A roofline: attainable arithmetic per second rises with the arithmetic intensity until it meets a "
        "flat peak. The points of a layer lie below it and move to the right as the batch grows."
    )

    def __init__(self, roof: Roof, points: Sequence[Point]) -> None:
        super().__init__()
        self.roof, self.points = roof, points
        with style.look():
            ax = self.figure.add_subplot()
            self.drawn = draw(ax, roof, points)
            self.title = ax.set_title(" ", zorder=6)
            self.reading = ax.text(0.015, 0.985, "", va="top", linespacing=1.5, transform=ax.transAxes)
            (self.gap,) = ax.plot([], [], color=style.ORANGE, linewidth=2, zorder=3.5)
            look: dict[str, Any] = {
                "color": style.ORANGE,
                "markeredgecolor": style.INK,
                "markeredgewidth": 1.5,
            }
            (self.chosen,) = ax.plot([], [], "o", markersize=13, zorder=5, **look)
        self.moving = [self.title, self.reading, self.gap, self.chosen, self.drawn.roof, self.drawn.other]
        self.moving += [self.drawn.points, *self.drawn.labels.values()]

    def update(self, batch: int, precision: str, source: str) -> dict[str, Any]:
        """Bring one point to the foreground.

        Parameters
        ----------
        batch : int
            The point's.
        precision : str
            The point's.
        source : str
            The point's.

        Returns
        -------
        dict of str to object
            By name; ``share`` is the part of its bound that it reaches.
        """
        show(self.drawn, self.roof, self.points, precision, source)
        point = next(p for p in of(self.points, precision, source) if p.batch == batch)
        intensity, share = point.work.intensity, point.share(self.roof)
        bound = self.roof.bound(intensity, precision, source)
        verdict = self.roof.verdict(intensity, precision, source)
        self.chosen.set_data([intensity], [point.rate / GIGA])
        self.gap.set_data([intensity] * 2, [point.rate / GIGA, bound / GIGA])
        self.title.set_text(f"{precision.upper()}, batch {batch}: {verdict}, {100 * share:.0f} % of its roof")
        shown = {
            "batch": batch,
            "precision": precision,
            "source": source,
            "intensity": intensity,
            "rate": point.rate,
            "bound": bound,
            "share": share,
            "verdict": verdict,
            "ridge": self.roof.ridge(precision, source),
            "seconds": point.seconds,
        }
        self._say(shown)
        return shown

    def _say(self, shown: dict[str, Any]) -> None:
        bandwidth = self.roof.bandwidth_from(shown["source"])
        lines = [
            f"{seconds(shown['seconds'])} at {significant(shown['intensity'])} FLOP per byte",
            f"{roofline.rate(shown['rate'], 'FLOP/s')} of {roofline.rate(shown['bound'], 'FLOP/s')}",
            f"{shown['source']}: {roofline.rate(bandwidth, 'B/s')}, ridge at {significant(shown['ridge'])}",
        ]
        self.reading.set_text("\n".join(lines))


def _roof(given: Any) -> Roof:
    if not isinstance(given, Roof):
        raise TypeError(f"roof must be a Roof, as roofline.measure returns; got {type(given).__name__}")
    return given


def _points(given: Any, roof: Roof) -> tuple[Point, ...]:
    points = tuple(given)
    if not points or not all(isinstance(point, Point) for point in points):
        raise TypeError(f"points must hold Points, as roofline.measure_layer returns; got {given!r:.80}")
    keys = [(point.batch, point.precision, point.source) for point in points]
    if len(points) != len(set(keys)) or len(keys) != math.prod(
        len(set(each)) for each in zip(*keys, strict=True)
    ):
        raise ValueError("points must hold every combination of batch, precision and source exactly once")
    for point in points:
        point.share(roof)  # raises where there is no roof for it
    return points


def _waits_for_memory(point: Point, roof: Roof) -> bool:
    first = next(iter(roof.peaks))
    is_shown = point.precision == first and point.source == roofline.MEMORY
    return is_shown and roof.verdict(point.work.intensity, first) == "memory-bound"


def _choice(points: Sequence[Point], name: str, description: str = "") -> ipywidgets.Dropdown:
    """Return a drop-down list of what the points hold, in their order."""
    options = list(dict.fromkeys(getattr(point, name) for point in points))
    return ipywidgets.Dropdown(options=options, description=description or name)
