"""ONNX: what ONNX Runtime brings in seconds, bytes and memory, in FP32 and in INT8, with PyTorch and without.

One run, one thread, medians; ratios above 1 mean faster than the baseline. Expected: the outputs differ by
1e-5 at most; the INT8 file takes 0.32 of the FP32 file for the digits' network and 0.27 for the wide one; the
process without PyTorch starts several times faster, and in less memory.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from coursekit import data, models, runtime, timing
from coursekit import onnx_models as om
from coursekit._core import display

WIDE = (1024, 2048, 2048, 10)
BATCHES = (1, 8, 64)
SECONDS = 4.0
RUNS = 5
SEED = 0
ENGINES = ("torch", "ONNX FP32", "ONNX INT8")


def main(seconds: float = SECONDS) -> None:
    """Print three tables: sizes and parity, latency, cold start."""
    digits, wide = data.digits(), models.mlp(WIDE)
    small = models.mlp()
    models.fit(small, digits.train.x, digits.train.y)
    inputs = torch.randn(512, WIDE[0], generator=torch.Generator().manual_seed(SEED)).numpy()
    with tempfile.TemporaryDirectory() as folder, runtime.threads(1):
        networks = {"digits": (small, digits.test.x), "wide": (wide, inputs)}
        paths = {name: _files(Path(folder), name, *network) for name, network in networks.items()}
        _print_sizes(networks, paths)
        for name, (model, x) in networks.items():
            _print_latency(name, model, paths[name], x, seconds)
        _print_cold_start(small, paths["digits"][0], digits.test.x[:1])


def _files(folder: Path, name: str, model: nn.Module, x: np.ndarray) -> tuple[Path, Path]:
    fp32 = om.export(model, folder / f"{name}.onnx", x[:2])
    return fp32.path, om.quantize_dynamic(fp32.path, folder / f"{name}-int8.onnx").path


def _print_sizes(
    networks: dict[str, tuple[nn.Sequential, np.ndarray]], paths: dict[str, tuple[Path, Path]]
) -> None:
    rows = []
    for name, (model, x) in networks.items():
        fp32, int8 = map(om.true_size, paths[name])
        with torch.inference_mode():
            expected = model(torch.from_numpy(x)).numpy()
        first, second = (om.load(path)(x) for path in paths[name])
        same = [f"{(each.argmax(1) == expected.argmax(1)).mean():.1%}" for each in (first, second)]
        sizes = (display.size(fp32), display.size(int8), f"{int8 / fp32:.3f}")
        rows.append((name, *sizes, f"{np.abs(first - expected).max():.1e}", *same))
    headers = ("network", "FP32", "INT8", "ratio", "FP32 − torch, at most", "same labels", "of INT8")
    print(display.table_text(headers, rows))


def _print_latency(
    name: str, model: nn.Module, paths: tuple[Path, Path], x: np.ndarray, seconds: float
) -> None:
    runners = [om.load(path) for path in paths]
    for batch in BATCHES:
        part = x[:batch]
        calls = dict(
            zip(ENGINES, (_torch(model, part), *(_call(each, part) for each in runners)), strict=True)
        )
        found = timing.compare(calls, baseline=ENGINES[0], max_time=seconds, threads=1)
        print(f"\n{name} network, batch {batch}\n{found}")
        # The third ratio that is asked for, of the two medians above.
        fp32, int8 = (found.ratio(engine).value for engine in ENGINES[1:])
        print(f"INT8 against FP32 in ONNX Runtime: {int8 / fp32:.2f}×")


def _torch(model: nn.Module, x: np.ndarray) -> Callable[[], object]:
    tensor = torch.from_numpy(x)

    def call() -> object:
        with torch.inference_mode():
            return model(tensor)

    return call


def _call(runner: om.Runner, x: np.ndarray) -> Callable[[], object]:
    return lambda: runner(x)


def _print_cold_start(model: nn.Module, path: Path, x: np.ndarray) -> None:
    # Taken in turns, so that what else the machine does hits both alike.
    pairs = [(om.run_with_torch(model, x), om.run_without_torch(path, x)) for _ in range(RUNS)]
    columns = [_medians(each) for each in zip(*pairs, strict=True)]
    print(f"\nA process of its own, the digits' network, one picture, medians of {RUNS}\n")
    rows = []
    for name, show, with_torch, without in zip(
        ("import", "load", "first answer", "in all", "memory, at most"),
        (*[display.seconds] * 4, display.size),
        *columns,
        strict=True,
    ):
        rows.append((name, show(with_torch), show(without), f"{with_torch / without:.1f}×"))
    print(display.table_text(("", pairs[0][0].runtime, pairs[0][1].runtime, "ratio"), rows))


def _medians(runs: Sequence[om.Alone]) -> list[float]:
    names = ("import_seconds", "load_seconds", "run_seconds", "seconds", "memory_bytes")
    return [statistics.median(getattr(run, name) for run in runs) for name in names]


if __name__ == "__main__":
    main()
