"""How a picture looks to those who see it otherwise: the contrast of its texts, marks that only colour parts.

Contrast is WCAG 2.1's. Colour-blind sight is simulated with the matrices of Machado, Oliveira and Fernandes
(2009) at severity 1; colours differ by their distance in CIELAB, and in grey by their lightness L*.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from PIL import Image

from coursekit.plots.lettering import Lettering
from coursekit.plots.style import DPI, darkened, linear

AA, AA_LARGE = 4.5, 3.0
LARGE, LARGE_BOLD = 24.0, 18.66  # pixels of type: CSS's 18 and 14 points
CROSSED = 0.15  # of a text's box: so much may be a line that runs through it
LEAST_DISTANCE = 15.0  # in CIELAB, some six times what is just noticeable
LEAST_STEP = 10.0  # of lightness, 0 to 100, between two greys
WIDER = 1.5  # times as thick or large: seen without colour
GROUND, LIGHTEST = 0.3, 92.0  # what is fainter, or lighter in grey, is ground under a mark, not a mark

SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: Any, sight: str = "normal") -> np.ndarray:
    """Return what this sight makes of a colour: L*, a*, b*."""
    seen = np.clip(SIGHTS[sight] @ linear(colour), 0, 1)
    scaled = XYZ @ seen / [0.9505, 1.0, 1.089]
    x, y, z = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: Any, other: Any, sight: str = "normal") -> float:
    return float(np.linalg.norm(lab(one, sight) - lab(other, sight)))


def alike(one: Any, other: Any) -> list[str]:
    """Return for whom, or where, two colours cannot be told apart."""
    blind = [sight for sight in SIGHTS if distance(one, other, sight) < LEAST_DISTANCE]
    return blind + ["grey"] if abs(lab(one)[0] - lab(other)[0]) < LEAST_STEP else blind


def contrast(one: Any, other: Any) -> np.ndarray:
    """Return WCAG's contrast of two luminances, 1 to 21."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    return (high + 0.05) / (low + 0.05)


# Texts


class Written(NamedTuple):
    """A piece of writing: where it stands (pixels, from the top left), in which colours, how large."""

    text: str
    box: tuple[int, int, int, int]
    colours: tuple[Any, ...]
    pixels: float
    bold: bool


def faint(figure: Figure, page: Callable[[Any], Any] = lambda colours: colours) -> list[str]:
    """Return the texts whose contrast with the pixels behind them is below WCAG's AA.

    ``page`` says how the colours [..., 3], 0 to 1, look there.
    """
    written = list(_written(figure))
    light = _luminance(page(_ground(figure)))
    found = []
    for each in written:
        x0, y0, x1, y1 = each.box
        behind = light[max(y0, 0) : y1, max(x0, 0) : x1]
        large = each.pixels >= LARGE or (each.bold and each.pixels >= LARGE_BOLD)
        for colour in set(each.colours):
            ratios = contrast(_luminance(page(_over(colour))), behind)
            if behind.size and (ratios < (AA_LARGE if large else AA)).mean() > CROSSED:
                found.append(f"{each.text!r}: {np.quantile(ratios, CROSSED):.1f}")
    return found


def _luminance(rgb: Any) -> Any:
    return linear_image(np.asarray(rgb)) @ (0.2126, 0.7152, 0.0722)


def linear_image(parts: np.ndarray) -> np.ndarray:
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def _written(figure: Figure) -> Iterator[Written]:
    figure.canvas.draw()
    figure.set_layout_engine("none")  # it stands; solving it again would take most of the time
    renderer, height = figure.canvas.get_renderer(), figure.bbox.height
    points = DPI / 72  # presenter mode is seen from further away: its larger pixels do not count
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            box = _pixels(text.get_window_extent(renderer).extents, height)
            bold = text.get_fontweight() in ("bold", "heavy") or text.get_fontweight() == 700
            colour = to_rgba(text.get_color(), text.get_alpha())
            yield Written(text.get_text(), box, (colour,), text.get_fontsize() * points, bold)
    for letters in figure.findobj(Lettering):
        for phrase in letters.phrases:
            if phrase.paths:
                corners = letters.axes.transData.transform(np.array(phrase.box).reshape(2, 2))
                box = _pixels((*corners.min(0), *corners.max(0)), height)
                yield Written(phrase.text, box, tuple(phrase.colours), phrase.size * points, False)


def _pixels(extents: Any, height: float) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = extents
    return int(x0), int(height - y1), int(np.ceil(x1)), int(np.ceil(height - y0))


def _ground(figure: Figure) -> np.ndarray:
    """Return the picture without its writing, [height, width, 3]."""
    texts = [text for text in figure.findobj(Text) if text.get_visible()]
    colours = [text.get_color() for text in texts]
    letters = [each for each in figure.findobj(Lettering) if each.get_visible()]
    for text in texts:
        text.set_color((0, 0, 0, 0))
    for each in letters:
        each.set_visible(False)
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    for text, colour in zip(texts, colours, strict=True):
        text.set_color(colour)
    for each in letters:
        each.set_visible(True)
    return image


def on_dark(colours: Any) -> np.ndarray:
    """Return colours [..., 3], 0 to 1, as they look in a picture for a dark page."""
    pixels = np.round(255 * np.asarray(colours)).astype(np.uint8).reshape(1, -1, 3)
    return (np.asarray(darkened(Image.fromarray(pixels))) / 255).reshape(np.shape(colours))


def _over(colour: Any) -> np.ndarray:
    """Return a colour with its opacity as it looks on white."""
    *parts, opacity = to_rgba(colour)
    return 1 - opacity * (1 - np.array(parts))


# Marks


class Mark(NamedTuple):
    """One look that something drawn has: its colour on white, its shape, how thick or large it is."""

    name: str
    colour: tuple[float, ...]
    shape: tuple[Any, ...]
    size: float


def confusable(figure: Figure) -> list[str]:
    """Return the pairs of marks of one Axes that colour alone tells apart, and not to everyone."""
    written = {text.get_text() for text in figure.findobj(Text) if text.get_visible()}
    found = []
    for number, ax in enumerate(figure.axes):
        for one, other in itertools.combinations(_looks(ax), 2):
            named = one.name != other.name and {one.name, other.name} <= written
            if one.shape == other.shape and max(one.size, other.size) < WIDER * min(one.size, other.size):
                same = distance(one.colour, other.colour) < 1
                lost = (
                    []
                    if same and (not named or _has_end_label(ax, one, other))
                    else alike(one.colour, other.colour)
                )
                if lost:
                    found.append(f"axes {number}: {_said(one)} and {_said(other)}: {', '.join(lost)}")
    return sorted(set(found))


def _has_end_label(ax: Axes, *marks: Mark) -> bool:
    """Tell whether the names stand in the picture itself, beside what they name, and not in a legend."""
    beside = {text.get_text() for text in ax.texts if text.get_visible()}
    return {mark.name for mark in marks} <= beside


def _said(mark: Mark) -> str:
    rgb = "#" + "".join(f"{round(255 * part):02X}" for part in mark.colour)
    return f"{mark.shape[0]} {mark.name} {rgb}".replace("  ", " ")


def _looks(ax: Axes) -> list[Mark]:
    found: dict[tuple[Any, ...], Mark] = {}
    if not ax.get_visible():
        return []
    for artist in (*ax.lines, *ax.patches, *ax.collections):
        if artist.get_visible():
            for mark in (each for each in _marks(artist) if lab(each.colour)[0] < LIGHTEST):
                found.setdefault((mark.name, np.round(mark.colour, 2).tobytes(), mark.shape, mark.size), mark)
    return list(found.values())


def _marks(artist: Any) -> Iterator[Mark]:
    name = str(artist.get_label())
    name = "" if name.startswith("_") else name
    if isinstance(artist, Line2D):
        yield from _of_line(artist, name)
    elif isinstance(artist, Patch):
        yield from _of_patch(artist, name)
    elif isinstance(artist, Collection) and not isinstance(artist, QuadMesh | Lettering):
        yield from _of_collection(artist, name)


def _of_line(line: Line2D, name: str) -> Iterator[Mark]:
    points = np.isfinite(np.asarray(line.get_xydata(), float)).all(axis=1).sum()
    dash, marker = line.get_linestyle(), line.get_marker()
    dash = dash if not line.is_dashed() else str(line._unscaled_dash_pattern)
    marked = marker not in (None, "None", "", " ")
    if points > 1 and line.get_linewidth() and dash not in ("None", "", " "):
        shape = ("line", dash, marker if marked else "")
        yield Mark(name, _tone(line.get_color(), line.get_alpha()), shape, line.get_linewidth())
    elif points and marked:
        hollow = line.get_markerfacecolor() == "none"
        edge, face = line.get_markeredgecolor(), line.get_markerfacecolor()
        outlined = hollow or distance(_tone(edge, 1), _tone(face, 1)) > LEAST_DISTANCE
        shape = ("dots", marker, hollow, outlined)
        yield Mark(name, _tone(edge if hollow else face, line.get_alpha()), shape, line.get_markersize())


def _of_patch(patch: Patch, name: str) -> Iterator[Mark]:
    face, edge = patch.get_facecolor(), patch.get_edgecolor()
    box = patch.get_path().get_extents(patch.get_transform())
    if not box.width or not box.height or not np.isfinite(box.extents).all():
        return
    outlined = bool(edge[3] and patch.get_linewidth()) and distance(_tone(edge), _tone(face)) > LEAST_DISTANCE
    if face[3] >= GROUND:
        yield Mark(name, _tone(face), ("area", patch.get_hatch() or "", outlined), 1.0)
    elif edge[3] >= GROUND and patch.get_linewidth():
        yield Mark(name, _tone(edge), ("frame", str(patch.get_linestyle())), patch.get_linewidth())


def _of_collection(made: Collection, name: str) -> Iterator[Mark]:
    if not made.get_paths() or made.get_array() is not None:
        return
    if isinstance(made, LineCollection):
        for colour in np.unique(made.get_edgecolor(), axis=0):
            shape = ("strokes", str(made.get_linestyle()))
            yield Mark(name, _tone(colour), shape, float(np.max(made.get_linewidth())))
        return
    kind = "dots" if isinstance(made, PathCollection) else "area"
    outlined = bool(len(made.get_edgecolor())) and bool(np.max(made.get_linewidth(), initial=0))
    for colour in np.unique(_filled(made), axis=0):
        if colour[3] >= GROUND:
            yield Mark(name, _tone(colour), (kind, made.get_hatch() or "", outlined), 1.0)


def _filled(made: Collection) -> np.ndarray:
    """Return the colours of what is to see; paths without an area are not."""
    faces = made.get_facecolor()
    sizes = [path.get_extents().size.prod() for path in made.get_paths()]
    if len(faces) == 1 and len(sizes) > 1:
        return faces[: any(sizes)]
    return faces[np.array(sizes) > 0] if len(sizes) == len(faces) else faces


def _tone(colour: Any, opacity: float | None = None) -> tuple[float, ...]:
    return tuple(_over(to_rgba(colour, opacity) if opacity is not None else to_rgba(colour)))
