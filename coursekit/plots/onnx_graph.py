"""The graph in an ONNX file as a picture, and what ONNX Runtime makes of it, side by side.

The unit is one pixel at normal size, y points down; in presenter mode all of it grows.
"""

import functools
import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from coursekit._core import display
from coursekit.onnx_models import Graph, Node
from coursekit.plots import style
from coursekit.plots.graph_layout import Layout, layout
from coursekit.plots.lettering import PIXELS_PER_POINT
from coursekit.plots.page import page, tint

__all__ = ["TITLES", "Box", "draw", "picture", "side_by_side"]

LEAST_TO_NOTE = 32  # bytes of weights below which a note would say nothing
TITLES = ("As exported", "As ONNX Runtime runs it")
ALT = (
    "The operators of an ONNX file as boxes from input to output, with the shapes and sizes of their weights."
)
ALT_PAIR = (
    "The operators of an ONNX file before and after ONNX Runtime's optimisation, side by side; fused "
    "operators have a thick edge and stand beside those they replace."
)


@dataclass(frozen=True)
class _Page:
    """Measures in pixels at normal size; type sizes in points."""

    name: float = 11.0
    note: float = 10.0
    title: float = 12.1
    pitch: float = 44.0  # from one row to the next
    high: float = 30.0  # a box
    pad: float = 9.0  # beside the text in a box, and between a box and its note
    gap: float = 16.0  # between two columns
    edge: float = 14.0
    head: float = 44.0  # what the title takes
    lane: float = 9.0  # between a box and an arrow around it
    between: float = 34.0  # two graphs

    def middle(self, row: float) -> float:
        """Return the height of a row's middle."""
        return self.head + (row + 0.5) * self.pitch

    def bottom(self, last: int) -> float:
        """Return the height of a page with this last row."""
        return self.head + (last + 1) * self.pitch + self.edge


PAGE = _Page()


@dataclass(frozen=True)
class Box:
    """One operator, or an end of the graph, on the page: its middle, its size and what is written."""

    x: float
    y: float
    wide: float
    high: float
    text: str
    note: str = ""
    side: int = 1  # where the note stands: 1 right, -1 left
    fused: bool = False
    stored: bool = False
    end: bool = False


def picture(graph: Graph, *, title: str = "", alt: str = ALT) -> style.Picture:
    """Return a picture of one graph, as large as the graph needs.

    Parameters
    ----------
    graph : Graph
        A graph as ``onnx_models.graph`` returns it.
    title : str, optional
        The title; by default the graph's name.
    alt : str, optional
        One sentence that says what the picture shows.

    Returns
    -------
    Picture
        The picture.

    Raises
    ------
    TypeError
        If ``graph`` is not a Graph.
    ValueError
        For no operator or more of them than can be read.
    """
    boxes, wide, high = _placed(graph, layout(graph), PAGE.edge)
    wide = max(wide, PAGE.edge + _width(title or graph.name, PAGE.title, "bold"))
    figure = style.figure((wide + PAGE.edge) / style.DPI, high / style.DPI, alt=alt)
    _drawn(page(figure, wide + PAGE.edge, high), graph, boxes, title or graph.name, PAGE.edge)
    return figure


def side_by_side(
    before: Graph, after: Graph, *, titles: Sequence[str] = TITLES, alt: str = ALT_PAIR
) -> style.Picture:
    """Return a picture of a graph and of what an optimiser made of it, each operator beside its origin.

    A fused operator is as tall as the operators whose work it does, and lists them.

    Parameters
    ----------
    before : Graph
        The graph as it was written.
    after : Graph
        The graph that the optimiser made of it.
    titles : sequence of str, optional
        Two titles, left and right.
    alt : str, optional
        One sentence that says what the picture shows.

    Returns
    -------
    Picture
        The picture.

    Raises
    ------
    TypeError
        Unless both are Graphs.
    ValueError
        For no operator or more of them than can be read.
    """
    places = layout(before)
    left, wide, high = _placed(before, places, PAGE.edge)
    right, end, high_too = _placed_beside(
        after, before, places, max(wide, _width(titles[0], PAGE.title, "bold")) + PAGE.between
    )
    end = max(end, right[0].x - right[0].wide / 2 + _width(titles[1], PAGE.title, "bold")) + PAGE.edge
    high = max(high, high_too)
    figure = style.figure(end / style.DPI, high / style.DPI, alt=alt)
    ax = page(figure, end, high)
    _drawn(ax, before, left, titles[0], PAGE.edge)
    _drawn(ax, after, right, titles[1], min(box.x - box.wide / 2 for box in right))
    return figure


def draw(ax: Axes, graph: Graph, *, title: str = "") -> list[Artist]:
    """Draw one graph on ``ax``, which becomes a page as large as the graph needs.

    ``picture`` chooses a figure of the right size by itself.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    graph : Graph
        A graph as ``onnx_models.graph`` returns it.
    title : str, optional
        The title; by default the graph's name.

    Returns
    -------
    list of Artist
        The artists.

    Raises
    ------
    TypeError, ValueError
        As ``picture``.
    """
    boxes, wide, high = _placed(graph, layout(graph), PAGE.edge)
    ax.set(xlim=(0, wide + PAGE.edge), ylim=(high, 0))
    ax.set_axis_off()
    return _drawn(ax, graph, boxes, title or graph.name, PAGE.edge)


def _placed(
    graph: Graph, places: Layout, left: float, fused: Container[int] = ()
) -> tuple[list[Box], float, float]:
    """Return the boxes of the operators and of both ends, the right edge and the bottom."""
    notes = [_note(node) for node in graph.nodes]
    wide = [_width(node.op, PAGE.name, "bold") + 2 * PAGE.pad for node in graph.nodes]
    middles: dict[int, float] = {}
    for column in sorted(set(places.columns), reverse=True):
        members = [number for number, each in enumerate(places.columns) if each == column]
        noted = any(notes[number] for number in members)
        room = max(_width(notes[number], PAGE.note) for number in members) + PAGE.gap * noted
        box = max(wide[number] for number in members)
        if column == 0:
            box = max(box, _end_width(graph.inputs), _end_width(graph.outputs))
        middles[column] = left + (0 if column == 0 else room) + box / 2
        left += room + box + PAGE.gap * (column > 0)
    boxes = [
        Box(
            middles[column],
            PAGE.middle(row),
            wide[number],
            PAGE.high,
            graph.nodes[number].op,
            notes[number],
            1 if column == 0 else -1,
            fused=number in fused,
            stored=bool(notes[number]),
        )
        for number, (row, column) in enumerate(zip(places.rows, places.columns, strict=True))
    ]
    last = max(places.rows) + 1
    ends = [_end(graph.inputs, middles[0], 0), _end(graph.outputs, middles[0], last)]
    right = max([left, *(box.x + box.wide / 2 for box in ends)])
    return [*boxes, *ends], right, PAGE.bottom(last)


def _placed_beside(
    after: Graph, before: Graph, places: Layout, left: float
) -> tuple[list[Box], float, float]:
    """Return the boxes of ``after``, each beside the operators of ``before`` whose work it does."""
    origins = after.origins(before)
    fused = {fusion.node: fusion for fusion in after.fusions(before)}
    spans = [_span(origin, places) for origin in origins]
    if not all(origins) or not _apart(spans):  # no place of its own for each: a layout as usual
        return _placed(after, layout(after), left, fused)
    texts = [_fused_text(node, fused.get(number)) for number, node in enumerate(after.nodes)]
    notes = [_note(node) for node in after.nodes]
    wide = [_widest(text) + 2 * PAGE.pad for text in texts]
    middle = left + max(wide) / 2
    boxes = []
    for number, (first, last) in enumerate(spans):
        y, high = PAGE.middle((first + last) / 2), (last - first) * PAGE.pitch + PAGE.high
        look = {"fused": number in fused, "stored": bool(notes[number])}
        boxes.append(Box(middle, y, wide[number], high, texts[number], notes[number], **look))
    last = max(places.rows) + 1
    ends = [_end(after.inputs, middle, 0), _end(after.outputs, middle, last)]
    right = left + max(wide) + PAGE.gap + max(_width(note, PAGE.note) for note in notes)
    return [*boxes, *ends], right, PAGE.bottom(last)


def _span(origin: Sequence[int], places: Layout) -> tuple[int, int]:
    """Return the first and last row of these operators: of those in the middle column, if there are any."""
    middle = [places.rows[each] for each in origin if places.columns[each] == 0]
    rows = middle or [places.rows[each] for each in origin] or [0]
    return min(rows), max(rows)


def _apart(spans: Sequence[tuple[int, int]]) -> bool:
    ordered = sorted(spans)
    return all(last < first for (_, last), (first, _) in itertools.pairwise(ordered))


def _widest(text: str) -> float:
    """Return the width of the widest line; the first one is bold."""
    first, *others = text.split("\n")
    return max(_width(first, PAGE.name, "bold"), *(_width(line, PAGE.note) for line in others), 0.0)


def _fused_text(node: Node, fusion: object) -> str:
    parts = getattr(fusion, "parts", ())
    if len(parts) < 2:
        return node.op
    counts: Mapping[str, int] = {part: parts.count(part) for part in dict.fromkeys(parts)}
    listed = [f"{count} × {part}" if count > 1 else part for part, count in counts.items()]
    return "\n".join(
        [node.op, *(f"{'=' if not number else '+'} {part}" for number, part in enumerate(listed))]
    )


def _note(node: Node) -> str:
    nbytes = sum(weight.nbytes for weight in node.weights)
    if nbytes < LEAST_TO_NOTE:
        return ""
    most = max(len(weight.shape) for weight in node.weights)
    shapes = [weight.shape for weight in node.weights if len(weight.shape) == most]
    largest = max(shapes, key=lambda shape: int(np.prod(shape)))
    return f"{'×'.join(map(str, largest))}, {display.size(nbytes)}"


def _end(names: Sequence[str], x: float, row: int) -> Box:
    return Box(x, PAGE.middle(row), _end_width(names), PAGE.high, ", ".join(names), end=True)


def _end_width(names: Sequence[str]) -> float:
    return _width(", ".join(names), PAGE.name) + 3 * PAGE.pad


@style.look()
def _drawn(ax: Axes, graph: Graph, boxes: list[Box], title: str, left: float) -> list[Artist]:
    """Draw the boxes and the arrows between them; sizes of type follow the page's."""
    unit = ax.bbox.width / abs(np.diff(ax.get_xlim())[0]) * style.DPI / ax.figure.dpi
    heading: dict[str, Any] = {"fontsize": PAGE.title * unit, "weight": "bold", "va": "center"}
    made: list[Artist] = [ax.text(left, PAGE.head / 2, title, **heading)]
    for box in boxes:
        made += _box(ax, box, unit)
    ends = {"in": len(boxes) - 2, "out": len(boxes) - 1}
    pairs = dict.fromkeys(
        (
            ends["in"] if edge.source is None else edge.source,
            ends["out"] if edge.target is None else edge.target,
        )
        for edge in graph.edges
    )
    return made + [_arrow(ax, boxes, source, target, unit) for source, target in pairs]


def _box(ax: Axes, box: Box, unit: float) -> list[Artist]:
    colour = style.ORANGE if box.fused else style.BLUE if box.stored else style.GREY
    patch = FancyBboxPatch(
        (box.x - box.wide / 2, box.y - box.high / 2),
        box.wide,
        box.high,
        boxstyle=f"round,pad=0,rounding_size={PAGE.high / 2 if box.end else 4}",
        facecolor="white" if box.end else tint(colour, 0.25),
        edgecolor=style.VERMILLION if box.fused else colour,
        linewidth=(2.6 if box.fused else 1.2) * unit,
        zorder=3,
    )
    ax.add_patch(patch)
    first, _, rest = box.text.partition("\n")
    look: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 4, "linespacing": 1.35}
    lift = (rest.count("\n") + 1) * PAGE.name * PIXELS_PER_POINT * 1.35 / 2 if rest else 0.0
    heavy: dict[str, Any] = {"fontsize": PAGE.name * unit, "weight": "bold" if box.fused else "normal"}
    texts = [ax.text(box.x, box.y - lift, first, **heavy, **look)]
    if rest:
        below = box.y + PAGE.name * PIXELS_PER_POINT * 1.35 / 2
        texts.append(ax.text(box.x, below, rest, fontsize=PAGE.note * unit, color=style.INK, **look))
    if box.note:
        beside = box.x + box.side * (box.wide / 2 + PAGE.pad)
        align: dict[str, Any] = {"ha": "left" if box.side > 0 else "right", "va": "center", "zorder": 4}
        texts.append(ax.text(beside, box.y, box.note, fontsize=PAGE.note * unit, color=style.BLUE, **align))
    return [patch, *texts]


def _arrow(ax: Axes, boxes: list[Box], source: int, target: int, unit: float) -> Artist:
    arrow = FancyArrowPatch(
        path=_way(boxes, boxes[source], boxes[target]),
        arrowstyle="-|>",
        mutation_scale=11 * unit,
        color=style.INK,
        linewidth=1.2 * unit,
        joinstyle="round",
        zorder=2,
    )
    ax.add_patch(arrow)
    return arrow


def _way(boxes: list[Box], a: Box, b: Box) -> Path:
    """Return the way from ``a`` down to ``b``: straight, or with corners so that it crosses no box."""
    start, end = (a.x, a.y + a.high / 2), (b.x, b.y - b.high / 2)
    between = [box for box in boxes if a.y < box.y < b.y and abs(box.x - a.x) < 1]
    if abs(a.x - b.x) < 1 and not between:
        return Path([start, end])
    if abs(a.x - b.x) < 1:  # round those between, on their left
        lane = min(box.x - box.wide / 2 for box in (a, b, *between)) - PAGE.lane
        return Path([(a.x - a.wide / 2, a.y), (lane, a.y), (lane, b.y), (b.x - b.wide / 2, b.y)])
    if b.side < 0:  # out to a side column: first across, then down
        return Path([(a.x - a.wide / 2, a.y), (b.x, a.y), end])
    return Path([start, (a.x, b.y), (b.x - b.wide / 2, b.y)])  # and back: first down, then across


@functools.cache
def _width(text: str, points: float, weight: str = "normal") -> float:
    """Return how wide ``text`` is in pixels at normal size."""
    font = FontProperties(weight=weight, size=points * PIXELS_PER_POINT)
    return TextPath((0, 0), text, prop=font).get_extents().width if text else 0.0
