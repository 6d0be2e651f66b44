"""GGUF: blocks decoded and encoded against slow references, files written and read, hostile files refused."""

import itertools
import json
import math
import os
import struct
import tracemalloc

import numpy as np
import pytest
import torch

from coursekit import language
from coursekit.language import Config, GGUFFile, LanguageModel, Transformer, gguf
from coursekit.language.gguf import encoding

BLOCKS = [each for each in gguf.FORMATS.values() if each.weights > 1]


@pytest.fixture(scope="module")
def small():
    return language.small()


# Decoders, against one weight at a time, as ggml's structs say it


def half(raw, at):
    return struct.unpack_from("<e", raw, at)[0]


def product(a, b):
    return np.float32(a) * np.float32(b)


def six(raw, group):
    """Return scale and minimum of a group: ggml's get_scale_min_k4."""
    if group < 4:
        return raw[group] & 63, raw[group + 4] & 63
    return (
        (raw[group + 4] & 15) | (raw[group - 4] >> 6) << 4,
        (raw[group + 4] >> 4) | (raw[group] >> 6) << 4,
    )


def one_q4(raw, j, at):
    return raw[at + j % 16] >> 4 * (j // 16) & 15


def one_fifth(raw, j, at):
    return (struct.unpack_from("<I", raw, at)[0] >> j & 1) << 4


def one_q2_k(raw, j):
    half_, within = divmod(j, 128)
    shift, byte = divmod(within, 32)
    q = raw[16 + 32 * half_ + byte] >> 2 * shift & 3
    scale = raw[j // 16]
    return product(product(half(raw, 80), scale & 15), q) - product(half(raw, 82), scale >> 4)


def one_q3_k(raw, j):
    half_, within = divmod(j, 128)
    shift, byte = divmod(within, 32)
    q = (raw[32 + 32 * half_ + byte] >> 2 * shift & 3) - (0 if raw[byte] >> (4 * half_ + shift) & 1 else 4)
    group = j // 16
    low = raw[96 + group % 8] >> 4 * (group // 8) & 15
    scale = (low | (raw[104 + group % 4] >> 2 * (group // 4) & 3) << 4) - 32
    return product(product(half(raw, 108), scale), q)


def one_q45_k(raw, j, fifth):
    pair, within = divmod(j, 64)
    side, byte = divmod(within, 32)
    at = 48 if fifth else 16
    q = raw[at + 32 * pair + byte] >> 4 * side & 15
    if fifth:
        q += (raw[16 + byte] >> (2 * pair + side) & 1) << 4
    scale, least = six(raw[4:16], 2 * pair + side)
    return product(product(half(raw, 0), scale), q) - product(half(raw, 2), least)


def one_q6_k(raw, j):
    half_, within = divmod(j, 128)
    quarter, byte = divmod(within, 32)
    low = raw[64 * half_ + 32 * (quarter % 2) + byte] >> 4 * (quarter // 2) & 15
    q = (low | (raw[128 + 32 * half_ + byte] >> 2 * quarter & 3) << 4) - 32
    (scale,) = struct.unpack_from("b", raw, 192 + j // 16)
    return product(product(half(raw, 208), scale), q)


ONE = {
    "Q4_0": lambda raw, j: product(half(raw, 0), one_q4(raw, j, 2) - 8),
    "Q4_1": lambda raw, j: product(half(raw, 0), one_q4(raw, j, 4)) + np.float32(half(raw, 2)),
    "Q5_0": lambda raw, j: product(half(raw, 0), (one_q4(raw, j, 6) | one_fifth(raw, j, 2)) - 16),
    "Q5_1": lambda raw, j: (
        product(half(raw, 0), one_q4(raw, j, 8) | one_fifth(raw, j, 4)) + np.float32(half(raw, 2))
    ),
    "Q8_0": lambda raw, j: product(half(raw, 0), struct.unpack_from("b", raw, 2 + j)[0]),
    "Q2_K": one_q2_k,
    "Q3_K": one_q3_k,
    "Q4_K": lambda raw, j: one_q45_k(raw, j, False),
    "Q5_K": lambda raw, j: one_q45_k(raw, j, True),
    "Q6_K": one_q6_k,
}


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
def test_a_block_is_read_bit_by_bit_as_one_weight_after_the_other(kind):
    raw = np.random.default_rng(kind.number).integers(0, 256, (12, kind.nbytes), dtype=np.uint8)
    found = gguf.decode(raw, kind.name)
    with np.errstate(all="ignore"):
        wanted = [[ONE[kind.name](row.tobytes(), j) for j in range(kind.weights)] for row in raw]
    np.testing.assert_array_equal(found, np.array(wanted, np.float32))
    assert found.dtype == np.float32


def test_every_format_is_as_large_as_its_name_says():
    assert {kind.name: kind.bits_per_weight for kind in gguf.FORMATS.values()} == {
        "F32": 32,
        "F16": 16,
        "BF16": 16,
        "Q8_0": 8.5,
        "Q5_1": 6,
        "Q5_0": 5.5,
        "Q4_1": 5,
        "Q4_0": 4.5,
        "Q2_K": 2.625,
        "Q3_K": 3.4375,
        "Q4_K": 4.5,
        "Q5_K": 5.5,
        "Q6_K": 6.5625,
    }


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
def test_a_scale_that_is_no_number_makes_weights_that_are_none_and_no_noise(kind, scale, recwarn):
    raw = np.random.default_rng(0).integers(1, 256, (1, kind.nbytes), dtype=np.uint8)
    at = {"Q2_K": 80, "Q3_K": 108, "Q6_K": 208}.get(kind.name, 0)
    raw[0, at : at + 2] = np.frombuffer(struct.pack("<e", scale), np.uint8)
    assert not np.isfinite(gguf.decode(raw, kind.name)).all()
    assert not recwarn.list


def test_bytes_that_are_no_whole_blocks_are_refused():
    with pytest.raises(ValueError, match="raw must hold whole blocks of 18 bytes; got 19 bytes"):
        gguf.decode(np.zeros(19, np.uint8), "Q4_0")
    with pytest.raises(ValueError, match="format must be one of F32, F16, Q4_0, .*; got 'Q9_9'"):
        gguf.decode(np.zeros(18, np.uint8), "Q9_9")


# Encoders


@pytest.mark.parametrize("name", gguf.WRITABLE)
def test_encoding_what_was_decoded_changes_nothing_much(name):
    kind, rng = gguf.named(name), np.random.default_rng(1)
    weights = rng.normal(0, 0.05, (6, 512)).astype(np.float32)
    weights[0], weights[1, :256] = 0, 1e-30
    raw = gguf.encode(weights, name)
    assert raw.shape == (weights.size // kind.weights, kind.nbytes)
    found = gguf.decode(raw, name).reshape(weights.shape)
    levels = {"Q8_0": 127, "Q6_K": 31, "Q4_0": 8, "Q4_1": 7.5, "Q4_K": 7.5}.get(name)
    step = 1e-2 if levels is None else np.abs(weights).max() / levels
    assert np.abs(found - weights).max() <= 0.75 * step
    assert not found[0].any()
    again = gguf.decode(gguf.encode(found, name), name).reshape(weights.shape)
    assert np.abs(again - found).max() <= 0.51 * step


def test_q8_0_and_q4_0_round_as_llama_cpp_says():
    weights = np.zeros((1, 32), np.float32)
    weights[0, :4] = 127, 0.5, -0.5, 1.4999  # a scale of 1: halves go away from 0
    assert gguf.encode(weights, "Q8_0")[0, 2:6].view(np.int8).tolist() == [127, 1, -1, 1]
    weights[0, :4] = -4, 4, 1, 0  # the largest becomes level -8, so a scale of 0.5, and 4 would be level 8
    assert half(gguf.encode(weights, "Q4_0")[0].tobytes(), 0) == 0.5
    assert gguf.decode(gguf.encode(weights, "Q4_0"), "Q4_0")[0, :4].tolist() == [-4, 3.5, 1, 0]


@pytest.mark.parametrize(
    ("weights", "name", "message"),
    [
        (np.zeros((2, 48)), "Q8_0", r"rows of weights must be multiples of 32 for Q8_0; got \[2, 48\]"),
        (np.zeros((2, 64)), "Q4_K", "multiples of 256 for Q4_K"),
        (np.full((1, 32), 1e5), "F16", r"weights must fit into F16; got up to 1e\+05"),
        (np.full((1, 32), 1e9), "Q8_0", "must fit into Q8_0"),
        (np.full((1, 32), math.nan), "Q8_0", "weights"),
        (np.zeros((1, 256)), "Q2_K", "format must be one of F32, F16, Q4_0, Q4_1, Q8_0, Q4_K, Q6_K, BF16"),
    ],
)
def test_weights_that_a_format_cannot_hold_are_refused(weights, name, message):
    with pytest.raises(ValueError, match=message):
        gguf.encode(weights, name)


def test_twelve_bytes_hold_sixteen_numbers_of_six_bits():
    scales, mins = np.random.default_rng(2).integers(0, 64, (2, 50, 8), dtype=np.uint8)
    packed = encoding.packed_six(scales, mins)
    for row, wanted in zip(packed.tolist(), zip(scales.tolist(), mins.tolist(), strict=True), strict=True):
        assert [six(row, group) for group in range(8)] == list(zip(*wanted, strict=True))


# The anatomy of a block


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"])
def test_a_weight_hangs_on_its_bits_and_on_no_others(name):
    kind, rng = gguf.named(name), np.random.default_rng(5)
    raw = gguf.encode(rng.normal(size=(1, kind.weights)), name)
    found = gguf.decode(raw, name)[0]
    masks = np.zeros((kind.weights, kind.nbytes), np.uint8)
    for weight in range(kind.weights):
        for part in gguf.parts(name, weight):
            masks[weight, part.byte] |= part.mask
    for byte, bit in itertools.product(range(kind.nbytes), range(8)):
        changed = raw.copy()
        changed[0, byte] ^= 1 << bit
        moved = gguf.decode(changed, name)[0].view(np.uint32) != found.view(np.uint32)
        belongs = masks[:, byte] >> bit & 1 == 1
        assert not (moved & ~belongs).any(), f"byte {byte}, bit {bit}"
        assert belongs.any()
    assert sum(nbytes for _, nbytes in gguf.FIELDS[name]) == kind.nbytes


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"])
def test_what_the_bits_say_is_the_weight(name):
    kind = gguf.named(name)
    block = gguf.encode(np.random.default_rng(6).normal(size=(1, kind.weights)), name)[0]
    for weight, value in enumerate(gguf.decode(block, name)[0]):
        said = gguf.read(name, block, weight)
        assert said.value == pytest.approx(float(value), rel=1e-5, abs=1e-7)
        assert (said.minimum is None) == (name in ("Q4_0", "Q8_0", "Q6_K"))
    with pytest.raises(ValueError, match=f"block must be all bytes of a block of {name}; got 3"):
        gguf.read(name, block[:3], 0)


def test_a_weight_that_a_block_has_not_is_refused():
    assert len(gguf.parts("Q8_0", 31)) == 3
    with pytest.raises(ValueError, match="weight must be from 0 to 31; got 32"):
        gguf.parts("Q8_0", 32)


# Files


METADATA = {
    "text": "é",
    "flag": True,
    "whole": 7,
    "below": -7,
    "large": 2**40,
    "real": 0.5,
    "texts": ["a", ""],
    "numbers": [1, -2],
}


def tiny(path):
    rng = np.random.default_rng(0)
    tensors = {
        "a": (rng.normal(size=(2, 3)), "F32"),
        "b": (rng.normal(size=(2, 64)), "Q8_0"),
        "c": (rng.normal(size=256), "Q4_K"),
    }
    return gguf.write(path, METADATA, tensors), tensors


def test_what_was_written_is_read(tmp_path):
    path, tensors = tiny(tmp_path / "tiny.gguf")
    file = GGUFFile(path)
    assert file.metadata == METADATA
    assert file.formats == {"a": "F32", "b": "Q8_0", "c": "Q4_K"}
    assert file.shapes == {"a": (2, 3), "b": (2, 64), "c": (256,)}
    assert file.bits_per_weight == pytest.approx(8 * (24 + 4 * 34 + 144) / (6 + 128 + 256))
    for name, (weights, format) in tensors.items():
        expected = gguf.encode(weights, format)
        np.testing.assert_array_equal(file.blocks(name), expected)
        np.testing.assert_array_equal(file.tensor(name).ravel(), gguf.decode(expected, format).ravel())
    assert [each.name for each in tmp_path.iterdir()] == ["tiny.gguf"]


def test_a_tensor_that_is_not_there_is_told(tmp_path):
    file = GGUFFile(gguf.write(tmp_path / "no.gguf", {"a": 1}, {}))
    with pytest.raises(ValueError, match="has no tensor 'w' .*; it has not a single one"):
        file.tensor("w")
    with pytest.raises(TypeError, match="name must be text; got \\[\\]"):
        file.tensor([])


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path, _ = tiny(tmp_path / "tiny.gguf")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="must fit into F16"):
        gguf.write(path, {}, {"a": (np.ones(8), "F32"), "b": (np.full(8, 1e30), "F16")})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["tiny.gguf"]


@pytest.mark.parametrize("metadata", [{"a": None}, {"a": []}, {"a": [1, "b"]}, {"a": {"b": 1}}])
def test_metadata_that_a_file_cannot_hold_is_refused(tmp_path, metadata):
    with pytest.raises(TypeError, match="metadata a must be texts, bools, ints or floats"):
        gguf.write(tmp_path / "x.gguf", metadata, {})
    for value in (2**64, -(2**64), 1e300):
        with pytest.raises(ValueError, match="metadata a must"):
            gguf.write(tmp_path / "x.gguf", {"a": value}, {})


@pytest.mark.parametrize(
    ("metadata", "tensors", "message"),
    [
        (None, {}, "metadata must map names to values; got None"),
        ({}, None, "tensors must map names to values; got None"),
        ({1: 2}, {}, "a name or text must be text; got 1"),
        ({"a": "\ud800"}, {}, "must be Unicode"),
        ({}, {1: (np.ones(4), "F32")}, "a name or text must be text; got 1"),
        ({}, {"a": np.ones(4)}, "tensor a must be a pair of an array and a format"),
        ({}, {"a": (np.ones((1, 1, 1, 1, 4)), "F32")}, "tensor a must have 1 to 4 dimensions; got 5"),
        ({}, {"a": (np.float32(1), "F32")}, "tensor a must have 1 to 4 dimensions; got 0"),
        ({"general.alignment": 64}, {"a": (np.ones(4), "F32")}, "metadata general.alignment must be 32"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, metadata, tensors, message):
    with pytest.raises((TypeError, ValueError), match=message):
        gguf.write(tmp_path / "x.gguf", metadata, tensors)
    assert not list(tmp_path.iterdir())


def test_no_device_and_no_folder_is_replaced(tmp_path):
    for path in (tmp_path, "/dev/null") if os.name == "posix" else (tmp_path,):
        with pytest.raises(ValueError, match="path must be a new file or a regular one"):
            gguf.write(path, {}, {"a": (np.ones(8), "F32")})


# Hostile files


def head(tensors=0, entries=0, rest=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + rest


def name(text):
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def tensor(label, shape=(8,), kind=0, offset=0):
    return name(label) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def filled(raw, data=64):
    return raw + bytes(-len(raw) % 32) + bytes(data)


HUGE = 2**63
HOSTILE = {
    "many tensors": (filled(head(HUGE)), "it cannot hold 9,223,372,036,854,775,808 tensors"),
    "many entries": (filled(head(0, HUGE)), "it cannot hold .* entries"),
    "more entries than bytes": (filled(head(0, 90_000)), "it cannot hold 90,000 entries"),
    "a long name": (filled(head(0, 1, struct.pack("<Q", HUGE))), "characters in a name or text"),
    "a long text": (filled(head(0, 1, name("a") + struct.pack("<IQ", 8, 10**9))), "characters in a name"),
    "a long array": (filled(head(0, 1, name("a") + struct.pack("<IIQ", 9, 4, HUGE))), "numbers in an array"),
    "many texts": (filled(head(0, 1, name("a") + struct.pack("<IIQ", 9, 8, 10**12))), "texts in an array"),
    "a wrong type": (filled(head(0, 1, name("a") + struct.pack("<I", 77))), "metadata of type 77"),
    "a nested array": (filled(head(0, 1, name("a") + struct.pack("<IIQ", 9, 9, 1))), "array of type 9"),
    "no UTF-8": (filled(head(0, 1, name(b"\xff\xfe") + struct.pack("<II", 4, 1))), "no UTF-8, at byte 34"),
    "a key twice": (filled(head(0, 2, 2 * (name("a") + struct.pack("<II", 4, 1)))), "it says a twice"),
    "a tensor twice": (filled(head(2, 0, 2 * tensor("w"))), "two tensors w"),
    "no dimension": (filled(head(1, 0, tensor("w", ()))), "w has 0 dimensions"),
    "many dimensions": (filled(head(1, 0, name("w") + struct.pack("<I", 2**31))), "w has 2,147,483,648 dim"),
    "a dimension of 0": (filled(head(1, 0, tensor("w", (8, 0)))), r"cannot have shape \[0, 8\] in F32"),
    "an overflow": (filled(head(1, 0, tensor("w", (2**32, 2**32)))), "ends in the middle of w"),
    "a wrap-around": (filled(head(1, 0, tensor("w", (2**62, 4)))), "ends in the middle of w"),
    "half a block": (filled(head(1, 0, tensor("w", (48,), 8))), r"cannot have shape \[48\] in Q8_0"),
    "an offset outside": (filled(head(1, 0, tensor("w", (8,), 0, HUGE))), "ends in the middle of w"),
    "an uneven offset": (filled(head(1, 0, tensor("w", (4,), 0, 4))), "does not begin at a multiple of 32"),
    "an overlap": (filled(head(2, 0, tensor("v", (16,)) + tensor("w", (8,), 0, 32))), "v and w overlap"),
    "an unknown overlap": (filled(head(2, 0, tensor("v", (8,), 99) + tensor("w"))), "v and w overlap"),
    "alignment 0": (
        filled(head(0, 1, name("general.alignment") + struct.pack("<II", 4, 0))),
        "alignment is 0",
    ),
    "alignment 24": (
        filled(head(0, 1, name("general.alignment") + struct.pack("<II", 4, 24))),
        "alignment is 24, which is not a power of two",
    ),
    "alignment text": (
        filled(head(0, 1, name("general.alignment") + struct.pack("<I", 8) + name("x\ny"))),
        r"alignment is 'x\\ny'",
    ),
    "another byte order": (filled(head(version=3 << 24)), "has GGUF version 50331648"),
    "a cut in a number": (
        head(0, 1, name("a" * 20) + struct.pack("<I", 4) + b"\1"),
        "ends in the middle of a value, at byte 56",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_at_once(tmp_path, case):
    raw, message = HOSTILE[case]
    (tmp_path / "x.gguf").write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(ValueError, match=message) as caught:
        GGUFFile(tmp_path / "x.gguf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert "\n" not in str(caught.value)


def test_a_name_of_many_lines_is_told_on_one(tmp_path):
    (tmp_path / "x.gguf").write_bytes(filled(head(2, 0, 2 * tensor("a\nb" + "c" * 500))))
    with pytest.raises(ValueError, match=r"two tensors 'a\\nbccc") as caught:
        GGUFFile(tmp_path / "x.gguf")
    assert len(str(caught.value)) < 200 + len(str(tmp_path))


def small_file(path, small):
    """Write a whole model that is as small as one can be: flips reach every part of the reader."""
    config = Config(vocab_size=1024, width=8, layers=1, heads=2, kv_heads=1, hidden=8, context=16)
    return language.to_gguf(LanguageModel("tiny", Transformer(config), small.tokenizer), path, "F16")


def tried(path, read):
    """Return what reading gave: an exception that is no refusal passes through."""
    try:
        read(path)
    except ValueError as error:
        return "refused" if "\n" not in str(error) else f"refused on many lines: {error}"
    return "read"


def test_thousands_of_flips_and_cuts_are_refused_or_read(tmp_path):
    path, _ = tiny(tmp_path / "tiny.gguf")
    raw, rng, outcomes = path.read_bytes(), np.random.default_rng(7), set()
    meant = len(raw) - 32 * 5 - 24

    def read(path):
        file = GGUFFile(path)
        for label in file.formats:
            if not file.formats[label].startswith("type"):
                file.tensor(label)

    for trial in range(2000):
        changed = bytearray(raw)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(meant)] ^= 1 << rng.integers(8)
        if trial % 5 == 0:
            changed = changed[: rng.integers(len(changed))]
        path.write_bytes(changed)
        outcomes.add(tried(path, read))
    assert outcomes == {"refused", "read"}


def test_a_damaged_model_is_refused_or_read(tmp_path, small):
    path = small_file(tmp_path / "small.gguf", small)
    raw, rng, outcomes = path.read_bytes(), np.random.default_rng(8), []
    about = raw.index(b"tokenizer.ggml.tokens")
    tensors = raw.index(b"token_embd.weight")
    for trial in range(90):
        changed = bytearray(raw)
        low, high = ((0, about), (about, tensors), (tensors, tensors + 700))[trial % 3]
        changed[rng.integers(low, high)] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        outcomes.append(tried(path, language.from_gguf))
    assert set(outcomes) == {"refused", "read"}


# Models


@pytest.mark.parametrize("name", ["F32", "F16", "Q8_0", "Q4_K"])
def test_a_model_written_is_the_model_read(small, tmp_path, name):
    path = language.to_gguf(small, tmp_path / "small.gguf", name)
    again = language.from_gguf(path)
    assert again.model.config == small.model.config
    assert (again.name, again.tokenizer.end) == ("small", small.tokenizer.end)
    text = language.text("code")[:4000] + " 12 é"
    assert again.tokenizer.encode(text) == small.tokenizer.encode(text)
    wanted, found = small.model.state_dict(), again.model.state_dict()
    for key, weight in wanted.items():
        if name == "F32" or weight.dim() == 1:
            assert torch.equal(found[key], weight), key
        else:
            error = (found[key] - weight).abs().max() / weight.abs().max()
            assert error < {"F16": 1e-3, "Q8_0": 0.005, "Q4_K": 0.1}[name], key


def test_queries_and_keys_are_stored_with_neighbours_paired(small, tmp_path):
    file = GGUFFile(language.to_gguf(small, tmp_path / "small.gguf"))
    ours = small.model.layers[1].self_attn
    for part, matrix, heads in (("q", ours.q_proj, 8), ("k", ours.k_proj, 4)):
        stored = file.tensor(f"blk.1.attn_{part}.weight")
        for head_, pair in itertools.product(range(heads), range(16)):
            for side in (0, 1):
                row = matrix.weight[32 * head_ + 16 * side + pair].detach().numpy()
                np.testing.assert_array_equal(stored[32 * head_ + 2 * pair + side], row)
    np.testing.assert_array_equal(file.tensor("blk.1.attn_v.weight"), ours.v_proj.weight.detach())


def test_a_model_with_a_head_of_its_own_keeps_it(small, tmp_path):
    config = Config(1024, 16, 1, 4, 2, 24, context=32, tied=False, rope_base=5e5, head_dim=6)
    other = LanguageModel("own", Transformer(config), small.tokenizer)
    again = language.from_gguf(language.to_gguf(other, tmp_path / "own.gguf"))
    assert again.model.config == config
    assert torch.equal(again.model.lm_head.weight, other.model.lm_head.weight)


def test_a_model_that_a_file_cannot_hold_is_refused(small, tmp_path):
    biased = Config(1024, 16, 1, 4, 2, 24, context=32, qkv_bias=True)
    other = LanguageModel("biased", Transformer(biased), small.tokenizer)
    with pytest.raises(ValueError, match="must have no biases"):
        language.to_gguf(other, tmp_path / "x.gguf")
    narrow = LanguageModel("narrow", Transformer(Config(1024, 16, 1, 4, 2, 24, context=32)), small.tokenizer)
    with pytest.raises(ValueError, match=r"rows of .* must be multiples of 32 for Q8_0; got \[1024, 16\]"):
        language.to_gguf(narrow, tmp_path / "x.gguf", "Q8_0")
    few = LanguageModel("few", Transformer(Config(1000, 16, 1, 4, 2, 24, context=32)), small.tokenizer)
    with pytest.raises(ValueError, match="the tokenizer has 1024 tokens, the model 1000"):
        language.to_gguf(few, tmp_path / "x.gguf")
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_of_another_kind_is_refused(small, tmp_path):
    library = pytest.importorskip("tokenizers")
    said = json.loads(small.tokenizer._inner.to_str())
    said["pre_tokenizer"]["add_prefix_space"] = True
    other = language.Tokenizer(library.Tokenizer.from_str(json.dumps(said)), 0)
    with pytest.raises(ValueError, match="must be byte-level BPE that cuts as gpt-2 or smollm"):
        other.taken_apart()


@pytest.mark.parametrize("digits", [False, True])
def test_a_tokenizer_taken_apart_is_put_together_again(small, digits):
    parts = small.tokenizer.taken_apart()
    again = language.Tokenizer.from_merges(
        parts.tokens, parts.merges, end=0, special=parts.special, digits=digits
    )
    assert again.taken_apart() == parts if not digits else again.taken_apart().cut == "smollm"
    text = "The 1024 files of 2026<|end|>"
    assert (again.encode(text) == small.tokenizer.encode(text)) == (not digits)
