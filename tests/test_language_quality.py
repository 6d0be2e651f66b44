"""Losses, divergences and texts against their definitions."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn

from coursekit import language
from coursekit.language import Config, Recipe, Trainer, Transformer

TINY = Config(vocab_size=30, width=16, layers=1, heads=2, kv_heads=1, hidden=24, context=128)


def model(seed=0, scale=0.5):
    made = Transformer(TINY, seed=seed).eval()
    draw = torch.Generator().manual_seed(seed)
    for weight in made.parameters():
        if weight.dim() == 2:
            nn.init.normal_(weight, 0, scale, generator=draw)
    return made


def text(n, seed=0):
    return torch.randint(0, 30, (n,), generator=torch.Generator().manual_seed(seed))


def log_shares(of, window):
    with torch.no_grad():
        return special.log_softmax(of(window[None, :-1])[0].double().numpy(), axis=-1)


def test_windows_predict_every_token_once():
    found = language.windows(range(100), length=9)
    assert found.shape == (11, 10)
    assert found[:, 1:].flatten().tolist() == list(range(1, 100))
    assert language.windows(torch.arange(100)[None], length=9, count=2).tolist() == found[:2].tolist()


def test_every_window_begins_as_the_model_expects():
    found = language.windows(range(1, 100), length=9, begin=7)
    assert found.shape == (11, 10)
    assert found[:, 0].unique().tolist() == [7]
    assert found[:, 1:].flatten().tolist() == list(range(1, 100))
    with pytest.raises(ValueError, match="99 tokens make 11 windows of 9; got count=12"):
        language.windows(range(1, 100), length=9, count=12, begin=7)
    with pytest.raises(TypeError, match="begin must be a whole number"):
        language.windows(range(1, 100), length=9, begin="<s>")


@pytest.mark.parametrize("count", [0, 12])
def test_windows_that_are_not_there_are_errors(count):
    with pytest.raises(ValueError, match="100 tokens make 11 windows of 9; got count=|count must be"):
        language.windows(range(100), length=9, count=count)


def test_losses_are_minus_the_logarithm_of_the_right_share():
    data, one = language.windows(text(200), 20), model()
    expected = [-log_shares(one, window)[np.arange(20), window[1:]].mean() for window in data]
    found = language.losses(one, data)
    np.testing.assert_allclose(found.per_window, expected, rtol=1e-5)
    assert found.perplexity == pytest.approx(math.exp(np.mean(expected)), rel=1e-5)
    low, high = stats.t.interval(0.95, len(expected) - 1, np.mean(expected), stats.sem(expected))
    assert found.interval == pytest.approx((low, high), rel=1e-4)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
    class Even(nn.Module):
        config = TINY

        def forward(self, tokens):
            return torch.zeros(*tokens.shape, 30)

    found = language.losses(Even(), language.windows(text(50), 10))
    assert found.perplexity == pytest.approx(30)
    assert language.perplexity(found.mean) == pytest.approx(30)
    assert language.bits_per_character(found.mean, 40, 100) == pytest.approx(math.log2(30) * 0.4)


def test_the_distance_is_the_divergence_of_the_shares():
    data, original, changed = language.windows(text(300), 25), model(0), model(3)
    found = language.Reference(original, data).distance(changed, "other")
    for n, window in enumerate(data):
        p, q = log_shares(original, window), log_shares(changed, window)
        assert found.kl[n] == pytest.approx((np.exp(p) * (p - q)).sum(-1).mean(), rel=1e-4)
        assert found.same[n] == pytest.approx((p.argmax(-1) == q.argmax(-1)).mean())
        right = np.arange(25), window[1:].numpy()
        assert found.loss_added[n] == pytest.approx((p[right] - q[right]).mean(), abs=1e-5)
    assert found.mean_kl[0] == pytest.approx(found.kl.mean())
    assert found.perplexity == pytest.approx(math.exp(found.loss.mean()))


def test_a_model_is_no_distance_from_itself():
    data = language.windows(text(300), 25)
    found = language.Reference(model(), data).distance(model())
    assert np.abs(found.kl).max() < 1e-6
    assert found.same.min() == 1
    assert np.abs(found.loss_added).max() == 0


def test_the_nearer_one_is_found_window_by_window():
    data, original = language.windows(text(900), 25), model()
    near, far = model(), model()
    for which, size in ((near, 0.01), (far, 0.1)):
        with torch.no_grad():
            which.layers[0].mlp.down_proj.weight += size * torch.randn(
                16, 24, generator=torch.Generator().manual_seed(9)
            )
    reference = language.Reference(original, data)
    gain = reference.distance(near).less_kl_than(reference.distance(far))
    assert gain.low > 0
    assert gain.wins == len(data)


def test_a_smaller_loss_is_found_window_by_window():
    data = language.windows(text(900), 25)
    one, other = model(seed=1), model(seed=2)
    reference = language.Reference(model(), data)
    gain = reference.distance(one).less_loss_than(reference.distance(other))
    losses = [language.losses(each, data).per_window for each in (one, other)]
    assert gain.mean == pytest.approx(float((losses[1] - losses[0]).mean()), abs=1e-6)
    assert gain.wins == int((losses[0] < losses[1]).sum())
    back = reference.distance(other).less_loss_than(reference.distance(one))
    assert (back.low, back.high) == pytest.approx((-gain.high, -gain.low))


def test_damaged_weights_and_other_vocabularies_are_errors():
    data = language.windows(text(300), 25)
    broken = model()
    with torch.no_grad():
        broken.norm.weight[0] = math.nan
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        language.losses(broken, data)
    with pytest.raises(ValueError, match=r"must return logits \[11, 25, 30\]; got \[11, 25, 7\]"):
        language.Reference(model(), data).distance(_Seven())
    with pytest.raises(ValueError, match="data must be int64"):
        language.losses(model(), text(5))


class _Seven(nn.Module):
    def forward(self, tokens):
        return torch.zeros(*tokens.shape, 7)


# Texts


def test_greedy_takes_the_largest_every_time():
    one, prompt = model(), text(5)
    found = language.generate(one, prompt, 30)
    read = prompt.tolist()
    for token in found:
        assert token == int(one(torch.tensor([read]))[0, -1].argmax())
        read.append(token)
    assert language.generate(one, prompt, 30, cache=False) == found


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_the_same_seed_draws_the_same_text_with_and_without_a_cache(temperature):
    options = {"temperature": temperature, "top_k": 10}
    one, prompt = model(), text(5)
    found = language.generate(one, prompt, 40, seed=3, **options)
    assert language.generate(one, prompt, 40, seed=3, cache=False, **options) == found
    assert language.generate(one, prompt, 40, seed=4, **options) != found


def test_draws_follow_the_shares():
    one, prompt = model(scale=1.0), text(5)
    expected = language.shares(one(prompt[None])[0, -1], 0.8, 6).detach()
    drawn = [
        language.generate(one, prompt, 1, temperature=0.8, top_k=6, seed=seed)[0] for seed in range(1000)
    ]
    counts = np.bincount(drawn, minlength=30)
    kept = expected.numpy() > 0
    assert kept.sum() == 6
    assert counts[~kept].sum() == 0
    likely = expected.double().numpy()[kept]
    assert stats.chisquare(counts[kept], 1000 * likely / likely.sum()).pvalue > 1e-3


def test_shares_are_a_softmax():
    logits = torch.tensor([2.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(language.shares(logits, 0.5), special.softmax(logits.numpy() / 0.5), rtol=1e-6)
    assert language.shares(logits, 0).tolist() == [1, 0, 0, 0]
    assert language.shares(logits, 1, 1).tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="temperature must be"):
        language.shares(logits, -1)
    with pytest.raises(ValueError, match="top_k must be"):
        language.shares(logits, 1, 5)


@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_logits_that_give_no_shares_are_refused(bad, temperature):
    rows = torch.tensor([[0.0, 1.0, 2.0], [0.0, bad, 1.0]])
    with pytest.raises(ValueError, match=rf"^logits must have a finite largest number .*got {bad}$"):
        language.shares(rows, temperature)
    with pytest.raises(ValueError, match="got -inf$"):
        language.shares(torch.full((3,), -torch.inf), temperature)


def test_a_token_may_have_no_share_at_all():
    masked = torch.tensor([1.0, -torch.inf, 1.0])
    assert language.shares(masked).tolist() == [0.5, 0, 0.5]
    assert language.shares(masked, 0.3, 2).tolist() == [0.5, 0, 0.5]


def test_a_text_stops_where_it_is_told():
    one, prompt = model(), text(5)
    whole = language.generate(one, prompt, 30)
    stop = whole[7]
    assert language.generate(one, prompt, 30, stop=stop) == whole[: whole.index(stop) + 1]
    draft = language.Trigrams(whole)
    assert language.speculate(one, prompt, 30, draft, stop=stop).tokens == whole[: whole.index(stop) + 1]


def test_prompts_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="tokens must hold at least one token; got none"):
        language.generate(model(), [], 3)
    with pytest.raises(ValueError, match="tokens and new must be at most 128 together; got 100 and 29"):
        language.generate(model(), text(100), 29)
    assert len(language.generate(model(), text(100), 28)) == 28


@pytest.mark.parametrize("ahead", [0, 1, 3, 6])
@pytest.mark.parametrize("kind", ["right", "wrong", "silent", "counted"])
def test_drafts_never_change_a_greedy_text(ahead, kind):
    one, prompt = model(scale=1.0), text(6)
    whole = language.generate(one, prompt, 40)
    drafts = {
        "right": lambda read, count: whole[len(read) - 6 :][:count],
        "wrong": lambda read, count: [(token + 1) % 30 for token in whole[len(read) - 6 :][:count]],
        "silent": lambda read, count: [],
        "counted": language.Trigrams(whole[:20]),
    }
    found = language.speculate(one, prompt, 40, drafts[kind], ahead=ahead)
    assert found.tokens == whole
    assert 0 <= found.accepted <= found.drafted
    if kind == "right":
        assert found.looks == math.ceil(40 / (ahead + 1))
        assert found.accepted == found.drafted
    if kind in ("wrong", "silent") or ahead == 0:
        assert found.accepted == 0
        assert found.looks == 40


def test_trigrams_say_what_followed_most_often():
    draft = language.Trigrams([1, 2, 3, 1, 2, 3, 1, 2, 4, 9, 9])
    assert draft([7, 1, 2], 1) == [3]
    assert draft([1, 2], 4) == [3, 1, 2, 3]
    assert draft([8, 2], 1) == [3], "after one token, where the two are new"
    assert draft([5], 3) == []


def test_expected_tokens_are_those_of_a_simulation():
    draws = np.random.default_rng(0).random((200_000, 4)) < 0.7
    simulated = 1 + np.cumprod(draws, axis=1).sum(1).mean()
    assert language.expected_tokens(0.7, 4) == pytest.approx(simulated, rel=0.01)
    assert language.expected_tokens(0.7, 4) == pytest.approx((1 - 0.7**5) / (1 - 0.7))
    assert language.expected_tokens(1, 4) == 5
    assert language.expected_tokens(0, 4) == 1


def test_accepted_and_redrawn_tokens_are_distributed_as_the_models_own():
    target, draft = torch.tensor([0.5, 0.3, 0.2, 0.0]), torch.tensor([0.1, 0.6, 0.2, 0.1])
    rng = np.random.default_rng(1)
    counts = np.zeros(4)
    again = language.leftover(target, draft).double().numpy()
    for token, u in zip(
        rng.choice(4, 20_000, p=draft.double().numpy() / draft.double().sum().item()),
        rng.random(20_000),
        strict=True,
    ):
        kept = language.accepts(target, draft, int(token), float(u))
        counts[token if kept else rng.choice(4, p=again / again.sum())] += 1
    assert counts[3] == 0
    assert stats.chisquare(counts[:3], 20_000 * np.array([0.5, 0.3, 0.2])).pvalue > 1e-3
    assert torch.equal(language.leftover(target, target), target)
    with pytest.raises(ValueError, match="token 3 has no share in draft"):
        language.accepts(draft, target, 3, 0.5)


# Training


def test_training_learns_a_text_and_is_reproducible():
    row = torch.arange(400) % 30
    recipe = Recipe(steps=60, batch_size=4, length=32, lr=0.05, adam_lr=0.02, seed=1)
    one, two = model(scale=0.02), model(scale=0.02)
    first, second = Trainer(one, row, recipe), Trainer(two, row, recipe)
    first.run()
    while not second.done:
        second.step()
    assert first.losses == second.losses
    assert first.losses[0] == pytest.approx(math.log(30), rel=0.05)
    assert first.losses[-1] < 0.5
    with pytest.raises(ValueError, match="all 60 steps are done: make another Trainer"):
        first.step()


def test_a_step_leaves_no_gradient_to_the_next():
    trainer = Trainer(model(), text(400), Recipe(steps=3, batch_size=2, length=16))
    trainer.step()
    assert [name for name, weight in trainer.model.named_parameters() if weight.grad is not None] == []


def test_a_step_is_as_long_as_the_recipe_s_rate_says():
    moved, rates = [], []
    for warm_up in (0.0, 0.5):
        recipe = Recipe(steps=10, batch_size=2, length=16, warm_up=warm_up, cool_down=0.0, seed=1)
        trainer = Trainer(model(), text(400), recipe)
        before = trainer.model.norm.weight.detach().clone()
        trainer.step()
        moved.append((trainer.model.norm.weight - before).abs().max().item())
        rates.append(recipe.rate(0))
    assert rates[1] < rates[0] == 1
    assert moved[1] / moved[0] == pytest.approx(rates[1], rel=1e-3)  # Adam's first step is its rate long


def test_training_stops_when_the_time_is_up_and_goes_on():
    seen = []
    trainer = Trainer(model(), text(400), Recipe(steps=6, batch_size=2, length=16))
    assert len(trainer.run(seconds=1e-9, report=lambda done, steps: seen.append((done, steps)))) == 1
    assert not trainer.done
    assert len(trainer.run()) == 5
    assert trainer.done
    assert seen == [(1, 6)]


def test_every_token_of_a_text_is_trained_on():
    recipe = Recipe(steps=30, batch_size=5, length=10)
    seen = torch.cat(
        [batch[:, 1:].flatten() for batch in language.training.batches(torch.arange(301), recipe)]
    )
    counts = torch.bincount(seen, minlength=301)[1:]
    assert int(counts[10:-10].min()) >= 3
    assert int(counts.max()) <= 6
    with pytest.raises(ValueError, match=r"tokens must be \[n\] with n above 10; got \[10\]"):
        next(language.training.batches(torch.arange(10), recipe))


def test_rates_rise_stay_and_fall():
    recipe = Recipe(steps=100, warm_up=0.1, cool_down=0.5)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == [1.0] * 41
    assert rates[-1] == pytest.approx(0.02)
    assert rates[50:] == sorted(rates[50:], reverse=True)
