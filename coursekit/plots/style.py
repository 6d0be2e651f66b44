"""The one look of all pictures: named colours, type sizes, and figures that show themselves with an alt text.

Colours are Okabe and Ito's (2008), safe for colour-blind readers and different in grey.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from numpy.typing import NDArray
from PIL import Image

from coursekit import runtime

__all__ = [
    "BLUE",
    "DASHES",
    "DPI",
    "GREEN",
    "GREY",
    "HATCHES",
    "HEAT",
    "INK",
    "LEGIBLE",
    "MARKERS",
    "MUTED",
    "ORANGE",
    "PALE",
    "PRESENTER_SCALE",
    "SERIES",
    "TYPE",
    "VERMILLION",
    "Picture",
    "axes",
    "darkened",
    "figure",
    "ink_on",
    "is_dark",
    "keep_type_size",
    "legible",
    "letter_width",
    "linear",
    "look",
    "luminance",
    "picture_bundle",
]

INK = "#222222"
GREY = "#696969"
PALE = "#DADADA"
# Bars that stand back: in grey as far from BLUE as from ORANGE, and still 3:1 on white.
MUTED = "#8C8C8C"
BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
GREEN = "#009E73"
SERIES = (BLUE, ORANGE, GREEN, VERMILLION)
# Second channel for readers who see no colour: every series also has its own marker and dash.
MARKERS = ("o", "s", "^", "D")
DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "//", "..", "\\\\")  # for bars, drawn in white
HEAT = "cividis"

DPI = 100
LETTER = 0.62  # how wide a letter is taken to be, as a share of the type's size
TYPE = 11.0
PRESENTER_SCALE = 1.4
# WCAG 2.1 asks for 4.5 on the very ground; some of ours are tinted: what has 5.18 on white keeps 4.5 on them.
LEGIBLE = 5.18
_SHARES = (0.213, 0.715, 0.072)  # of red, green and blue in the luma, as CSS's filter effects count it
_DARK = tuple(
    part
    for colour in range(3)
    for part in (*(0.866 * ((colour == other) - 2 * _SHARES[other]) for other in range(3)), 0.933 * 255)
)


@contextmanager
def look() -> Iterator[None]:
    """Apply the course's style inside the block (or, as a decorator, inside the function).

    Yields
    ------
    None
        The style holds until the block ends.
    """
    with mpl.rc_context(_rc()):
        yield


class Picture(Figure):
    """A figure that needs no pyplot: a cell's last line shows it, ``alt`` tells what is to see.

    Parameters
    ----------
    *args : object
        Passed to ``Figure``.
    alt : str, optional
        What is to see, in one sentence.
    **kwargs : object
        Passed to ``Figure``.
    """

    canvas: FigureCanvasAgg

    def __init__(self, *args: Any, alt: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alt = alt
        FigureCanvasAgg(self)

    def render(self) -> None:
        """Draw the picture on its canvas, in the course's style."""
        with look():
            self.canvas.draw()

    def png(self) -> bytes:
        """Draw the picture and return it as PNG bytes.

        Returns
        -------
        bytes
            The PNG.
        """
        self.render()
        return self.encoded()

    def encoded(self) -> bytes:
        """Return what the canvas holds as PNG bytes; little compression, because a drag waits for it.

        Returns
        -------
        bytes
            The PNG.
        """
        buffer = io.BytesIO()
        self._image().save(buffer, "png", compress_level=1)
        return buffer.getvalue()

    def _image(self) -> Image.Image:
        drawn = Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")
        return darkened(drawn) if is_dark() else drawn

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        self.render()
        return _bundle(self._image(), self.alt)


def picture_bundle(png: bytes, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the (data, metadata) that Jupyter stores and shows for a PNG with an alt text.

    256 colours are enough for a plot and halve what the notebook weighs.

    Parameters
    ----------
    png : bytes
        The picture.
    alt : str
        What is to see, in one sentence.

    Returns
    -------
    tuple of (dict of str to str, dict of str to object)
        Data by MIME type, and its metadata.
    """
    return _bundle(Image.open(io.BytesIO(png)).convert("RGB"), alt)


def _bundle(image: Image.Image, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    buffer = io.BytesIO()
    # Not "optimize": it takes seven times as long, and a picture in the file shrinks by 6 %.
    image.quantize(256, Image.Quantize.MEDIANCUT).save(buffer, "png")
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode("ascii"), "text/plain": alt}
    return data, {"image/png": {"alt": alt}}


def figure(width: float = 7.0, height: float = 4.0, *, alt: str) -> Picture:
    """Return an empty figure.

    In presenter mode an inch has more pixels: type, lines and marks grow alike, and what fits still fits.

    Parameters
    ----------
    width : float, optional
        In inches.
    height : float, optional
        In inches.
    alt : str
        One sentence that says what there is to see, without measured numbers.

    Returns
    -------
    Picture
        The figure.

    Raises
    ------
    ValueError
        If ``alt`` is empty.
    """
    if not alt:
        raise ValueError("alt must say in one sentence what the picture shows; it is empty")
    scale = PRESENTER_SCALE if runtime.presenting() else 1.0
    with look():
        return Picture(figsize=(width, height), dpi=DPI * scale, layout="constrained", alt=alt)


def axes(
    rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 4.0, alt: str, **kwargs: Any
) -> tuple[Picture, Any]:
    """Return a figure with axes in the course's style.

    Parameters
    ----------
    rows : int, optional
        How many rows of axes.
    columns : int, optional
        How many columns of axes.
    width : float, optional
        In inches.
    height : float, optional
        In inches.
    alt : str
        As for ``figure``.
    **kwargs : object
        Passed to ``Figure.subplots``.

    Returns
    -------
    tuple of (Picture, object)
        The figure, and what ``Figure.subplots`` returns.

    Raises
    ------
    ValueError
        If ``alt`` is empty.
    """
    picture = figure(width, height, alt=alt)
    with look():
        made = picture.subplots(rows, columns, **kwargs)
        for ax in picture.axes:
            keep_type_size(ax)
    return picture, made


def keep_type_size(ax: Axes) -> None:
    """Fix the tick labels' size now: ticks are made while drawing, when the style may be off.

    Parameters
    ----------
    ax : Axes
        The axes whose labels keep their size.
    """
    ax.tick_params(labelsize=mpl.rcParams["xtick.labelsize"])


def letter_width(ax: Axes) -> float:
    """Return how wide a letter of the usual size is taken to be, to tell beforehand whether a label fits.

    Parameters
    ----------
    ax : Axes
        Where the label would stand.

    Returns
    -------
    float
        In pixels.
    """
    return LETTER * mpl.rcParams["font.size"] * ax.figure.dpi / 72


def is_dark() -> bool:
    """Tell whether pictures are for a dark page (COURSEKIT_THEME=dark or ``runtime.start(theme="dark")``).

    Returns
    -------
    bool
        True or False.
    """
    return runtime.theme() == "dark"


def darkened(picture: Image.Image) -> Image.Image:
    """Return a picture for a dark page: what was light is dark, and every hue is what it was.

    Parameters
    ----------
    picture : Image
        Red, green and blue.

    Returns
    -------
    Image
        White became #111111, the ground of JupyterLab's dark page, and black #EEEEEE.

    Notes
    -----
    What a browser makes of ``display.INVERTED``: a - (2a - 1) x inverts, and with the luma Y turning the hue
    halfway round makes 2Y - x of x; together a + (2a - 1) (x - 2Y).
    """
    return picture.convert("RGB", _DARK)


def legible(colour: str) -> str:
    """Return a colour for text on white or on a pale tint: darker, of the same hue, where it has to be.

    Parameters
    ----------
    colour : str
        Any colour of Matplotlib.

    Returns
    -------
    str
        The colour as "#rrggbb".

    Notes
    -----
    The contrast with white is at least ``LEGIBLE``; as WCAG 2.1 counts it.
    """
    light = luminance(colour)
    share = min(1.0, (1.05 / LEGIBLE - 0.05) / light) if light else 1.0
    if share == 1.0:
        return to_hex(colour)
    parts = share * linear(colour)
    coded = np.where(parts <= 0.0031308, 12.92 * parts, 1.055 * parts ** (1 / 2.4) - 0.055)
    return to_hex(np.floor(255 * coded) / 255)


def ink_on(ground: Any) -> str:
    """Return what stands out more from a ground: "white" or "black"; 4.5:1 at least.

    Parameters
    ----------
    ground : object
        The ground's colour.

    Returns
    -------
    str
        "white" or "black".
    """
    light = luminance(ground) + 0.05
    return "white" if 1.05 / light > light / 0.05 else "black"


def luminance(colour: Any) -> float:
    """Return how much light a colour sends out, as WCAG 2.1 counts it.

    Parameters
    ----------
    colour : object
        Any colour of Matplotlib.

    Returns
    -------
    float
        0 (black) to 1 (white).
    """
    return float(linear(colour) @ (0.2126, 0.7152, 0.0722))


def linear(colour: Any) -> NDArray[np.float64]:
    """Return red, green and blue of a colour as shares of light, without sRGB's curve (IEC 61966-2-1).

    Parameters
    ----------
    colour : object
        Any colour of Matplotlib.

    Returns
    -------
    ndarray of float64
        Three shares, 0 to 1.
    """
    parts = np.array(to_rgb(colour))
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def _rc() -> Any:
    return {
        "font.size": TYPE,
        "axes.titlesize": TYPE * 1.1,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": TYPE,
        "xtick.labelsize": TYPE * 0.9,
        "ytick.labelsize": TYPE * 0.9,
        "legend.fontsize": TYPE * 0.9,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.prop_cycle": cycler(color=SERIES),
        "image.cmap": HEAT,
        "lines.linewidth": 2.0,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "savefig.facecolor": "white",
        "svg.hashsalt": "coursekit",
    }
