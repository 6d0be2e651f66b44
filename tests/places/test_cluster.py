"""Notebook F's Ray Serve: all requests are answered, and nothing is left."""

import numpy as np
import psutil
import pytest
import torch

from coursekit import data, deployment, models, onnx_models

pytestmark = [pytest.mark.long, pytest.mark.extra]  # half a minute, and a package of 470 MB


def test_ray_serve_answers_all_and_leaves_nothing(tmp_path):
    pytest.importorskip("ray", reason="needs Ray Serve")
    file = tmp_path / "model.onnx"
    onnx_models.export(models.mlp((64, 16, 10)), file, torch.zeros(2, 64))
    before = {process.pid for process in psutil.process_iter()}
    found = deployment.cluster(file, np.resize(data.digits().test.x, (500, 64)), [(2, 8)])
    assert (found.killed.right, found.killed.requests) == (500, 500)
    assert found.killed.again > 0
    assert found.rows[0].right == 500
    left = [process for process in psutil.process_iter() if process.pid not in before]
    assert not [process for process in left if "ray" in " ".join(process.cmdline()).lower()]
