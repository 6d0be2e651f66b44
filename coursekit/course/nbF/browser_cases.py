"""What notebook F hands out: runtimes to choose from, and the pictures of a page that disagrees."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LEVELS", "OFFERS", "SIDE", "colleagues_page"]

SIDE, LEVELS = 8, 16
# Runtime, bytes with the model, seconds to the first answer, seconds per answer: rounded.
OFFERS = (
    ("ONNX Runtime in Python", 64_000_000, 0.28, 8e-6),
    ("ONNX Runtime in C", 29_000_000, 0.04, 3e-6),
    ("ONNX Runtime in Node", 46_000_000, 0.2, 15e-6),
    ("ONNX Runtime in a browser", 14_000_000, 0.9, 50e-6),
    ("OpenVINO in Python", 183_000_000, 0.45, 31e-6),
)


def colleagues_page(pictures: ArrayLike) -> NDArray[np.float32]:
    """Return what a colleague's web page hands to the network for these pictures.

    Parameters
    ----------
    pictures : array_like
        From 0 to 1, [n, 64].

    Returns
    -------
    ndarray
        float32 [n, 64].
    """
    squares = np.asarray(pictures, np.float32).reshape(-1, SIDE, SIDE)
    return LEVELS * squares.transpose(0, 2, 1).reshape(-1, SIDE * SIDE)
