"""Roofline and batching: are the roofs stable and true, do line and simulation describe the machine.

On an idle machine: five roofs within 15 %, a large product at 85 % of the drawn peak or more, no point more
than 10 % above its roof, a and b within 15 % of scipy's on fresh data, and the simulated p50 and p99 within
25 % of the real micro-batcher's under at least 200 requests in flight (the median of several repetitions).
"""

import time
import timeit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import torch
from scipy import optimize
from torch import nn

from coursekit import batching, models, roofline, runtime
from coursekit._core import display
from coursekit.timing.roofline import kernels

RUNS = 5
MOST_MEMORY, SUMS = 400_000_000, 20  # bytes, passes
PRODUCT = 2048
SMALL = (256, 512, 512, 10)
REQUESTS, WORDS, FEATURES, NEURONS = 500, 100, 64, 512
TIMES_ONE_BY_ONE, MOST_PER_SECOND = 10, 3000
SETTINGS = ((1, 0.01), (8, 0.01), (64, 0.01))  # (max batch, max wait in s): in each, hundreds queue up
REPEATS = 7

_Pair = tuple[batching.Served, batching.Served]  # simulated and real


def main() -> None:
    """Print four tables, each with the share of the machine that others used meanwhile."""
    with _watched("Roofs"):
        roofs, plain = zip(
            *((roofline.measure(device="cpu"), _plain_stream()) for _ in range(RUNS)), strict=True
        )
        _print_roofs(roofs, plain)
    with _watched("Below the roof"):
        _print_points(roofs[-1])
    with _watched("Hockney's line"), torch.inference_mode():
        _print_line()
    with _watched("Simulation and micro-batcher"), runtime.threads(1):
        _print_served()


def _plain_stream() -> float:
    """Return bytes per second of a plain sum over a large array: how fast the memory itself is just now."""
    numbers = torch.ones(MOST_MEMORY // 4)
    return MOST_MEMORY / min(timeit.repeat(lambda: torch.sum(numbers), number=1, repeat=SUMS))


def _print_roofs(roofs: Sequence[roofline.Roof], plain: Sequence[float]) -> None:
    readings = {"bandwidth, memory": [roof.bandwidth for roof in roofs]}
    readings["a plain sum, right after"] = list(plain)
    readings["bandwidth, cache"] = [roof.cache_bandwidth or np.nan for roof in roofs]
    units = dict.fromkeys(readings, "B/s")
    for name in roofs[0].peaks:
        readings[f"peak, {name}"] = [roof.peaks[name] for roof in roofs]
    rows = [
        (name, *(roofline.rate(v, units.get(name, "FLOP/s")) for v in values), f"{_spread(values):.1%}")
        for name, values in readings.items()
    ]
    print(display.table_text(("", *(f"run {i + 1}" for i in range(RUNS)), "spread"), rows))
    a, b = (kernels.matrix(PRODUCT, PRODUCT, "fp32", "cpu") for _ in range(2))
    reached = 2 * PRODUCT**3 / kernels.quickest(lambda: torch.mm(a, b), 1.0, "cpu", roofs[-1].threads or 1)
    share = reached / np.median([roof.peaks["fp32"] for roof in roofs])
    product = f"FP32 product {PRODUCT} × {PRODUCT}: {roofline.rate(reached, 'FLOP/s')}"
    print(f"\n{product}, {share:.1%} of the drawn peak")


def _print_points(roof: roofline.Roof) -> None:
    points = roofline.measure_layer(precisions=tuple(roof.peaks), device="cpu", threads=roof.threads)
    shares = {point: point.share(roof) for point in points}
    rows = []
    for precision in roof.peaks:
        for source in roofline.SOURCES:
            mine = [p for p in points if (p.precision, p.source) == (precision, source)]
            highest = max(mine, key=lambda point: shares[point])
            rows.append((precision, source, len(mine), f"{shares[highest]:.1%}", f"at batch {highest.batch}"))
    print(display.table_text(("", "weights from", "points", "highest share of its roof", ""), rows, left=2))


def _print_line() -> None:
    model, inputs = models.mlp(SMALL).eval(), torch.randn(4096, SMALL[0])
    first, fresh = (batching.sweep(model, inputs, threads=1, device="cpu") for _ in range(2))
    ours = batching.fit(first.batches, first.median)
    (a, b), _ = optimize.curve_fit(
        lambda batch, a, b: a + b * batch,
        fresh.batches,
        fresh.median,
        p0=(ours.a, ours.b),
        sigma=fresh.median,
    )
    rows = [
        (name, display.seconds(mine), display.seconds(theirs), f"{mine / theirs - 1:+.1%}")
        for name, mine, theirs in (("a", ours.a, a), ("b", ours.b, b))
    ]
    print(display.table_text(("", "batching.fit", "scipy, fresh data", "difference"), rows))
    worst = np.abs(ours.residuals(first.batches, first.median)).max()
    print(f"\nlargest residual {worst:.1%}, most examples per second {first.throughput.max():,.0f}")


def _print_served() -> None:
    reader, verdict = nn.RNN(FEATURES, NEURONS, batch_first=True).eval(), nn.Linear(NEURONS, 2)
    texts = list(torch.randn(REQUESTS, WORDS, FEATURES))

    def answer(batch: list[Any]) -> list[Any]:
        with torch.inference_mode():
            return list(verdict(reader(torch.stack(batch))[0][:, -1]))

    runs: dict[tuple[int, float], list[_Pair]] = {setting: [] for setting in SETTINGS}
    for seed in range(REPEATS):
        curve = batching.sweep_served(answer, texts)
        rate = min(TIMES_ONE_BY_ONE * batching.capacity(curve, 1), MOST_PER_SECOND)
        arrivals = batching.arrivals(rate, REQUESTS, seed)
        for most, wait in SETTINGS:
            simulated = batching.simulate(arrivals, curve, max_batch=most, max_wait=wait)
            real, _ = batching.serve(texts, arrivals, answer, max_batch=most, max_wait=wait, warm_up=most)
            runs[most, wait].append((simulated, real))
    print(f"{REQUESTS} requests, {REPEATS} times with a fresh curve and other arrivals; ratio: real to sim.")
    headers = ("max batch", "max wait", "real p50", "ratio (range)", "real p99", "ratio (range)", "in flight")
    print(display.table_text(headers, [_served_row(*each) for each in runs.items()]))


def _served_row(setting: tuple[int, float], pairs: Sequence[_Pair]) -> tuple[str, ...]:
    cells = []
    for name in ("p50", "p99"):
        ratios = [getattr(real, name) / getattr(simulated, name) for simulated, real in pairs]
        cells.append(display.seconds(float(np.median([getattr(real, name) for _, real in pairs]))))
        cells.append(f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    in_flight = min(real.most_in_flight for _, real in pairs)
    return str(setting[0]), display.seconds(setting[1]), *cells, f"≥ {in_flight}"


@contextmanager
def _watched(title: str) -> Iterator[None]:
    """Print a title, and after the block which share of the machine's time others took."""
    print(f"{title}\n", flush=True)
    wall, mine, busy = time.perf_counter(), time.process_time(), _busy()
    yield
    total = (time.perf_counter() - wall) * runtime.describe().cores
    others = max(0.0, _busy() - busy - (time.process_time() - mine)) / total
    print(f"\n(others took {others:.0%} of the machine meanwhile)\n", flush=True)


def _busy() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def _spread(values: list[float]) -> float:
    return (max(values) - min(values)) / float(np.median(values))


if __name__ == "__main__":
    main()
