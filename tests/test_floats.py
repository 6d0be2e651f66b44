"""coursekit.floats beside numpy, ml_dtypes and struct, which share no code with it."""

import bisect
import dataclasses
import functools
import html
import math
import re
import struct
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coursekit import floats

# A time limit would let a busy machine fail a test.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

DTYPES = {
    "fp64": np.float64,
    "fp32": np.float32,
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "int4": ml_dtypes.int4,
    "uint8": np.uint8,
    "uint4": ml_dtypes.uint4,
}
FLOATS = [name for name, format in floats.FORMATS.items() if format.kind == "float"]
INTEGERS = [name for name, format in floats.FORMATS.items() if format.kind == "integer"]
SMALL = [name for name, format in floats.FORMATS.items() if format.bits <= 16]
SMALL_FLOATS = [name for name in SMALL if name in FLOATS]
EVERY = list(floats.FORMATS)
STRUCT = {"fp16": ("<e", "<H"), "fp32": ("<f", "<I"), "fp64": ("<d", "<Q"), "int32": ("<i", "<I")}


def theirs(patterns, name):
    """Return the float64 values of ``patterns`` as numpy or ml_dtypes read them."""
    width = max(floats.FORMATS[name].bits // 8, 1)
    raw = np.asarray(patterns, dtype=f"u{width}").view(DTYPES[name])
    with np.errstate(invalid="ignore"):
        return raw.astype(np.float64)


def their_patterns(values, name):
    """Return the patterns that numpy's or ml_dtypes' cast gives.

    ml_dtypes takes float64 through float32 on its way and so rounds twice: hand it what float32 holds.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        cast = np.asarray(values).astype(DTYPES[name])
    return [raw % 2 ** floats.FORMATS[name].bits for raw in cast.view(f"u{cast.dtype.itemsize}").tolist()]


def same(ours, others):
    """Return whether two arrays are equal to the bit, all NaNs being one."""
    with np.errstate(invalid="ignore"):
        ours, others = np.asarray(ours, np.float64), np.asarray(others, np.float64)
    signs = (np.signbit(ours) == np.signbit(others)) | np.isnan(ours)
    return bool(np.array_equal(ours, others, equal_nan=True) and signs.all())


def random_patterns(name, count, seed=1):
    """Return uniformly random patterns, and all that differ from special ones by little."""
    format = floats.FORMATS[name]
    drawn = np.random.default_rng(seed).integers(0, 2**format.bits, count, dtype=np.uint64, endpoint=False)
    edges = [start + step for start in (0, format.top) for step in range(-3, 4)]
    half = 2 ** (format.bits - 1)
    return [*map(int, drawn), *(edge % half for edge in edges), *(edge % half + half for edge in edges)]


@functools.cache
def positive_numbers(name):
    return [Fraction(x) for x in theirs(range(floats.FORMATS[name].top + 1), name)]


def nearest_by_search(value, name):
    """Round by looking at all finite numbers of a small format; a tie goes to the even pattern."""
    format, size, numbers = floats.FORMATS[name], abs(value), positive_numbers(name)
    above = bisect.bisect_left(numbers, size)
    if above <= format.top:
        gaps = numbers[above] - size, size - numbers[max(above - 1, 0)]
        up = gaps[0] < gaps[1] or (gaps[0] == gaps[1] and above % 2 == 0)
        pattern = above if up else above - 1
    else:
        limit = numbers[-1] + (numbers[-1] - numbers[-2]) / 2
        over = size > limit or (size == limit and format.top % 2 == 1)
        pattern = format.top + (format.has_nan and over)
    return pattern + (2 ** (format.bits - 1) if value < 0 else 0)


# Every pattern of the small formats, many of the large ones


@pytest.mark.parametrize("name", SMALL)
def test_every_pattern_of_a_small_format_decodes_as_numpy_and_ml_dtypes_do(name):
    patterns = range(2 ** floats.FORMATS[name].bits)
    others = theirs(patterns, name)
    assert same([floats.decode(pattern, name) for pattern in patterns], others)
    assert same(floats.all_values(name), others)


@pytest.mark.parametrize("name", SMALL)
def test_every_pattern_of_a_small_format_comes_back_when_encoded(name):
    values = floats.all_values(name)
    patterns = np.flatnonzero(~np.isnan(values))
    assert [floats.encode(values[pattern], name) for pattern in patterns] == patterns.tolist()


@pytest.mark.parametrize("name", ["fp32", "fp64"])
def test_a_hundred_thousand_random_patterns_agree_with_struct(name):
    float_code, integer_code = STRUCT[name]
    patterns = random_patterns(name, 100_000)
    raw = b"".join(struct.pack(integer_code, pattern) for pattern in patterns)
    others = [value for (value,) in struct.iter_unpack(float_code, raw)]
    assert same([floats.decode(pattern, name) for pattern in patterns], others)
    numbers = [(p, v) for p, v in zip(patterns, others, strict=True) if not math.isnan(v)]
    assert [floats.encode(value, name) for _, value in numbers] == [pattern for pattern, _ in numbers]


def test_integers_of_32_bits_agree_with_struct():
    for pattern in random_patterns("int32", 2_000):
        (value,) = struct.unpack("<i", struct.pack("<I", pattern))
        assert floats.decode(pattern, "int32") == value
        assert floats.encode(value, "int32") == pattern


def test_tf32_is_fp32_without_the_low_13_bits():
    patterns = random_patterns("tf32", 20_000)
    others = (np.array(patterns, np.uint32) << 13).view(np.float32)
    assert same([floats.decode(pattern, "tf32") for pattern in patterns], others)
    numbers = [(p, v) for p, v in zip(patterns, others, strict=True) if not np.isnan(v)]
    assert [floats.encode(value, "tf32") for _, value in numbers] == [pattern for pattern, _ in numbers]


# Rounding


def half_way_values(name, dtype, step):
    """Return values of ``dtype`` at, just below and just above the middle between two numbers."""
    numbers = np.unique(floats.all_values(name))
    numbers = numbers[np.isfinite(numbers)]
    middles = np.concatenate([(numbers[1:] + numbers[:-1]) / 2, numbers[-1:] * 1.5 - numbers[-2] / 2])
    with np.errstate(over="ignore"):
        middles = middles[::step].astype(dtype)
        near = [np.nextafter(middles, dtype(end)) for end in (-math.inf, math.inf)]
    return np.concatenate([middles, *near, -middles])


@pytest.mark.parametrize(
    ("name", "step"), [("fp16", 17), ("bf16", 23), ("fp8_e4m3", 1), ("fp8_e5m2", 1), ("fp4_e2m1", 1)]
)
def test_ties_and_their_surroundings_round_as_the_casts_do(name, step):
    values = half_way_values(name, np.float32, step)
    assert [floats.encode(value, name) for value in values] == their_patterns(values, name)


@pytest.mark.parametrize(
    ("name", "step"), [("fp16", 97), ("bf16", 97), ("fp8_e4m3", 1), ("fp8_e5m2", 1), ("fp4_e2m1", 1)]
)
def test_what_is_next_to_a_tie_in_fp64_rounds_away_from_it(name, step):
    values = [Fraction(value) for value in half_way_values(name, np.float64, step) if value]
    assert [floats.encode(v, name) for v in values] == [nearest_by_search(v, name) for v in values]


@pytest.mark.parametrize("name", ["fp32", "fp16"])
@unhurried
@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_any_float64_rounds_as_numpy_casts_it(name, values):
    assert [floats.encode(value, name) for value in values] == their_patterns(values, name)


@pytest.mark.parametrize("name", ["fp64", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1"])
@unhurried
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_any_float32_rounds_as_ml_dtypes_casts_it(name, values):
    values = np.array(values, np.float32)
    assert [floats.encode(value, name) for value in values] == their_patterns(values, name)


@pytest.mark.parametrize("name", ["fp32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1"])
def test_random_numbers_of_all_sizes_round_as_the_cast_does(name):
    rng = np.random.default_rng(2)
    format = floats.FORMATS[name]
    span = math.log2(format.min_subnormal) - 2, math.log2(format.max) + 1
    with np.errstate(over="ignore"):
        values = (rng.choice([-1, 1], 3_000) * np.exp2(rng.uniform(*span, 3_000))).astype(np.float32)
    assert [floats.encode(value, name) for value in values] == their_patterns(values, name)


@unhurried
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_tf32_is_fp32_with_its_low_13_bits_rounded(values):
    raw = np.array(values, np.float32).view(np.uint32).astype(np.int64)
    rounded = (raw + 0xFFF + (raw >> 13 & 1)) >> 13
    assert [floats.encode(value, "tf32") for value in values] == rounded.tolist()


@unhurried
@given(st.fractions())
def test_any_fraction_rounds_once_to_fp64_as_python_divides(value):
    assert floats.decode(floats.encode(value, "fp64"), "fp64") == value.numerator / value.denominator


@unhurried
@given(st.decimals(allow_nan=False))
def test_any_typed_decimal_is_read_as_python_reads_it(value):
    want = struct.unpack("<Q", struct.pack("<d", float(value)))[0]
    assert floats.encode(str(value), "fp64") == floats.encode(value, "fp64") == want


@pytest.mark.parametrize("name", ["fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "bf16"])
@unhurried
@given(st.data())
def test_any_fraction_goes_to_the_nearest_number_of_a_small_format(name, data):
    reach = Fraction(floats.FORMATS[name].max) * 2
    value = data.draw(st.fractions(-reach, reach).filter(bool))
    assert floats.encode(value, name) == nearest_by_search(value, name)


def test_a_text_or_fraction_is_not_rounded_to_float64_on_its_way_to_fp32():
    value = 1 + Fraction(1, 2**24) + Fraction(1, 2**60)  # just above a tie; as a float64 it is the tie
    assert floats.decode(floats.encode(value)) == 1 + 2**-23
    assert floats.decode(floats.encode(str(Decimal(1) + Decimal(2) ** -24) + "01")) == 1 + 2**-23
    assert floats.decode(floats.encode(float(value))) == 1.0
    assert floats.decode(floats.encode(2**53 + 2**29 + 1)) == 2**53 + 2**30


@pytest.mark.parametrize(
    ("name", "largest", "tie", "beyond"),
    [
        ("fp16", 65504.0, 65520.0, math.inf),
        ("fp8_e5m2", 57344.0, 61440.0, math.inf),
        ("fp8_e4m3", 448.0, 464.0, math.nan),
        ("fp4_e2m1", 6.0, 7.0, 6.0),
    ],
)
def test_too_large_a_float_goes_where_its_format_says(name, largest, tie, beyond):
    assert floats.FORMATS[name].max == largest
    for sign in (1, -1):
        assert floats.decode(floats.encode(sign * math.nextafter(tie, 0), name), name) == sign * largest
        for value in (math.nextafter(tie, math.inf), 1e300, math.inf, 10**400, "1e999999999"):
            typed = value if sign == 1 else f"-{value}" if isinstance(value, str) else -value
            assert same([floats.decode(floats.encode(typed, name), name)], [sign * beyond])


@pytest.mark.parametrize("name", FLOATS)
def test_too_small_a_float_becomes_a_zero_that_keeps_its_sign(name):
    half = Fraction(floats.FORMATS[name].min_subnormal) / 2
    for value in (half, half / 3, Fraction(1, 10**500), "1e-999999999", 0.0):
        assert floats.encode(value, name) == 0
    for value in (-half, -half / 3, "-1e-999999999", "-0", -0.0, Decimal("-0")):
        assert floats.encode(value, name) == 2 ** (floats.FORMATS[name].bits - 1)
    assert floats.encode(half * Fraction(101, 100), name) == 1


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_round_to_even_and_refuse_what_they_cannot_hold(name):
    format = floats.FORMATS[name]
    for value in (0.5, 1.5, 2.5, 3.49, "7/2", 5):
        assert floats.decode(floats.encode(value, name), name) == round(Fraction(value))
    for value in (format.max + 1, format.lowest - 1, math.inf, -math.inf, math.nan, 10**5000, "1e999999"):
        with pytest.raises(ValueError, match=f"value must be from {format.lowest:.0f} to {format.max:.0f}"):
            floats.encode(value, name)


@pytest.mark.parametrize("name", FLOATS)
def test_nan_is_the_positive_quiet_one_or_refused(name):
    if name == "fp4_e2m1":
        with pytest.raises(ValueError, match="fp4_e2m1.*no pattern for NaN"):
            floats.encode(math.nan, name)
        return
    for value in (math.nan, -math.nan, "nan", np.float32("nan"), Decimal("nan"), Decimal("snan")):
        assert math.isnan(floats.decode(floats.encode(value, name), name))
    if name in DTYPES:
        assert floats.encode(math.nan, name) == their_patterns([math.nan], name)[0]


@pytest.mark.parametrize(
    "value",
    [
        6.5, "6.5", " 6.5 ", "13/2", "65e-1", "+6.5", "6_5e-1", Decimal("6.5"), Fraction(13, 2),
        np.float16(6.5), np.float32(6.5), np.longdouble(6.5), ml_dtypes.bfloat16(6.5), np.array(6.5),
        torch.tensor(6.5), torch.tensor(6.5, dtype=torch.bfloat16),
    ],
)  # fmt: skip
def test_numbers_come_in_many_forms(value):
    assert floats.encode(value) == 0x40D00000
    assert floats.fields(value).error == 0
    assert floats.encode(-6.5) == floats.encode("−6.5") == 0xC0D00000


# Reading the bits


@pytest.mark.parametrize(
    "text", ["0 01111011 10011001100110011001101", "0_01111011_1001 1001_10011001_10011_01"]
)
def test_bits_may_be_spaced(text):
    assert floats.decode(text) == np.float32(0.1)
    assert floats.fields_of(text) == floats.fields_of(0x3DCCCCCD)


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("", ValueError, "8 bits for fp8_e4m3; got 0"),
        ("0" * 7, ValueError, "8 bits for fp8_e4m3; got 7"),
        ("0" * 9, ValueError, "8 bits for fp8_e4m3; got 9"),
        ("0b000000", ValueError, "pattern may hold 0, 1, spaces and underscores only; got '0b000000'"),
        ("0000000\n", ValueError, "spaces and underscores only"),
        ("0000000١", ValueError, "spaces and underscores only"),
        ("-0000000", ValueError, "spaces and underscores only"),
        ("2" * 500, ValueError, "only; got '2{60}…'"),
        (-1, ValueError, "pattern must be from 0 to 255; got -1"),
        (256, ValueError, "pattern must be from 0 to 255; got 256"),
        (True, TypeError, "pattern must be a whole number; got True"),
        (np.True_, TypeError, "pattern must be a whole number"),
        (torch.tensor(True), TypeError, "pattern must be a whole number"),
        (1.0, TypeError, "pattern must be a whole number; got 1.0"),
        (None, TypeError, "pattern must be a whole number; got None"),
        (b"00000000", TypeError, "pattern must be a whole number"),
        ([0], TypeError, "pattern must be a whole number"),
    ],
)
@pytest.mark.parametrize("read", [floats.decode, floats.fields_of])
def test_bad_patterns_are_named(read, pattern, error, message):
    with pytest.raises(error, match=message):
        read(pattern, "fp8_e4m3")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (True, TypeError), (None, TypeError), (1j, TypeError), ([1.0], TypeError),
        (np.array([1.0]), TypeError),
        (b"1", TypeError), (np.True_, TypeError), (torch.tensor([1.0]), TypeError), ("", ValueError),
        ("six", ValueError), ("6,5", ValueError), ("1/0", ValueError), ("0x1p3", ValueError),
        ("1 2", ValueError),
        ("1e99999999999999999999999", ValueError), ("<b>", ValueError), ("9" * 9_999 + "/7", ValueError),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "function", [floats.encode, floats.fields, floats.spacing, floats.neighbours, floats.binary]
)
def test_bad_values_are_named(function, value, error):
    with pytest.raises(error, match="value must be a number.*; got"):
        function(value)


@pytest.mark.parametrize("bad", ["fp31", "FP32", "", 32, None, ["fp32"]])
@pytest.mark.parametrize(
    "function",
    [floats.encode, floats.decode, floats.fields, floats.fields_of, floats.spacing, floats.neighbours],
)
def test_unknown_formats_are_named(function, bad):
    with pytest.raises((TypeError, ValueError), match="format must be one of fp64, fp32, .*uint4; got"):
        function(1, bad)
    with pytest.raises((TypeError, ValueError), match="format must be one of"):
        floats.all_values(bad)


def test_a_format_may_be_handed_in_itself_but_not_be_made_up():
    assert floats.fields(0.1, floats.FORMATS["fp16"]) == floats.fields(0.1, "fp16")
    with pytest.raises(TypeError, match="format must be one of"):
        floats.encode(1, floats.Format("fp32", "mine", 32, 9, 22, 255))
    with pytest.raises(TypeError):
        floats.FORMATS["fp32"] = None


@pytest.mark.parametrize("name", [name for name in EVERY if name not in SMALL])
def test_tables_stop_at_16_bits(name):
    with pytest.raises(ValueError, match=f"at most 16 bits .*{name} has .*: 2\\*\\*"):
        floats.all_values(name)


# Fields


@pytest.mark.parametrize("name", [name for name in FLOATS if name in DTYPES])
def test_format_properties_agree_with_finfo(name):
    info, format = ml_dtypes.finfo(DTYPES[name]), floats.FORMATS[name]
    assert format.max == float(info.max)
    assert format.lowest == float(info.min)
    assert format.min_normal == float(info.smallest_normal)
    assert format.min_subnormal == float(info.smallest_subnormal)
    assert format.epsilon == float(info.eps)
    assert (format.bits, format.exponent_bits, format.mantissa_bits) == (info.bits, info.iexp, info.nmant)


@pytest.mark.parametrize("name", INTEGERS)
def test_integer_properties_agree_with_iinfo(name):
    info, format = ml_dtypes.iinfo(DTYPES[name]), floats.FORMATS[name]
    assert (format.lowest, format.max, format.bits) == (info.min, info.max, info.bits)
    assert format.min_normal == format.min_subnormal == format.epsilon == 1


@pytest.mark.parametrize("name", EVERY)
def test_fields_say_what_is_stored(name):
    format = floats.FORMATS[name]
    for pattern in random_patterns(name, 300):
        found = floats.fields_of(pattern, name)
        assert int(found.bits.replace(" ", ""), 2) == found.pattern == pattern
        assert found.sign + found.exponent + found.mantissa == f"{pattern:0{format.bits}b}"
        assert (len(found.exponent), len(found.mantissa)) == (format.exponent_bits, format.mantissa_bits)
        assert same([found.value], [floats.decode(pattern, name)])
        assert found.given is None
        assert found.error is None
        if math.isfinite(found.value):
            assert Decimal(found.exact) == Decimal(found.value)
            assert "e" not in found.exact.lower()
        else:
            assert found.exact == str(found.value)
        if found.exponent_value is not None:
            sign = -1 if found.sign == "1" else 1
            assert sign * Fraction(found.significand) * Fraction(2) ** found.exponent_value == found.value


@pytest.mark.parametrize("name", FLOATS)
def test_kinds_follow_from_the_bits(name):
    format = floats.FORMATS[name]
    for pattern in random_patterns(name, 300):
        found = floats.fields_of(pattern, name)
        if math.isnan(found.value):
            assert found.kind == "nan"
            assert math.isnan(found.significand)
        elif math.isinf(found.value):
            assert (found.kind, found.exponent_value, found.significand) == ("infinity", None, math.inf)
        elif "1" in found.exponent:
            assert found.kind == "normal"
            assert 1 <= found.significand < 2
        else:  # errata 2: without a 1 in the exponent it is zero only if the mantissa is zero too
            assert found.kind == ("subnormal" if "1" in found.mantissa else "zero")
            assert found.exponent_value == format.min_exponent
            assert 0 <= found.significand < 1
            assert abs(found.value) < format.min_normal


def test_all_exponent_bits_zero_is_not_zero_unless_the_mantissa_is():
    found = floats.fields_of("0 00000000 10000000000000000000000")
    assert (found.kind, found.value, found.significand) == ("subnormal", 2.0**-127, 0.5)
    assert floats.fields_of(0).kind == "zero"


def test_the_exact_decimal_of_a_tenth():
    found = floats.fields("0.1")
    assert found.exact == "0.100000001490116119384765625"
    assert found.error == float(Fraction(found.exact) - Fraction(1, 10))
    assert floats.fields(0.1, "fp64").exact == "0.1000000000000000055511151231257827021181583404541015625"
    assert floats.fields(0.1, "fp64").error == 0
    assert len(floats.fields(5e-324, "fp64").exact) == 1076


def test_the_error_says_when_there_is_none_to_tell():
    assert math.isnan(floats.fields(1e39).error)
    assert math.isnan(floats.fields(math.inf).error)
    assert floats.fields(10**400, "fp4_e2m1").error == -math.inf
    assert floats.fields(100, "fp4_e2m1").error == -94


# Spacing and neighbours


@pytest.mark.parametrize("name", ["fp64", "fp32", "fp16", "bf16", "fp8_e5m2"])
def test_spacing_and_neighbours_agree_with_numpy(name):
    for pattern in random_patterns(name, 1_000):
        value = theirs([pattern], name)[0]
        if not math.isfinite(value):
            continue
        own = np.abs(value).astype(DTYPES[name])
        if own < floats.FORMATS[name].max:
            assert floats.spacing(value, name) == float(np.nextafter(own, DTYPES[name](math.inf))) - float(
                own
            )
        with np.errstate(over="ignore"):
            stored = value.astype(DTYPES[name])
            ends = [np.nextafter(stored, DTYPES[name](end)) for end in (-math.inf, math.inf)]
        assert floats.neighbours(value, name) == tuple(map(float, ends))


@pytest.mark.parametrize("name", SMALL)
def test_neighbours_walk_through_all_numbers_of_a_small_format(name):
    numbers = np.unique(theirs(range(2 ** floats.FORMATS[name].bits), name))
    numbers = numbers[~np.isnan(numbers)].tolist()
    ends = [numbers[0], *numbers, numbers[-1]]
    step = 1 if len(numbers) < 1_000 else 41
    for index in {*range(0, len(numbers), step), len(numbers) - 1}:
        assert floats.neighbours(numbers[index], name) == (ends[index], ends[index + 2])


@pytest.mark.parametrize("name", FLOATS)
def test_spacing_at_the_ends(name):
    format = floats.FORMATS[name]
    below = floats.neighbours(format.max, name)[0]
    assert floats.spacing(format.max, name) == format.max - below
    assert floats.spacing(-format.max, name) == format.max - below
    assert floats.spacing(0, name) == format.min_subnormal == floats.spacing(format.min_normal, name)
    assert floats.spacing(1, name) == format.epsilon
    if format.has_infinity:
        assert floats.neighbours(format.max, name) == (below, math.inf)
        assert floats.neighbours(math.inf, name) == (format.max, math.inf)
        assert floats.neighbours(-math.inf, name) == (-math.inf, -format.max)
        assert math.isnan(floats.spacing(math.inf, name))
    else:
        assert floats.neighbours(format.max, name) == (below, format.max)
        assert floats.neighbours(-format.max, name) == (-format.max, -below)
    if format.has_nan:
        assert all(map(math.isnan, floats.neighbours(math.nan, name)))
        assert math.isnan(floats.spacing(math.nan, name))


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_one_apart(name):
    format = floats.FORMATS[name]
    assert floats.spacing(3, name) == 1
    assert floats.neighbours(3, name) == (2, 4)
    assert floats.neighbours(format.max, name) == (format.max - 1, format.max)
    assert floats.neighbours(format.lowest, name) == (format.lowest, format.lowest + 1)


# Binary


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (6.5, None, "110.1"), (-6.5, None, "-110.1"), (0, None, "0"), (42, None, "101010"),
        (0.375, None, "0.011"), ("0.1", 12, "0.000110011001…"), (Fraction(1, 3), 4, "0.0101…"),
        (6.5, 5, "110.1"), (6.5, 1, "110.1"),
        (6.5, 0, "110.…"), (-0.375, 2, "-0.01…"), ("1/1024", None, "0.0000000001"),
    ],
)  # fmt: skip
def test_binary(value, places, text):
    assert floats.binary(value, places) == text


@unhurried
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_binary_is_exact(value):
    whole, _, rest = floats.binary(value).lstrip("-").partition(".")
    assert Fraction(int(whole + rest, 2), 2 ** len(rest)) == abs(Fraction(value))
    assert floats.binary(value).startswith("-") == (value < 0)


@unhurried
@given(st.fractions(), st.integers(0, 80))
def test_binary_cuts_towards_zero(value, places):
    text = floats.binary(value, places)
    whole, _, rest = text.strip("-…").partition(".")
    left = abs(value) - Fraction(int(whole + rest, 2), 2 ** len(rest))
    assert 0 <= left < Fraction(1, 2**places)
    assert text.endswith("…") == (left > 0)


def test_binary_says_what_it_cannot_write():
    for value in (math.inf, math.nan):
        with pytest.raises(ValueError, match="value must be finite"):
            floats.binary(value)
    with pytest.raises(ValueError, match="never ends in binary: places"):
        floats.binary("0.1")
    with pytest.raises(ValueError, match="places must be from 0 to 1100; got -1"):
        floats.binary(0.5, -1)


# Display


def test_fields_print_one_line_each():
    assert str(floats.fields(0.1)).splitlines() == [
        "0.1 in FP32",
        "bits     0 01111011 10011001100110011001101",
        "kind     normal",
        "meaning  1.600000023841858 × 2^-4",
        "stored   0.100000001490116119384765625",
        "off by   1.49e-09",
        "spacing  7.45e-09",
    ]
    assert "meaning  -128 + 42\nstored   -86" in str(floats.fields(-86, "int8"))
    assert "implicit 1" in str(floats.fields(1e-40))
    assert "too large" in str(floats.fields(1e9, "fp8_e4m3"))


@pytest.mark.parametrize("name", EVERY)
def test_every_kind_shows_itself(name):
    for pattern in random_patterns(name, 50):
        found = floats.fields_of(pattern, name)
        assert repr(found) == str(found)
        assert found.bits in str(found)
        assert all(len(line) <= 110 for line in str(found).splitlines())
        page = found._repr_html_()
        assert re.findall(r"<code[^>]*>([01]+)</code>", page) == found.bits.split()
        assert page == floats.fields_of(pattern, name)._repr_html_()
        assert html.escape(found.meaning) in page


def test_long_numbers_are_shortened_only_where_they_are_shown():
    found = floats.fields(5e-324, "fp64")
    assert "about 4.940656458e-324 (exactly: 1076 characters, in .exact)" in str(found)
    assert "9" * 61 not in str(floats.fields("9" * 500))
    assert "thousands of digits" in str(floats.fields(10**5000))
    assert floats.fields("9" * 500).given == "9" * 500


def test_pages_escape_what_was_typed(monkeypatch):
    # No text with markup is a number, so let one through.
    monkeypatch.setattr("coursekit.floats.bit_fields.exact", lambda value: Fraction(1))
    page = dataclasses.replace(floats.fields(1.0), given="<script>")._repr_html_()
    assert "&lt;script&gt; in FP32" in page
    assert "<script>" not in page


def test_loading_floats_loads_nothing_heavy():
    code = (
        "import sys, coursekit.floats as f; print(f.fields(0.1)); "
        "sys.exit(bool({'torch', 'matplotlib', 'ipywidgets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{floats.fields(0.1)}\n"
