"""The panel that shows what a language model expects next: type a text, and its shares stand as bars."""

import functools
from typing import Any

import ipywidgets
import matplotlib as mpl
import numpy as np
import torch
from matplotlib import font_manager
from numpy.typing import NDArray

from coursekit import language
from coursekit._core import arguments
from coursekit._core.display import significant
from coursekit.language import LanguageModel
from coursekit.plots import style
from coursekit.plots.page import brief
from coursekit.widgets.panel import InputError, Panel, View

__all__ = ["SHOWN", "START", "NextTokenView", "next_token"]

START = "If the file does not exist"
SHOWN = 10  # tokens with a bar of their own
MOST_K, ALL = 20, 0  # on the slider; its end keeps all tokens
HOTTEST = 3.0
LONGEST = 2000  # characters: what does not fit a line of text is not typed
TOP = 112.0  # percent: room for a number above a full bar
WIDEST = 14  # characters of a token that stand beside its bar
ROOM = 0.16  # of the picture's width, for them
MONO = "DejaVu Sans Mono"  # comes with matplotlib
SEEN = str.maketrans({" ": "␣", "\n": "↵", "\t": "→"})
UNKNOWN = "□"  # for what the picture's type cannot write


def next_token(*models: LanguageModel, text: str = START) -> Panel:
    """Return a panel with the shares of the next token after a text that the reader types.

    The bars are those of the likeliest tokens; dashed outlines show their shares at temperature 1.

    Parameters
    ----------
    *models : LanguageModel
        Whom to ask; by default the small one. Several can be chosen from.
    text : str, optional
        What stands in the field at first. An empty one asks for the beginning of a text.

    Returns
    -------
    Panel
        Controls: model (if there are several), text, temperature (0 to 3), top-k.

    Raises
    ------
    TypeError
        For models that are not LanguageModels.
    """
    asked = [arguments.instance("models", each, LanguageModel) for each in models] or [language.small()]
    view = NextTokenView(asked)
    chosen = {each.name: number for number, each in enumerate(asked)}
    wide = ipywidgets.Layout(width="95%")
    options: dict[str, Any] = {"description": "text", "layout": wide, "continuous_update": True}
    controls: dict[str, ipywidgets.Widget] = {
        "text": ipywidgets.Text(arguments.instance("text", text, str), **options),
        "temperature": ipywidgets.FloatSlider(1.0, min=0.0, max=HOTTEST, step=0.1, description="temperature"),
        "top_k": ipywidgets.SelectionSlider(
            options=[*((f"{k}", k) for k in range(1, MOST_K + 1)), ("all", ALL)],
            value=ALL,
            description="top-k",
        ),
    }
    if len(asked) > 1:
        controls["model"] = ipywidgets.Dropdown(options=chosen, value=0, description="model")
    return Panel(view, controls)


class NextTokenView(View):
    """The shares of the likeliest next tokens, one bar each.

    Parameters
    ----------
    models : list of LanguageModel
        Whom to ask.
    """

    alt = (
        "A bar for each of the likeliest next tokens: its share at the chosen temperature and top-k, over "
        "the dashed outline of what the model says."
    )

    def __init__(self, models: list[LanguageModel]) -> None:
        super().__init__()
        self.models = models
        self.logits = functools.lru_cache(maxsize=16)(self._logits)
        self._draw()

    @style.look()
    def _draw(self) -> None:
        # Names change with the text, and the layout is solved once: their room is kept free.
        self.figure.set_layout_engine("constrained", rect=(ROOM, 0, 1 - ROOM, 1))
        ax = self.figure.add_subplot()
        rows = np.arange(SHOWN)[::-1]
        edge: dict[str, Any] = {
            "facecolor": "none",
            "edgecolor": style.INK,
            "linewidth": 1.2,
            "linestyle": (0, (2, 2)),
        }
        self.bars = list(ax.barh(rows, np.zeros(SHOWN), 0.72, color=style.BLUE, zorder=3))
        self.outlines = list(ax.barh(rows, np.zeros(SHOWN), 0.72, zorder=4, **edge))
        size = mpl.rcParams["font.size"] * 0.9
        self.numbers = [ax.text(0, y, "", va="center", fontsize=size, zorder=5) for y in rows.tolist()]
        beside: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "zorder": 5, "family": MONO}
        self.names = [
            ax.text(-0.015, y, "", ha="right", va="center", fontsize=size, **beside) for y in rows.tolist()
        ]
        ax.set_xlim(0, TOP)
        ax.set_xticks(range(0, 101, 20))
        ax.set_yticks(rows, [""] * SHOWN)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("share of the next token (%), dashed: at temperature 1")
        self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        place: dict[str, Any] = {"ha": "right", "va": "bottom", "transform": ax.transAxes, "zorder": 6}
        self.reading = ax.text(0.99, 0.03, "", linespacing=1.45, **place)
        self.moving = [self.title, self.reading, *self.bars, *self.outlines, *self.numbers, *self.names]

    def _logits(self, model: int, text: str) -> NDArray[np.float32]:
        """Return the logits [vocab_size] behind a text; kept, because a drag asks for the same again."""
        asked = self.models[model]
        first = [] if asked.tokenizer.begin is None else [asked.tokenizer.begin]
        tokens = asked.tokenizer.encode(text)
        tokens = first + tokens[max(0, len(tokens) + len(first) - asked.model.config.context) :]
        if not tokens and asked.tokenizer.end is not None:
            tokens = [asked.tokenizer.end]  # behind the end of a text, another one begins
        if not tokens:
            raise InputError("This model needs a text to begin with: type a letter.")
        with torch.no_grad():
            logits: NDArray[np.float32] = asked.model(torch.tensor([tokens]))[0, -1].numpy()
        return logits

    def update(self, text: str, temperature: float, top_k: int = ALL, model: int = 0) -> dict[str, Any]:
        """Show what may follow a text.

        Parameters
        ----------
        text : str
            So far.
        temperature : float
            From 0 on.
        top_k : int, optional
            How many tokens keep a share; 0 keeps all.
        model : int, optional
            Which of the models is asked.

        Returns
        -------
        dict of str to object
            By name: ``tokens`` are the likeliest, the first first, ``shares`` theirs, ``kept`` how many
            tokens share the rest of the mass.

        Raises
        ------
        InputError
            For a text longer than anyone types into a line.
        """
        if len(text) > LONGEST:
            raise InputError(f"That text has {len(text):,} characters; {LONGEST:,} are enough here.")
        logits = torch.from_numpy(self.logits(model, text))
        order = torch.argsort(logits, descending=True, stable=True)[:SHOWN]
        plain = language.shares(logits)[order].double().numpy()
        spread = language.shares(logits, temperature, top_k or None)
        pieces = [self.models[model].tokenizer.pieces([int(token)])[0] for token in order]
        shown = {
            "text": text,
            "model": self.models[model].name,
            "temperature": temperature,
            "top_k": top_k,
            "tokens": pieces,
            "shares": spread[order].double().numpy(),
            "kept": int((spread > 0).sum()),
            "perplexity": float(torch.special.entr(spread.double()).sum().exp()),
        }
        self._raise(shown, plain)
        return shown

    def _raise(self, shown: dict[str, Any], plain: NDArray[np.float64]) -> None:
        for n, (bar, outline, number, name) in enumerate(
            zip(self.bars, self.outlines, self.numbers, self.names, strict=True)
        ):
            share, before = 100 * shown["shares"][n], 100 * plain[n]
            bar.set_width(share)
            outline.set_width(before)
            number.set(x=max(share, before) + 1, text=f"{share:.1f}")
            name.set_text(brief(_visible(shown["tokens"][n]), WIDEST))
        said = f"{shown['model']} expects “{brief(_visible(shown['tokens'][0]), WIDEST)}” next"
        self.title.set_text(f"{said}: {100 * shown['shares'][0]:.0f} %")
        as_many = f"as unsure as among {significant(shown['perplexity'])} tokens, all alike"
        rest = max(0.0, 100 * (1 - float(shown["shares"].sum())))
        self.reading.set_text(f"{rest:.0f} % for all other tokens\n{as_many}")


def _visible(piece: str) -> str:
    """Return a token's text with its blanks and line ends made visible, in letters that can be drawn."""
    known = font_manager.get_font(font_manager.findfont(MONO)).get_char_index
    seen = piece.translate(SEEN)
    return "".join(each if each.isprintable() and known(ord(each)) else UNKNOWN for each in seen)
