"""Binder: what repo2docker would build, read from the Dockerfile that it writes without Docker."""

import re
import subprocess
import sys

import generated
import pytest
from environments import ROOT, checkout


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory):
    """Return the steps of the Dockerfile for a copy of this checkout, comments left out."""
    pytest.importorskip("repo2docker", reason="needs jupyter-repo2docker: make places")
    copy = checkout(tmp_path_factory.mktemp("binder") / "course")
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(copy)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return [line for line in (made.stdout + made.stderr).splitlines() if not line.lstrip().startswith("#")]


def place(lines, pattern):
    found = [number for number, line in enumerate(lines) if re.search(pattern, line)]
    assert found, f"no line matches {pattern!r}"
    return found[-1]


def test_it_takes_our_python_and_installs_the_course_from_the_repository(dockerfile):
    wanted = (
        (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8").strip().replace("python-", "python=")
    )
    assert any(wanted in line for line in dockerfile)
    installed = place(dockerfile, r'pip install .*-r "?binder/requirements\.txt')
    # The last line of binder/requirements.txt is the repository itself: it must be there, and we in it.
    assert place(dockerfile, r"^COPY .*src/ \$\{REPO_DIR\}/?$") < installed
    assert place(dockerfile[:installed], r"^WORKDIR \$\{REPO_DIR\}") < installed
    assert not any("environment.yml" in line and "-f" in line for line in dockerfile[installed:])


def test_the_badge_opens_jupyterlab_on_its_notebook():
    link = generated.repository().binder("notebooks/01-floating-point-basics.ipynb")
    assert link.endswith("?urlpath=lab/tree/notebooks/01-floating-point-basics.ipynb")
    assert (ROOT / "notebooks" / "01-floating-point-basics.ipynb").is_file()
