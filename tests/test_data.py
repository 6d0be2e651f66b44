import numpy as np
import pytest

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
