import gzip
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import nn
from torch.nn import functional, utils
from torch.nn.utils import parametrizations, prune

from coursekit import dynamic, models, pruning, runtime
from coursekit.models import Ensemble

WIDTHS = (8, 12, 6, 3)


@pytest.fixture(autouse=True)
def _one_thread():
    with runtime.threads(1):
        yield


def random_tensors(seed, shapes, levels):
    """Return tensors of numbers from so few levels that magnitudes tie, zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(-levels, levels + 1, shape, generator=generator) / 4 for shape in shapes]


def chain(widths, seed, bias=True, relus=1):
    """Return Linear and ReLU layers with large random biases, as folding must notice them."""
    torch.manual_seed(seed)
    parts = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        parts += [nn.Linear(inputs, outputs, bias=bias), *(nn.ReLU() for _ in range(relus))]
        if bias:
            nn.init.normal_(parts[-1 - relus].bias)
    return nn.Sequential(*parts[: len(parts) - relus])


def linears(model):
    return [part for part in model if isinstance(part, nn.Linear)]


def sizes(model):
    return [layer.out_features for layer in linears(model)]


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)
shares = st.floats(0, 1)
chains = st.lists(st.integers(1, 16), min_size=2, max_size=6)


# Masks


@given(st.integers(0, 10**6), shapes, st.integers(0, 5), shares)
@settings(deadline=None)
def test_masks_prune_exactly_what_was_asked_and_nothing_larger_than_what_stays(seed, sizes, levels, share):
    weights = random_tensors(seed, sizes, levels)
    masks = pruning.masks(weights, share)
    assert [mask.shape for mask in masks] == [weight.shape for weight in weights]
    stays = torch.cat([mask.flatten() for mask in masks])
    magnitudes = torch.cat([weight.flatten() for weight in weights]).abs()
    assert int((~stays).sum()) == round(share * len(stays))
    if 0 < stays.sum() < len(stays):
        assert magnitudes[~stays].max() <= magnitudes[stays].min()


@given(st.integers(0, 10**6), shapes, st.integers(0, 5), shares)
@settings(deadline=None)
def test_masks_per_layer_prune_every_layer_alone(seed, sizes, levels, share):
    weights = random_tensors(seed, sizes, levels)
    for weight, mask in zip(weights, pruning.masks(weights, share, scope="layer"), strict=True):
        assert int((~mask).sum()) == round(share * weight.numel())
        assert torch.equal(mask, pruning.masks(weight, share)[0])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_masks_agree_with_pytorch_where_no_magnitudes_tie(share):
    model, theirs = chain(WIDTHS, 1), chain(WIDTHS, 1)
    parameters = [(layer, "weight") for layer in linears(theirs)]
    prune.global_unstructured(parameters, prune.L1Unstructured, amount=share)
    for mask, layer in zip(pruning.masks(model, share), linears(theirs), strict=True):
        assert torch.equal(mask, layer.weight_mask.bool())
    theirs = chain(WIDTHS, 1)
    for mask, layer in zip(pruning.masks(model, share, scope="layer"), linears(theirs), strict=True):
        prune.l1_unstructured(layer, "weight", amount=share)
        assert torch.equal(mask, layer.weight_mask.bool())


def test_a_threshold_prunes_too_much_at_ties_and_masks_do_not():
    weight = np.array([[0.1, 0.2, 0.2], [0.2, 0.2, 0.2], [0.5, -0.7, 0.2]])
    by_threshold = np.abs(weight) > np.percentile(np.abs(weight), 50)
    (mask,) = pruning.masks(weight, 0.5)
    assert np.count_nonzero(~by_threshold) == 7
    assert np.count_nonzero(~mask.numpy()) == round(0.5 * 9)


def test_among_equal_magnitudes_the_first_ones_go():
    (mask,) = pruning.masks(torch.ones(100, 100), 0.37)
    assert torch.equal(mask.flatten(), torch.arange(10_000) >= 3700)


def test_masks_take_lists_arrays_tensors_and_any_weighted_layer():
    rows = [[0.1, -3.0], [2.0, -0.2]]
    expected = torch.tensor([[False, True], [True, False]])
    for weight in (rows, np.array(rows), torch.tensor(rows), torch.tensor(rows).bfloat16()):
        assert torch.equal(pruning.masks(weight, 0.5)[0], expected)
        assert torch.equal(pruning.masks([np.array(rows), rows], 0.5)[1], expected)
    convolutions = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    assert [tuple(mask.shape) for mask in pruning.masks(convolutions, 0.5)] == [(2, 1, 3, 3), (2, 8)]


INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32]


def integers(seed, shape, dtype):
    """Return whole numbers, the least and the largest of their type among them, as tensor and for Python."""
    kind = torch.iinfo(dtype)
    drawn = np.random.default_rng(seed).choice([kind.min, kind.max, 0, 1, 2, 3], shape)
    return torch.from_numpy(drawn).to(dtype), drawn.tolist()


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), shares, st.sampled_from(INTEGERS))
@settings(deadline=None)
def test_whole_numbers_are_ranked_by_their_true_magnitudes(seed, rows, columns, share, dtype):
    weight, numbers = integers(seed, (rows, columns), dtype)
    flat = [abs(number) for row in numbers for number in row]
    order = sorted(range(len(flat)), key=flat.__getitem__)
    expected = torch.ones(len(flat), dtype=torch.bool)
    expected[order[: round(share * len(flat))]] = False
    assert torch.equal(pruning.masks(weight, share)[0].flatten(), expected)
    many = Ensemble((torch.stack([weight, weight]),), (torch.zeros(2, rows),))
    assert torch.equal(pruning.masks_many(many, share)[0][1].flatten(), expected)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.sampled_from(INTEGERS))
@settings(deadline=None)
def test_two_of_four_whole_numbers_stay_by_their_true_magnitudes(seed, rows, fours, dtype):
    weight, numbers = integers(seed, (rows, 4 * fours), dtype)
    for row, stays in zip(numbers, pruning.two_four(weight).tolist(), strict=True):
        for start in range(0, len(row), 4):
            four = [abs(number) for number in row[start : start + 4]]
            kept = sorted(range(4), key=four.__getitem__)[2:]
            assert stays[start : start + 4] == [number in kept for number in range(4)]


def test_only_the_chosen_layers_are_pruned():
    model = chain(WIDTHS, 0)
    first, second, third = pruning.masks(model, 0.5, layers=[1])
    assert first.all()
    assert third.all()
    assert int((~second).sum()) == round(0.5 * second.numel())
    assert torch.equal(second, pruning.masks(model, 0.5, scope="layer")[1])


def test_what_is_pruned_stays_pruned_when_more_goes():
    model = chain(WIDTHS, 0)
    half = pruning.masks(model, 0.5)
    more = pruning.masks(pruning.apply(model, half), 0.8)
    assert all((first | ~second).all() for first, second in zip(half, more, strict=True))


# Copies


def test_apply_returns_a_copy_with_zeros_and_leaves_the_model_as_it_is():
    model = chain(WIDTHS, 0)
    before = [layer.weight.detach().clone() for layer in linears(model)]
    masks = pruning.masks(model, 0.6)
    pruned = pruning.apply(model, masks)
    for layer, same, weight, mask in zip(linears(pruned), linears(model), before, masks, strict=True):
        assert torch.equal(same.weight, weight)
        assert torch.equal(layer.weight, torch.where(mask, weight, torch.zeros(())))
        assert torch.equal(layer.bias, same.bias)
        assert not torch.signbit(layer.weight[~mask]).any()
    total = sum(mask.numel() for mask in masks)
    assert pruning.sparsity(pruned) == round(0.6 * total) / total
    assert pruning.sparsity([[0.0, 1.0], [2.0, 0.0]]) == 0.5


def test_zeros_take_as_many_bytes_as_other_numbers_until_they_are_compressed():
    model = models.mlp((64, 128, 10))
    pruned = pruning.apply(model, pruning.masks(model, 0.9))
    assert dynamic.state_dict_size(pruned) == dynamic.state_dict_size(model)
    plain, zeroed = (len(gzip.compress(m[0].weight.detach().numpy().tobytes())) for m in (model, pruned))
    assert zeroed < plain / 3


# Two of four


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
@settings(deadline=None)
def test_two_of_every_four_neighbours_stay_and_they_are_the_largest(seed, rows, fours, levels):
    (weight,) = random_tensors(seed, [(rows, 4 * fours)], levels)
    groups = pruning.two_four(weight).reshape(-1, 4)
    assert (groups.sum(1) == 2).all()
    for magnitudes, stays in zip(weight.abs().reshape(-1, 4), groups, strict=True):
        assert magnitudes[~stays].max() <= magnitudes[stays].min()


def test_rows_that_no_four_divides_are_refused():
    with pytest.raises(ValueError, match=r"multiple of 4; got 6 in shape \(4, 6\)"):
        pruning.two_four(torch.ones(4, 6))


# Neurons


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_neurons_go_by_norm_as_in_pytorch(share):
    model, theirs = chain(WIDTHS, 3), chain(WIDTHS, 3)
    for layer in linears(theirs)[:-1]:
        prune.ln_structured(layer, "weight", amount=share, n=2, dim=0)
        prune.remove(layer, "weight")
    for mine, his in zip(linears(pruning.structured(model, share)), linears(theirs), strict=True):
        assert torch.equal(mine.weight, his.weight)
        assert torch.equal(mine.bias, his.bias)
    assert [len(mask) - int(mask.sum()) for mask in pruning.neuron_masks(model, share)] == [
        round(share * width) for width in WIDTHS[1:-1]
    ]


def test_every_layer_may_have_its_own_share_and_ties_are_counted():
    model = chain(WIDTHS, 0)
    with torch.no_grad():
        linears(model)[0].weight.fill_(1.0)
    first, second = pruning.neuron_masks(model, (0.25, 0.5))
    assert int((~first).sum()) == 3
    assert int((~second).sum()) == 3


# Shrinking


def outputs_agree(model, shrunk, inputs, tolerance=1e-5):
    x = torch.randn(32, inputs)
    with torch.no_grad():
        assert torch.allclose(model(x), shrunk(x), atol=tolerance, rtol=tolerance)


@given(chains, st.integers(0, 10**6), shares, st.booleans(), st.integers(0, 2))
@settings(deadline=None, max_examples=150)
def test_the_shrunk_network_equals_the_masked_one(widths, seed, share, bias, relus):
    model = chain(widths, seed, bias, relus)
    masked, keep = pruning.structured(model, share), pruning.neuron_masks(model, share)
    shrunk = pruning.shrink(model, keep)
    outputs_agree(masked, shrunk, widths[0])
    outputs_agree(masked, pruning.shrink(masked), widths[0])
    kept = [max(1, int(mask.sum())) for mask in keep]
    assert sizes(shrunk) == [*kept, widths[-1]]
    assert all(
        small <= large for small, large in zip(sizes(pruning.shrink(masked)), sizes(shrunk), strict=True)
    )
    assert len(shrunk) == len(model)


@given(chains, st.integers(0, 10**6), st.floats(0.5, 1))
@settings(deadline=None)
def test_neurons_that_single_weights_leave_without_input_go_too(widths, seed, share):
    model = chain(widths, seed)
    masked = pruning.apply(model, pruning.masks(model, share))
    shrunk = pruning.shrink(masked)
    outputs_agree(masked, shrunk, widths[0])
    for layer in linears(shrunk)[:-1]:
        assert layer.weight.any(dim=1).all() or layer.out_features == 1


def test_dropping_the_rows_alone_would_change_the_outputs():
    model = chain((5, 7, 3), 0)
    with torch.no_grad():
        model[0].bias.abs_().add_(0.5)
    masked, (keep,) = pruning.structured(model, 0.5), pruning.neuron_masks(model, 0.5)
    x = torch.randn(32, 5)
    first, last = linears(model)
    hidden = torch.relu(functional.linear(x, first.weight[keep], first.bias[keep]))
    forgetful = functional.linear(hidden, last.weight[:, keep], last.bias)
    assert (masked(x) - forgetful).abs().max() > 0.1
    outputs_agree(masked, pruning.shrink(masked), 5)


def test_half_the_neurons_of_a_wide_network_make_a_quarter_of_its_inner_weights():
    model = models.mlp((64, 512, 512, 10))
    shrunk = pruning.shrink(model, pruning.neuron_masks(model, 0.5))
    assert sizes(shrunk) == [256, 256, 10]
    assert count(shrunk) == sum(i * o + o for i, o in ((64, 256), (256, 256), (256, 10)))
    assert dynamic.state_dict_size(shrunk) < 0.4 * dynamic.state_dict_size(model)


def test_a_network_whose_neurons_are_all_dead_answers_with_its_constant():
    model = pruning.structured(chain((5, 7, 6, 3), 0), 1.0)
    shrunk = pruning.shrink(model)
    assert sizes(shrunk) == [1, 1, 3]
    outputs_agree(model, shrunk, 5)
    assert not shrunk[0].weight.any()


def test_first_and_last_layers_keep_their_sizes_also_with_zeros():
    model = chain((5, 7, 3), 0)
    with torch.no_grad():
        model[0].weight[:, 2] = 0
        model[2].weight[1] = 0
    shrunk = pruning.shrink(model)
    assert (shrunk[0].in_features, sizes(shrunk)) == (5, [7, 3])
    outputs_agree(model, shrunk, 5)


def test_a_bias_is_made_where_something_must_be_folded_into_it_and_only_there():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2, bias=False))
    shrunk = pruning.shrink(model, pruning.neuron_masks(model, 0.5))
    assert shrunk[2].bias is not None
    outputs_agree(pruning.structured(model, 0.5), shrunk, 4)
    without = chain((4, 6, 2), 0, bias=False)
    assert all(layer.bias is None for layer in linears(pruning.shrink(without, [[True] * 3 + [False] * 3])))


def test_shrinking_keeps_model_mode_type_and_random_numbers():
    model = chain(WIDTHS, 0).double().train()
    before, state = [p.clone() for p in model.parameters()], torch.random.get_rng_state()
    shrunk = pruning.shrink(model, pruning.neuron_masks(model, 0.5))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert shrunk.training
    assert {p.dtype for p in shrunk.parameters()} == {torch.float64}
    assert not {id(p) for p in shrunk.modules()} & {id(p) for p in model.modules()}
    assert not pruning.shrink(model.eval()).training


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return x + self.inner(x)


def tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


@pytest.mark.parametrize("place", ["", "0", "2.0"])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_that_smaller_layers_would_lose_are_refused(place, kind):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2)))
    handle = getattr(model.get_submodule(place), kind)(lambda *_: None)
    for function in (lambda: pruning.shrink(model), lambda: pruning.structured(model, 0.5)):
        with pytest.raises(ValueError, match=f"forward hooks; it.*{place} has one: call its handle's remove"):
            function()
    handle.remove()
    assert pruning.structured(model, 0.5)


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        (nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU()), ValueError, "part 0 is Conv1d"),
        (
            nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)),
            ValueError,
            "part 1 is Softmax.*pruning.masks",
        ),
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), ValueError, "1 is BatchNorm1d.*fuse_linear_bn"),
        (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), ValueError, "part 1 is LayerNorm"),
        (nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.PReLU(4))), ValueError, r"part 1\.0 is PReLU"),
        (nn.Sequential(nn.Linear(4, 4), nn.Flatten(0), nn.Linear(4, 2)), ValueError, "part 1 is Flatten"),
        (nn.Sequential(*[nn.Linear(4, 4)] * 2), ValueError, "parts 0 and 1 share one"),
        (tied(), ValueError, "parts 0 and 2 share one"),
        (nn.Sequential(nn.Linear(4, 4), Skip()), ValueError, "part 1 is Skip"),
        (Skip(), ValueError, "must be an nn.Sequential.*got Skip"),
        (nn.Sequential(nn.ReLU()), ValueError, "no nn.Linear"),
        (nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 2)), ValueError, "3 outputs, then 4 inputs"),
        ("network", TypeError, "model must be an nn.Sequential; got str"),
    ],
)
def test_what_is_not_a_chain_is_refused(model, error, says):
    for call in (
        pruning.shrink,
        lambda m: pruning.structured(m, 0.5),
        lambda m: pruning.neuron_masks(m, 0.5),
    ):
        with pytest.raises(error, match=says):
            call(model)


def with_extras(activation):
    """Return a chain in pieces: wrapped, named, with Dropout, Identity and Flatten in between."""
    torch.manual_seed(3)
    inner = nn.Sequential(nn.Linear(9, 8), activation, nn.Dropout(0.4), nn.Identity())
    parts = {"flat": nn.Flatten(), "in": nn.Linear(6, 9), "act": activation, "drop": nn.Dropout(0.3)}
    return nn.Sequential(OrderedDict({**parts, "inner": inner, "tail": nn.Flatten(), "out": nn.Linear(8, 3)}))


ACTIVATIONS = (nn.ReLU(), nn.GELU(), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.LeakyReLU(0.3), nn.Softplus())


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda each: type(each).__name__)
def test_neurons_go_through_wrapped_parts_dropout_and_any_activation(activation):
    model = with_extras(activation).eval()
    masked, x = pruning.structured(model, 0.5), torch.randn(20, 2, 3)
    for shrunk in (pruning.shrink(masked), pruning.shrink(model, pruning.neuron_masks(model, 0.5))):
        with torch.no_grad():
            torch.testing.assert_close(shrunk(x), masked(x), rtol=1e-5, atol=1e-5)
        assert list(shrunk.state_dict()) == list(model.state_dict())
        assert [type(module) for module in shrunk.children()] == [type(each) for each in model.children()]
        assert [each.out_features for each in shrunk.modules() if isinstance(each, nn.Linear)] == [5, 4, 3]
    assert not any(module.training for module in pruning.shrink(masked).modules())


def test_one_weight_that_two_layers_share_is_pruned_once_and_stays_shared():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 9, bias=False))
    model[3].weight = model[0].weight
    masks = pruning.masks(model, 0.5)
    assert [tuple(mask.shape) for mask in masks] == [(4, 12), (9, 4)]
    x, y = torch.randint(0, 9, (30, 3)), torch.arange(30) % 9
    tuned = pruning.finetune(model, masks, x, y, epochs=2)
    assert tuned[3].weight is tuned[0].weight
    assert tuned[3].weight is not model[3].weight
    assert not tuned[0].weight[~masks[1]].any()
    same = nn.Linear(4, 4)
    twice = nn.Sequential(same, nn.ReLU(), same, nn.Linear(4, 4))
    twice[3].weight = same.weight
    (mask,) = pruning.masks(twice, 0.5)
    assert pruning.sparsity(pruning.finetune(twice, [mask], torch.rand(9, 4), [0] * 9)) == 0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        utils.weight_norm,
        utils.spectral_norm,
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm", "ignore:.*spectral_norm")
def test_a_weight_that_is_computed_anew_is_named_with_what_helps(change):
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)))
    change(model[1][1])
    with pytest.raises(ValueError, match=r'model.get_submodule\("1.1"\) anew at every call') as error:
        pruning.masks(model, 0.5)
    exec(str(error.value).partition("first: ")[2], {"torch": torch, "model": model})  # what helps, helps
    assert len(pruning.masks(model, 0.5)) == 2


CLEAN_MODELS = {
    "pictures": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3)),
    "tokens": lambda: nn.Sequential(nn.EmbeddingBag(9, 4), nn.Dropout(0.1), nn.Linear(4, 3)),
    "attention": lambda: nn.Sequential(
        nn.Embedding(9, 4),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2),
        nn.Flatten(),
        nn.Linear(12, 3),
    ),
}


@pytest.mark.parametrize("kind", CLEAN_MODELS)
def test_any_network_is_trained_on_with_its_masks_held(kind):
    torch.manual_seed(0)
    model = CLEAN_MODELS[kind]().eval()
    x = torch.rand(33, 1, 6, 6) if kind == "pictures" else torch.randint(0, 9, (33, 3))
    y, masks = torch.arange(33) % 3, pruning.masks(model, 0.6)
    tuned = pruning.finetune(model, masks, x, y, epochs=3, batch_size=16, seed=2)
    by_hand = pruning.apply(model, masks).train()
    layers = [each for each in by_hand.modules() if isinstance(each, nn.Linear | nn.Conv2d)]
    optimizer, orders = torch.optim.Adam(by_hand.parameters(), lr=1e-3), torch.Generator().manual_seed(2)
    torch.manual_seed(2)
    for _ in range(3):
        order = torch.randperm(33, generator=orders)
        merged = [order[:16], order[16:]] if kind == "pictures" else order.split(16)  # BatchNorm
        for rows in merged:
            optimizer.zero_grad()
            functional.cross_entropy(by_hand(x[rows]), y[rows]).backward()
            optimizer.step()
            for layer, mask in zip(layers, masks, strict=True):
                layer.weight.data[~mask] = 0
    for name, ours in tuned.state_dict().items():
        torch.testing.assert_close(ours, by_hand.state_dict()[name], rtol=1e-4, atol=1e-5)
    assert pruning.sparsity(tuned) == pruning.sparsity(pruning.apply(model, masks))
    assert not any(module.training for module in tuned.modules())


# Sparse rows


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20), shares)
@settings(deadline=None)
def test_csr_equals_scipys_and_its_bytes_are_those_of_the_arrays(seed, rows, columns, share):
    torch.manual_seed(seed)
    weight = torch.randn(rows, columns)
    weight = weight.masked_fill(~pruning.masks(weight, share)[0], 0)
    ours, theirs = pruning.to_csr(weight), sparse.csr_matrix(weight.numpy())
    parts = (ours.values(), ours.col_indices(), ours.crow_indices())
    for part, array in zip(parts, (theirs.data, theirs.indices, theirs.indptr), strict=True):
        assert np.array_equal(part.numpy(), array)
        assert part.element_size() == 4
    assert pruning.csr_bytes(weight) == sum(part.nbytes for part in parts)
    assert pruning.csr_bytes(weight) == theirs.data.nbytes + theirs.indices.nbytes + theirs.indptr.nbytes
    x = torch.randn(columns, 3)
    assert torch.allclose(ours @ x, weight @ x, atol=1e-5)


def test_csr_says_nothing_on_stderr():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(
            pruning.to_csr([[0.0, 2.0], [0.0, 0.0]]).to_dense(), torch.tensor([[0.0, 2], [0, 0]])
        )


# Training on


@pytest.fixture(scope="module")
def problem():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, WIDTHS[0], generator=generator)
    return x, (x[:, :3] * torch.tensor([1.0, 1.2, 0.9])).argmax(1)


@pytest.fixture(scope="module")
def ensemble(problem):
    return models.fit_many(WIDTHS, *problem, seeds=(3, 4, 5), epochs=8)


def test_finetuning_lowers_the_loss_and_holds_the_masks(problem, ensemble):
    model = ensemble.model(0)
    masks = pruning.masks(model, 0.7)
    pruned = pruning.apply(model, masks)
    tuned = pruning.finetune(model, masks, *problem, epochs=10, seed=1)
    losses = [functional.cross_entropy(m(problem[0]), problem[1]).item() for m in (pruned, tuned)]
    assert losses[1] < losses[0]
    for layer, before, mask in zip(linears(tuned), linears(pruned), masks, strict=True):
        assert not layer.weight[~mask].any()
        assert not torch.signbit(layer.weight[~mask]).any()
        assert not torch.equal(layer.weight, before.weight)
        assert [*dict(layer.named_parameters())] == ["weight", "bias"]
        assert [*layer.state_dict()] == ["weight", "bias"]
    assert torch.equal(linears(model)[0].weight, ensemble.weights[0][0])


def test_many_networks_are_pruned_each_by_its_own_threshold(ensemble):
    for share in (0.0, 0.35, 0.9, 1.0):
        together = pruning.masks_many(ensemble, share)
        by_layer = pruning.masks_many(ensemble, share, scope="layer")
        only_last = pruning.masks_many(ensemble, share, layers=[2])
        pruned, rows = pruning.prune_many(ensemble, share), pruning.structured_many(ensemble, share)
        for number in range(len(ensemble)):
            model = ensemble.model(number)
            for made, alone in (
                (together, pruning.masks(model, share)),
                (by_layer, pruning.masks(model, share, scope="layer")),
                (only_last, pruning.masks(model, share, layers=[2])),
            ):
                assert all(torch.equal(a[number], b) for a, b in zip(made, alone, strict=True))
            expected = pruning.apply(model, pruning.masks(model, share))
            for ours, one in ((pruned, expected), (rows, pruning.structured(model, share))):
                assert all(map(torch.equal, ours.model(number).parameters(), one.parameters()))


def test_many_networks_are_trained_on_as_each_would_be_alone(problem, ensemble):
    seeds = (7, 8, 9)
    masks = pruning.masks_many(ensemble, 0.6)
    together = pruning.finetune_many(ensemble, masks, *problem, seeds=seeds, epochs=5)
    for number, seed in enumerate(seeds):
        own = [mask[number] for mask in masks]
        alone = pruning.finetune(ensemble.model(number), own, *problem, epochs=5, seed=seed)
        for ours, one in zip(together.model(number).parameters(), alone.parameters(), strict=True):
            assert torch.allclose(ours, one, atol=1e-4)
    for weight, mask in zip(together.weights, masks, strict=True):
        assert not weight[~mask].any()
        assert not torch.signbit(weight[~mask]).any()


# Bad input


def broken():
    model = chain(WIDTHS, 0)
    with torch.no_grad():
        model[0].weight[1, 2] = float("nan")
    return model


def hooked():
    model = chain(WIDTHS, 0)
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    return model


def nan_bias():
    model = chain(WIDTHS, 0)
    with torch.no_grad():
        model[0].bias[0] = float("inf")
    return model


ONE = torch.ones(2, 3)
GOOD = chain(WIDTHS, 0)
GOOD_MASKS = pruning.masks(GOOD, 0.5)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: pruning.masks(ONE, 1.01), ValueError, "sparsity must be from 0 to 1; got 1.01"),
        (lambda: pruning.masks(ONE, -0.1), ValueError, "sparsity must be from 0 to 1"),
        (lambda: pruning.masks(ONE, float("nan")), ValueError, "sparsity must be finite"),
        (lambda: pruning.masks(ONE, "half"), TypeError, "sparsity must be a number"),
        (lambda: pruning.masks(ONE, 0.5, scope="all"), ValueError, "scope must be one of global, layer"),
        (lambda: pruning.masks(ONE, 0.5, layers=[1]), ValueError, "an entry of layers"),
        (lambda: pruning.masks(ONE, 0.5, layers=[]), ValueError, "layers must hold at least one number"),
        (lambda: pruning.masks([], 0.5), ValueError, "weights is empty"),
        (lambda: pruning.masks(torch.ones(0, 3), 0.5), ValueError, "weights is empty"),
        (lambda: pruning.masks(torch.tensor([1.0, float("nan")]), 0.5), ValueError, "1 of 2 values"),
        (
            lambda: pruning.masks(torch.ones(2, dtype=torch.bool), 0.5),
            TypeError,
            "real numbers; got torch.bool",
        ),
        (lambda: pruning.masks("weights", 0.5), TypeError, "weights must be an array of numbers"),
        (lambda: pruning.masks(broken(), 0.5), ValueError, "weights must be finite; 1 of 96"),
        (lambda: pruning.masks(hooked(), 0.5), ValueError, "prune.remove"),
        (lambda: pruning.masks(nn.ReLU(), 0.5), ValueError, "no nn.Linear and no convolution"),
        (lambda: pruning.apply(ONE, GOOD_MASKS), TypeError, "model must be an nn.Module; got Tensor"),
        (lambda: pruning.apply(GOOD, GOOD_MASKS[:2]), ValueError, "masks must hold 3 masks.*got 2"),
        (
            lambda: pruning.apply(GOOD, GOOD_MASKS[::-1]),
            ValueError,
            r"masks\[0\] must have the shape \(12, 8\)",
        ),
        (
            lambda: pruning.apply(GOOD, [2.0 * m for m in GOOD_MASKS]),
            ValueError,
            "True and False, or 1 and 0",
        ),
        (lambda: pruning.apply(GOOD, ["x", "y", "z"]), TypeError, r"masks\[0\] must be an array of True"),
        (lambda: pruning.apply(broken(), GOOD_MASKS), ValueError, "finite"),
        (lambda: pruning.two_four(torch.ones(4)), ValueError, r"matrix \[out, in\]"),
        (lambda: pruning.two_four([[1, 2, 3, float("inf")]]), ValueError, "weight must be finite"),
        (
            lambda: pruning.two_four(GOOD),
            ValueError,
            r"single matrix \[out, in\].*got 3 weights \(Sequential",
        ),
        (lambda: pruning.two_four([np.ones(4)] * 5), ValueError, r"single matrix .*got 5 weights \(list"),
        (lambda: pruning.csr_bytes(GOOD), ValueError, r"single matrix .*got 3 weights \(Sequential"),
        (lambda: pruning.csr_bytes([np.ones(4)] * 5), ValueError, r"single matrix .*got 5 weights \(list"),
        (lambda: pruning.to_csr([ONE, ONE]), ValueError, r"single matrix .*got 2 weights \(list"),
        (lambda: pruning.structured(GOOD, 2), ValueError, "share must be from 0 to 1"),
        (lambda: pruning.structured(GOOD, [0.5]), ValueError, "share must hold 2 numbers.*got 1"),
        (lambda: pruning.structured(GOOD, [0.5, 7]), ValueError, r"share\[1\]"),
        (lambda: pruning.shrink(GOOD, [[True] * 12]), ValueError, "keep must hold 2 masks"),
        (
            lambda: pruning.shrink(GOOD, [[True] * 5, [True] * 6]),
            ValueError,
            r"keep\[0\] must have the shape",
        ),
        (lambda: pruning.shrink(broken()), ValueError, "model's weights must be finite"),
        (lambda: pruning.shrink(nan_bias()), ValueError, "model's biases must be finite"),
        (lambda: pruning.shrink(hooked()), ValueError, "prune.remove"),
        (lambda: pruning.csr_bytes(torch.ones(3)), ValueError, r"matrix \[out, in\]"),
        (lambda: pruning.to_csr([[float("nan")]]), ValueError, "weight must be finite"),
        (lambda: pruning.prune_many(GOOD, 0.5), TypeError, "models.Ensemble; got Sequential"),
        (lambda: pruning.sparsity(torch.ones(0)), ValueError, "empty"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


E = torch.eye(4)
ODD = {
    "none": None,
    "text": "weights",
    "ragged": [[1.0], [1.0, 2.0]],
    "sparse": E.to_sparse(),
    "rows": E.to_sparse_csr(),
    "nested": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "quantized": torch.quantize_per_tensor(E, 0.1, 0, torch.qint8),
    "meta": torch.zeros(4, 4, device="meta"),
    "complex": E.to(torch.complex64),
    "float8": E.to(torch.float8_e4m3fn),
    "masked": np.ma.masked_array(np.eye(4), np.eye(4) > 0),
}


@pytest.mark.parametrize("kind", ODD)
def test_forms_that_hold_no_plain_numbers_are_named_on_one_line(kind):
    value, model = ODD[kind], models.mlp((4, 4, 3))
    many = models.start_many((4, 3), [0])
    calls = {
        "weights": [pruning.sparsity, lambda v: pruning.masks(v, 0.5)],
        "weight": [pruning.two_four, pruning.csr_bytes, pruning.to_csr],
        "masks": [lambda v: pruning.apply(model, [v, v]), lambda v: pruning.apply(model, v)],
        "keep": [lambda v: pruning.shrink(model, [v])],
        "networks": [lambda v: pruning.prune_many(v, 0.5)],
        "model": [lambda v: models.predict(v, E), lambda v: models.fit(v, E, [0] * 4)],
    }
    if kind != "float8":
        features = [
            lambda v: models.predict(model, v),
            lambda v: models.tune_many(many, v, [0] * 4, seeds=[0]),
        ]
        calls["x"] = [*features, lambda v: models.fit(model, v, [0] * 4)]
    for name, functions in calls.items():
        for call in functions:
            with pytest.raises((TypeError, ValueError), match=rf"^{name}\b") as error:
                call(value)
            assert "\n" not in str(error.value)


def test_masks_of_many_must_fit(problem, ensemble):
    with pytest.raises(ValueError, match=r"masks\[0\] must have the shape \(3, 12, 8\)"):
        pruning.finetune_many(ensemble, pruning.masks(ensemble.model(0), 0.5), *problem, seeds=(0, 1, 2))


def hand_made(*accuracies):
    cells = np.ones((1, 2), bool)
    return [pruning.Cut(cells, np.ones(2), np.ones(2, bool), np.full(3, right)) for right in accuracies]


@pytest.mark.parametrize("odd", [None, 3, [], [3], np.zeros((0, 3)), torch.tensor(3), "cuts", {}])
def test_a_steady_cut_is_found_among_cuts_only(odd):
    with pytest.raises((TypeError, ValueError), match=r"\bcuts must\b"):
        pruning.last_steady(odd, 0.03)


@pytest.mark.parametrize("odd", [None, "0.03", np.nan, -0.1, 3, True, np.ones(2)])
def test_a_steady_cut_may_lose_a_share_of_accuracy(odd):
    with pytest.raises((TypeError, ValueError), match=r"^loss must be"):
        pruning.last_steady(hand_made(0.9, 0.5), odd)
    assert pruning.last_steady(hand_made(0.9, 0.89, 0.5), np.float32(0.03)) == 1


@pytest.mark.parametrize("odd", [3, torch.tensor(3), np.array(0), "0", {0: 1}, [0.5], [None]])
def test_layers_are_named_by_a_list_of_whole_numbers(odd):
    with pytest.raises(TypeError, match=r"\blayers must be\b"):
        pruning.masks(torch.ones(4, 4), 0.5, layers=odd)


@pytest.mark.parametrize("odd", [None, 3, torch.ones(2, 2), [torch.ones(2, 2)], "text", nn.Linear])
def test_only_a_model_has_masks_applied(odd):
    for call in (
        lambda: pruning.apply(odd, [torch.ones(2, 2)]),
        lambda: pruning.finetune(odd, [torch.ones(2, 2)], torch.ones(2, 2), [0, 1]),
    ):
        with pytest.raises(TypeError, match=r"^model must be an nn.Module; got"):
            call()


def test_a_broken_weight_of_a_model_is_said_to_be_the_models():
    broken = nn.Linear(2, 2)
    broken.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"^model must be finite; 1 of 4 values"):
        pruning.apply(broken, [torch.ones(2, 2)])


@pytest.mark.parametrize("odd", [None, True, 0.5, "0.5", [2], [np.nan], [None]])
def test_a_sweep_goes_through_a_list_of_shares(odd):
    networks = models.start_many((4, 6, 3), [0, 1])
    with pytest.raises((TypeError, ValueError), match=r"shares must be"):
        pruning.sweep(networks, np.ones((3, 4)), [0, 1, 2], odd)


def test_the_cliff_is_the_first_fall_of_the_mean_or_nothing():
    shares, rows = (0.0, 0.5, 0.8, 0.9), np.array([[0.9, 1.0], [0.9, 0.9], [0.4, 0.98], [0.2, 0.2]])
    assert pruning.cliff(shares, rows) == 0.8
    assert pruning.cliff(shares, rows, 0.3) == 0.9
    assert pruning.cliff(shares, rows, 0.9) is None
    assert pruning.cliff(shares[:1], rows[:1]) is None
    with pytest.raises(ValueError, match="accuracies must be"):
        pruning.cliff(shares, rows[:3])
    with pytest.raises(ValueError, match="loss"):
        pruning.cliff(shares, rows, 10)
