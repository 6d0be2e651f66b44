"""The checkers of notebook C."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, as_number, call, call_either, describe
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong
from coursekit.language import gguf

__all__ = ["CHECKERS"]

CLOSE = 1e-4  # relative: FP16 scales in FP32
# The small model's divergence with queries, keys, or both of a layer left as they were (measured, in nats).
LEFT = ((1.0, 0.96, 0.3), (1.96, 1.81, 1.47))
Array = NDArray[Any]


def q4_0(answer: Any) -> Verdict:
    """A function of raw, 18 bytes, that returns 32 weights."""
    rng = np.random.default_rng(40)
    first = np.concatenate([_half(0.5), np.arange(16) | np.arange(16)[::-1] << 4])
    blocks = [first, *(np.concatenate([_half(scale), rng.integers(0, 256, 16)]) for scale in (-0.031, 2.25))]
    for raw in blocks:
        raw = raw.astype(np.uint8)
        wanted = gguf.decode(raw, "Q4_0")[0]
        found = as_array(call_either(answer, raw), "what your function returns").ravel()
        if len(found) != len(wanted):
            return wrong(f"A block of Q4_0 holds 32 weights; you return {len(found)}.", "Two in each byte.")
        if not np.allclose(found, wanted, rtol=CLOSE, atol=1e-6):
            return _wrong_block(found, wanted, raw)
    return right("You read what llama.cpp reads, a block at a time.")


def bits(answer: Any) -> Verdict:
    """A function of bits, groups, group_bits and units that returns bits per weight."""
    formats = {
        "Q4_K": (4, 8, 12, 2),
        "Q6_K": (6, 16, 8, 1),
        "Q5_K": (5, 8, 12, 2),
        "Q3_K": (3, 16, 6, 1),
        "Q2_K": (2, 16, 8, 2),
    }
    for name, (level, groups, each, units) in formats.items():
        found = as_number(call(answer, level, groups, each, units), "what your function returns")
        wanted = gguf.named(name).bits_per_weight
        if not math.isclose(found, wanted, rel_tol=1e-6):
            return _wrong_bits(found, name, (level, groups, each, units))
    return right("Q2_K to Q6_K: 2.625, 3.4375, 4.5, 5.5 and 6.5625 bits per weight.")


def permutation(answer: Any) -> Verdict:
    """A function of candidates and kl that returns the names which need the permutation."""
    candidates = ("blk.0.attn_q", "blk.0.attn_k", "blk.1.attn_q", "blk.1.attn_k")
    for missing in (("blk.1.attn_k",), (), ("blk.0.attn_q", "blk.1.attn_q", "blk.1.attn_k"), candidates):
        asked: list[frozenset[str]] = []
        kl = _divergence(frozenset(missing), candidates, asked)
        found = _names(call(answer, list(candidates), kl), candidates)
        if found == set(missing):
            continue
        if not asked:
            return wrong("You never called `kl`.", "Only the divergence can tell which ones are right.")
        return _wrong_names(found, set(missing), candidates, kl)
    return right(
        "Only the right choice brings the divergence down to 0. "
        "A layer with one of its two left as it was is worse than one with both."
    )


def fits(answer: Any) -> Verdict:
    """A function of files, memory, system, context and per_token that returns a name, or the text none."""
    files = {"F16": 16_000, "Q8_0": 8_500, "Q4_K_M": 4_900, "Q4_0": 4_500, "Q2_K": 2_700}
    shuffled = {name: files[name] for name in ("Q4_0", "F16", "Q2_K", "Q8_0", "Q4_K_M")}
    cases = [
        (files, 8_000, 2_000, 1_000, 1, "Q4_K_M", "a phone"),
        (files, 17_000, 2_000, 100, 10, "Q8_0", "a laptop whose system keeps more"),
        (shuffled, 8_000, 2_000, 1_500, 1, "Q4_0", "the same files in another order, exactly full"),
        (shuffled, 8_000, 2_000, 4_000, 1, "none", "a long context, for which no file leaves room"),
        (files, 20_000, 1_000, 100, 10, "F16", "a laptop"),
        (files, 9_000, 0, 0, 10, "Q8_0", "no context at all"),
        (shuffled, 11_000, 1_000, 1_000, 1, "Q8_0", "a tablet"),
        (shuffled, 11_000, 1_000, 400, 10, "Q4_K_M", "ten bytes for each token of the context"),
        ({}, 9_000, 0, 0, 1, "none", "no files"),
    ]
    for given, memory, system, context, per_token, wanted, what in cases:
        found = call(answer, given, memory, system, context, per_token)
        if not isinstance(found, str):
            return wrong(f"A name is expected, or the text 'none'; you return {describe(found)}.")
        if found != wanted:
            return _wrong_file(found, wanted, what, given, memory, (memory - system, context * per_token))
    return right("The file, the cache and the system fit, and nothing larger would.")


def _half(value: float) -> Array:
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def _wrong_block(found: Array, wanted: Array, raw: Array) -> Verdict:
    scale = float(raw[:2].view(np.float16)[0])
    levels = np.concatenate([raw[2:] & 15, raw[2:] >> 4]).astype(np.float64)
    pairs = np.stack([raw[2:] & 15, raw[2:] >> 4], axis=1).ravel().astype(np.float64)
    low_last = np.concatenate([raw[2:] >> 4, raw[2:] & 15]).astype(np.float64)
    in_place = np.concatenate([raw[2:] & 15, raw[2:] & 240]).astype(np.float64)
    swapped = float(raw[:2][::-1].copy().view(np.float16)[0])
    wrapped = (levels.astype(np.uint8) - np.uint8(8)).astype(np.float64)
    slips = {
        "Neighbours in a byte lie 16 weights apart.": scale * (pairs - 8),
        "The low halves come first.": scale * (low_last - 8),
        "The levels are stored from 0 to 15 and stand for −8 to 7.": scale * levels,
        "What is uint8 minus 8 if the level is below 8? Make floats of them first.": scale * wrapped,
        "The level is a number of steps: what is a step?": levels - 8,
        "The scale's first byte is its little end.": swapped * (levels - 8),
        "The high halves stand four bits up: shift them down.": scale * (in_place - 8),
        "Level 0 stands for −8, 8 for 0: take 8 off. No bit is a sign.": scale * (levels - 16 * (levels > 7)),
    }
    for hint, value in slips.items():
        if np.allclose(found, value, rtol=CLOSE, atol=1e-6):
            return wrong("These are not the weights of the block.", hint)
    at = int(np.flatnonzero(~np.isclose(found, wanted, rtol=CLOSE, atol=1e-6))[0])
    told = f"With a scale of {scale:g}, weight {at} should be {wanted[at]:g}, not {found[at]:g}."
    return wrong(told, "Scale times (level less 8), the low halves of all bytes first.")


def _wrong_bits(found: float, name: str, given: tuple[int, int, int, int]) -> Verdict:
    level, groups, each, units = given
    told = f"{name}{given} gives {found:g} bits, which it does not take."
    total = 256 * level + groups * each + 16 * units
    slips = {
        "These are the bits of the whole super-block. How many weights share them?": total,
        "These are bytes.": total / 8,
        "A unit is a number in FP16: how many bits?": level + (groups * each + units) / 256,
        "A unit is a number in FP16: how many bits are its bytes?": level + (groups * each + 2 * units) / 256,
        "The units are missing.": level + groups * each / 256,
        "The groups are missing: each has bits of its own.": level + 16 * units / 256,
        "There are several groups in a super-block.": level + (each + 16 * units) / 256,
        "The level's own bits are missing.": (groups * each + 16 * units) / 256,
        "A super-block has 256 weights.": total / 32,
        "Are the units in 16 bits, or in 32?": level + (groups * each + 32 * units) / 256,
    }
    for hint, value in slips.items():
        if math.isclose(found, value, rel_tol=1e-6):
            return wrong(told, hint)
    return wrong(told, "All bits of the super-block, divided by its 256 weights.")


def _divergence(
    missing: frozenset[str], candidates: Sequence[str], asked: list[frozenset[str]]
) -> Callable[..., float]:
    """Return what stands in for a measurement: queries and keys meet if both are left as they were."""
    layers = list(zip(candidates[::2], candidates[1::2], LEFT, strict=True))

    def kl(*names: Any) -> float:
        """Return the divergence once the rows of these are permuted."""
        given = names[0] if len(names) == 1 and not isinstance(names[0], str) else names
        chosen = frozenset(_names(given, candidates))
        asked.append(chosen)
        off = chosen ^ missing
        costs = ((0.0, left[1], left[0], left[2])[2 * (q in off) + (k in off)] for q, k, left in layers)
        return sum(costs)

    return kl


def _names(found: Any, candidates: Sequence[str]) -> set[str]:
    """Return the names in an answer, or stop at one that is not a candidate."""
    given: Iterable[Any] = [found] if isinstance(found, str) else found
    try:
        names = set(given)
    except TypeError:
        raise Stop(wrong(f"Names are expected, of those in `candidates`; got {describe(found)}.")) from None
    if others := names - set(candidates):
        first = next(iter(others))
        raise Stop(
            wrong(f"{describe(first)} is not one of `candidates`.", "Return some of them, as they are.")
        )
    return names


def _wrong_names(
    found: set[str], missing: set[str], candidates: Sequence[str], kl: Callable[..., float]
) -> Verdict:
    here = kl(found)
    told = f"{_listed(found)}: the divergence is {here:.2g} then, and it could be 0."
    if found == {name for name in candidates if kl([name]) < kl([])}:
        return wrong(told, "Each alone may help or not. Try them together, too.")
    if all(kl(found ^ {name}) >= here for name in candidates):
        return wrong(told, "From here no single change helps, and two at once do: try all choices.")
    if len(found) == 1:
        return wrong(told, "It may be several, or none.")
    if not found - missing:
        return wrong(told, "Some are missing.")
    if not missing - found:
        return wrong(told, "Some of these were right before.")
    return wrong(told, "There are few choices: which of all has the smallest divergence?")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "None of them"


def _wrong_file(
    found: str, wanted: str, what: str, files: dict[str, int], memory: int, left: tuple[int, int]
) -> Verdict:
    room, cache = left
    told = f"For {what} you return {found}; {wanted} is expected."
    if found == "none":
        return wrong(told, "Is there a file that fits, perhaps exactly?")
    if found not in files:
        hint = "Where no file fits, the text 'none' is expected." if wanted == "none" else ""
        return wrong(f"{found!r} is not the name of one of the files.", hint)
    if files[found] > memory:
        return wrong(told, "The file alone is larger than the memory.")
    if files[found] > room:
        return wrong(told, "The system keeps its share.")
    if files[found] > room - cache:
        return wrong(told, "The cache takes bytes for every token of the context.")
    if files[wanted] == room - cache:
        return wrong(told, "It fits exactly.")
    return wrong(told, "Of all files that fit, which is the largest? Their order does not say.")


CHECKERS = {"C-q4-0": q4_0, "C-bits": bits, "C-permutation": permutation, "C-fits": fits}
