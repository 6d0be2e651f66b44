"""From scikit-learn to ONNX."""

from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit._core import arguments
from coursekit.onnx_models.files import OnnxFile, described, replacing, shortened, target_path, write
from coursekit.onnx_models.naming import name_rows
from coursekit.onnx_models.outcomes import need_loadable, reason
from coursekit.onnx_models.packages import need, quiet
from coursekit.onnx_models.probing import need_same_rows
from coursekit.onnx_models.unseen import tell_fractions

if TYPE_CHECKING:
    import onnx

__all__ = ["export_sklearn"]

OPSETS = {"": 18, "ai.onnx.ml": 3}


def export_sklearn(estimator: Any, path: Any, features: int) -> OnnxFile:
    """Write a fitted scikit-learn estimator as one ONNX file for float32 rows of numbers.

    Parameters
    ----------
    estimator : sklearn.base.BaseEstimator
        Fitted to rows of numbers. A classifier's file answers with labels [n] and with probabilities
        [n, classes] as an array (LinearSVC and others that have none: with scores); skl2onnx's ZipMap, which
        would make a list of dicts, is off.
    path : path
        Where to write; replaced in one step, once ONNX Runtime has loaded the new file.
    features : int
        How many numbers a row has.

    Returns
    -------
    OnnxFile
        What came out.

    Raises
    ------
    TypeError
        For what is not an estimator.
    ValueError
        Where it is not fitted, takes text or named columns or another number of features, where skl2onnx does
        not know its kind, or where ONNX Runtime cannot load what skl2onnx makes of it, or answers otherwise
        than the estimator does on rows of fractions, whole numbers and categories.

    """
    need("skl2onnx")
    from sklearn.base import BaseEstimator

    if not isinstance(estimator, BaseEstimator):
        raise TypeError(f"estimator must be a fitted scikit-learn estimator; got {type(estimator).__name__}")
    target = target_path("path", path)
    count = arguments.integer("features", features, 1)
    _need_features(estimator, count)
    name = type(estimator).__name__
    try:
        proto = _by_skl2onnx(estimator, count)
        tell_fractions(proto)
        name_rows(proto)
        with replacing(target) as temporary:
            write(proto, temporary)
            session = need_loadable(temporary, "skl2onnx wrote a damaged file")
            need_same_rows(session, estimator, count)
            made = described(temporary, target)
    except (ImportError, OSError):
        raise
    except Exception as error:  # skl2onnx, onnx and numpy raise dozens of kinds here
        why = (
            _not_numbers(estimator, count)
            or f"{reason(error)} Is it fitted, and does skl2onnx know its kind?"
        )
        raise ValueError(shortened(f"{name} cannot be exported: {why}")) from error
    return made


def _need_features(estimator: Any, count: int) -> None:
    expected = getattr(estimator, "n_features_in_", None)
    if expected is not None and count != expected:
        raise ValueError(f"features must be {expected}, as the estimator was fitted with; got {count}")


def _not_numbers(estimator: Any, features: int) -> str:
    """Return why scikit-learn itself does not take rows of so many numbers, or nothing."""
    from sklearn.exceptions import NotFittedError

    call = getattr(estimator, "predict", None) or getattr(estimator, "transform", None)
    try:
        with quiet():
            call(np.zeros((1, features), np.float32)) if call else None
    except NotFittedError:
        return ""
    except Exception as error:
        return f"it does not take rows of {features} numbers ({reason(error)})"
    return ""


def _by_skl2onnx(estimator: Any, features: int) -> "onnx.ModelProto":
    skl2onnx = need("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.base import is_classifier

    with quiet():
        return skl2onnx.to_onnx(
            estimator,
            initial_types=[("x", FloatTensorType([None, features]))],
            options=_zipmap_off(estimator) if is_classifier(estimator) else None,
            target_opset=OPSETS,
        )


def _zipmap_off(classifier: Any) -> dict[int, dict[str, bool]]:
    """Return skl2onnx's options that switch ZipMap off.

    LinearSVC alone has none, and refuses the very option. It must then be named, with nothing to set: else a
    pipeline around it hands its own options on.
    """
    from sklearn.svm import LinearSVC

    chain = [classifier]
    while (inner := _answering(chain[-1])) is not None:
        chain.append(inner)
    if isinstance(chain[-1], LinearSVC):
        return {id(each): {} for each in chain}
    return {id(classifier): {"zipmap": False}}


def _answering(estimator: Any) -> Any:
    """Return the estimator inside this one that answers in its place: a pipeline's last, a search's best."""
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else getattr(estimator, "best_estimator_", None)
