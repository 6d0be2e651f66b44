"""The class page's pictures: plain SVG, escaped, in colours of the page, which differ in shape as well."""

import html
import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from coursekit._core import display
from coursekit.classroom.counting import ExerciseCount, MachinePoint, Prediction, median

__all__ = ["Axis", "bar", "choices", "guesses", "machines"]

WIDTH, LEFT, RIGHT = 900, 320, 20  # pixels: of a picture, of its labels, and beside its axis
FARTHEST = 1e4  # times the middle of what was measured: what lies further out stands at the edge
SPREAD = 20  # times the smallest number, from which on an axis is logarithmic
DOT = 3.5  # radius
MOST_STACKED = 24  # dots above each other; more are moved closer
ROW, LINE = 34, 5  # pixels for a machine at least, and for each measurement on it
LOWEST, HIGHEST = 1e-250, 1e250  # numbers that are told apart
_STEPS = (1, 2, 5, 10)
_TICKS = 6


class Axis:
    """A horizontal axis over ``values``, logarithmic where they spread far.

    Parameters
    ----------
    values : iterable of float
        What must find room; at least one.
    left : float
        Where it begins, in pixels.
    log : bool, optional
        Whether it is logarithmic in any case where that is possible; by default the values decide.
    """

    def __init__(self, values: Iterable[float], left: float = 20, *, log: bool = False) -> None:
        found = [min(max(value, -HIGHEST), HIGHEST) for value in values]
        low, high = min(found), max(found)
        self.log = low > LOWEST and (math.log10(high) - math.log10(low) > math.log10(SPREAD) or log)
        self.left, self.right = left, WIDTH - RIGHT
        a, b = self._scale(low), self._scale(high)
        room = (b - a) * 0.06 or abs(b) * 0.5 or 1.0
        self.low, self.high = a - room, b + room

    def at(self, value: float) -> float:
        """Return where a value stands, in pixels; what lies outside stands at the edge.

        Parameters
        ----------
        value : float
            The value.

        Returns
        -------
        float
            Pixels from the left.
        """
        share = (self._scale(value) - self.low) / (self.high - self.low)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def ticks(self) -> list[float]:
        """Return round values that stand well apart.

        Returns
        -------
        list of float
            From the left to the right.
        """
        return self._decades() if self.log else self._even()

    def drawn(self, y: float, unit: str) -> str:
        """Return the axis as SVG.

        Parameters
        ----------
        y : float
            How far down.
        unit : str
            What stands below it.

        Returns
        -------
        str
            SVG.
        """
        parts = [f'<line x1="{self.left}" x2="{self.right}" y1="{y}" y2="{y}" stroke="var(--ink)"/>']
        for tick in self.ticks():
            x = self.at(tick)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 5}" stroke="var(--ink)"/>')
            parts.append(_text(x, y + 18, f"{tick:,.12g}" if abs(tick) < 1e7 else f"{tick:.0e}", "middle"))
        label = textwrap.shorten(unit, 90, placeholder=" …")
        middle = (self.left + self.right) / 2
        return "".join([*parts, _text(middle, y + 36, label, "middle", "soft")])

    def _scale(self, value: float) -> float:
        return math.log10(max(value, LOWEST)) if self.log else min(max(value, -HIGHEST), HIGHEST)

    def _decades(self) -> list[float]:
        first, last = math.ceil(self.low - 1), math.floor(self.high)
        steps = (1, 2, 5) if last - first < 3 else (1,)
        every = max(1, (last - first) // _TICKS)
        found = [step * 10.0**n for n in range(first, last + 1, every) for step in steps]
        return [tick for tick in found if self.low <= math.log10(tick) <= self.high]

    def _even(self) -> list[float]:
        span = self.high / _TICKS - self.low / _TICKS
        size = 10.0 ** math.floor(math.log10(span))
        step = next(size * n for n in _STEPS if size * n >= span * 0.999)
        return [n * step for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def bar(count: ExerciseCount) -> str:
    """Return an exercise's outcomes as one bar: solved full, tried hatched, open empty.

    Parameters
    ----------
    count : ExerciseCount
        The outcomes.

    Returns
    -------
    str
        SVG.
    """
    scale = 240 / max(count.all, 1)
    solved, tried = count.solved * scale, count.tried * scale
    alt = f"{count.solved} solved, {count.tried} tried, {count.open} open"
    return (
        f'<svg viewBox="0 0 240 16" width="240" height="16" class="bar" role="img" aria-label="{alt}">'
        f'<rect width="240" height="16" fill="none" stroke="var(--line)"/>'
        f'<rect width="{solved:.1f}" height="16" fill="var(--good)"/>'
        f'<rect x="{solved:.1f}" width="{tried:.1f}" height="16" fill="url(#hatch)"/></svg>'
    )


def guesses(prediction: Prediction) -> str:
    """Return guesses as stacked dots, and below them what the machines measured as ticks.

    Parameters
    ----------
    prediction : Prediction
        One whose guesses are numbers.

    Returns
    -------
    str
        SVG.
    """
    numbers, truths = prediction.numbers, prediction.truths
    near, beyond = _within(numbers, truths)
    axis = Axis([*near, *truths])
    stacks: dict[int, int] = {}
    columns = [round((axis.at(value) - axis.left) / (2 * DOT)) for value in near]
    tallest = max([columns.count(column) for column in set(columns)], default=1)
    step = 2 * DOT * min(1.0, MOST_STACKED / tallest)
    floor = 30 + step * (tallest - 1) + 2 * DOT
    parts = [_text(4, 14, f"{len(numbers)} guesses{_beyond(beyond)}", "start", "soft")]
    for column in sorted(columns):
        y = floor - DOT - 1 - step * stacks.get(column, 0)
        stacks[column] = stacks.get(column, 0) + 1
        x = axis.left + column * 2 * DOT
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT - 0.4}" fill="var(--mark)"/>')
    parts.append(axis.drawn(floor + 26, prediction.unit))
    parts += _truths(axis, truths, floor)
    return _svg(floor + 68, parts, f"{len(numbers)} guesses of {prediction.id}, and what was measured")


def _within(numbers: Sequence[float], truths: Sequence[float]) -> tuple[list[float], int]:
    """Return the guesses that the axis shows, and how many lie further out."""
    middle = abs(median(truths or numbers))
    near = [value for value in numbers if abs(value) <= max(middle, LOWEST) * FARTHEST or not middle]
    if middle and all(value > 0 for value in (*near, *truths)):
        near = [value for value in near if value >= middle / FARTHEST]
    return near or [middle], len(numbers) - len(near)


def _beyond(count: int) -> str:
    return f", {count} more than {FARTHEST:,.0f} times off and not drawn" if count else ""


def _truths(axis: Axis, truths: Sequence[float], y: float) -> Iterable[str]:
    for value in truths:
        x = axis.at(value)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 3:.1f}" y2="{y + 25:.1f}" stroke="var(--bad)" '
            'stroke-opacity=".55"/>'
        )
    if truths:
        middle = median(truths)
        said = f"measured: {float(display.significant(middle, 3)):,.12g}" + " in the middle" * (
            len(set(truths)) > 1
        )
        x = axis.at(middle)
        side, gap = ("end", -8) if x > WIDTH * 0.7 else ("start", 8)
        yield f'<path d="M{x:.1f} {y + 26:.1f}l-6 -9h12z" fill="var(--bad)"/>'
        yield _text(x + gap, y + 18, said, side, halo=True)


def choices(prediction: Prediction) -> str:
    """Return how often each answer was chosen, and on how many machines it was right.

    Parameters
    ----------
    prediction : Prediction
        One whose guesses were chosen from answers.

    Returns
    -------
    str
        SVG.
    """
    chosen, true = prediction.chosen, prediction.true
    offered = dict.fromkeys([*(c for g in prediction.guesses for c in g.choices), *chosen, *true])
    words = [word for word in offered if word in chosen or word in true or len(offered) < 12][:40]
    most = max([*chosen.values(), 1])
    parts = []
    for row, word in enumerate(words):
        y, count = 6 + 24 * row, chosen.get(word, 0)
        width = (WIDTH - LEFT - 220) * count / most
        right = f"   ▲ measured by {true[word]}" if word in true else ""
        parts.append(_text(LEFT - 8, y + 13, textwrap.shorten(word, 42, placeholder=" …"), "end"))
        edge = "bad" if word in true else "mark"
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="16" fill="var(--mark)" '
            f'stroke-width="2" stroke="var(--{edge})"/>'
        )
        parts.append(_text(LEFT + width + 8, y + 13, f"{count}{right}", "start"))
    return _svg(12 + 24 * len(words), parts, f"Answers chosen for {prediction.id}")


def machines(points: Sequence[MachinePoint], unit: str) -> str:
    """Return every measurement of one claim with its interval, in a row per machine.

    Parameters
    ----------
    points : sequence of MachinePoint
        Of one claim, in the order in which they are drawn.
    unit : str
        What stands below the axis.

    Returns
    -------
    str
        SVG.
    """
    factors = [point.value for point in points if point.value > 0]
    near = _within(factors, ())[0] if factors else [1.0]
    ends = [end for p in points for end in (p.low, p.high) if p.value in near and end is not None and end > 0]
    axis = Axis([*near, *_within([*near, *ends], near)[0], 1.0], LEFT, log=True)
    beyond = len(points) - sum(point.value in near for point in points)
    y, parts = 8.0, list[str]()
    for number, (_, group) in enumerate(groupby(points, key=lambda p: p.machine)):
        here = list(group)
        height = max(ROW, LINE * len(here) + 8)
        shade = f'<rect y="{y}" width="{WIDTH}" height="{height}" fill="var(--pale)"/>' if number % 2 else ""
        parts += [shade, *_machine(here, y), *_lines(axis, here, y + (height - LINE * (len(here) - 1)) / 2)]
        y += height
    one = axis.at(1.0)
    parts.insert(0, "")
    parts.append(
        f'<line x1="{one:.1f}" x2="{one:.1f}" y1="8" y2="{y}" stroke="var(--soft)" stroke-dasharray="4 3"/>'
    )
    parts.append(axis.drawn(y + 2, unit))
    if beyond:
        parts.append(_text(4, y + 38, f"{beyond} far out, at the edge", "start", "soft"))
    return _svg(y + 46, parts, f"{len(points)} measurements, by machine")


def _machine(points: list[MachinePoint], y: float) -> Iterable[str]:
    first = points[0]
    cpu, _, rest = first.machine.partition(" · ")
    yield _text(4, y + 14, textwrap.shorten(cpu, 46, placeholder=" …"), "start")
    count = f" · {len(points)} students" if len(points) > 1 else ""
    yield _text(4, y + 28, textwrap.shorten(rest, 42, placeholder=" …") + count, "start", "soft")


def _lines(axis: Axis, points: list[MachinePoint], y: float) -> Iterable[str]:
    for row, point in enumerate(points):
        x, at = axis.at(point.value), y + LINE * row
        title = f"<title>{display.significant(point.value, 3)}</title>"
        fill = "var(--mark)" if point.low is not None else "var(--ground)"
        if point.low is not None and point.high is not None:
            low, high = axis.at(point.low), axis.at(point.high)
            ends = f'x1="{low:.1f}" x2="{high:.1f}" y1="{at:.1f}" y2="{at:.1f}"'
            yield f'<line {ends} stroke="var(--mark)"/>'
        place = f'cx="{x:.1f}" cy="{at:.1f}" r="2.4"'
        yield f'<circle {place} fill="{fill}" stroke="var(--mark)">{title}</circle>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "", *, halo: bool = False) -> str:
    of_kind = f' class="{kind}"' if kind else ""
    around = ' stroke="var(--ground)" stroke-width="4" paint-order="stroke"' if halo else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{of_kind}{around}>{html.escape(text)}</text>'


def _svg(height: float, parts: Iterable[str], alt: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img" '
        f'aria-label="{html.escape(alt)}">{"".join(parts)}</svg>'
    )
