import base64
import io
import itertools
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from coursekit.plots import style

# Machado, Oliveira and Fernandes (2009): what linear RGB becomes without green- or red-sensitive cones.
DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
PROTANOPIA = np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]])


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    scaled = np.maximum(xyz / [0.9505, 1.0, 1.089], 0)
    x, y, z = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.fixture
def normal(monkeypatch):
    monkeypatch.delenv("COURSEKIT_PRESENT", raising=False)


@pytest.mark.parametrize("sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA])
def test_series_colours_differ_for_every_sight(sight):
    seen = [lab(np.clip(sight @ linear(colour), 0, 1)) for colour in style.SERIES]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def test_every_series_has_a_second_channel():
    for channel in (style.SERIES, style.MARKERS, style.DASHES):
        assert len(set(channel)) == 4


@pytest.mark.parametrize("colour", [style.BLUE, style.VERMILLION, style.GREEN, style.INK])
def test_colours_of_text_stand_out_from_paper(colour):
    luminance = linear(colour) @ [0.2126, 0.7152, 0.0722]
    assert 1.05 / (luminance + 0.05) >= 3.0


def test_look_ends_with_its_block(normal):
    before = dict(mpl.rcParams)
    with style.look():
        assert mpl.rcParams["font.size"] == style.TYPE
        assert not mpl.rcParams["axes.spines.top"]
    assert dict(mpl.rcParams) == before


def test_look_ends_after_an_error(normal):
    before = dict(mpl.rcParams)
    with pytest.raises(ZeroDivisionError), style.look():
        raise ZeroDivisionError
    assert dict(mpl.rcParams) == before


def test_a_figure_needs_an_alt_text():
    with pytest.raises(ValueError, match="alt"):
        style.figure(alt="")


@pytest.mark.parametrize(("present", "scale"), [("0", 1.0), ("1", style.PRESENTER_SCALE)])
def test_presenter_mode_enlarges_picture_and_type(monkeypatch, present, scale):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    picture, ax = style.axes(width=7.0, height=4.0, alt="An empty plot.")
    height, width, _ = pixels(picture.png()).shape
    assert (width, height) == pytest.approx((700 * scale, 400 * scale), abs=1)
    assert ax.xaxis.label.get_size() * picture.dpi == pytest.approx(style.TYPE * style.DPI * scale)


def test_tick_labels_keep_the_size_that_the_style_gave_them(normal):
    picture, ax = style.axes(alt="An empty plot.")
    picture.png()
    assert {label.get_size() for label in ax.get_xticklabels()} == {style.TYPE * 0.9}


def test_png_is_what_the_canvas_holds(normal):
    picture, ax = style.axes(alt="A line.")
    ax.plot([0, 1], [0, 1])
    png = picture.png()
    assert np.array_equal(pixels(png), np.asarray(picture.canvas.buffer_rgba())[..., :3])
    assert pixels(png).min() < 100


def test_drawing_twice_gives_the_same_bytes(normal):
    picture, ax = style.axes(alt="A line.")
    ax.plot([0, 1], [0, 1])
    assert picture.png() == picture.png()


def test_picture_shows_itself_with_its_alt_text(normal):
    picture, ax = style.axes(alt="A line.")
    ax.plot([0, 1], [0, 1])
    data, metadata = picture._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == "A line."
    stored = pixels(base64.b64decode(data["image/png"]))
    assert np.abs(stored.astype(int) - pixels(picture.png())).mean() < 1


def test_stored_pictures_weigh_less_than_those_sent_while_dragging(normal):
    picture, ax = style.axes(alt="A map.")
    ax.imshow(np.random.default_rng(0).random((30, 50)))
    png = picture.png()
    data, _ = style.picture_bundle(png, "A map.")
    stored = base64.b64decode(data["image/png"])
    assert len(stored) < len(png)
    assert len(np.unique(pixels(stored).reshape(-1, 3), axis=0)) <= 256
    assert np.abs(pixels(stored).astype(int) - pixels(png)).mean() < 3


def test_axes_passes_on_what_subplots_takes(normal):
    picture, made = style.axes(2, 3, alt="Six plots.", sharex=True)
    assert made.shape == (2, 3)
    assert len(picture.axes) == 6


def test_no_figure_is_registered_with_pyplot(normal):
    style.axes(alt="An empty plot.")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
