"""The checkers of notebook C: right answers in every form, and each slip with its own hint."""

import copy
import itertools
import struct

import numpy as np
import pytest
import torch

from coursekit import exercises, language
from coursekit.course.nbC import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG
from coursekit.language import gguf


def blank(*args): ...


@pytest.mark.parametrize("id", ["C-q4-0", "C-bits", "C-permutation", "C-fits"])
def test_a_blank_is_not_tried(id):
    assert exercises.check(id, blank).outcome == NOT_TRIED


# A block of Q4_0


def in_numpy(raw):
    scale = raw[:2].view(np.float16).astype(np.float32)
    return scale * (np.concatenate([raw[2:] & 15, raw[2:] >> 4]).astype(np.float32) - 8)


def in_a_loop(raw):
    (scale,) = struct.unpack("<e", bytes(raw[:2]))
    low = [scale * (int(byte) % 16 - 8) for byte in raw[2:]]
    return low + [scale * (int(byte) // 16 - 8) for byte in raw[2:]]


def in_torch(raw):
    raw = torch.as_tensor(raw)
    levels = torch.cat([raw[2:] & 15, raw[2:] >> 4]).float() - 8
    return levels * raw[:2].contiguous().view(torch.float16).float()


def as_a_row(raw):
    return gguf.decode(raw, "Q4_0")


@pytest.mark.parametrize("answer", [in_numpy, in_a_loop, in_torch, as_a_row])
def test_a_block_in_every_form(answer):
    assert exercises.check("C-q4-0", answer).outcome == RIGHT


def slipped(change):
    def answer(raw):
        scale = raw[:2].view(np.float16).astype(np.float32)
        return change(scale, raw[2:] & 15, raw[2:] >> 4, raw)

    return answer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s, low, high, _: s * (np.stack([low, high], 1).ravel().astype(float) - 8),
            "16 weights apart",
        ),
        (
            lambda s, low, high, _: s * (np.concatenate([high, low]).astype(float) - 8),
            "low halves come first",
        ),
        (lambda s, low, high, _: s * np.concatenate([low, high]), "stand for −8 to 7"),
        (lambda s, low, high, _: s * (np.concatenate([low, high]) - np.uint8(8)), "Make floats of them"),
        (lambda s, low, high, _: np.concatenate([low, high]).astype(float) - 8, "what is a step"),
        (lambda s, low, high, _: s * (low.astype(float) - 8), "Two in each byte"),
        (
            lambda s, low, high, raw: (
                float(raw[:2][::-1].copy().view(np.float16)[0])
                * (np.concatenate([low, high]).astype(float) - 8)
            ),
            "little end",
        ),
        (
            lambda s, low, high, _: s * (np.concatenate([low, high << 4]).astype(float) - 8),
            "shift them down",
        ),
        (
            lambda s, low, high, _: s * ((np.concatenate([low, high]).astype(int) + 8) % 16 - 8),
            "No bit is a sign",
        ),
        (
            lambda s, low, high, _: s * (np.concatenate([low, high]).astype(float) - 7.5),
            "the low halves of all",
        ),
    ],
)
def test_a_slip_in_a_block_has_its_hint(change, said):
    verdict = exercises.check("C-q4-0", slipped(change))
    assert verdict.outcome == WRONG
    assert said in verdict.hint


# Bits per weight


@pytest.mark.parametrize(
    "answer",
    [
        lambda bits, groups, group_bits, units: bits + (groups * group_bits + 16 * units) / 256,
        lambda bits, groups, group_bits, units: (256 * bits + groups * group_bits + units * 16) / 256,
        lambda b, g, e, u: np.float32((256 * b + g * e + u * 16) / 8 / 32),
    ],
)
def test_bits_in_every_form(answer):
    assert exercises.check("C-bits", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda b, g, e, u: 256 * b + g * e + 16 * u, "How many weights share"),
        (lambda b, g, e, u: (256 * b + g * e + 16 * u) / 8, "bytes"),
        (lambda b, g, e, u: b + (g * e + u) / 256, "FP16"),
        (lambda b, g, e, u: b + (g * e + 2 * u) / 256, "bits are its bytes"),
        (lambda b, g, e, u: b + g * e / 256, "units are missing"),
        (lambda b, g, e, u: b + 16 * u / 256, "groups are missing"),
        (lambda b, g, e, u: b + (e + 16 * u) / 256, "several groups"),
        (lambda b, g, e, u: (g * e + 16 * u) / 256, "own bits are missing"),
        (lambda b, g, e, u: (256 * b + g * e + 16 * u) / 32, "256 weights"),
        (lambda b, g, e, u: b + (g * e + 32 * u) / 256, "in 16 bits"),
        (lambda b, g, e, u: b, "All bits"),
    ],
)
def test_a_slip_in_bits_has_its_hint(answer, said):
    verdict = exercises.check("C-bits", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.hint


# The forgotten permutation


def all_choices(candidates):
    return [some for n in range(len(candidates) + 1) for some in itertools.combinations(candidates, n)]


def one_by_one(candidates, kl):
    """Keep each that brings the divergence down, again and again."""
    chosen = set()
    while True:
        best = min(({name} ^ chosen for name in candidates), key=lambda names: kl(names))
        if kl(best) >= kl(chosen):
            return chosen
        chosen = best


@pytest.mark.parametrize(
    "answer",
    [
        lambda candidates, kl: min(all_choices(candidates), key=kl),
        lambda candidates, kl: min(all_choices(candidates), key=lambda names: kl(*names)),
        lambda candidates, kl: [n for some in all_choices(candidates) if kl(set(some)) < 1e-9 for n in some],
    ],
)
def test_what_was_forgotten_in_every_form(answer):
    assert exercises.check("C-permutation", answer).outcome == RIGHT


def looked(found):
    def answer(candidates, kl):
        kl([])
        return found(candidates)

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda candidates, kl: candidates[3:], "never called"),
        (lambda candidates, kl: min(candidates, key=lambda name: kl([name])), "several, or none"),
        (looked(lambda candidates: []), "Some are missing"),
        (looked(lambda candidates: candidates), "right before"),
        (lambda candidates, kl: "attn_q", "as they are"),
        (one_by_one, "two at once"),
        (lambda candidates, kl: [name for name in candidates if kl(name) < kl()], "Try them together"),
    ],
)
def test_a_wrong_choice_has_its_hint(answer, said):
    verdict = exercises.check("C-permutation", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.message + verdict.hint


def test_one_of_a_layer_left_alone_is_worse_than_both_as_the_stand_in_says():
    small = language.small()
    tokens = small.tokenizer.encode(language.text("evaluation")[:4000])
    reference = language.Reference(small, language.windows(tokens, 128, 2))

    def left(layer, parts):
        model = copy.deepcopy(small.model)
        for part in parts:
            weight = getattr(model.layers[layer].self_attn, f"{part}_proj").weight.data
            weight.copy_(weight.view(-1, 16, 2, 256).transpose(1, 2).reshape(weight.shape))
        return reference.distance(model).mean_kl[0]

    for layer, said in enumerate(checks.LEFT):
        found = [left(layer, parts) for parts in ("q", "k", "qk")]
        assert found == pytest.approx(said, rel=0.3)
        assert found[2] < min(found[:2])


def test_a_number_is_no_choice():
    assert exercises.check("C-permutation", lambda candidates, kl: 3).outcome == WRONG


# What fits


def by_filter(files, memory, system, context, per_token):
    room = memory - system - context * per_token
    fitting = {name: size for name, size in files.items() if size <= room}
    return max(fitting, key=fitting.get, default="none")


def by_loop(files, memory, system, context, per_token):
    best = "none"
    for name, size in sorted(files.items(), key=lambda item: item[1]):
        if size + system + context * per_token <= memory:
            best = name
    return best


@pytest.mark.parametrize("answer", [by_filter, by_loop])
def test_files_in_every_form(answer):
    assert exercises.check("C-fits", answer).outcome == RIGHT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda f, m, s, c, p: by_filter(f, m, 0, c, p), "The system keeps"),
        (lambda f, m, s, c, p: by_filter(f, m, s, 0, p), "The cache takes"),
        (lambda f, m, s, c, p: by_filter(f, m - 1, s, c, p), "fits exactly"),
        (lambda f, m, s, c, p: by_filter(dict(list(f.items())[-1:]), m, s, c, p), "which is the largest"),
        (lambda f, m, s, c, p: next((n for n in f if f[n] <= m - s - c * p), "none"), "which is the largest"),
        (lambda f, m, s, c, p: by_filter(f, m, s, c, 1), "The cache takes"),
        (lambda f, m, s, c, p: by_filter(f, 10**9, 0, 0, 0), "larger than the memory"),
        (lambda f, m, s, c, p: by_filter(f, m, s, c, p).replace("none", "None"), "text 'none' is expected"),
        (lambda f, m, s, c, p: "Q5", ""),
        (lambda f, m, s, c, p: 4900, ""),
    ],
)
def test_a_file_that_does_not_fit_has_its_hint(answer, said):
    verdict = exercises.check("C-fits", answer)
    assert verdict.outcome == WRONG
    assert said in verdict.hint
