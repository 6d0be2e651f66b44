import csv
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from coursekit import data


def test_digits_are_split_without_overlap_and_lose_none():
    from sklearn.datasets import load_digits

    digits = data.digits()
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1150, 287, 360]
    rows = np.concatenate([part.x * 16 for part in parts])
    labels = np.concatenate([part.y for part in parts])
    reference = load_digits()
    ours = sorted(map(bytes, np.column_stack([rows, labels]).astype(np.uint8)))
    assert ours == sorted(map(bytes, np.column_stack([reference.data, reference.target]).astype(np.uint8)))


def test_digits_need_no_import_of_scikit_learn_and_are_the_same_with_it(monkeypatch):
    code = "import sys; from coursekit import data; data.digits(); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    read = data._load_digits.__wrapped__
    x, y = read()
    monkeypatch.setattr(data, "DIGITS", "elsewhere.csv.gz")
    again = read()
    assert np.array_equal(x, again[0])
    assert np.array_equal(y, again[1])
    assert again[0].dtype == np.float32


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_every_part_holds_the_digits_in_proportion(part):
    split = getattr(data.digits(), part)
    share = np.bincount(split.y, minlength=10) / len(split)
    overall = np.bincount(
        np.concatenate([p.y for p in (data.digits().train, data.digits().validation, data.digits().test)])
    )
    assert np.abs(share - overall / overall.sum()).max() < 0.01
    assert split.x.dtype == np.float32
    assert split.x.min() == 0
    assert split.x.max() == 1
    assert split.images.shape == (len(split), 8, 8)


def test_digits_are_the_same_every_time_and_do_not_touch_the_global_seed():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = data.digits(), data.digits()
    assert np.array_equal(first.test.x, second.test.x)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_tensors_are_copies_on_the_asked_device():
    split = data.digits().test
    x, y = split.tensors("cpu")
    x += 1
    assert split.x.max() == 1
    assert (x.device.type, tuple(y.shape)) == ("cpu", (360,))


def test_messages_are_reproducible_and_learnable():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = data.messages(500, seed=1), data.messages(200, seed=2)
    assert train.texts == data.messages(500, seed=1).texts
    assert train.texts != data.messages(500, seed=3).texts
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(train.texts, train.labels)
    assert model.score(test.texts, test.labels) > 0.9


@pytest.mark.parametrize(
    ("arguments", "error"), [((0,), ValueError), ((2.5,), TypeError), ((10, -1), ValueError)]
)
def test_messages_refuse_bad_input(arguments, error):
    with pytest.raises(error, match="count|seed"):
        data.messages(*arguments)


@pytest.fixture
def small():
    with data.archive(size=300_000) as archive:
        yield archive


def test_an_archive_is_as_large_as_asked_and_reads_back(small):
    rows = list(csv.DictReader(small.csv.open(encoding="utf-8", newline="")))
    assert len(rows) == small.rows
    assert small.nbytes == small.csv.stat().st_size == pytest.approx(300_000, rel=0.01)
    assert set(rows[0]) == {"text", "label"}
    assert {row["label"] for row in rows} == {"0", "1"}
    assert str(small) == f"{small.rows:,} messages, {small.nbytes / 1000:.0f} kB in a temporary folder"


def test_an_archive_holds_the_generated_messages_each_with_a_number_of_its_own(small):
    rows = list(csv.DictReader(small.csv.open(encoding="utf-8", newline="")))
    texts, numbers = zip(*[row["text"].rsplit(" Ref ", 1) for row in rows], strict=True)
    assert [int(number) for number in numbers] == list(range(small.rows))
    some = data.messages(data.ARCHIVE_MESSAGES)
    labels = dict(zip(some.texts, some.labels, strict=True))
    assert all(int(row["label"]) == labels[text] for row, text in zip(rows, texts, strict=True))
    assert len(set(texts)) > 300


def test_pandas_reads_what_csv_reads(small):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(small.csv)
    rows = list(csv.DictReader(small.csv.open(encoding="utf-8", newline="")))
    assert table.text.tolist() == [row["text"] for row in rows]
    assert table.label.tolist() == [int(row["label"]) for row in rows]


def test_an_archive_is_the_same_every_time(small):
    with data.archive(size=300_000) as again, data.archive(size=300_000, seed=1) as other:
        assert again.csv.read_bytes() == small.csv.read_bytes()
        assert other.csv.read_bytes() != small.csv.read_bytes()
        assert len({one.folder for one in (small, again, other)}) == 3


def test_an_archive_that_cannot_be_written_leaves_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(data, "_write_messages", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        data.archive()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error"), [((10,), ValueError), ((1e6,), TypeError), ((50_000, -1), ValueError)]
)
def test_archives_refuse_bad_input(arguments, error):
    with pytest.raises(error, match="size|seed"):
        data.archive(*arguments)


def test_trained_weights_are_those_of_the_models_file():
    opened = safetensors.numpy.load_file(data.WEIGHTS)
    for name in ("layers.0.mlp.up_proj.weight", "embed_tokens.weight"):
        found = data.trained_weights(name)
        assert found.dtype == np.float32
        assert (found == opened[name]).all()
    assert (data.trained_weights() == opened["layers.0.mlp.up_proj.weight"]).all()


@pytest.mark.parametrize(("layer", "error"), [("norm.weight", ValueError), (3, TypeError), ("", ValueError)])
def test_trained_weights_name_what_there_is(layer, error):
    with pytest.raises(error, match="layer must be "):
        data.trained_weights(layer)
