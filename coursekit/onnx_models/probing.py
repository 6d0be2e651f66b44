"""Ask a scikit-learn estimator and its file the same rows, before the file takes the place of another."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.onnx_models.packages import quiet

__all__ = ["need_same_rows"]

ROWS = 60  # of each kind
SHARE = 0.98  # of the rows of each kind that must be alike: sums in float32 tip a label now and then
CLOSE = 0.01  # how far numbers may be apart, as a part of the largest in their column
SHOWN = 6  # numbers of a row in a message

Rows = NDArray[np.float32]


def need_same_rows(session: Any, estimator: Any, features: int) -> None:
    """Raise ValueError unless the file answers as the estimator, row by row.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The file just written.
    estimator : sklearn.base.BaseEstimator
        What it was made from.
    features : int
        How many numbers a row has.

    Raises
    ------
    ValueError
        With a row on which the two differ.
    """
    for rows in _kinds(estimator, features):
        asked, answers = _answered(estimator, rows)
        if not len(asked):
            continue
        found = session.run(None, {session.get_inputs()[0].name: asked})
        for expected, given in zip(answers, found, strict=False):
            alike = _alike(expected, np.asarray(given))
            if alike is not None and alike.mean() < SHARE:
                row = ", ".join(f"{value:g}" for value in asked[int(np.argmin(alike))][:SHOWN])
                more = ", …" if features > SHOWN else ""
                raise ValueError(
                    f"the file answers otherwise than the estimator, such as for the row [{row}{more}]"
                )


def _kinds(estimator: Any, features: int) -> Iterator[Rows]:
    """Yield rows of fractions, of whole numbers, of known categories, and of what lies beside these."""
    random = np.random.default_rng(0)
    yield random.normal(size=(ROWS, features)).astype(np.float32)
    yield random.integers(-3, 10, (ROWS, features)).astype(np.float32)
    for categories in _categories(estimator):
        known = np.stack(
            [random.choice(categories[column % len(categories)], ROWS) for column in range(features)], axis=1
        ).astype(np.float32)
        yield known
        beside = known.copy()
        chosen = random.integers(features, size=ROWS)
        beside[np.arange(ROWS), chosen] += random.choice(np.array([0.25, 0.5, 1.0], np.float32), ROWS)
        yield beside


def _categories(estimator: Any) -> Iterator[list[NDArray[Any]]]:
    """Yield the categories, column by column, of every encoder of numbers inside the estimator."""
    seen: set[int] = set()
    wanted = [estimator]
    while wanted:
        part = wanted.pop()
        if id(part) in seen or isinstance(part, str | bytes | np.ndarray):
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple):
            wanted += part
        elif hasattr(part, "get_params") and not isinstance(part, type):
            inside = vars(part)
            found = [np.asarray(each) for each in inside.get("categories_", [])]
            if found and all(each.size and each.dtype.kind in "fiu" for each in found):
                yield [each[np.isfinite(each)] for each in found]
            wanted += inside.values()


def _answered(estimator: Any, rows: Rows) -> tuple[Rows, list[NDArray[Any]]]:
    """Return the rows that the estimator takes, and its answers in the order of the file's outputs."""
    try:
        return rows, _answers(estimator, rows)
    except Exception:  # an encoder refuses categories that it does not know: those rows cannot be compared
        taken = np.array([_takes(estimator, row[None]) for row in rows])
    return (rows[taken], _answers(estimator, rows[taken])) if taken.any() else (rows[:0], [])


def _takes(estimator: Any, row: Rows) -> bool:
    try:
        _answers(estimator, row)
    except Exception:
        return False
    return True


def _answers(estimator: Any, rows: Rows) -> list[NDArray[Any]]:
    from sklearn.base import is_classifier

    names = ["predict" if hasattr(estimator, "predict") else "transform"]
    names += ["predict_proba"] * (is_classifier(estimator) and hasattr(estimator, "predict_proba"))
    with quiet():
        found = [getattr(estimator, name)(rows) for name in names if hasattr(estimator, name)]
    return [np.asarray(each.toarray() if hasattr(each, "toarray") else each) for each in found]


def _alike(expected: NDArray[Any], found: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which rows are alike; None where the two cannot be set side by side."""
    rows = len(expected)
    if expected.size != found.size or not expected.size or len(found) != rows:
        return None
    expected, found = expected.reshape(rows, -1), found.reshape(rows, -1)
    if expected.dtype.kind not in "fiub" or found.dtype.kind not in "fiub":
        return np.asarray((expected.astype(str) == found.astype(str)).all(axis=1))
    wide, narrow = expected.astype(np.float64), found.astype(np.float64)
    if expected.dtype.kind != "f":
        return np.asarray((wide == narrow).all(axis=1))
    known = np.isfinite(wide)
    largest = np.abs(np.where(known, wide, 0)).max(axis=0, keepdims=True)
    near = np.abs(np.where(known, wide - narrow, 0)) <= CLOSE * np.maximum(largest, CLOSE)
    return np.asarray(near.all(axis=1))
