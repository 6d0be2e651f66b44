"""An example of every panel and of every plot, for the gallery, the tests and the benchmarks."""

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from coursekit import (
    accuracy,
    batching,
    claims,
    data,
    distillation,
    exercises,
    floats,
    models,
    profiles,
    quantization,
    roofline,
    widgets,
)
from coursekit import plots as made
from coursekit.distillation import GainGrid
from coursekit.onnx_models import Edge, Graph, Node, Weight
from coursekit.plots import style
from coursekit.plots.page import page
from coursekit.timing import CrossoverGrid, Ratio
from coursekit.variants.orders import ORDERS, Pipeline, Pipelines
from coursekit.variants.rows import NAMES as ALL_VARIANTS
from coursekit.variants.rows import VARIANTS, Row, Sitting
from coursekit.widgets.panel import Panel

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(0, 0.3, 2000).astype(np.float32)
SHARES = np.array([0.0, 0.4, 0.6, 0.8, 0.9, 0.99])
SEEDS = np.clip(np.array([0.97, 0.965, 0.955, 0.9, 0.7, 0.1])[:, None] + np.linspace(-0.03, 0.02, 7), 0, 1)
GAIN = np.linspace(-6, 4, 24).reshape(2, 4, 3, 1) + RANDOM.normal(0, 0.5, (2, 4, 3, 5))
BATCHES = (1, 4, 16, 64, 256, 1024)
NAMES = ("one", "two", "three", "four")
STEPS = np.arange(1.0, 9.0)


# The dashboard's rows: bytes, seconds and right answers of 360.
SIZES = (41_000, 13_200, 42_600, 14_100, 22_300, 12_400, 9_800)
TIMES = (21e-6, 60e-6, 6.8e-6, 11e-6, 20e-6, 19e-6, 9.7e-6)
RIGHT = (346, 346, 346, 345, 343, 339, 331)


def panel(name: str) -> Panel:
    """Return the panel ``name`` on made-up measurements; all of it is drawn, also what moves."""
    shown = moving(name)
    for artist in shown.view.moving:
        artist.set_animated(False)
    return shown


def moving(name: str) -> Panel:
    """Return the panel ``name`` as a notebook shows it: what moves is drawn on top of the rest."""
    return explored() if name == "explore" else getattr(widgets, name)(*arguments(name))


def arguments(name: str) -> tuple[Any, ...]:
    """Return what the panel ``name`` needs: measurements, and any made-up ones will do here."""
    made_up: dict[str, Callable[[], tuple[Any, ...]]] = {
        "crossover": lambda: (_grid(),),
        "draw_a_digit": _models,
        "dynamic_batching": lambda: (_powers(),),
        "keep_training": lambda: measured().trained(),
        "kv_cache": lambda: measured().cached(),
        "methods_by_bits": lambda: (measured().methods(),),
        "noise": lambda: (_times(),),
        "pareto": lambda: (sitting(),),
        "patience": lambda: (_gains(),),
        "pipeline": lambda: (_pipelines(),),
        "pruning": _networks,
        "qat": lambda: (measured().aware(),),
        "ranks": lambda: (measured().fine_tuned(),),
        "roofline_chart": _roof,
        "slo": lambda: (_powers(),),
        "temperature": _answers,
    }
    return made_up[name]() if name in made_up else ()


def measured() -> ModuleType:
    """Return the module of the examples that are measured, wherever this one was imported from."""
    return importlib.import_module(f"{__name__.rpartition('examples')[0]}small_experiments")


def explored() -> Panel:
    """Return a panel made from a function of one's own that draws two lines."""

    def rounded(ax: Axes, bits: int, waves: float) -> None:
        """Draw a wave, and what a few bits leave of it."""
        x = np.linspace(0, waves, 500)
        levels = 2 ** (bits - 1)
        ax.plot(x, np.sin(2 * np.pi * x), label="wave")
        ax.step(x, np.round(np.sin(2 * np.pi * x) * levels) / levels, "--", where="mid", label="rounded")
        ax.set(title=f"{bits} bits", xlabel="time (s)", ylabel="amplitude", ylim=(-1.1, 1.7))
        ax.legend(loc="upper right")

    return widgets.explore(rounded, bits=(2, 8), waves=(1.0, 4.0))


def plot(name: str) -> style.Picture:
    """Return a picture with the plot ``name``, "module.function"."""
    if name in PICTURES:
        return PICTURES[name]()
    if name.startswith("bits"):
        picture = style.figure(alt="A page.")
        PLOTS[name](page(picture))
        return picture
    picture, ax = style.axes(alt="A plot.")
    PLOTS[name](ax)
    return picture


def _answers() -> tuple[Any, ...]:
    digits = data.digits().test
    return 4 * np.eye(10, dtype=np.float32)[digits.y] + digits.x[:, :10], digits.images, digits.y


def _models() -> tuple[Any, ...]:
    weight = np.random.default_rng(0).normal(size=(64, 10))
    return {f"model {sign}": lambda x, sign=sign: sign * (x @ weight) for sign in (1, -1, 2)}, data.digits()


def _guesses() -> exercises.Guesses:
    """Return four made-up guesses: one near, one far off, one chosen, one without a measurement."""
    return exercises.Guesses(
        "05",
        (
            claims.Guess("05-near", "4×", 4.0, "×", (), 3.0, "3×"),
            claims.Guess("05-far", "100×", 100.0, "×", (), 3.0, "3×"),
            claims.Guess("05-chosen", "faster", "faster", "", ("faster", "same"), "same", "same"),
            claims.Guess("05-open", "5 bits", 5.0, "bits"),
        ),
    )


def _grid() -> CrossoverGrid:
    ratio = np.geomspace(0.3, 16, 12).reshape(4, 3)
    return CrossoverGrid((128, 512, 1024, 2048), (1, 32, 256), ratio, ratio * 0.9, ratio * 1.1, "made up")


def _powers() -> batching.Curve:
    batches = tuple(2**k for k in range(8))
    seconds = 3e-3 + 2e-4 * np.array(batches)
    return batching.Curve(batches, seconds, 0.95 * seconds, 1.2 * seconds, "made up")


def _roof() -> tuple[Any, ...]:
    roof = roofline.Roof(35e9, {"fp32": 2e11, "bf16": 4e11, "int8": 8e11}, cache_bandwidth=1e11)
    keys = [(b, p, s) for p in roof.peaks for s in roofline.SOURCES for b in roofline.BATCHES]
    return roof, [roofline.Point(*key, roofline.linear(1024, 1024, *key[:2]), 1e-3) for key in keys]


def _networks() -> tuple[Any, ...]:
    x = np.random.default_rng(0).random((360, 64), np.float32)
    return models.start_many(models.DIGITS_WIDTHS, range(20)), x, np.arange(360) % 10


def row(name: str, size: int, seconds: float, right: int, spread: float = 0.1) -> Row:
    """Return a row of the dashboard, ``right`` of 360 answers being right."""
    portable = next((v.portable for v in VARIANTS if v.name == name), False)
    ratio = TIMES[0] / seconds
    test = accuracy.PairedTest(3, 5, 0.7, "same")
    answers = np.arange(360) < right
    measured = accuracy.of(answers.astype(int), np.ones(360, int))
    interval = Ratio(ratio, ratio * 0.95, ratio * 1.05)
    times = (seconds, seconds * (1 - spread), seconds * (1 + spread))
    return Row(name, int(size), *times, interval, "faster", measured, test, portable)


def sitting(
    sizes: Sequence[int] = SIZES,
    times: Sequence[float] = TIMES,
    right: Sequence[int] = RIGHT,
    names: Sequence[str] = ALL_VARIANTS,
    spread: float = 0.1,
) -> Sitting:
    """Return a sitting of the dashboard's variants."""
    rows = [row(*parts, spread) for parts in zip(names, sizes, times, right, strict=True)]
    return Sitting(tuple(rows), "a server CPU @ 2.70GHz, 2 cores")


def _times() -> np.ndarray:
    return 1e-4 * np.random.default_rng(0).gamma(9, 1, 200)


def _gains() -> GainGrid:
    return GainGrid((10, 100), (1, 2, 4, 8), (0.25, 0.5, 1.0), GAIN)


def _pipelines() -> Pipelines:
    right = np.random.default_rng(1).integers(300, 350, (len(ORDERS), 5)) / 360
    found = {steps: Pipeline(steps, 40_000 // (n + 1), right[n]) for n, steps in enumerate(ORDERS)}
    return Pipelines(found, "made up")


def _curve(factor: float = 1.0) -> batching.Curve:
    median = factor * (1e-3 + 1e-4 * np.array(BATCHES))
    return batching.Curve(BATCHES, median, 0.8 * median, 1.5 * median)


def _served(factor: float) -> batching.Served:
    return batching.Served("x", np.zeros(4), factor * np.array([0.3, 0.1, 0.2, 0.1]), np.array([4]))


def _roofline(ax: Any) -> Any:
    roof = roofline.Roof(40e9, {"fp32": 200e9, "int8": 800e9}, 120e9)
    work = [roofline.linear(512, 512, batch) for batch in (1, 8, 64)]
    return made.roofline.roofline(ax, roof, [roofline.Point(8, "fp32", "memory", w, 1e-3) for w in work])


def _ratios() -> list[Ratio]:
    return [Ratio(value, 0.9 * value, 1.2 * value) for value in (0.2, 0.3, 0.6, 1.3, 2.5, 9.0)]


def _call() -> profiles.Call:
    below = profiles.Call("load", 0.36, 0.02, 1, (profiles.Call("read_csv", 0.3, 0.3, 1),))
    return profiles.Call("handler", 0.4, 0.01, 1, (below, profiles.Call("predict", 0.03, 0.03, 1)))


def _graph(*operators: str) -> Graph:
    nodes = tuple(
        Node(op, "", (f"v{n}",), (f"v{n + 1}",), (Weight(f"w{n}", (64, 10), "float32", 2560),))
        for n, op in enumerate(operators)
    )
    ends = [None, *range(len(nodes)), None]
    edges = tuple(Edge(a, b, f"v{n}") for n, (a, b) in enumerate(zip(ends, ends[1:], strict=False)))
    return Graph("made up", nodes, edges, ("v0",), (f"v{len(nodes)}",))


def _repair() -> style.Picture:
    picture, axes = style.axes(2, 1, height=5.2, alt="Two plots.")
    made.profiles.repair(axes, _call(), profiles.Call("fast", 1e-3, 1e-3, 1))
    return picture


def _orders() -> style.Picture:
    picture, axes = style.axes(1, 2, alt="Two plots.")
    left, right = axes
    made.pipeline.colour(made.pipeline.orders(left, right, _pipelines()), ORDERS[-1])
    return picture


def _disagreements() -> style.Picture:
    """Return two rows of pictures that only one of two models gets right."""
    test = data.digits().test
    answers = {"FP32": test.y + (np.arange(len(test.y)) < 2), "3 bits": (test.y + (test.y == 8)) % 10}
    picture, axes = style.axes(
        2, 6, height=2.4, alt="Digits, each with the right and the wrong answer below."
    )
    made.quantized.disagreements(axes, test.images, answers, test.y)
    return picture


_four = {name: SEEDS**power for power, name in enumerate(NAMES, 1)}
PICTURES: dict[str, Callable[[], style.Picture]] = {
    "pipeline.orders": _orders,
    "quantized.disagreements": _disagreements,
    "profiles.repair": _repair,
    "onnx_graph.picture": lambda: made.onnx_graph.picture(_graph("Gemm", "Relu", "Gemm"), title="Two layers"),
    "onnx_graph.side_by_side": lambda: made.onnx_graph.side_by_side(
        _graph("MatMul", "Add", "Relu"), _graph("FusedGemm")
    ),
}
PLOTS: dict[str, Callable[[Any], Any]] = {
    "batching.latency": lambda ax: made.batching.latency(
        ax, {"CPU": _curve()}, batching.Hockney(1e-3, 1e-4), "It grows"
    ),
    "batching.throughput": lambda ax: made.batching.throughput(
        ax, {name: _curve(n) for n, name in enumerate(NAMES, 1)}
    ),
    "batching.residuals": lambda ax: made.batching.residuals(
        ax, _curve(), batching.Hockney(1e-3, 1e-4), "Near zero"
    ),
    "batching.answered": lambda ax: made.batching.answered(
        ax, {name: _served(n) for n, name in enumerate(NAMES, 1)}
    ),
    "bits.bit_boxes": lambda ax: made.bits.bit_boxes(ax, floats.fields(6.5, "bf16")),
    "comparison.dots_with_interval": lambda ax: made.comparison.dots_with_interval(
        ax, NAMES, [3, 4, 5, 6], [2, 3, 4, 5], [4, 5, 6, 7], unit="x", reference=4.5
    ),
    "comparison.bars": lambda ax: made.comparison.bars(ax, NAMES, [1, 2, 3, 4], unit="x", highlight=["two"]),
    "comparison.line_with_band": lambda ax: made.comparison.line_with_band(
        ax, STEPS, STEPS, STEPS - 1, STEPS + 1
    ),
    "comparison.lines": lambda ax: made.comparison.lines(
        ax,
        STEPS,
        {name: STEPS**n for n, name in enumerate(NAMES)},
        {"four": (STEPS, STEPS**4)},
        x_label="x",
        y_label="y",
    ),
    "crossover.fixed_and_product": lambda ax: made.crossover.fixed_and_product(
        ax, (8, 64, 256), {"FP32": [6e-6, 7e-6, 1.1e-5], "INT8": [2e-5, 2.1e-5, 2.2e-5]}
    ),
    "crossover.speedups": lambda ax: made.crossover.speedups(ax, _grid()),
    "guesses.draw": lambda ax: made.guesses.draw(ax, _guesses()),
    "distillation.soft_labels": lambda ax: made.distillation.soft_labels(
        ax, {name: np.eye(10)[7] * 0.9 + 0.01 for name in NAMES}
    ),
    "distillation.paired_differences": lambda ax: made.distillation.paired_differences(
        ax, {"better": SEEDS[0], "worse": -SEEDS[0], "same": SEEDS[0] - SEEDS[0].mean()}
    ),
    "distillation.heatmap": lambda ax: made.distillation.heatmap(
        ax,
        distillation.Grid(
            distillation.SETUPS["clean"], (1.0, 2.0, 4.0, 8.0), (0.25, 0.5, 1.0), GAIN[0] / 100
        ),
    ),
    "distillation.gradients": lambda ax: made.distillation.gradients(
        ax, distillation.GradientSizes((1.0, 4.0, 16.0), np.array([1.0, 0.1, 0.005]), np.array([1, 1.6, 1.3]))
    ),
    "distillation.patience": lambda ax: made.distillation.patience(ax, _gains(), 0.5),
    "distillation.mean_answers": lambda ax: made.distillation.mean_answers(
        ax, 0.7 * np.eye(10) + 0.2 * np.eye(10, k=1) + 0.01
    ),
    "gain_map.gain_map": lambda ax: made.gain_map.gain_map(ax, _gains()),
    "memory.weighed": lambda ax: made.memory.weighed(
        ax, ["FP32", "INT8"], [4e6, 1e6], {"file": [4.1e6, 1.1e6], "RAM": [5e6, 2e6], "both": [6e6, 3e6]}
    ),
    "memory.on_formula": lambda ax: made.memory.on_formula(
        ax, [1, 2, 4], [10, 20, 40], [11, 19, 40], x_label="batch"
    ),
    "memory.shared_heads": lambda ax: made.memory.shared_heads(ax, 8, {8: 16384, 2: 4096}),
    "memory.steps": lambda ax: made.memory.steps(ax, ["read", "copy"], [1e6, 2e6], [3e6, 2e6]),
    "numbers.value_density": lambda ax: made.numbers.value_density(ax, "fp8_e4m3"),
    "numbers.spacing": lambda ax: made.numbers.spacing(ax),
    "numbers.sum_on_grid": lambda ax: made.numbers.sum_on_grid(ax),
    "numbers.clip_by_group": lambda ax: made.numbers.clip_by_group(
        ax,
        [64, 256, 1024],
        {name: [SEEDS[0] / n, SEEDS[1] / n, SEEDS[2] / n] for n, name in enumerate(NAMES, 1)},
        (0.83, 1),
    ),
    "numbers.histogram": lambda ax: made.numbers.histogram(ax, WEIGHTS, marks={"largest": 1.0, "-1": -1.0}),
    "pareto.tradeoff": lambda ax: made.pareto.tradeoff(ax, sitting()),
    "pareto.accuracies": lambda ax: made.pareto.accuracies(ax, sitting()),
    "profiles.icicle": lambda ax: made.profiles.icicle(ax, _call()),
    "profiles.runs": lambda ax: made.profiles.runs(ax, np.array([0.41, 0.4, 0.43, 2.5, 0.42]) * 1e-3),
    "profiles.amdahl_curve": lambda ax: made.profiles.amdahl_curve(ax, 0.9),
    "pruning.accuracy": lambda ax: made.pruning.accuracy(ax, SHARES, _four),
    "pruning.sensitivity": lambda ax: made.pruning.sensitivity(ax, SHARES, _four),
    "pruning.histogram": lambda ax: made.pruning.histogram(ax, WEIGHTS, np.abs(WEIGHTS) > 0.2),
    "pruning.matrix": lambda ax: made.pruning.matrix(ax, WEIGHTS.reshape(40, 50)),
    "pruning.after_the_cut": lambda ax: made.pruning.after_the_cut(ax, _four),
    "pruning.kept_per_input": lambda ax: made.pruning.kept_per_input(
        ax, np.abs(WEIGHTS[:1984].reshape(31, 64)) > np.linspace(0, 0.3, 64), (8, 8)
    ),
    "pruning.break_even": lambda ax: made.pruning.break_even(
        ax, SHARES, {"CSR": _ratios(), "2 of 4": _ratios()[::-1]}
    ),
    "quantized.accuracy_by_bits": lambda ax: made.quantized.accuracy_by_bits(
        ax, (8, 4, 3, 2), {name: SEEDS[:4] * 100 - n for n, name in enumerate(NAMES)}, full=97
    ),
    "quantized.bit_budget": lambda ax: made.quantized.bit_budget(
        ax, {(8, 8): (9472, 97), (2, 8): (3328, 95), (2, 2): (2368, 80), (8, 2): (8512, 90)}, 4000
    ),
    "quantized.mse_against_scale": lambda ax: made.quantized.mse_against_scale(
        ax, {f"{bits} bits": quantization.best_scale(WEIGHTS, bits, steps=40) for bits in (8, 4, 3, 2)}
    ),
    "quantized.error_map": lambda ax: made.quantized.error_map(
        ax, WEIGHTS.reshape(40, 50) ** 2, limit=0.5, title="A map"
    ),
    "roofline.roofline": _roofline,
    "roofline.limits": lambda ax: made.roofline.limits(
        ax, roofline.Roof(2e12, {"fp16": 312e12}), {"1 chat": 0.92, "64 chats": 58.9, "170 chats": 156.5}
    ),
}
