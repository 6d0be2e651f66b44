"""What panels show is computed in the topics and evidence, and can be had without a panel."""

import statistics
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from coursekit import distillation, models, pruning, timing

SHARES = (0.0, 0.5, 0.9, 1.0)


@pytest.fixture(scope="module")
def networks():
    x = np.random.default_rng(0).random((60, 8), np.float32)
    y = np.arange(60) % 3
    return models.fit_many((8, 6, 3), x, y, seeds=range(4), epochs=30), x, y


@pytest.mark.parametrize("seed", range(6))
def test_entropy_is_scipys(seed):
    shares = np.random.default_rng(seed).dirichlet(np.ones(7))
    assert distillation.entropy(shares) == pytest.approx(stats.entropy(shares, base=2))
    assert distillation.entropy(torch.from_numpy(shares)) == distillation.entropy(shares.tolist())


@pytest.mark.parametrize("bad", [[0.5, 0.6], [-0.1, 1.1], [0.2, 0.2], [[1.0]], [], [np.nan, 1], "half", None])
def test_what_is_not_a_probability_is_refused(bad):
    with pytest.raises((TypeError, ValueError), match="^probabilities [^\n]*$"):
        distillation.entropy(bad)


def test_medians_and_where_they_settle_are_those_of_the_standard_library():
    times = np.random.default_rng(1).gamma(3, 1e-3, 60).tolist()
    found = timing.running_medians(times)
    assert found.median.tolist() == pytest.approx([statistics.median(times[:n]) for n in range(1, 61)])
    assert np.isnan(found.low[:5]).all()
    assert (found.low[5:] <= found.median[5:]).all()
    assert (found.high[5:] >= found.median[5:]).all()
    settled = timing.settled(found.median, 10)
    off = [abs(value / found.median[-1] - 1) > 0.1 for value in found.median]
    assert not any(off[settled - 1 :])
    assert settled == 1 or off[settled - 2]


@pytest.mark.parametrize(
    ("medians", "tolerance", "says"),
    [([], 5, "medians"), ([1, np.nan], 5, "medians"), ([1, 0], 5, "medians"), ([1, 2], -1, "tolerance")],
)
def test_what_cannot_settle_is_refused(medians, tolerance, says):
    with pytest.raises((TypeError, ValueError), match=f"^{says} [^\n]*$"):
        timing.settled(medians, tolerance)


@pytest.mark.parametrize("mode", ["unstructured", "structured"])
def test_a_sweep_prunes_as_the_masks_say_and_judges_every_network(networks, mode):
    trained, x, y = networks
    cuts = pruning.sweep(trained, x, y, SHARES, mode=mode, network=2)
    for share, cut in zip(SHARES, cuts, strict=True):
        assert cut.accuracies.shape == (4,)
        assert cut.sizes.max() == 1.0
        expected = len(cut.stays) - round(share * len(cut.stays))
        assert abs(int(cut.stays.sum()) - expected) <= 2
        if (~cut.stays).any():
            assert cut.threshold == cut.sizes[~cut.stays].max()
        assert cut.band == pytest.approx(np.quantile(cut.accuracies, (0.5, 0.1, 0.9)))
    assert cuts[0].accuracies == pytest.approx(trained.accuracy(x, y))


def test_the_last_steady_cut_stands_before_the_first_that_loses_more(networks):
    trained, x, y = networks
    cuts = pruning.sweep(trained, x, y, SHARES)
    medians = [statistics.median(cut.accuracies) for cut in cuts]
    for loss in (0.01, 0.1, 0.5, 1.0):
        falls = [number for number, median in enumerate(medians) if median <= medians[0] - loss]
        assert pruning.last_steady(cuts, loss) == (falls[0] - 1 if falls else len(cuts) - 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"networks": None}, "networks"), ({"network": 4}, "network"), ({"mode": "all"}, "mode")],
)
def test_what_cannot_be_swept_is_named(networks, change, says):
    options = {"networks": networks[0], "x": networks[1], "y": networks[2], "shares": SHARES} | change
    with pytest.raises((TypeError, ValueError), match=f"^{says} [^\n]*$"):
        pruning.sweep(**options)


@pytest.mark.parametrize("bad", [(0, 4), (4, -1), (2.5, 4), ("4", 4), (None, 4)])
def test_a_layout_needs_a_shape(bad):
    with pytest.raises((TypeError, ValueError), match="^(rows|columns) [^\n]*$"):
        pruning.Layout(*bad)


@pytest.mark.parametrize("zeros", [-0.1, 1.1, np.nan, "half", [0.5, 2]])
def test_a_layout_takes_shares_of_zeros(zeros):
    with pytest.raises((TypeError, ValueError), match="^zeros [^\n]*$"):
        pruning.Layout(4, 4).csr(zeros)


def test_the_grids_can_be_had_without_a_plot():
    code = (
        "import sys\nfrom coursekit.timing import CrossoverGrid\n"
        "from coursekit.distillation import GainGrid\n"
        "print('matplotlib' in sys.modules, 'ipywidgets' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_the_names_that_notebooks_use_are_the_same_objects():
    from coursekit.plots import crossover, gain_map

    assert crossover.CrossoverGrid is timing.CrossoverGrid
    assert gain_map.GainGrid is distillation.GainGrid


@pytest.mark.parametrize(
    ("medians", "loss", "last"),
    [
        ([0.9, 0.89, 0.85, 0.2], 0.03, 1),
        ([0.9, 0.89, 0.85, 0.2], 0.06, 2),
        ([0.9, 0.5, 0.9], 0.1, 0),
        ([0.5, 0.6], 0.0, 0),
        ([0.9, 0.9], 0.1, 1),
    ],
)
def test_what_falls_once_is_not_steady_again(medians, loss, last):
    cells = np.ones((2, 2), bool)
    cuts = [pruning.Cut(cells, np.ones(4), np.ones(4, bool), np.full(3, median)) for median in medians]
    assert pruning.last_steady(cuts, loss) == last
