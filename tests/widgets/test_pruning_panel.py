import itertools

import numpy as np
import pytest
import torch
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit import models, pruning, widgets
from coursekit.widgets.pruning import SHARES

WIDTHS = (64, 32, 10)
CLASSES = WIDTHS[-1]


def problem(count=300):
    """Return pictures that a small network learns at once: noise around one prototype per class."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(CLASSES, WIDTHS[0], generator=generator)
    y = torch.arange(count) % CLASSES
    return prototypes[y] + 0.25 * torch.randn(count, WIDTHS[0], generator=generator), y


@pytest.fixture(scope="module")
def networks():
    return models.fit_many(WIDTHS, *problem(), seeds=range(4), epochs=12)


@pytest.fixture
def panel(networks):
    return widgets.pruning(networks, *problem())


@pytest.mark.parametrize("name", ["share", "mode"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("network", [0, 3])
def test_numbers_are_those_of_the_pruned_networks(networks, network):
    x, y = problem()
    panel = widgets.pruning(networks, x, y, network=network)
    dense = np.median(networks.accuracy(x, y))
    for share in SHARES:
        shown = panel.view.update(share, "unstructured")
        accuracies = pruning.prune_many(networks, share).accuracy(x, y)
        middle, low, high = np.quantile(accuracies, (0.5, 0.1, 0.9))
        assert [shown[name] for name in ("accuracy", "low", "high")] == pytest.approx([middle, low, high])
        assert shown["lost"] == pytest.approx(dense - middle)
        weights = torch.cat([weight[network].abs().flatten() for weight in networks.weights])
        assert (shown["gone"], shown["total"]) == (round(share * len(weights)), len(weights))
        gone = weights.sort().values[: shown["gone"]]
        assert shown["threshold"] == pytest.approx(float(gone.max() / weights.max()) if len(gone) else 0.0)
        black = np.ma.getmaskarray(np.ma.masked_invalid(panel.view.cells.get_array()))
        assert np.array_equal(~black, pruning.masks_many(networks, share)[0][network].numpy())


def test_neurons_go_row_by_row(networks):
    x, y = problem()
    panel = widgets.pruning(networks, x, y)
    for share in SHARES:
        shown = panel.view.update(share, "structured")
        pruned = pruning.structured_many(networks, share)
        assert shown["accuracy"] == pytest.approx(np.median(pruned.accuracy(x, y)))
        assert (shown["gone"], shown["total"]) == (round(share * WIDTHS[1]), WIDTHS[1])
        black = np.ma.getmaskarray(np.ma.masked_invalid(panel.view.cells.get_array()))
        assert np.array_equal(black.all(axis=1), ~pruned.weights[0][0].any(dim=1).numpy())
        assert np.array_equal(black.all(axis=1), black.any(axis=1))


def test_the_histogram_shows_everything_and_blackens_what_goes(panel):
    for share, mode in itertools.product((0.0, 0.6, 0.99), ("unstructured", "structured")):
        shown = panel.view.update(share, mode)
        everything, gone = panel.view.stays.get_data().values, panel.view.goes.get_data().values
        assert everything.max() == 1
        assert (gone <= everything).all()
        assert gone.sum() / everything.sum() == pytest.approx(shown["gone"] / shown["total"])
        edges = panel.view.goes.get_data().edges
        assert not gone[edges[:-1] > shown["threshold"]].any()
        assert list(panel.view.threshold.get_xdata()) == [shown["threshold"]] * 2


def test_it_starts_at_the_edge_of_the_cliff(panel):
    assert panel.values["mode"] == "unstructured"
    assert 0 < panel.values["share"] < SHARES[-1]
    assert panel.values["lost"] < 0.0301
    after = SHARES[SHARES.index(panel.values["share"]) + 1]
    assert panel.view.update(after, "unstructured")["lost"] > 0.0299


def test_the_title_tells_the_share_and_the_price(panel):
    shown = move(panel, "share", 0.95)
    assert panel.view.title.get_text() == (
        f"95 % of the weights pruned: {100 * shown['lost']:.1f} points of accuracy lost"
    )
    move(panel, "mode", "structured")
    assert panel.view.title.get_text().startswith("95 % of the neurons pruned")
    move(panel, "share", 0.0)
    assert panel.view.title.get_text().startswith("Nothing pruned")


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(networks, monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = widgets.pruning(networks, *problem())
    for share, mode in itertools.product((0.0, 0.5, 0.99), ("unstructured", "structured")):
        panel.view.update(share, mode)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("share", 0.2), ("mode", "structured"), ("share", 0.99)), monkeypatch)


def test_deeper_networks_and_one_without_weights_can_be_pruned():
    x, y = problem()
    panel = widgets.pruning(models.start_many((64, 20, 12, 10), (0, 1)), x, y)
    assert panel.view.update(0.5, "structured")["total"] == 20
    zero = models.start_many(WIDTHS, (0,))
    zero = zero.replace([torch.zeros_like(weight) for weight in zero.weights])
    assert widgets.pruning(zero, x, y).view.update(0.5, "unstructured")["threshold"] == 0


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"networks": models.mlp(WIDTHS)}, TypeError, "networks must be a models.Ensemble; got Sequential"),
        ({"networks": models.start_many((64, 10), (0,))}, ValueError, "networks must have a hidden layer"),
        ({"network": 4}, ValueError, "network must be from 0 to 3"),
        ({"x": torch.ones(5, 3)}, ValueError, "x must have 64 features"),
        ({"y": torch.full((300,), 12)}, ValueError, "y must hold class numbers from 0 to 9"),
    ],
)
def test_bad_input_is_named(networks, change, error, says):
    x, y = problem()
    given = {"networks": networks, "x": x, "y": y, **change}
    with pytest.raises(error, match=says):
        widgets.pruning(given.pop("networks"), given.pop("x"), given.pop("y"), **given)
