"""What everybody can see: legible texts, marks that need no colour, alt texts, room in the lecture hall.

The thresholds and how they are counted stand in ``sight``, the examples in ``tools/examples.py``.
"""

import ast
import importlib
import inspect
import io
import re
from types import SimpleNamespace

import examples as pictures
import numpy as np
import pytest
import sight
from build_notebooks import Course
from helpers import span, texts_collide
from matplotlib.colors import to_rgb
from PIL import Image

from coursekit import exercises, floats, plots, scoreboard, widgets
from coursekit._core import display
from coursekit._core.progress import _BAR
from coursekit.exercises import verdicts
from coursekit.plots import style

MASTERS = list(Course().masters().values())
PLOTS = [*pictures.PICTURES, *pictures.PLOTS]
LIGHT, DARK = "#FFFFFF", "#111111"  # JupyterLab's pages
# Marks whose names, or whose own shapes, stand on them: colour only repeats what they say.
TOLD_OTHERWISE = {
    "click_a_bit": "the fields' names stand above their boxes",
    "encode_stepper": "the fields' names stand above their boxes",
    "bits.bit_boxes": "the fields' names stand above their boxes",
    "pareto": "each bar lies under a dot, a diamond or a cross",
    "profiles.icicle": "a shade of one blue says how much; the names stand in the boxes",
    "onnx_graph.picture": "the operators' names stand in the boxes",
    "onnx_graph.side_by_side": "the operators' names stand in the boxes",
    "distillation.paired_differences": "each row says its verdict in words",
}


@pytest.fixture
def lecture_hall(monkeypatch):
    """Presenter mode: the same picture with more pixels, so what holds there holds at a desk too."""
    monkeypatch.setenv("COURSEKIT_PRESENT", "1")


def confusable(name, figure):
    return [] if name in TOLD_OTHERWISE else sight.confusable(figure)


def move_all(panel):
    """Set every control that has a range to its far end."""
    for control in panel.controls.values():
        if hasattr(control, "options") or hasattr(control, "min"):
            control.value = span(control)[-1]


@pytest.mark.parametrize("name", widgets.PANELS)
def test_a_panel_is_legible_needs_no_colour_and_has_room(name, lecture_hall):
    panel = pictures.panel(name)
    for state in ("as it starts", "at the far ends"):
        assert sight.faint(panel.view.figure) == [], state
        assert confusable(name, panel.view.figure) == [], state
        assert texts_collide(panel.view) == [], state
        move_all(panel)


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_legible_needs_no_colour_and_has_room(name, lecture_hall):
    figure = pictures.plot(name)
    assert sight.faint(figure) == []
    assert confusable(name, figure) == []
    assert texts_collide(SimpleNamespace(figure=figure)) == []


@pytest.mark.parametrize("name", widgets.PANELS)
def test_a_panel_is_legible_on_a_dark_page(name):
    panel = pictures.panel(name)
    move_all(panel)
    assert sight.faint(panel.view.figure, sight.on_dark) == []


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_legible_on_a_dark_page(name):
    assert sight.faint(pictures.plot(name), sight.on_dark) == []


def test_no_plot_is_left_out():
    found = set()
    for module in (importlib.import_module(f"coursekit.plots.{name}") for name in plots.__all__):
        for name, made in inspect.getmembers(module, inspect.isfunction):
            first = next(iter(inspect.signature(made).parameters), "")
            if made.__module__ == module.__name__ and first == "ax" and not name.startswith("_"):
                found.add(f"{module.__name__.rpartition('.')[2]}.{name}")
    assert len(found) > 30
    assert found - set(PLOTS) == PARTS | {"style.keep_type_size", "style.letter_width"}


# Parts of other plots, and a page that is all of the panel will_it_fit.
PARTS = {
    "comparison.describe",
    "comparison.end_labels",
    "need_page.need_page",
    "onnx_graph.draw",
    "pareto.place_names",
}


# Colours


@pytest.mark.parametrize("colour", [*style.SERIES, style.GREY, style.PALE, style.INK, "white", "yellow"])
def test_legible_keeps_the_hue_and_reaches_the_contrast(colour):
    made = style.legible(colour)
    assert sight.contrast(style.luminance(made), 1.0) >= style.LEGIBLE
    before, after = style.linear(colour), style.linear(made)
    np.testing.assert_allclose(after / after.max(), before / before.max(), atol=0.02)
    assert style.legible(made) == made


@pytest.mark.parametrize("ground", [*style.SERIES, *map(str, np.linspace(0, 1, 9))])
def test_ink_stands_out_from_any_ground(ground):
    assert sight.contrast(style.luminance(style.ink_on(ground)), style.luminance(ground)) >= sight.AA


def test_bars_that_stand_back_differ_from_those_that_stand_out():
    for other in (style.BLUE, style.ORANGE, LIGHT):
        assert sight.alike(style.MUTED, other) == []


def test_the_colour_maps_climb_steadily_in_grey():
    for name in (style.HEAT, "Greys", "gray_r"):
        import matplotlib as mpl

        steps = np.diff([sight.lab(colour)[0] for colour in mpl.colormaps[name](np.linspace(0, 1, 32))])
        assert (np.sign(steps) == np.sign(steps[0])).all()


PAGES = {
    "light": lambda colour: np.array(to_rgb(colour)),
    "dark": lambda colour: sight.on_dark(to_rgb(colour)),
}


@pytest.mark.parametrize("page", PAGES)
def test_texts_and_marks_stand_out_from_both_pages(page):
    ground = style.luminance(PAGES[page]("white"))
    texts = [style.INK, style.GREY, *map(style.legible, style.SERIES)]
    marks = {style.INK, style.GREY, style.MUTED, *style.SERIES}
    if page == "light":  # 2.25 on white: any darker, and colour-blind readers would take it for VERMILLION
        marks -= {style.ORANGE}
    for colours, least in ((texts, sight.AA), (marks, 3.0)):
        found = {colour: sight.contrast(style.luminance(PAGES[page](colour)), ground) for colour in colours}
        assert min(found.values()) >= least, found


def test_a_dark_picture_is_what_css_makes_of_a_light_one():
    """Multiply the matrices of the specification of filter effects, 13.1.1, for invert and hue-rotate."""
    amount, degrees = map(float, re.findall(r"[\d.]+", display.INVERTED))
    assert degrees == 180
    turn = 2 * np.array([[0.213, 0.715, 0.072]] * 3) - np.eye(3)
    colours = np.array([to_rgb(colour) for colour in (*style.SERIES, style.PALE, "white", "black", "red")])
    expected = np.clip((amount + (1 - 2 * amount) * colours) @ turn.T, 0, 1)
    np.testing.assert_allclose(sight.on_dark(colours), expected, atol=1.01 / 255)


def test_a_dark_theme_draws_dark_pictures(monkeypatch):
    corners = {}
    for theme in ("light", "dark"):
        monkeypatch.setenv("COURSEKIT_THEME", theme)
        image = Image.open(io.BytesIO(pictures.plot("comparison.lines").png()))
        corners[theme] = image.getpixel((1, 1))
    assert corners == {"light": (255, 255, 255), "dark": (17, 17, 17)}


# The tests can fail


def two_lines(**second):
    picture, ax = style.axes(alt="Two lines.")
    ax.plot([0, 1], [0, 1], color=style.GREEN, label="a")
    ax.plot([0, 1], [1, 0], **{"color": style.VERMILLION, "label": "b", **second})
    return picture


def test_two_lines_that_only_a_colour_parts_are_found():
    (found,) = sight.confusable(two_lines())
    assert found.endswith(": grey")


def test_colours_that_some_confuse_are_found():
    assert sight.alike("#A05A00", "#4F7A00") == ["protanopia", "deuteranopia", "grey"]
    assert sight.alike(style.BLUE, style.ORANGE) == []


@pytest.mark.parametrize(
    "look", [{"linestyle": "--"}, {"marker": "D"}, {"linewidth": 4}, {"color": style.INK}, {"visible": False}]
)
def test_a_second_channel_parts_them(look):
    assert sight.confusable(two_lines(**look)) == []


def test_equal_lines_need_names_beside_them():
    picture = two_lines(color=style.GREEN)
    picture.axes[0].legend()
    assert sight.confusable(picture)
    picture.axes[0].get_legend().remove()
    for height, name in enumerate("ab"):
        picture.axes[0].text(1.0, height, name)
    assert sight.confusable(picture) == []


def test_bars_need_more_than_a_colour():
    picture, ax = style.axes(alt="Bars.")
    bars = ax.bar([0, 1], [1, 2], color=[style.BLUE, style.GREY])
    assert len(sight.confusable(picture)) == 1
    bars[1].set_hatch("//")
    assert sight.confusable(picture) == []


@pytest.mark.parametrize(
    ("look", "seen"),
    [
        ({"color": style.ORANGE}, False),
        ({"color": style.legible(style.ORANGE)}, True),
        ({"color": style.GREEN, "fontsize": 20}, True),
        ({"color": style.GREEN, "fontsize": 12, "weight": "bold"}, False),
        ({"color": style.INK, "alpha": 0.3}, False),
        ({"color": "white"}, False),
    ],
)
def test_faint_texts_are_found(look, seen, monkeypatch):
    monkeypatch.setenv("COURSEKIT_PRESENT", "0")
    picture, ax = style.axes(alt="A text.")
    ax.text(0.3, 0.5, "legible", **look)
    assert (sight.faint(picture) == []) is seen


def test_a_text_is_judged_by_what_lies_behind_it():
    picture, ax = style.axes(alt="A text on a bar.")
    ax.bar(0.5, 1, 1, color=style.BLUE)
    text = ax.text(0.5, 0.5, "on blue", ha="center", color=style.INK)
    assert len(sight.faint(picture)) == 1
    text.set_color("white")
    assert sight.faint(picture) == []
    assert text.get_color() == "white"


# What is written in HTML


def html():
    """Return everything that the package writes, by name."""
    yield from ((f"card, {tone}", display.card_html("Title", ["a line"], tone)) for tone in display._TONES)
    yield "table", display.table_html(["a", "b"], [[1, 2]], "caption")
    yield "progress", _BAR
    yield "fields", floats.fields(-6.5)._repr_html_()
    for made in (
        verdicts.right("so"),
        verdicts.wrong("no", "hint"),
        verdicts.not_tried(),
        scoreboard.table(),
    ):
        yield type(made).__name__, made._repr_html_()
    yield "quiz", exercises.quiz("01")._repr_html_()
    panel = pictures.panel("encode_stepper")
    panel.controls["value"].value = "no number"
    yield "message", panel.message.value


def clashes(markup):
    """Return the inline styles that are illegible on a light or on a dark page."""
    return [
        declared for declared in re.findall(r"style=[\"']([^\"']*)", markup) if not legible_anywhere(declared)
    ]


def legible_anywhere(declared):
    """Tell whether text has the page's colours or two of its own, and whether edges show on both pages."""
    parts = dict(re.findall(r"([\w-]+)\s*:\s*([^;]+)", declared))
    own = [parts[name] for name in ("color", "background", "background-color") if name in parts]
    edges = re.findall(r"#\w+", " ".join(text for name, text in parts.items() if "border" in name))
    pairs = [(edge, page, 3.0) for edge in edges for page in (LIGHT, DARK)]
    if own:
        pairs.append((*own, sight.AA) if len(own) == 2 else (LIGHT, LIGHT, sight.AA))
    return all(sight.contrast(style.luminance(a), style.luminance(b)) >= least for a, b, least in pairs)


def test_html_is_legible_on_light_and_on_dark_pages():
    seen = dict(html())
    assert "message" in seen
    assert "border" in seen["message"]
    assert {name: clashes(markup) for name, markup in seen.items() if clashes(markup)} == {}


def test_a_progress_bar_has_the_name_of_what_it_shows():
    """A screen reader that comes to the bar says no more than its name and its share."""
    (bar,) = re.findall(r"<progress[^>]*>", _BAR.format(text="Loading torch", done=3))
    assert 'aria-label="Loading torch"' in bar


@pytest.mark.parametrize(
    "declared",
    [
        "color:#D55E00",
        "background:white",
        "color:#999;background:#fff",
        "border-left:5px solid #F0E442",
        "border:1px solid #222222",
    ],
)
def test_bad_html_is_found(declared):
    assert clashes(f'<div style="{declared}">text</div>') == [declared]


# Alt texts


def figures(path):
    """Return the alt texts of the figures that a master makes, None where one has none."""
    source = re.sub(r"^(\s*)[%!].*$", r"\1pass", path.read_text(encoding="utf-8"), flags=re.M)
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        if ast.unparse(call.func).endswith(("style.axes", "style.figure")):
            alt = next((keyword.value for keyword in call.keywords if keyword.arg == "alt"), None)
            yield ast.literal_eval(alt) if alt is not None else None


# Numbers of the task and in names (FP32, LLaMA-7B), not of a measurement.
GIVEN = re.compile(r"\bup to \d|\b\d+ × \d+|\b\d×|\ba \d\b|\b[A-Za-z-]+\w*\d\w*")


@pytest.mark.parametrize("path", MASTERS, ids=lambda path: path.stem)
def test_every_figure_of_a_notebook_has_an_alt_text(path):
    for alt in figures(path):
        assert_is_alt(alt)


@pytest.mark.parametrize("name", widgets.PANELS)
def test_every_panel_has_an_alt_text(name):
    module = importlib.import_module(f"coursekit.widgets.{name}")
    for view in (made for made in vars(module).values() if inspect.isclass(made) and "alt" in vars(made)):
        assert_is_alt(view.alt)


def assert_is_alt(alt):
    assert alt
    assert alt[0].isupper()
    assert alt.endswith(".")
    assert not re.search(r"\d", GIVEN.sub("", alt)), alt


def test_there_are_figures_to_check():
    assert sum(len(list(figures(path))) for path in MASTERS) > 20


# The lecture hall


def test_presenter_mode_enlarges_lines_and_marks_as_it_does_type(monkeypatch):
    drawn = {}
    for present in "01":
        monkeypatch.setenv("COURSEKIT_PRESENT", present)
        picture = pictures.plot("comparison.lines")
        drawn[present] = Image.open(io.BytesIO(picture.png())).convert("L")
    smaller = drawn["1"].resize(drawn["0"].size, Image.Resampling.BOX)
    assert drawn["1"].width == pytest.approx(style.PRESENTER_SCALE * drawn["0"].width, abs=1)
    ink = [255 - np.asarray(image, float).mean() for image in (drawn["0"], smaller)]
    assert ink[1] == pytest.approx(ink[0], rel=0.06)
