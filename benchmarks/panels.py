"""Panels: milliseconds of kernel time per drag (budget: median of 40 ms at 700 x 400 pixels)."""

import time
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes

from coursekit import widgets
from coursekit._core import display
from coursekit.widgets.paint_grid import PaintGrid
from coursekit.widgets.panel import Panel

STOPS = 25
TYPED = ("6.5", "-0.1", "3.25", "65504", "1e-8")


def main() -> None:
    """Print one row per control of every panel: wall time (median, slowest tenth) and CPU time per update."""
    rows = []
    for name in widgets.PANELS:
        panel = explored() if name == "explore" else getattr(widgets, name)(*_arguments(name))
        for control in panel.controls:
            times = np.array([_timed(panel, control, value) for value in _stops(panel.controls[control])])
            wall, cpu = times.T
            rows.append(
                (name, control, len(times), *map(_ms, (*np.quantile(wall, (0.5, 0.9)), np.median(cpu))))
            )
    print(
        display.table_text(
            ("panel", "control", "updates", "median", "9 of 10 below", "CPU, median"), rows, left=2
        )
    )


def explored() -> Panel:
    """Return a panel made from a function of one's own that draws two lines."""

    def rounded(ax: Axes, bits: int, waves: float) -> None:
        """Draw a wave, and what a few bits leave of it."""
        x = np.linspace(0, waves, 500)
        levels = 2 ** (bits - 1)
        ax.plot(x, np.sin(2 * np.pi * x), label="wave")
        ax.step(x, np.round(np.sin(2 * np.pi * x) * levels) / levels, "--", where="mid", label="rounded")
        ax.set(title=f"{bits} bits", xlabel="time (s)", ylabel="amplitude")
        ax.legend(loc="upper right")

    return widgets.explore(rounded, bits=(2, 8), waves=(1.0, 4.0))


def _timed(panel: Panel, control: str, value: Any) -> tuple[float, float]:
    """Return the seconds on the clock and on the processor that one change costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    panel.controls[control].value = value
    return time.perf_counter() - wall, time.process_time() - cpu


def _stops(control: ipywidgets.Widget) -> list[Any]:
    """Return the values to drag through, there and back, so that each one is a change."""
    if isinstance(control, ipywidgets.FloatLogSlider):
        values = (control.base ** np.linspace(control.min, control.max, STOPS)).tolist()
    elif hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    elif hasattr(control, "min"):
        kind = int if isinstance(control.min, int) else float
        values = sorted({kind(value) for value in np.linspace(control.min, control.max, STOPS)})
    elif isinstance(control, PaintGrid):
        values = np.linspace(0, 1, STOPS * len(control.squares)).reshape(STOPS, -1).tolist()
    elif isinstance(control.value, bool):
        values = [not control.value, control.value]
    elif set(str(control.value)) <= set("01 "):
        values = [control.value.replace("1", "0"), control.value]
    else:
        values = list(TYPED)
    return [*values[1:], *values[-2::-1]]


def _arguments(name: str) -> tuple[Any, ...]:
    """Return what a panel cannot do without: measurements, and any made-up ones will do here."""
    made = {
        "draw_a_digit": _models,
        "crossover": _grid,
        "slo": _curve,
        "dynamic_batching": _curve,
        "roofline_chart": _roof,
        "pruning": _networks,
        "patience": _gains,
        "pareto": _sitting,
        "pipeline": _orders,
    }
    return made[name]() if name in made else ()


def _models() -> tuple[Any, ...]:
    from coursekit import data

    weight = np.random.default_rng(0).normal(size=(64, 10))
    return {f"model {sign}": lambda x, sign=sign: sign * (x @ weight) for sign in (1, -1, 2)}, data.digits()


def _grid() -> tuple[Any, ...]:
    from coursekit.timing import CrossoverGrid

    ratio = np.geomspace(0.3, 16, 12).reshape(4, 3)
    return (CrossoverGrid((128, 512, 1024, 2048), (1, 32, 256), ratio, ratio * 0.9, ratio * 1.1, "made up"),)


def _curve() -> tuple[Any, ...]:
    from coursekit.batching import Curve

    batches = tuple(2**k for k in range(8))
    seconds = 3e-3 + 2e-4 * np.array(batches)
    return (Curve(batches, seconds, 0.9 * seconds, 1.2 * seconds, "made up"),)


def _roof() -> tuple[Any, ...]:
    from coursekit.roofline import BATCHES, SOURCES, Point, Roof, linear

    roof = Roof(35e9, {"fp32": 2e11, "bf16": 4e11, "int8": 8e11}, cache_bandwidth=1e11)
    keys = [(batch, precision, source) for precision in roof.peaks for source in SOURCES for batch in BATCHES]
    return roof, [Point(*key, linear(1024, 1024, *key[:2]), 1e-3) for key in keys]


def _networks() -> tuple[Any, ...]:
    import torch

    from coursekit.models import DIGITS_WIDTHS, start_many

    return start_many(DIGITS_WIDTHS, range(20)), torch.rand(360, 64), torch.arange(360) % 10


def _gains() -> tuple[Any, ...]:
    from coursekit.distillation import GainGrid

    gain = np.random.default_rng(0).normal(size=(3, 4, 3, 5))
    return (GainGrid((20, 40, 100), (1, 2, 4, 8), (0.25, 0.5, 1.0), gain),)


def _sitting() -> tuple[Any, ...]:
    from coursekit import accuracy, variants
    from coursekit.timing import Ratio

    y = np.zeros(360, int)
    rows = []
    for number, variant in enumerate(variants.VARIANTS, 1):
        answers = (np.arange(360) < 4 * number).astype(int)
        times = number * 1e-5 * np.array([1.0, 0.9, 1.1])
        judged = accuracy.of(answers, y), accuracy.mcnemar(answers, y, y)
        ratio = Ratio(1.0, 0.9, 1.1)
        rows.append(variants.Row(variant.name, 40_000 // number, *times, ratio, "same", *judged, False))
    return (variants.Sitting(tuple(rows), "made up"),)


def _orders() -> tuple[Any, ...]:
    from coursekit import variants
    from coursekit.variants.orders import ORDERS

    shares = np.linspace(0.9, 0.99, 10)
    made = {steps: variants.Pipeline(steps, 40_000 // (n + 1), shares) for n, steps in enumerate(ORDERS)}
    return (variants.Pipelines(made, "made up"),)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


if __name__ == "__main__":
    main()
