"""What all panels wear: labels that are never cut, pressed buttons with a frame, the page's light.

Widgets of ipywidgets have 80 pixels for a label and cut the rest off; their pressed buttons differ from the
others by one grey. Here the width comes from the text, and the frame is the colour of the page's type.
"""

from collections.abc import Iterable, Iterator

import ipywidgets

from coursekit._core.display import DARK_PAGE, FOLLOWS, INVERTED
from coursekit.plots.lettering import SANS, outline

__all__ = ["CSS", "PANEL", "label_width", "show_labels"]

PANEL = "coursekit-panel"
SPARE = 0.8  # em beside a label: another font may be wider than ours
TRACK = 230  # pixels beside a label, for the slider, the list or the field
CSS = f"""<style>
.{PANEL} .widget-toggle-button.mod-active,
.{PANEL} .widget-toggle-buttons .mod-active {{
  box-shadow: inset 0 0 0 2px var(--jp-ui-font-color1, currentColor);
  text-decoration: underline 2px;
}}
.{PANEL} .widget-toggle-buttons {{ display: flex; flex-flow: row wrap; align-items: center; }}
.{PANEL} .widget-toggle-buttons > .widget-label {{ text-align: right; margin-right: 8px; }}
{DARK_PAGE} .{PANEL} img.{FOLLOWS} {{ filter: {INVERTED}; }}
</style>"""


def label_width(text: str) -> float:
    """Return how wide a label is in a wide font.

    Parameters
    ----------
    text : str
        The label.

    Returns
    -------
    float
        In em.
    """
    return sum(outline(character, SANS, "normal")[1] for character in text) + SPARE


def show_labels(rows: Iterable[ipywidgets.Widget]) -> None:
    """Make room for all labels; those that begin a row get the same, so that the controls stand in line.

    Parameters
    ----------
    rows : iterable of Widget
        Controls, or boxes of controls, from the top.
    """
    first, later = [], []
    for row in rows:
        if isinstance(row, ipywidgets.HBox):
            row.layout.flex_flow = "row wrap"  # on a narrow page, a line each
        labelled = list(_labelled(row))
        first += labelled[:1]
        later += labelled[1:]
    widest = max((label_width(control.description) for control in first), default=0.0)
    for control in first:
        _make_room(control, widest)
    for control in later:
        _make_room(control, label_width(control.description))


def _labelled(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Yield the controls that have a label beside them, in their order."""
    for child in getattr(widget, "children", ()):
        yield from _labelled(child)
    if isinstance(widget, ipywidgets.Checkbox):
        widget.indent, widget.layout.width = False, widget.layout.width or "auto"
    elif getattr(widget, "description", "") and not isinstance(
        widget, ipywidgets.Button | ipywidgets.ToggleButton
    ):
        yield widget


def _make_room(control: ipywidgets.Widget, width: float) -> None:
    control.style.description_width = f"{width:.1f}em"
    if isinstance(control, ipywidgets.ToggleButtons) and not control.style.button_width:
        control.style.button_width = "auto"
    if control.layout.width is None and not isinstance(control, ipywidgets.ToggleButtons):
        control.layout.width = f"calc({width:.1f}em + {TRACK}px)"
