"""Colab: its versions, one notebook in an empty folder, coursekit from git. Nothing of Colab's may change."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import generated
import pytest
import students
from environments import ROOT, checkout, create, output, settings_but, versions

HERE = Path(__file__).parent
# The wall that pip puts up when it breaks somebody's pins, or cannot install something.
CONFLICT = re.compile(r"dependency resolver|incompatible|conflict|^ERROR:", re.IGNORECASE | re.MULTILINE)


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """Return the Python of an environment with Colab's versions, in which google.colab has been imported."""
    python = create(tmp_path_factory.mktemp("colab") / "env", "-r", HERE / "colab.txt")
    packages = Path(output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "google" / "colab").mkdir(parents=True)
    (packages / "google" / "colab" / "__init__.py").touch()
    (packages / "colab.pth").write_text("import google.colab\n")
    return python


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Return an environment in which git fetches the course's address from a copy of this checkout."""
    copy = checkout(tmp_path_factory.mktemp("git") / "course")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    output("git", "init", "--quiet", copy)
    output("git", "-C", copy, "add", "--all")
    output("git", "-C", copy, *author, "commit", "--quiet", "--message", "the checkout")
    output("git", "-C", copy, "tag", generated.repository().ref)
    return settings_but("COURSEKIT_", "GIT_") | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{copy.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": generated.repository().url,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COURSEKIT_HOME": str(copy.parent / "results"),
    }


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("notebooks", students.A_FEW_IN_ONE_GO)
def test_every_notebook_runs_alone_in_colab_and_replaces_nothing(colab, settings, tmp_path, notebooks):
    before = versions(colab)
    assert "coursekit" not in before
    results, after = {}, {}
    for path in notebooks:
        folder = tmp_path / path.stem
        folder.mkdir()
        shutil.copy(path, folder)
        command = [sys.executable, ROOT / "tools" / "run_notebooks.py", "--python", colab, folder / path.name]
        made = subprocess.run([*map(str, command)], capture_output=True, text=True, env=settings)
        assert made.stdout, made.stderr
        results[path.name] = json.loads(made.stdout.splitlines()[-1])
        after[path.name] = versions(colab)
        output(colab, "-m", "pip", "check")
        # Each notebook finds Colab as it was: what the one before it installed may not help it.
        output(
            colab, "-m", "pip", "uninstall", "--quiet", "--yes", *(after[path.name].keys() - before.keys())
        )
    assert {name: each["error"] for name, each in results.items() if each["error"]} == {}
    assert {name: each["stderr"] for name, each in results.items() if CONFLICT.search(each["stderr"])} == {}
    assert {name: each["stdout"] for name, each in results.items() if CONFLICT.search(each["stdout"])} == {}
    for name, found in after.items():
        assert "coursekit" in found, name
        assert {package: found.get(package) for package in before} == before, name
