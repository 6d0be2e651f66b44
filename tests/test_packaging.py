"""What is handed out: wheel and source archive, their metadata, licenses and addresses."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import generated
import pytest
from environments import checkout
from toy import ROOT

import coursekit

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILD = "from setuptools.build_meta import build_sdist, build_wheel as w; print(build_sdist('{0}'), w('{0}'))"


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Build both archives from a copy of the checkout; return the names in each, and the wheel's metadata."""
    folder = tmp_path_factory.mktemp("archives")
    copy = checkout(folder / "course")
    command = [sys.executable, "-c", BUILD.format(folder.as_posix())]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(source) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        return inside, names, email.message_from_bytes(opened.read(about)), wheel.stat().st_size


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(archives):
    _, names, _, size = archives
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "coursekit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == package
    assert size < 8e6


def test_the_source_archive_builds_the_package_and_carries_no_half_of_the_tests(archives):
    inside, names, _, _ = archives
    assert {name for name in names if name.startswith("coursekit/")} <= inside
    assert {"pyproject.toml", "README.md", "LICENSE", "LICENSE-docs"} <= inside
    assert not [name for name in inside if name.startswith("tests/") or "conftest" in name]


def test_the_metadata_are_complete_and_those_of_the_citation(archives):
    _, names, about, _ = archives
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert about["Author"] == re.search(r"^  - name: (.+)$", citation, re.M)[1]
    keywords = re.findall(r"^  - (\S.*)$", citation.partition("\nkeywords:\n")[2], re.M)
    assert about["Keywords"].split(",") == keywords
    assert about["License-Expression"] == "MIT AND CC-BY-4.0 AND PSF-2.0"
    assert about.get_all("License-File") == [
        "LICENSE",
        "LICENSE-docs",
        "coursekit/language/shipped/LICENSE-PSF",
    ]
    assert {f"Programming Language :: Python :: 3.{n}" for n in (11, 12, 13)} <= set(
        about.get_all("Classifier")
    )
    urls = dict(line.split(", ") for line in about.get_all("Project-URL"))
    assert set(urls) == {"Repository", "Changelog"}
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", about.get_payload())
    assert pictures
    assert [link for link in pictures if not link.startswith("https://")] == []


def test_the_license_is_the_mit_license_alone_and_the_texts_have_their_own():
    lines = (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "MIT License"
    assert lines[2].startswith("Copyright (c) ")
    assert not any("Creative" in line for line in lines)
    text = (ROOT / "LICENSE-docs").read_text(encoding="utf-8")
    assert "CC-BY-4.0" in text
    assert "*.toml" in text
    assert "Section 8 " in text


def test_badges_and_install_lines_pin_this_version_or_a_commit():
    repo = generated.repository(ROOT)
    assert repo.ref == f"v{coursekit.__version__}" or re.fullmatch(r"[0-9a-f]{40}", repo.ref)
    for path in [ROOT / "README.md", *(ROOT / "notebooks").rglob("*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        opened = re.findall(rf"{re.escape(repo.slug)}(?:\.git)?(?:/blob|@|/v2)?[/@]([\w.-]+)[/?\"\\]", text)
        assert set(opened) <= {repo.ref, "blob"}, path.name
        assert f"{repo.slug}/main" not in text
        assert f"{repo.slug}/blob/main" not in text


def test_the_changelog_names_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(coursekit.__version__)} ", text, re.M)
