"""What the tests of all checks share: results of their own, and no strict run."""

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)
