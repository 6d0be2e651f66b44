"""Panels: controls above one picture. The state lives in one place and drawing only changes artists."""

import html
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets
from IPython.display import display
from matplotlib.artist import Artist

from coursekit._core.display import FOLLOWS
from coursekit.plots import style
from coursekit.widgets import dress

__all__ = ["WIDGET_VIEW", "InputError", "Panel", "View"]

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_UNSEEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap"
_EDGE = f"border-left:5px solid {style.VERMILLION};padding-left:.6em"


class InputError(ValueError):
    """What the reader typed cannot be used; the panel shows the message and keeps the last picture."""

    __module__ = "coursekit.widgets"


class View(ABC):
    """One picture: a figure whose artists are made once, in ``__init__``, and only changed by ``update``.

    Subclasses set ``alt`` (one sentence, no measured numbers), call ``super().__init__``, and make their
    artists on ``self.figure`` inside ``style.look()``.

    Parameters
    ----------
    width, height : float
        Of the figure, in inches.

    Attributes
    ----------
    figure : Picture
        The figure; it needs no pyplot.
    moving : list of Artist
        Every artist that ``update`` touches. A view that lists them is redrawn several times faster: the
        rest of the picture is drawn once and kept.

    """

    __module__ = "coursekit.widgets"

    alt: str

    def __init__(self, width: float = 7.0, height: float = 4.0) -> None:
        self.figure = style.figure(width, height, alt=self.alt)
        self.moving: list[Artist] = []
        self._still: Any = None

    @abstractmethod
    def update(self, *arguments: Any, **values: Any) -> dict[str, Any]:
        """Change the artists to show other values.

        Parameters
        ----------
        *arguments : object
            Not used.
        **values : object
            By the name of their control.

        Returns
        -------
        dict of str to object
            The numbers now shown, by name.
        """

    def settle(self) -> None:
        """Solve the layout once, after the first update; from then on nothing moves but the artists."""
        with style.look():
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        if self.moving:
            for artist in self.moving:
                artist.set_animated(True)
            self.figure.render()
            self._still = self.figure.canvas.copy_from_bbox(self.figure.bbox)

    def png(self) -> bytes:
        """Return the picture as it stands, redrawing only what moves where that is known.

        Returns
        -------
        bytes
            The PNG.
        """
        if self._still is None:
            return self.figure.png()
        self.figure.canvas.restore_region(self._still)
        with style.look():
            for artist in sorted(self.moving, key=lambda artist: artist.get_zorder()):
                self.figure.draw_artist(artist)
        return self.figure.encoded()


class Panel:
    """A view and its controls; any change of a control redraws the picture.

    Exceptions are never swallowed, except an InputError, whose message stands under the controls.

    Parameters
    ----------
    view : View
        The picture.
    controls : mapping of str to widget
        The names of ``view.update``'s arguments, each with a widget that has a ``value``.
    actions : mapping of str to callable, optional
        A button's label, each with a function that takes ``progress(fraction)``, works, and leaves its result
        in the view.

    Attributes
    ----------
    values : dict
        The numbers now shown: what ``view.update`` returned.

    """

    __module__ = "coursekit.widgets"

    def __init__(
        self,
        view: View,
        controls: Mapping[str, ipywidgets.Widget],
        *,
        actions: Mapping[str, Callable[[Callable[[float], None]], None]] | None = None,
    ) -> None:
        self.view = view
        self.controls = dict(controls)
        self.values: dict[str, Any] = {}
        # Its own width, or a wide page would stretch and blur it; a narrow one may still shrink it.
        width = f"{view.figure.bbox.width:.0f}px"
        self.picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(width=width, max_width="100%"))
        if not style.is_dark():
            self.picture.add_class(FOLLOWS)
        # Jupyter's pictures have no alternative text: for screen readers, it stands beside, unseen.
        alt = f'<span style="{_UNSEEN}">{html.escape(view.alt)}</span>'
        self.alt = ipywidgets.HTML(alt, layout=ipywidgets.Layout(width="1px", height="1px", margin="0"))
        self.alt.add_class("coursekit-alt")
        self.message = ipywidgets.HTML()
        self.message.add_class("coursekit-message")
        self.progress = ipywidgets.FloatProgress(
            min=0.0, max=1.0, layout=ipywidgets.Layout(visibility="hidden")
        )
        self.buttons = {label: self._button(label, work) for label, work in (actions or {}).items()}
        self._quiet = self._arranging = False
        for name, control in self.controls.items():
            control.observe(lambda change, name=name: self._moved(name), names="value")
        with self._reporting():
            self._update()
        self.view.settle()
        self._push()
        rows = self.rows()
        dress.show_labels(rows)
        clothes = ipywidgets.HTML(dress.CSS, layout=ipywidgets.Layout(display="none"))
        self.root = ipywidgets.VBox([*rows, self.message, self.picture, self.alt, clothes])
        self.root.add_class(dress.PANEL)

    def rows(self) -> list[ipywidgets.Widget]:
        """Return the controls in the order they stand above the picture; subclasses may group them.

        Returns
        -------
        list of Widget
            From the top.
        """
        buttons = [ipywidgets.HBox([*self.buttons.values(), self.progress])] if self.buttons else []
        return [*self.controls.values(), *buttons]

    def arrange(self, moved: str) -> None:
        """Adjust controls that depend on another one; their own changes do not redraw.

        Parameters
        ----------
        moved : str
            The name of the control that moved.
        """

    def refresh(self) -> None:
        """Update the view from the controls and show the new picture."""
        with self._reporting():
            self._update()
            self._push()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let several controls change inside the block, one after the other; one redraw follows.

        Yields
        ------
        None
            The picture waits until the block ends.
        """
        outer, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = outer
        if not outer:
            self.refresh()

    def bundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (data, metadata): the live widget, the picture for static readers, and the alt text.

        Returns
        -------
        tuple of 2 dict of str to object
            By MIME type.
        """
        data, metadata = style.picture_bundle(self.picture.value, self.view.alt)
        if os.environ.get("COURSEKIT_WIDGETS") != "static":
            view = {"version_major": 2, "version_minor": 0, "model_id": self.root.model_id}
            return {WIDGET_VIEW: view, **data}, metadata
        return data, metadata

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError(
            "a Panel belongs to its kernel and cannot be copied or pickled; make another by the same call"
        )

    def _ipython_display_(self) -> None:
        data, metadata = self.bundle()
        display(data, raw=True, metadata=metadata)

    def _moved(self, name: str) -> None:
        if self._arranging:
            return
        with self.hold():
            self._arranging = True
            try:
                self.arrange(name)
            finally:
                self._arranging = False

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Write what went wrong under the controls, where the reader looks; only an InputError ends here."""
        self.message.value = ""
        try:
            yield
        except Exception as error:
            typed = isinstance(error, InputError)
            text = html.escape(str(error) if typed else f"{type(error).__name__}: {error}")
            # A coloured edge, and the page's own colour for the text: legible on light and on dark pages.
            self.message.value = f'<div style="{_EDGE}">{text}</div>'
            if not typed:
                raise

    def _update(self) -> None:
        self.values = self.view.update(**{name: control.value for name, control in self.controls.items()})

    def _push(self) -> None:
        self.picture.value = self.view.png()

    def _button(self, label: str, work: Callable[[Callable[[float], None]], None]) -> ipywidgets.Button:
        button = ipywidgets.Button(description=label, layout=ipywidgets.Layout(width="auto"))
        button.add_class("coursekit-action")
        button.on_click(lambda _: self._run(button, work))
        return button

    def _run(self, button: ipywidgets.Button, work: Callable[[Callable[[float], None]], None]) -> None:
        button.disabled, self.progress.value = True, 0.0
        self.progress.layout.visibility = "visible"
        try:
            with self._reporting():
                work(lambda fraction: setattr(self.progress, "value", fraction))
                self.refresh()
        finally:
            button.disabled = False
            self.progress.layout.visibility = "hidden"
