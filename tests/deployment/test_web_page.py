"""The page's folder, its server, and its pre-processing as Python does it."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

from coursekit import data, deployment, models, onnx_models
from coursekit.deployment import browsing


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "model.onnx"
    onnx_models.export(models.mlp((64, 8, 10)), path, torch.zeros(2, 64))
    return {"FP32": path}


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Return a folder with what stands for onnxruntime-web."""
    package = tmp_path / "node_modules" / "onnxruntime-web"
    (package / "dist").mkdir(parents=True)
    (package / "package.json").write_text("{}")
    for name in browsing.THEIRS:
        (package / "dist" / name).write_bytes(b"the runtime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    return package


def read(address):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=20) as answer:
        return answer.read(), answer.headers["content-type"]


def test_a_page_holds_all_that_it_needs(web, files, tmp_path):
    x = data.digits().test.x[:5]
    page = deployment.page(tmp_path / "page", files, x)
    there = {file.name for file in page.folder.iterdir()}
    assert there == {"index.html", "page.js", "page.json", "model-0.onnx", *browsing.THEIRS}
    told = json.loads((page.folder / "page.json").read_text())
    assert told["files"] == {"FP32": "model-0.onnx"}
    runner = onnx_models.load(files["FP32"], device="cpu")
    assert told["check"]["labels"]["FP32"] == runner.labels(x).tolist()
    assert page.size_bytes == sum(file.stat().st_size for file in page.folder.iterdir())


def test_a_page_asks_nobody_else():
    for name in browsing.OURS:
        text = (browsing.HERE / name).read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://localhost", "")
        assert "https://" not in text
    assert "default-src 'self'" in (browsing.HERE / "page.html").read_text(encoding="utf-8")


def test_the_server_hands_out_the_folder_and_nothing_else(web, files, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    with deployment.page(tmp_path / "page", files) as page:
        body, kind = read(f"{page.url}/")
        assert b"<canvas" in body
        assert kind.startswith("text/html")
        assert read(f"{page.url}/ort-wasm-simd-threaded.wasm") == (b"the runtime", "application/wasm")
        assert read(f"{page.url}/page.js")[1] == "text/javascript"
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/none", "//etc/passwd"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                read(f"{page.url}{path}")
        assert page.url in page._repr_html_()


def test_a_page_can_be_written_again_but_not_over_something_else(web, files, tmp_path):
    folder = tmp_path / "page"
    deployment.page(folder, {"FP32": files["FP32"], "INT8": files["FP32"]})
    deployment.page(folder, files)
    assert not (folder / "model-1.onnx").exists()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds thesis\.txt"):
        deployment.page(folder, files)
    assert (folder / "model-0.onnx").exists()
    with pytest.raises(ValueError, match="must be a folder"):
        deployment.page(folder / "thesis.txt", files)


def test_without_its_runtime_a_page_says_in_one_line_how_to_get_it(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    with pytest.raises(ImportError, match="npm install --ignore-scripts onnxruntime-web@") as error:
        deployment.page(tmp_path / "page", files)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "page").exists()


def test_other_networks_are_refused(web, tmp_path):
    other = tmp_path / "other.onnx"
    onnx_models.export(models.mlp((32, 10)), other, torch.zeros(2, 32))
    for given, kind in (({"a": other}, ValueError), ({}, TypeError), ([other], TypeError)):
        with pytest.raises(kind, match="models"):
            deployment.page(tmp_path / "page", given)


# Pre-processing


def by_hand(pixels):
    """Point by point, with fractions in place of whole numbers."""
    ink = {(r, c) for r, row in enumerate(pixels) for c, value in enumerate(row) if value > 127}
    numbers = np.zeros(64, np.float32)
    if not ink:
        return numbers
    top, bottom = min(r for r, _ in ink), max(r for r, _ in ink)
    left, right = min(c for _, c in ink), max(c for _, c in ink)
    side = max(bottom - top, right - left) + 1
    for y in range(32):
        for x in range(32):
            row = np.floor((top + bottom + 1) / 2 - side / 2 + (y + 0.5) * side / 32)
            column = np.floor((left + right + 1) / 2 - side / 2 + (x + 0.5) * side / 32)
            numbers[8 * (y // 4) + x // 4] += ((row, column) in ink) / 16
    return numbers


@pytest.mark.parametrize("seed", range(6))
def test_a_drawing_shrinks_as_point_by_point(seed):
    rng = np.random.default_rng(seed)
    pixels = 255 * (rng.random(rng.integers(3, 70, 2)) < (0.002, 0.02, 0.5)[seed % 3])
    assert deployment.shrink(pixels).tolist() == by_hand(pixels).tolist()


def test_where_a_drawing_stands_does_not_matter():
    drawing = 255 * np.eye(40, dtype=int)
    moved = np.zeros((100, 90), int)
    moved[50:90, 7:47] = drawing
    assert deployment.shrink(moved).tolist() == deployment.shrink(drawing).tolist()
    assert deployment.shrink(np.zeros((5, 5))).tolist() == [0] * 64


def test_a_picture_of_the_data_set_made_large_stays_itself():
    fine = np.random.default_rng(1).random((32, 32)) < 0.5
    fine[0, 0] = fine[-1, -1] = True  # it fills the square
    wanted = fine.reshape(8, 4, 8, 4).mean((1, 3)).ravel()
    large = np.kron(fine, np.ones((8, 8))) * 255
    assert np.allclose(deployment.shrink(large), wanted)
