"""Labels, buttons and pictures as the browser gets them; tests/places look at what it makes of them."""

import examples
import ipywidgets
import pytest

from coursekit import widgets
from coursekit.widgets import dress
from coursekit.widgets.stops import round_slider, round_stops, written


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def labelled(panel):
    """Return the controls of a panel with a label beside them."""
    beside = ipywidgets.Button | ipywidgets.ToggleButton | ipywidgets.Checkbox
    return [w for w in walk(panel.root) if getattr(w, "description", "") and not isinstance(w, beside)]


@pytest.mark.parametrize("name", widgets.PANELS)
def test_every_label_has_the_room_that_it_needs(name):
    found = labelled(examples.moving(name))
    assert found
    for control in found:
        given = float(control.style.description_width.removesuffix("em"))
        assert given >= dress.label_width(control.description) - 0.05


@pytest.mark.parametrize("name", widgets.PANELS)
def test_no_two_rows_of_buttons_stand_side_by_side(name):
    for box in walk(examples.moving(name).root):
        if isinstance(box, ipywidgets.HBox):
            assert sum(isinstance(child, ipywidgets.ToggleButtons) for child in box.children) <= 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_light_picture_follows_the_page_and_a_dark_one_is_left_alone(monkeypatch, theme):
    monkeypatch.setenv("COURSEKIT_THEME", theme)
    panel = examples.moving("staircase")
    assert (dress.FOLLOWS in panel.picture._dom_classes) is (theme == "light")
    assert dress.PANEL in panel.root._dom_classes


@pytest.mark.parametrize(("low", "high"), [(0.5, 20.0), (1.0, 1000.0), (0.0123, 4567.0), (1e8, 1e12)])
def test_every_number_of_two_digits_can_be_set(low, high):
    stops = round_stops(low, high)
    assert stops == sorted(set(stops))
    assert low <= stops[0] <= 1.1 * low
    assert high >= stops[-1] >= high / 1.1
    for wanted in (0.5, 1.0, 2.0, 4.0, 10.0, 20.0, 2.5e9, 1.5e11):
        assert (wanted in stops) is (low <= wanted <= high)


def test_what_is_given_can_be_set_exactly():
    slider = round_slider(3.14159, 1, 100, "x", given=[6.7384])
    values = [value for _, value in slider.options]
    assert {3.14159, 6.7384} <= set(values)
    assert 6.7 in values
    assert slider.value == 3.14159


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "0.05"), (4.0, "4"), (12_000.0, "12,000"), (3.14159, "3.14"), (1e9, "1,000,000,000")],
)
def test_numbers_are_written_without_an_exponent(value, text):
    assert written(value) == text


# What the texts name, by panel and control.
NAMED = {
    ("temperature", "temperature"): (0.5, 1.0, 2.0, 4.0, 10.0, 20.0),
    ("amdahl", "factor"): (2.0, 10.0, 20.0, 100.0, 1000.0),
    ("patience", "epochs"): (10, 100),
    ("will_it_fit", "context"): (512, 8192, 131072),
    ("will_it_fit", "parameters"): (1e9, 7e9, 7e10),
}


@pytest.mark.parametrize(("panel", "control"), NAMED)
def test_values_that_the_texts_name_can_be_set(panel, control):
    made = examples.moving(panel)
    options = made.controls[control].options
    values = {option[1] if isinstance(option, tuple) else option for option in options}
    assert set(NAMED[panel, control]) <= values
