"""Notebook F's page in a real browser: the same numbers, the same labels, and nothing from anywhere else."""

import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import web

from coursekit import data, deployment, models, onnx_models

BUILD = Path(__file__).parents[2] / "build"  # where `make places` puts npm's packages
MOST_MS = 50
FILES = ("FP32", "INT8 dynamic", "INT8 static")


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture(scope="module")
def files(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    network = models.mlp((64, 128, 10))
    models.fit(network, *digits.train.tensors("cpu"))
    found = {name: folder / f"{name}.onnx" for name in FILES}
    onnx_models.export(network, found["FP32"], torch.zeros(2, 64))
    onnx_models.quantize_dynamic(found["FP32"], found["INT8 dynamic"])
    onnx_models.quantize_static(found["FP32"], found["INT8 static"], [digits.train.x])
    return found


@pytest.fixture(scope="module")
def browser(files, digits, tmp_path_factory):
    """Yield the page in Chromium, what it asked for, and what it complained about."""
    folder = tmp_path_factory.mktemp("with a space") / "page"
    try:
        with contextlib.chdir(BUILD if BUILD.is_dir() else Path.cwd()):
            page = deployment.page(folder, files, digits.test.x)
    except ImportError as missing:
        pytest.skip(str(missing))
    with page, web.opened() as (tab, asked, complaints):
        tab.route(
            "**/*",
            lambda route: route.continue_() if route.request.url.startswith(page.url) else route.abort(),
        )
        tab.goto(f"{page.url}/")
        tab.wait_for_selector("#state:has-text('Ready')")
        yield tab, asked, complaints, page.url


def labels(path, x):
    return onnx_models.load(path, device="cpu").labels(x)


@pytest.mark.parametrize("name", FILES)
def test_the_labels_in_the_browser_are_pythons(name, browser, files, digits):
    tab = browser[0]
    given = [name, digits.test.x.ravel().tolist()]
    found = np.array(tab.evaluate("([name, x]) => window.digits.classify(name, x)", given))
    same = found == labels(files[name], digits.test.x)
    assert len(found) == 360
    assert same.sum() >= (360 if name == "FP32" else math.ceil(0.99 * 360))


def test_the_page_compares_by_itself(browser):
    tab = browser[0]
    tab.click("#compare")
    tab.wait_for_selector("#report:has-text('labels')")
    assert "FP32: 360 of 360" in tab.inner_text("#report")


@pytest.mark.parametrize("seed", range(8))
def test_javascripts_numbers_are_pythons_numbers(seed, browser):
    rng = np.random.default_rng(seed)
    height, width = map(int, rng.integers(3, 90, 2))
    pixels = np.where(
        rng.random((height, width)) < (0.001, 0.02, 0.3, 0.9)[seed % 4], rng.integers(100, 256), 60
    )
    colours = np.stack([pixels, 0 * pixels, 0 * pixels, 0 * pixels + 255], -1)
    code = "([data, width, height]) => Array.from(window.digits.shrink(data, width, height))"
    found = browser[0].evaluate(code, [colours.ravel().tolist(), width, height])
    assert np.float32(found).tolist() == deployment.shrink(pixels).tolist()


def draw(tab, points):
    """Draw a line with the mouse, in the page's own coordinates from 0 to 1."""
    tab.click("#clear")
    box = tab.locator("#paper").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place)
    tab.mouse.up()


def circle(steps=40):
    turns = [2 * math.pi * step / steps for step in range(steps + 1)]
    return [(0.5 + 0.24 * math.cos(turn), 0.5 + 0.36 * math.sin(turn)) for turn in turns]


@pytest.mark.parametrize(
    ("digit", "points"),
    [
        ("0", circle()),
        ("1", [(0.42, 0.25), (0.52, 0.12), (0.52, 0.88)]),
        ("7", [(0.25, 0.12), (0.75, 0.12), (0.4, 0.88)]),
        ("2", [(0.3, 0.25), (0.5, 0.12), (0.68, 0.25), (0.6, 0.5), (0.3, 0.85), (0.75, 0.85)]),
        ("3", [(0.3, 0.12), (0.65, 0.15), (0.65, 0.42), (0.45, 0.5), (0.68, 0.6), (0.65, 0.85), (0.3, 0.88)]),
    ],
)
def test_a_digit_that_is_drawn_is_recognised_within_50_ms(digit, points, browser):
    tab = browser[0]
    draw(tab, points)
    tab.evaluate("() => window.digits.show()")
    assert tab.locator("td.answer").all_inner_texts() == [digit] * len(FILES)
    shown = tab.evaluate("() => window.digits.shown.found")
    assert max(each["ms"] for each in shown.values()) <= MOST_MS


def test_the_answers_stand_in_the_frame_that_a_notebook_shows(browser):
    tab = browser[0]
    usual = tab.viewport_size
    tab.set_viewport_size({"width": 800, "height": 600})
    low = tab.locator("table").evaluate("table => table.getBoundingClientRect().bottom")
    tab.set_viewport_size(usual)
    assert low <= 600


def test_nothing_came_from_elsewhere_and_nothing_was_complained_about(browser):
    _, asked, complaints, url = browser
    assert len(asked) >= 8
    assert [address for address in asked if not address.startswith(f"{url}/")] == []
    assert complaints == []
