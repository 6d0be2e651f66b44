import csv
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from build_notebooks import Course, code_cells

from coursekit import exercises, memory
from coursekit.course.nb02.checks import CACHES
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG

CONVOLUTION, ATTENTION = 4_640, 2_362_368
NEED = 13.2


def cache(layers, kv_heads, head_dim, context, batch, bits):
    return 2 * layers * kv_heads * head_dim * context * batch * bits / 8


def whole_bytes(layers, kv_heads, head_dim, context, batch, bits):
    return torch.tensor(cache(layers, kv_heads, head_dim, context, batch, bits))


def blank(*sizes): ...


def scaled(part):
    return lambda *sizes: cache(*sizes) * part(*sizes)


def given(path):
    table = pd.read_csv(path)
    x = table.values
    return (x - x.mean(axis=0)) / x.std(axis=0)


def only_the_type(path):
    x = pd.read_csv(path, dtype="float32").values
    return (x - x.mean(axis=0)) / x.std(axis=0)


def without_the_table(path):
    x = pd.read_csv(path).values
    x = x - x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def in_place(path):
    x = pd.read_csv(path, dtype=np.float32).to_numpy(copy=True)
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def in_pieces(path):
    parts = pd.read_csv(path, dtype="float32", chunksize=1000)
    x = np.concatenate([part.to_numpy() for part in parts])
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def with_numpy(path):
    with open(path, newline="") as file:
        rows = csv.reader(file)
        next(rows)
        x = np.fromiter((float(cell) for row in rows for cell in row), np.float32)
    x = x.reshape(-1, 33)
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return torch.from_numpy(x)


def scaled_in_place(x):
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def with_loadtxt(path):
    return scaled_in_place(np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32))


def column_by_column(path):
    x = pd.read_csv(path, dtype="float32").to_numpy(copy=True)
    for column in x.T:
        column[:] = (column - column.mean()) / column.std()
    return x


def in_the_table(path):
    table = pd.read_csv(path, dtype="float32")
    for name in table:
        table[name] = (table[name] - table[name].mean()) / table[name].std(ddof=0)
    return table


def with_torch(path):
    x = torch.from_numpy(pd.read_csv(path, dtype="float32").to_numpy(copy=True))
    x.sub_(x.mean(dim=0))
    return x.div_(x.std(dim=0, correction=0))


def in_two_passes(path):
    n, total, squares = 0, 0.0, 0.0
    for part in pd.read_csv(path, chunksize=2000):
        x = part.to_numpy()
        n, total, squares = n + len(x), total + x.sum(axis=0), squares + (x**2).sum(axis=0)
    mean = total / n
    scaled = np.empty((n, len(mean)), np.float32)
    for part in pd.read_csv(path, chunksize=2000):
        scaled[part.index] = (part.to_numpy() - mean) / np.sqrt(squares / n - mean**2)
    return scaled


def in_doubles_of_torch(path):
    parts = pd.read_csv(path, chunksize=1000)
    x = torch.cat([torch.tensor(part.to_numpy(), dtype=torch.float64) for part in parts])
    return (x - x.mean(0)) / x.std(0)


def with_one_mean(path):
    x = pd.read_csv(path, dtype="float32").to_numpy(copy=True)
    x -= x.mean()
    x /= x.std()
    return x


def of_each_row(path):
    return scaled_in_place(pd.read_csv(path, dtype="float32").to_numpy(copy=True).T).T


def singles_afterwards(path):
    return scaled_in_place(pd.read_csv(path).to_numpy().astype(np.float32))


def as_lists(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return scaled_in_place(np.array([[float(cell) for cell in row] for row in rows], np.float32))


def with_the_table(path):
    table = pd.read_csv(path, dtype="float32")
    x = table.to_numpy(copy=True)
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def in_what_values_lend(path):
    x = pd.read_csv(path, dtype="float32").values
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def in_a_block_that_is_only_lent(path):
    x = pd.read_csv(path, dtype="float32").to_numpy(copy=True)
    x.flags.writeable = False
    x -= x.mean(axis=0)
    return x


def into_rows_that_are_only_lent(path):
    x = pd.read_csv(path, dtype="float32").to_numpy(copy=True)
    x.flags.writeable = False
    x[:] = (x - x.mean(axis=0)) / x.std(axis=0)
    return x


def centred_only(path):
    x = in_place(path)
    return x + 1


def first_rows(path):
    return in_place(path)[:10]


def test_the_answers_are_what_torch_and_the_formulas_say():
    conv, attention = torch.nn.Conv2d(16, 32, 3), torch.nn.MultiheadAttention(768, 12)
    assert sum(p.numel() for p in conv.parameters()) == CONVOLUTION
    assert sum(p.numel() for p in attention.parameters()) == ATTENTION
    need = memory.need("LLaMA-13B", 4, context=8192)
    assert need.total / 1e9 == pytest.approx(NEED, rel=0.025)
    fitting = [name for name in memory.DEVICES if memory.fits(need, name).verdict == "fits"]
    assert fitting[:2] == ["laptop", "T4"]
    for layers, kv_heads, head_dim, context, batch, bits in CACHES:
        kept = np.zeros((2, layers, batch, kv_heads, context, head_dim), f"float{max(bits, 16)}")
        assert cache(layers, kv_heads, head_dim, context, batch, bits) == kept.nbytes * bits / max(bits, 16)


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("02-count", (CONVOLUTION, ATTENTION)),
        ("02-count", [4640.0, np.int64(ATTENTION)]),
        ("02-count", torch.tensor([CONVOLUTION, ATTENTION])),
        ("02-kv-cache", cache),
        ("02-kv-cache", whole_bytes),
        ("02-kv-cache", lambda *sizes: int(cache(*sizes))),
        ("02-smallest-device", (NEED, "laptop")),
        ("02-smallest-device", (13.49, "T4")),
        ("02-smallest-device", (13.1, "laptop")),
        ("02-smallest-device", (13.21, "laptop")),
        ("02-smallest-device", (13.4, "laptop")),
        ("02-smallest-device", (memory.need("LLaMA-13B", 4, context=8192).total / 1e9, "laptop")),
        ("02-smallest-device", ((6.5e9 + 2 * 40 * 40 * 128 * 8000 * 2) / 1e9, "laptop")),
        ("02-smallest-device", [np.float32(13.05), "laptop"]),
        ("02-smallest-device", (torch.tensor(13.42), "laptop")),
        ("02-smallest-device", (NEED, "Laptop")),
        ("02-smallest-device", (NEED, "laptop (16 GB)")),
        ("02-smallest-device", (NEED, memory.DEVICES["laptop"])),
        ("02-loader", in_place),
        ("02-loader", in_pieces),
        ("02-loader", with_numpy),
        ("02-loader", with_loadtxt),
        ("02-loader", column_by_column),
        ("02-loader", in_the_table),
        ("02-loader", with_torch),
        ("02-loader", in_two_passes),
    ],
)
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("02-count", (4_608, ATTENTION), "not the biases"),
        ("02-count", (4_624, ATTENTION), "per output channel"),
        ("02-count", (544, ATTENTION), "1 × 1"),
        ("02-count", (1_568, ATTENTION), "9 places"),
        ("02-count", (320, ATTENTION), "all 16 input channels"),
        ("02-count", (28 * 28 * 4_640, ATTENTION), "the picture's size does not count"),
        ("02-count", (1, ATTENTION), "does not have 1 parameters"),
        ("02-count", (CONVOLUTION, 4 * 768 * 768), "not their biases"),
        ("02-count", (CONVOLUTION, 1_771_776), "make three"),
        ("02-count", (CONVOLUTION, 3 * 768 * 768), "without biases"),
        ("02-count", (CONVOLUTION, 590_592), "one matrix"),
        ("02-count", (CONVOLUTION, 12 * ATTENTION), "share the 768"),
        ("02-count", (CONVOLUTION, 5), "Four Linear layers"),
        ("02-count", CONVOLUTION, "Two numbers"),
        ("02-count", (4640.5, ATTENTION), "whole number"),
        ("02-kv-cache", lambda *s: cache(*s[:-1], 1) * 8 * (s[-1] // 8), "half a byte"),
        ("02-kv-cache", scaled(lambda *s: 1 / 2), "keys and there are values"),
        ("02-kv-cache", scaled(lambda *s: 8), "a byte has eight"),
        ("02-kv-cache", scaled(lambda *s: 1 / s[0]), "Every layer"),
        ("02-kv-cache", scaled(lambda *s: 1 / s[4]), "Every sequence"),
        ("02-kv-cache", scaled(lambda *s: 1 / s[3]), "one token"),
        ("02-kv-cache", scaled(lambda *s: 1e-9), "not GB"),
        ("02-kv-cache", scaled(lambda *s: 1 / 1024**3), "not GiB"),
        ("02-kv-cache", scaled(lambda *s: 1 / 1024**2), "not MiB"),
        ("02-kv-cache", scaled(lambda *s: 1e-6), "not MB"),
        ("02-kv-cache", scaled(lambda *s: 1 / s[2]), "one number per head"),
        ("02-kv-cache", scaled(lambda *s: 1 / s[1]), "Every head"),
        ("02-kv-cache", scaled(lambda *s: 16 / s[5]), "how many bits"),
        ("02-kv-cache", scaled(lambda *s: 1.5), "Numbers per token and layer"),
        ("02-kv-cache", cache(*CACHES[0]), "a function"),
        ("02-kv-cache", lambda layers: 5, "raised `TypeError"),
        ("02-smallest-device", (6.5, "phone"), "weights alone"),
        ("02-smallest-device", (6.71, "phone"), "Both are needed"),
        ("02-smallest-device", (9.9, "laptop"), "Half of the cache"),
        ("02-smallest-device", (32.7, "A100"), "weights at 16 bits"),
        ("02-smallest-device", (8.2, "laptop"), "This cache has 4 bits"),
        ("02-smallest-device", (13_200, "laptop"), "in MB"),
        ("02-smallest-device", (13.2e9, "laptop"), "in bytes"),
        ("02-smallest-device", (12.3, "laptop"), "in GiB"),
        ("02-smallest-device", (13, "laptop"), "at 8 bits, without any cache"),
        ("02-smallest-device", (13.0, "laptop"), "Keep a decimal"),
        (
            "02-smallest-device",
            (memory.weight_bytes(memory.MODELS["LLaMA-13B"].parameters, "int8") / 1e9, "laptop"),
            "at 8 bits, without any cache",
        ),
        ("02-smallest-device", (50, "A100"), "50 GB is not it"),
        ("02-smallest-device", (NEED, "phone"), "has only 8 GB"),
        ("02-smallest-device", (NEED, "RTX 4090"), "not the smallest"),
        ("02-smallest-device", (NEED, "fridge"), "should be one of"),
        ("02-smallest-device", (NEED, 5), "should be one of"),
        ("02-smallest-device", NEED, "Two things"),
        ("02-loader", given, "bytes does each number"),
        ("02-loader", without_the_table, "a third is asked for"),
        ("02-loader", only_the_type, "makes a new array"),
        ("02-loader", with_the_table, "Is the table still there while you scale?"),
        ("02-loader", in_a_block_that_is_only_lent, "an array of your own: `to_numpy(copy=True)`"),
        ("02-loader", into_rows_that_are_only_lent, "an array of your own: `to_numpy(copy=True)`"),
        ("02-loader", centred_only, "differ by up to 1"),
        ("02-loader", with_one_mean, "Every column"),
        ("02-loader", of_each_row, "Every column"),
        ("02-loader", singles_afterwards, "float64"),
        ("02-loader", as_lists, "bytes does each number"),
        ("02-loader", in_doubles_of_torch, "does not see torch's memory"),
        ("02-loader", first_rows, "has shape"),
        ("02-loader", lambda path: "done", "array of numbers"),
        ("02-loader", 5, "a function"),
    ],
)
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return the table that the notebook's own cell writes."""
    folder = tmp_path_factory.mktemp("table")
    cells = code_cells(Course().expected("02-parameter-count-and-memory")[1])
    (cell,) = [cell for cell in cells if "to_csv" in cell.source]
    exec(cell.source, {"np": np, "pd": pd, "folder": SimpleNamespace(path=folder)})
    return folder / "table.csv"


def runs(load, path):
    try:
        load(path)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("load", [in_what_values_lend, in_place, in_pieces])
def test_what_counts_as_right_runs_on_the_notebooks_table_too(table, load):
    # How pandas keeps a table depends on its version and on the file's size.
    assert (exercises.check("02-loader", load).outcome == RIGHT) == runs(load, table)


def test_the_test_table_is_of_the_notebooks_size(table):
    sizes = []

    def load(path):
        sizes.append((path.stat().st_size, pd.read_csv(path).shape))
        return in_place(path)

    exercises.check("02-loader", load)
    size, shape = sizes[0]
    assert shape == pd.read_csv(table).shape
    assert size == pytest.approx(table.stat().st_size, rel=0.02)


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("02-count", (..., ...)),
        ("02-count", (CONVOLUTION, ...)),
        ("02-kv-cache", blank),
        ("02-smallest-device", (..., ...)),
        ("02-smallest-device", None),
        ("02-loader", blank),
    ],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


def with_the_means_of_the_first_piece(path):
    x = pd.read_csv(path, dtype="float32").to_numpy(copy=True)
    first = x[:5000]
    x -= first.mean(axis=0)
    x /= first.std(axis=0)
    return x


def piece_by_piece(path):
    parts = [part.to_numpy(copy=True) for part in pd.read_csv(path, dtype="float32", chunksize=10_000)]
    return np.concatenate([(part - part.mean(axis=0)) / part.std(axis=0) for part in parts])


@pytest.mark.parametrize("load", [with_the_means_of_the_first_piece, piece_by_piece])
def test_means_of_a_piece_are_not_those_of_the_table(load):
    verdict = exercises.check("02-loader", load)
    assert verdict.outcome == WRONG
    assert "mean 0 and standard deviation 1" in verdict.hint
