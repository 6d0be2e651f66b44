"""Deployment: one network with every runtime that is here, in Chromium, and behind Ray Serve.

What is measured is stored in the package, with the machine's name; notebook F shows it where a runtime is
missing. What is not here keeps the rows that it had. Expected: FP32 labels all equal, C ahead.
"""

import importlib
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coursekit import data, deployment, models, onnx_models, runtime
from coursekit.deployment import ray_serve, surveying

ROOT = Path(__file__).parents[1]
HERE = Path(deployment.__file__).parent
REQUESTS, TRIED = 500, [(1, 1), (2, 1), (1, 32), (2, 32), (1, 8), (2, 8)]
ANSWERS = 25  # of the page, each of them a mean of several


def main() -> None:
    """Measure what is here, store it beside what was stored, and print it."""
    torch.set_num_threads(1)
    digits = data.digits()
    with tempfile.TemporaryDirectory() as folder:
        network, files = written(digits, Path(folder))
        labels = onnx_models.load(files["FP32"], device="cpu").labels(digits.test.x)
        rows = list(
            deployment.survey(given(network, files, digits, Path(folder)), digits.test.x, labels).rows
        )
        rows += in_chromium(files, digits.test.x, labels, Path(folder))
        keep(rows)
        behind_ray(digits, Path(folder))


def written(digits: data.Digits, folder: Path) -> tuple[Any, dict[str, Path]]:
    """Return notebook 06's network and its three files."""
    network = models.mlp((64, 128, 10))
    models.fit(network, *digits.train.tensors("cpu"))
    files = {name: folder / f"{name}.onnx" for name in ("FP32", "INT8 dynamic", "INT8 static")}
    onnx_models.export(network, files["FP32"], torch.zeros(2, 64))
    onnx_models.quantize_dynamic(files["FP32"], files["INT8 dynamic"])
    onnx_models.quantize_static(files["FP32"], files["INT8 static"], [digits.train.x])
    return network, files


def given(
    network: Any, files: dict[str, Path], digits: data.Digits, folder: Path
) -> dict[str, dict[str, Path]]:
    """Return the files of every runtime that is here, and say what is not."""
    found = {}
    for name in deployment.RUNTIMES:
        try:
            here = deployment.find(name)
        except ImportError as missing:
            print(missing)
            continue
        converted = here.suffix != ".onnx"
        found[name] = deployment.convert(network, folder, here, digits.train.x) if converted else files
    return found


def in_chromium(files: dict[str, Path], x: Any, labels: Any, folder: Path) -> list[deployment.RuntimeRow]:
    """Return the rows of the page in a browser without a window."""
    sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "places")]
    try:
        written = deployment.page(folder / "page", files)
        web = importlib.import_module("web")
    except ImportError as missing:
        print(missing)
        return []
    version, rows = deployment.node_package("onnxruntime-web") / "package.json", []
    number = importlib.import_module("json").loads(version.read_text())["version"]
    with written, web.opened() as (page, _, _):
        page.goto(f"{written.url}/")
        page.wait_for_selector("#state:has-text('Ready')")
        start = page.evaluate("window.digits.start") / 1e3
        who = f"onnxruntime-web {number} in Chromium {page.context.browser.version.partition('.')[0]}"
        for name, file in files.items():
            given = [name, x.ravel().tolist()]
            found = page.evaluate("([name, x]) => window.digits.classify(name, x)", given)
            one = [name, x[0].tolist()]
            took = "([name, x]) => window.digits.answer(name, Float32Array.from(x)).then(found => found.ms)"
            times = [page.evaluate(took, one) / 1e3 for _ in range(ANSWERS)]
            low, median, high = map(float, np.quantile(times, (0.25, 0.5, 0.75)))
            sizes = file.stat().st_size, written.size_bytes - sum(f.stat().st_size for f in files.values())
            same = int((np.array(found) == labels).sum())
            rows.append(
                deployment.RuntimeRow(
                    "Browser", who, name, *sizes, start, median, low, high, same, len(labels)
                )
            )
    return rows


def keep(rows: list[deployment.RuntimeRow]) -> None:
    """Store the rows beside those of runtimes that are not here."""
    order = (*deployment.RUNTIMES, "Browser")
    new = {row.runtime for row in rows}
    try:
        old = [row for row in deployment.recorded().rows if row.runtime not in new]
    except ValueError:
        old = []
    rows = sorted([*rows, *old], key=lambda row: order.index(row.runtime))
    found = deployment.Survey(tuple(rows), runtime.describe().label, date.today().isoformat())
    (HERE / surveying.RECORDED).write_text(found.json(), encoding="utf-8")
    print(found)


def behind_ray(digits: data.Digits, folder: Path) -> None:
    """Measure Ray Serve with a network that is large enough for batches to matter."""
    wide = models.mlp((64, 2048, 2048, 10))
    models.fit(wide, *digits.train.tensors("cpu"), epochs=3)
    onnx_models.export(wide, folder / "wide.onnx", torch.zeros(2, 64))
    try:
        found = deployment.cluster(folder / "wide.onnx", np.resize(digits.test.x, (REQUESTS, 64)), TRIED)
    except ImportError as missing:
        print(missing)
        return
    where = {"machine": runtime.describe().label, "day": date.today().isoformat()}
    found = deployment.ClusterRun(**{**vars(found), **where})
    (HERE / ray_serve.RECORDED).write_text(found.json(), encoding="utf-8")
    print(found)
