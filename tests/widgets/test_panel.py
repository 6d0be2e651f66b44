import base64
import io
import logging

import ipywidgets
import numpy as np
import pytest
from PIL import Image

from coursekit.plots import style
from coursekit.widgets import panel as panels
from coursekit.widgets.panel import WIDGET_VIEW, InputError, Panel, View


class Toy(View):
    alt = "A bar as high as two numbers together."

    def __init__(self, moving=True):
        super().__init__(4.0, 3.0)
        self.updates, self.bonus, self.broken = 0, 0.0, None
        with style.look():
            self.ax = self.figure.add_subplot()
            self.ax.set(xlim=(0, 2), ylim=(0, 30), ylabel="height")
            self.title = self.ax.set_title(" ", zorder=5)
            (self.bar,) = self.ax.bar([1], [0], zorder=3)
            (self.line,) = self.ax.plot([0.2, 1.8], [0, 0], color=style.ORANGE, zorder=4)
        if moving:
            self.moving += [self.line, self.title, self.bar]

    def update(self, left, right):
        self.updates += 1
        if self.broken is not None:
            raise self.broken
        height = left + right + self.bonus
        self.bar.set_height(height)
        self.line.set_ydata([height, height / 2])
        self.title.set_text(f"The bar is {height:g} high")
        return {"height": height}


class Chained(Panel):
    """The right control follows the left one."""

    def arrange(self, moved):
        if moved == "left":
            self.controls["right"].value = self.controls["left"].value


def controls():
    return {"left": ipywidgets.IntSlider(3, 0, 10), "right": ipywidgets.IntSlider(4, 0, 10)}


@pytest.fixture
def panel():
    return Panel(Toy(), controls())


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def redrawn(view):
    for artist in view.moving:
        artist.set_animated(False)
    return pixels(view.figure.png())


# Controls, values, pictures


def test_a_panel_starts_with_the_numbers_of_its_controls(panel):
    assert panel.values == {"height": 7}
    assert panel.message.value == ""


def test_a_move_changes_numbers_and_picture(panel):
    before = panel.picture.value
    panel.controls["left"].value = 9
    assert panel.values == {"height": 13}
    assert not np.array_equal(pixels(panel.picture.value), pixels(before))


def test_going_back_gives_the_first_picture_again(panel):
    before = panel.picture.value
    panel.controls["left"].value = 9
    panel.controls["left"].value = 3
    assert panel.picture.value == before


def test_one_move_is_one_update(panel):
    before = panel.view.updates
    panel.controls["right"].value = 5
    assert panel.view.updates == before + 1


def test_setting_the_same_value_draws_nothing(panel):
    before = panel.view.updates
    panel.controls["right"].value = 4
    assert panel.view.updates == before


def test_rows_hold_every_control_above_message_and_picture(panel):
    assert panel.root.children == (
        *panel.controls.values(),
        panel.message,
        panel.picture,
        panel.alt,
        *panel.root.children[-1:],
    )


def test_the_alternative_text_stands_beside_the_picture_for_those_who_cannot_see_it(panel):
    panel.view.alt = "A <small> figure."
    alt = Panel(panel.view, controls()).alt
    assert "A &lt;small&gt; figure.</span>" in alt.value
    assert (alt.layout.width, alt.layout.height) == ("1px", "1px")
    assert "clip-path" in alt.value


@pytest.mark.parametrize("moving", [True, False])
def test_a_redraw_equals_drawing_from_scratch(moving):
    panel = Panel(Toy(moving), controls())
    for left in (0, 10, 5):
        panel.controls["left"].value = left
    shown = pixels(panel.picture.value)
    assert np.array_equal(shown, redrawn(panel.view))


def test_a_fast_redraw_leaves_the_rest_alone(panel):
    calls = []
    panel.view.figure.canvas.mpl_connect("draw_event", calls.append)
    panel.controls["left"].value = 8
    assert calls == []


def test_the_layout_is_solved_once(panel):
    position = panel.view.ax.get_position().bounds
    panel.view.ax.set_ylabel("a much taller label\nof several\nlines")
    panel.view.figure.png()
    assert panel.view.ax.get_position().bounds == position


def test_presenter_mode_enlarges_the_picture(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PRESENT", "1")
    assert pixels(Panel(Toy(), controls()).picture.value).shape == pytest.approx((420, 560, 3), abs=1)


# hold, arrange


def test_hold_draws_once_at_its_end(panel):
    before = panel.view.updates
    with panel.hold():
        panel.controls["left"].value = 10
        panel.controls["right"].value = 10
        assert panel.view.updates == before
    assert panel.view.updates == before + 1
    assert panel.values == {"height": 20}


def test_holds_nest(panel):
    before = panel.view.updates
    with panel.hold():
        with panel.hold():
            panel.controls["left"].value = 10
        assert panel.view.updates == before
    assert panel.values == {"height": 14}


def test_an_error_inside_hold_does_not_silence_the_panel(panel):
    with pytest.raises(KeyError), panel.hold():
        raise KeyError
    panel.controls["left"].value = 10
    assert panel.values == {"height": 14}


def test_arranged_controls_do_not_draw_on_their_own():
    panel = Chained(Toy(), controls())
    before = panel.view.updates
    panel.controls["left"].value = 8
    assert panel.controls["right"].value == 8
    assert panel.values == {"height": 16}
    assert panel.view.updates == before + 1


def test_hold_arranges_like_moves_one_after_the_other():
    held, moved = Chained(Toy(), controls()), Chained(Toy(), controls())
    before = held.view.updates
    with held.hold():
        held.controls["left"].value = 8
        assert held.controls["right"].value == 8
        held.controls["right"].value = 2
    assert held.view.updates == before + 1
    moved.controls["left"].value = 8
    moved.controls["right"].value = 2
    assert held.values == moved.values == {"height": 10}


def test_an_error_while_arranging_surfaces_and_does_not_silence_the_panel(monkeypatch):
    panel = Chained(Toy(), controls())

    def broken(moved):
        raise KeyError(moved)

    monkeypatch.setattr(panel, "arrange", broken)
    with pytest.raises(KeyError):
        panel.controls["left"].value = 8
    monkeypatch.undo()
    panel.controls["left"].value = 9
    assert panel.values == {"height": 18}


# Errors


def test_an_error_in_a_callback_surfaces_and_is_shown(panel):
    before = panel.picture.value, panel.values
    panel.view.broken = ZeroDivisionError("one < two & all that")
    with pytest.raises(ZeroDivisionError):
        panel.controls["left"].value = 9
    assert "ZeroDivisionError: one &lt; two &amp; all that" in panel.message.value
    assert (panel.picture.value, panel.values) == before


def test_the_panel_recovers_after_an_error(panel):
    panel.view.broken = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        panel.controls["left"].value = 9
    panel.view.broken = None
    panel.controls["left"].value = 8
    assert panel.message.value == ""
    assert panel.values == {"height": 12}


def test_an_input_error_shows_its_message_and_keeps_the_picture(panel):
    before = panel.picture.value, panel.values
    panel.view.broken = InputError("<b> is no number")
    panel.controls["left"].value = 9
    assert "&lt;b&gt; is no number" in panel.message.value
    assert "InputError" not in panel.message.value
    assert (panel.picture.value, panel.values) == before


def test_an_input_error_goes_away_with_the_next_good_value(panel):
    panel.view.broken = InputError("no number")
    panel.controls["left"].value = 9
    panel.view.broken = None
    panel.controls["left"].value = 8
    assert panel.message.value == ""


def test_an_error_at_the_start_surfaces():
    view = Toy()
    view.broken = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        Panel(view, controls())


def test_a_view_without_alt_is_refused():
    class Silent(Toy):
        alt = ""

    with pytest.raises(ValueError, match="alt"):
        Silent()


# What is shown


@pytest.mark.parametrize("mode", [None, "live"])
def test_bundle_holds_widget_picture_and_alt(panel, monkeypatch, mode):
    monkeypatch.delenv("COURSEKIT_WIDGETS", raising=False)
    if mode:
        monkeypatch.setenv("COURSEKIT_WIDGETS", mode)
    data, metadata = panel.bundle()
    assert data[WIDGET_VIEW]["model_id"] == panel.root.model_id
    stored, sent = pixels(base64.b64decode(data["image/png"])), pixels(panel.picture.value)
    assert np.abs(stored.astype(int) - sent).mean() < 1
    assert data["text/plain"] == metadata["image/png"]["alt"] == Toy.alt


def test_static_bundle_holds_picture_and_alt_only(panel, monkeypatch):
    monkeypatch.setenv("COURSEKIT_WIDGETS", "static")
    data, _ = panel.bundle()
    assert set(data) == {"image/png", "text/plain"}


def test_bundle_follows_the_controls(panel):
    before = panel.bundle()[0]["image/png"]
    panel.controls["left"].value = 0
    assert panel.bundle()[0]["image/png"] != before


def test_display_sends_one_raw_bundle(panel, monkeypatch):
    sent = []
    monkeypatch.setattr(panels, "display", lambda *data, **options: sent.append((data, options)))
    panel._ipython_display_()
    data, metadata = panel.bundle()
    assert sent == [((data,), {"raw": True, "metadata": metadata})]


# Actions


def acting(work):
    view = Toy()
    return Panel(view, controls(), actions={"Measure": lambda progress: work(view, progress)})


def test_an_action_works_shows_progress_and_redraws():
    seen = []

    def work(view, progress):
        for fraction in (0.25, 1.0):
            progress(fraction)
            seen.append((panel.progress.value, panel.progress.layout.visibility, button.disabled))
        view.bonus = 10

    panel = acting(work)
    button = panel.buttons["Measure"]
    assert panel.progress.layout.visibility == "hidden"
    button.click()
    assert seen == [(0.25, "visible", True), (1.0, "visible", True)]
    assert panel.values == {"height": 17}
    assert (panel.progress.layout.visibility, button.disabled) == ("hidden", False)


def test_a_second_run_starts_its_progress_at_zero():
    seen = []
    panel = acting(lambda view, progress: (seen.append(panel.progress.value), progress(1.0)))
    panel.buttons["Measure"].click()
    panel.buttons["Measure"].click()
    assert seen == [0.0, 0.0]


def test_buttons_stand_below_the_controls():
    panel = acting(lambda view, progress: None)
    row = panel.root.children[2]
    assert row.children == (panel.buttons["Measure"], panel.progress)


def test_a_panel_without_actions_has_no_button_row(panel):
    assert panel.progress not in [child for row in panel.rows() for child in getattr(row, "children", ())]


def fail(view, progress):
    progress(0.5)
    raise ZeroDivisionError("the measurement failed")


def test_a_failing_action_says_so_and_frees_its_button(caplog):
    panel = acting(fail)
    logging.getLogger("traitlets").addHandler(caplog.handler)
    try:
        panel.buttons["Measure"].click()
    finally:
        logging.getLogger("traitlets").removeHandler(caplog.handler)
    assert "ZeroDivisionError: the measurement failed" in panel.message.value
    assert (panel.progress.layout.visibility, panel.buttons["Measure"].disabled) == ("hidden", False)
    # Outside a kernel ipywidgets logs what a button's callback raises; inside it goes to the reader.
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


def test_a_failing_action_keeps_numbers_and_picture():
    panel = acting(fail)
    before = panel.picture.value, panel.values
    panel.buttons["Measure"].click()
    assert (panel.picture.value, panel.values) == before
    panel.controls["left"].value = 5
    assert panel.message.value == ""
    assert panel.values == {"height": 9}


def test_an_action_may_ask_for_other_input():
    def work(view, progress):
        raise InputError("choose a smaller width")

    panel = acting(work)
    panel.buttons["Measure"].click()
    assert "choose a smaller width" in panel.message.value
    assert not panel.buttons["Measure"].disabled
