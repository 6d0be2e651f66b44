import numpy as np

from coursekit import quantization

LECTURE = [0.35, -1.20, 0.80, -0.50, 1.50, 0.05]


def test_worked_example_of_the_lecture_corrected():
    result = quantization.quantize(LECTURE, symmetric=False)
    assert result.scale == np.float32(2.7 / 255)
    assert result.zero_point == -15
    assert result.q.tolist() == [18, -128, 61, -62, 127, -10]


def test_symmetric_example_of_the_lecture():
    q = quantization.quantize([-0.81, -0.42, -0.05, 0.12, 0.47, 0.79]).q
    assert q.tolist() == [-127, -66, -8, 19, 74, 124]
