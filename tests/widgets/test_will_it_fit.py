import ipywidgets
import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, pixels, span, sweep, texts_collide
from matplotlib.colors import to_rgba

from coursekit._core import display
from coursekit.memory import DEVICES, MODELS, Device
from coursekit.plots import style
from coursekit.plots.need_page import PAGE, PARTS
from coursekit.widgets.will_it_fit import BATCHES, CONTEXTS, OWN, will_it_fit

START = {"model": "LLaMA-13B", "mode": "inference", "bits": 4, "kv_bits": 16, "context": 8192, "batch": 1}


@pytest.fixture(scope="module")
def shared():
    return will_it_fit("LLaMA-13B", 4)


@pytest.fixture
def panel(shared):
    for name, value in START.items():
        shared.controls[name].value = value
    shared.refresh()  # the view may have been updated past the controls
    assert shared.message.value == ""
    return shared


@pytest.mark.parametrize("name", ["model", "mode", "bits", "kv_bits", "context", "batch"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_the_own_size_moves_with_its_slider(panel):
    assert panel.controls["parameters"].disabled
    move(panel, "model", OWN)
    assert not panel.controls["parameters"].disabled
    shown = sweep(panel, "parameters", span(panel.controls["parameters"]))
    counts = [numbers["parameters"] for numbers in shown]
    assert counts == sorted(counts)
    assert counts[0] == pytest.approx(1e8, rel=0.01)
    assert counts[-1] == pytest.approx(1e12, rel=0.01)


def test_it_starts_where_some_devices_have_enough():
    assert set(will_it_fit().values["verdicts"].values()) == {"fits", "does not fit"}


def test_at_8192_tokens_the_cache_of_13b_is_as_large_as_its_weights(panel):
    assert panel.values["kv_cache"] == pytest.approx(panel.values["weights"], rel=0.01)
    assert panel.view.page.title.text == "LLaMA-13B needs 13.5 GB and fits into 6 of 8 devices"


# An own account of what is needed, from the published sizes


def by_hand(name, bits, kv_bits, context, batch):
    layers, width, parameters = {
        "LLaMA-7B": (32, 32 * 128, 6_738_415_616),
        "LLaMA-13B": (40, 40 * 128, 13_015_864_320),
        "LLaMA-70B": (80, 8 * 128, 68_976_648_192),
    }[name]
    weights = parameters * (bits + 0.125 * (bits < 16)) / 8
    return weights, 2 * layers * width * context * batch * (kv_bits + 0.125 * (kv_bits < 16)) / 8


@pytest.mark.parametrize("name", ["LLaMA-7B", "LLaMA-13B", "LLaMA-70B"])
@pytest.mark.parametrize(("bits", "kv_bits"), [(32, 16), (16, 16), (8, 4), (4, 8)])
@pytest.mark.parametrize(("context", "batch"), [(256, 1), (8192, 16), (131_072, 256)])
def test_numbers_agree_with_an_own_account(panel, name, bits, kv_bits, context, batch):
    setting = {"bits": bits, "kv_bits": kv_bits, "context": context, "batch": batch}
    shown = panel.view.update(model=name, parameters=1e9, mode="inference", **setting)
    weights, cache = by_hand(name, **setting)
    assert shown["weights"] == pytest.approx(weights, rel=1e-6)
    assert shown["kv_cache"] == pytest.approx(cache, rel=1e-6)
    assert shown["total"] == shown["weights"] + shown["kv_cache"] + shown["activations"]
    for device, memory in zip(DEVICES, (8, 8, 16, 16, 24, 80, 80, 141), strict=True):
        assert shown["room"][device] == memory * 10**9 - shown["total"]
        assert shown["verdicts"][device] == ("fits" if shown["room"][device] >= 0 else "does not fit")


def test_training_llama_7b_takes_16_bytes_per_parameter(panel):
    move(panel, "model", "LLaMA-7B")
    shown = move(panel, "mode", "full")
    assert shown["weights"] + shown["gradients"] + shown["optimizer"] == 16 * 6_738_415_616
    assert shown["kv_cache"] == 0
    assert shown["activations"] > 0


# The picture


def drawn_rows(panel):
    """Return the stacked bars as drawn, in percent of the memory: the ends of each part per device."""
    bars = panel.view.page.bars
    rows = {name: [path.vertices[:4, 0] for path in one.get_paths()][1:] for name, one in bars.items()}
    return {name: 100 * (np.array(xs) - PAGE.empty) / (PAGE.full - PAGE.empty) for name, xs in rows.items()}


def test_bars_are_as_long_as_the_need(panel):
    for mode, bits in (("inference", 4), ("lora", 8), ("full", 16)):
        shown = panel.view.update("LLaMA-7B", 1e9, mode, bits, 16, 1024, 1)
        ends = np.max([xs.max(axis=1) for xs in drawn_rows(panel).values()], axis=0)
        shares = [100 * shown["total"] / device.memory for device in DEVICES.values()]
        assert ends == pytest.approx(np.minimum(shares, 150), abs=1e-6)


def test_parts_follow_each_other_and_are_as_long_as_they_weigh(panel):
    shown = panel.view.update("LLaMA-7B", 1e9, "lora", 4, 16, 512, 1)
    rows, memory = drawn_rows(panel), DEVICES["H200"].memory
    reached = 0.0
    for name in ("weights", "gradients", "optimizer", "activations"):
        left, right = rows[name][-1].min(), rows[name][-1].max()
        assert left == pytest.approx(reached, abs=1e-6)
        assert right - left == pytest.approx(100 * shown[name] / memory, abs=1e-6)
        reached = right


def test_the_whole_need_fills_the_bar_above(panel):
    shown = panel.view.update("LLaMA-13B", 1e9, "inference", 4, 16, 8192, 1)
    whole = {name: one.get_paths()[0].vertices[:4, 0] for name, one in panel.view.page.bars.items()}
    for name, key in (("weights", "weights"), ("KV cache", "kv_cache")):
        width = whole[name].max() - whole[name].min()
        assert width == pytest.approx((PAGE.width - 2 * PAGE.edge) * shown[key] / shown["total"])
    assert max(xs.max() for xs in whole.values()) == pytest.approx(PAGE.width - PAGE.edge)


def test_bars_that_run_out_of_the_picture_are_marked(panel):
    shown = panel.view.update("LLaMA-70B", 1e9, "inference", 4, 16, 1024, 1)
    beyond = [shown["total"] > 1.5 * device.memory for device in DEVICES.values()]
    assert beyond == [True] * 5 + [False] * 3
    assert len(panel.view.page.beyond.get_ydata()) == 5


@pytest.mark.parametrize("context", CONTEXTS)
def test_verdicts_say_it_in_words_marks_and_colours(panel, context):
    shown = panel.view.update("LLaMA-13B", 1e9, "inference", 4, 16, context, 1)
    for device, phrase in zip(DEVICES.values(), panel.view.page.verdicts, strict=True):
        fits = shown["total"] <= device.memory
        assert phrase.text.startswith("✓ " if fits else "✗ ")
        assert phrase.text.endswith(" left" if fits else " over")
        assert set(phrase.colours) == {to_rgba(style.legible(style.GREEN if fits else style.VERMILLION))}


def test_the_parts_are_named_with_their_sizes_and_colours(panel):
    page = panel.view.page
    assert [phrase.text for phrase in page.names] == [
        "weights 6.71 GB",
        "KV cache 6.71 GB",
        "activations 53.1 MB (512 tokens at a time)",
        "",
    ]
    squares = [tuple(colour) for colour in page.squares.get_facecolor()]
    assert squares == [to_rgba(PARTS[name]) for name in ("weights", "KV cache", "activations")]
    move(panel, "mode", "full")
    names = [phrase.text.split()[0] for phrase in page.names]
    assert names == ["weights", "gradients", "optimizer", "activations"]


def test_titles_count_the_devices(panel):
    assert move(panel, "model", "BERT-base")
    assert panel.view.page.title.text.endswith("fits into every device")
    move(panel, "model", "GPT-3 175B")
    assert panel.view.page.title.text.endswith("fits into 1 of 8 devices")
    move(panel, "bits", 16)
    assert panel.view.page.title.text.endswith("fits into no device")


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = will_it_fit()
    for mode, bits in (("inference", 4), ("lora", 4), ("full", 32)):
        for model in (*MODELS, OWN):
            for context, batch in ((CONTEXTS[0], 1), (CONTEXTS[-1], BATCHES[-1])):
                panel.view.update(model, 1.11e11, mode, bits, 16, context, batch)
                assert texts_collide(panel.view) == [], (model, mode, context, batch)


def test_no_text_lies_on_another_with_ten_devices():
    panel = will_it_fit(devices=[Device(f"my cluster number {n}", 10**9 * 3**n) for n in range(10)])
    assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(monkeypatch):
    moves = (
        ("model", "LLaMA-70B"),
        ("mode", "lora"),
        ("mode", "inference"),
        ("model", OWN),
        ("context", 256),
    )
    assert_keeps_the_rules(will_it_fit(), moves, monkeypatch)


# The controls


def test_full_training_offers_no_coarse_weights_and_gives_them_back(panel):
    move(panel, "mode", "full")
    assert list(panel.controls["bits"].options) == [32, 16]
    assert panel.controls["bits"].value == 16
    assert panel.controls["kv_bits"].disabled
    move(panel, "bits", 32)
    move(panel, "mode", "lora")
    assert list(panel.controls["bits"].options) == [32, 16, 8, 4]
    assert panel.controls["bits"].value == 32
    move(panel, "bits", 4)
    move(panel, "mode", "inference")
    assert panel.controls["bits"].value == 4
    assert not panel.controls["kv_bits"].disabled


def test_a_model_that_keeps_no_cache_has_no_use_for_its_bits(panel):
    move(panel, "model", "BERT-base")
    assert panel.controls["kv_bits"].disabled
    move(panel, "model", "LLaMA-7B")
    assert not panel.controls["kv_bits"].disabled


def test_every_control_stands_above_the_picture(panel):
    shown = [
        child for row in panel.root.children if isinstance(row, ipywidgets.HBox) for child in row.children
    ]
    assert set(shown) == set(panel.controls.values())


def test_own_devices_replace_the_presets():
    panel = will_it_fit(devices=[Device("small", 10**9), Device("large", 10**12)])
    assert panel.values["verdicts"] == {"small": "does not fit", "large": "fits"}


@pytest.mark.parametrize("mode", ["inference", "lora", "full"])
def test_it_starts_in_any_mode(mode):
    panel = will_it_fit("LLaMA-7B", 16, mode=mode)
    assert (panel.values["gradients"] > 0) == (mode != "inference")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"model": "LLaMA-8B"}, ValueError, "model must be one of"),
        ({"mode": "training"}, ValueError, "mode must be one of"),
        ({"bits": 5}, ValueError, "bits must be one of 32, 16, 8, 4; got 5"),
        ({"bits": 4, "mode": "full"}, ValueError, "bits must be one of 32, 16; got 4"),
        ({"kv_bits": 32}, ValueError, "kv_bits must be one of 16, 8, 4"),
        ({"context": 1000}, ValueError, "context must be one of"),
        ({"batch": 3}, ValueError, "batch must be one of"),
        ({"batch": 2.5}, TypeError, "batch must be a whole number"),
        ({"devices": []}, ValueError, "devices must be 1 to 10"),
        ({"devices": ["laptop"]}, TypeError, "devices must be Devices; got str"),
        ({"devices": [Device("a", 1), Device("a", 2)]}, ValueError, "its own name"),
    ],
)
def test_bad_input_is_named(arguments, error, says):
    with pytest.raises(error, match=says):
        will_it_fit(**arguments)


def test_what_a_device_does_not_hold_is_hatched_and_comes_off_again(panel):
    before = pixels(panel)
    hatched = lambda: len(panel.view.page.excess.get_paths())  # noqa: E731
    assert hatched() == sum(verdict != "fits" for verdict in panel.values["verdicts"].values())
    move(panel, "batch", 256)
    assert hatched() == len(panel.values["verdicts"])
    lacking = -panel.values["room"][panel.view.devices[0].name]
    assert panel.view.page.verdicts[0].text == f"✗ {display.size(lacking)} over"
    move(panel, "batch", START["batch"])
    assert np.array_equal(pixels(panel), before)


@pytest.mark.parametrize(("context", "batch", "said"), [(512, 1, "512"), (131072, 1, "512"), (256, 1, "256")])
def test_activations_say_of_how_many_tokens_they_are(panel, context, batch, said):
    move(panel, "context", context)
    (name,) = [phrase.text for phrase in panel.view.page.names if phrase.text.startswith("activations")]
    assert name.endswith(f"({said} tokens at a time)")
    move(panel, "mode", "lora")
    assert not any("at a time" in phrase.text for phrase in panel.view.page.names)


def test_the_own_size_stands_there_only_where_it_counts(panel):
    assert panel.controls["parameters"].layout.display == "none"
    move(panel, "model", OWN)
    assert panel.controls["parameters"].layout.display is None
    assert dict(panel.controls["parameters"].options)["7 billion"] == 7e9
