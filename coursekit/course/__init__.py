"""Our own course, one folder per notebook: ``checks.py``, ``claims.toml`` and ``quiz.toml``."""

__all__: list[str] = []
