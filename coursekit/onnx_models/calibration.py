"""Batches for static quantization, looked over and handed to ONNX Runtime's calibration."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit.onnx_models.files import real_inputs
from coursekit.onnx_models.running import feeds, input_of

if TYPE_CHECKING:
    import onnx

__all__ = ["Batches"]

Batch = dict[str, NDArray[Any]]


class Batches:
    """Calibration batches as dicts by input name, kept so that they can be read more than once.

    With ``at_once`` batches of different sizes become one: ONNX Runtime's histograms stack what they see.

    Parameters
    ----------
    batches : object
        An iterable of batches, each an array, or a tuple or dict of arrays for several inputs.
    model : ModelProto
        The model that takes them.
    at_once : bool
        Whether batches of different sizes become one.
    """

    def __init__(self, batches: Any, model: "onnx.ModelProto", *, at_once: bool) -> None:
        inputs = [input_of(info) for info in real_inputs(model)]
        given, what = _each(batches)
        # All are looked over before the work begins, and are there again if it has to be done twice.
        self._batches = [feeds(inputs, batch, what) for batch in given]
        if not self._batches:
            raise ValueError("batches holds no batch: calibration needs at least one to see ranges")
        if at_once:
            self._batches = _stackable(self._batches)

    def reader(self) -> "_Reader":
        """Return a new reader of all batches.

        Returns
        -------
        _Reader
            What ONNX Runtime's quantizer reads.
        """
        return _Reader(self._batches)


class _Reader:
    """ONNX Runtime's CalibrationDataReader, without its base class: onnxruntime is imported late."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> Batch | None:
        """Return the next batch, or None after the last."""
        return next(self._batches, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Refuse to read a part: ONNX Runtime asks for it only with an option that is not used here."""
        raise NotImplementedError


def _each(batches: Any) -> tuple[Iterator[Any], str]:
    """Return the batches of an iterable or of a reader, and what to call one of them in a message."""
    if hasattr(batches, "get_next"):
        return _of_reader(batches), "a batch of the reader"
    if isinstance(batches, str | bytes | dict) or not hasattr(batches, "__iter__"):
        got = type(batches).__name__
        raise TypeError(f"batches must be an iterable of arrays or a reader; got {got}")
    return iter(batches), "a batch of batches"


def _of_reader(reader: Any) -> Iterator[Any]:
    while (batch := reader.get_next()) is not None:
        yield batch


def _stackable(batches: list[Batch]) -> list[Batch]:
    """Return batches of one shape: those that differ in their number of rows only become one."""
    shapes = {tuple((name, array.shape) for name, array in batch.items()) for batch in batches}
    if len(shapes) == 1:
        return batches
    if len({tuple((name, shape[1:]) for name, shape in each) for each in shapes}) > 1:
        found = " and ".join(sorted({str(list(shape)) for each in shapes for _, shape in each})[:2])
        raise ValueError(
            f"batches must have one shape but for the number of rows with this method; got {found}: "
            'use method="minmax"'
        )
    return [{name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}]
