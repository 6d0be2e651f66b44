"""Tests of the places where people open the course: each makes its own environment and takes minutes.

Where something is missing (a browser, namespaces, packages), a test of a place skips.
``COURSEKIT_PLACES=required`` makes that a failure, so that continuous integration cannot be green for having
tried nothing.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in this folder: `make test` leaves it out, `make places` runs it."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.places)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Judge a module that skips as a whole."""
    return judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Judge a test, or a fixture, that skips."""
    return judged((yield))


def judged(report: Any) -> Any:
    """Return the report, as a failure that says what is missing if it is a skip and none is allowed."""
    if report.skipped and os.environ.get("COURSEKIT_PLACES") == "required":
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"COURSEKIT_PLACES=required, and this place cannot be tried here. {why}"
    return report
