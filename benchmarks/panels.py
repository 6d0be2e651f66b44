"""Panels: milliseconds of kernel time per drag (budget: median of 40 ms at 700 x 400 pixels)."""

import time
from typing import Any

import ipywidgets
import numpy as np

from coursekit import widgets
from coursekit._core import display
from coursekit.widgets.paint_grid import PaintGrid
from coursekit.widgets.panel import Panel
from tools import examples

STOPS = 25
TYPED = ("6.5", "-0.1", "3.25", "65504", "1e-8")


def main() -> None:
    """Print one row per control of every panel: wall time (median, slowest tenth) and CPU time per update."""
    rows = []
    for name in widgets.PANELS:
        panel = (
            examples.explored() if name == "explore" else getattr(widgets, name)(*examples.arguments(name))
        )
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


def _timed(panel: Panel, control: str, value: Any) -> tuple[float, float]:
    """Return the seconds on the clock and on the processor that one change costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    panel.controls[control].value = value
    return time.perf_counter() - wall, time.process_time() - cpu


def _stops(control: ipywidgets.Widget) -> list[Any]:
    """Return the values to drag through, there and back, so that each one is a change."""
    if hasattr(control, "options"):
        options = [option[1] if isinstance(option, tuple) else option for option in control.options]
        chosen = np.unique(np.linspace(0, len(options) - 1, STOPS).round().astype(int))
        values = [options[number] for number in chosen]
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


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


if __name__ == "__main__":
    main()
