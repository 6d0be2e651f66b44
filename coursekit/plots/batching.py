"""Pictures of batching: latency and throughput against the batch, a line's residuals, requests' latencies."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from coursekit._core import display
from coursekit.batching import Curve, Hockney, Served
from coursekit.plots import style
from coursekit.plots.comparison import describe, end_labels, line_with_band

__all__ = ["HALF", "MOST", "answered", "latency", "residuals", "share_within", "throughput"]

MOST_TICKS = 5
HALF, MOST = 50, 99  # the percentiles that are marked


@style.look()
def latency(
    ax: Axes, curves: Mapping[str, Curve], line: Hockney | None = None, title: str | None = ""
) -> list[Artist]:
    """Draw the time of a call against the batch, with the middle half of the samples as a band.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    curves : mapping of str to Curve
        Up to four measured curves by name; two or more get their names at their ends.
    line : Hockney, optional
        A line t(B) = a + b·B in seconds, drawn dashed over the first curve's batches.
    title : str, optional
        The title; None: how many times as long as its smallest the first curve's largest batch takes.

    Returns
    -------
    list of Artist
        The curves, their bands, the labels at their ends and the dashed line.

    Raises
    ------
    ValueError
        For no curve or more than four.
    """
    made = _curves(ax, curves, "median")
    if line is not None:
        batches = next(iter(curves.values())).batches
        (dashed,) = ax.plot(batches, line.seconds(batches), "--", color=style.INK, linewidth=1.4, zorder=4)
        dashed.set_label(f"{display.seconds(line.a)} + {display.seconds(line.b)} · B")
        ax.legend(handles=[dashed], loc="upper left")
        made.append(dashed)
    describe(
        ax, "batch (examples per call)", "time per call", _latency_title(curves) if title is None else title
    )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tidy(display.seconds(value))))
    return made


@style.look()
def throughput(ax: Axes, curves: Mapping[str, Curve], title: str | None = "") -> list[Artist]:
    """Draw the examples per second against the batch, with the band that the times' quartiles make.

    One curve stands on an axis from zero; several, which may be far apart, on a logarithmic one.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    curves : mapping of str to Curve
        Up to four measured curves by name; two or more get their names at their ends.
    title : str, optional
        The title; None: which batch of the first curve answers most, compared with its smallest.

    Returns
    -------
    list of Artist
        The curves, their bands and the labels at their ends.

    Raises
    ------
    ValueError
        For no curve or more than four.
    """
    made = _curves(ax, curves, "throughput")
    if len(curves) == 1:
        ax.set_yscale("linear")
        (curve,) = curves.values()
        ax.set_ylim(0, 1.08 * (np.array(curve.batches) / curve.low).max())
    describe(
        ax,
        "batch (examples per call)",
        "examples per second",
        _throughput_title(curves) if title is None else title,
    )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return made


@style.look()
def residuals(ax: Axes, curve: Curve, line: Hockney, title: str = "") -> list[Artist]:
    """Draw how far each measured time lies above (+) or below (-) the line, in per cent of the time.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    curve : Curve
        The measured times per call.
    line : Hockney
        The line that was fitted to them.
    title : str, optional
        The title; by default where the line fits worst.

    Returns
    -------
    list of Artist
        The stems, the dots and the line at zero.
    """
    errors = 100 * line.residuals(curve.batches, curve.median)
    _batch_axis(ax, curve.batches)
    stems = ax.vlines(curve.batches, 0, errors, color=style.BLUE, linewidth=3, alpha=0.6)
    (dots,) = ax.plot(curve.batches, errors, "o", color=style.BLUE, markersize=7)
    zero = ax.axhline(0, color=style.INK, linestyle="--", linewidth=1.4)
    reach = max(10.0, 1.25 * np.abs(errors).max())
    ax.set_ylim(-reach, reach)
    worst = int(np.abs(errors).argmax())
    said = f"At {curve.batches[worst]:,}: {errors[worst]:+.0f} %"
    describe(ax, "batch (examples per call)", "measured minus line (%)", title or said)
    return [stems, dots, zero]


@style.look()
def answered(ax: Axes, served: Mapping[str, Served], title: str = "") -> list[Artist]:
    """Draw which share of the requests was answered within which time; dots mark p50 and p99.

    Pairs of simulated and real results stand as neighbours: every second line is dashed.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    served : mapping of str to Served
        The requests' latencies by name.
    title : str, optional
        The title; by default each pair's p50, the second divided by the first.

    Returns
    -------
    list of Artist
        A step line and its two dots for each name.
    """
    ax.set_xscale("log")
    made: list[Artist] = []
    for number, (name, each) in enumerate(served.items()):
        colour = style.SERIES[number // 2 % len(style.SERIES)]
        dash = style.DASHES[number % 2]
        made += ax.step(*share_within(each), where="post", color=colour, linestyle=dash, label=name)
        made += ax.plot([1e3 * each.p50, 1e3 * each.p99], [HALF, MOST], "o", color=colour, markersize=6)
    ax.set_ylim(0, 102)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    lines = [line for line in made if line.get_label() in served]
    ax.legend(handles=lines, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    describe(ax, "latency (ms)", "requests answered (%)", title or _pairs_title(served))
    return made


def share_within(served: Served) -> tuple[np.ndarray, np.ndarray]:
    """Return latencies in ms, ascending, and the per cent of requests that took at most so long.

    Parameters
    ----------
    served : Served
        The requests' latencies.

    Returns
    -------
    tuple of 2 ndarray
        Latencies in ms and per cent of the requests, both [requests].
    """
    count = len(served.latencies)
    return 1e3 * np.sort(served.latencies), 100 * np.arange(1, count + 1) / count


def _latency_title(curves: Mapping[str, Curve]) -> str:
    curve = next(iter(curves.values()))
    ratio = display.significant(float(curve.median[-1] / curve.median[0]))
    return f"{curve.batches[-1]:,} at once: {ratio}× the time"


def _throughput_title(curves: Mapping[str, Curve]) -> str:
    curve = next(iter(curves.values()))
    best = int(np.argmax(curve.throughput))
    ratio = display.significant(float(curve.throughput[best] / curve.throughput[0]))
    return f"Most at {curve.batches[best]:,}: {ratio}×"


def _pairs_title(served: Mapping[str, Served]) -> str:
    found = [*served.items()]
    ratios = [
        f"{display.significant(second.p50 / first.p50, 2)} ({name.partition(',')[0]})"
        for (name, first), (_, second) in zip(found[::2], found[1::2], strict=False)
    ]
    return f"Real p50 by simulated p50: {', '.join(ratios)}" if ratios else ""


def _curves(ax: Axes, curves: Mapping[str, Curve], what: str) -> list[Artist]:
    """Draw up to four curves on logarithmic axes; two or more get their names at their ends."""
    if not 1 <= len(curves) <= len(style.SERIES):
        raise ValueError(f"curves must hold 1 to {len(style.SERIES)}; got {len(curves)}")
    _batch_axis(ax, max((curve.batches for curve in curves.values()), key=len))
    ax.set_yscale("log")
    ax.yaxis.set_minor_formatter(NullFormatter())
    made: list[Artist] = []
    for number, (name, curve) in enumerate(curves.items()):
        center, band = getattr(curve, what), (curve.low, curve.high)
        if what == "throughput":
            sizes = np.array(curve.batches)
            band = (sizes / curve.high, sizes / curve.low)
        made += line_with_band(ax, curve.batches, center, *band, series=number, label=name)
    if len(curves) > 1:
        made += end_labels(ax, [artist for artist in made if isinstance(artist, Line2D)])
    return made


def _batch_axis(ax: Axes, batches: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(batches[:: -(-len(batches) // MOST_TICKS)])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda batch, _: f"{batch:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _tidy(text: str) -> str:
    """Return "1 ms" for "1.00 ms": a tick label needs no zeros."""
    number, _, unit = text.partition(" ")
    return f"{float(number):g} {unit}"
