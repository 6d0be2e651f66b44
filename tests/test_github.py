"""What only GitHub reads: valid by its own schemas, and true of this repository."""

import re
import subprocess
import sys

import pytest
from toy import ROOT

import coursekit

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [GITHUB / "ISSUE_TEMPLATE" / "cell-failed.yml"]
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "github-issue-forms": FORMS,
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "citation-file-format": [ROOT / "CITATION.cff"],
}


def validate(schema, *paths):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    kind = ["--default-filetype", "yaml"]
    return subprocess.run([*command, *kind, *map(str, paths)], capture_output=True, text=True)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_keep_githubs_schemas(schema):
    assert SCHEMAS[schema]
    made = validate(schema, *SCHEMAS[schema])
    assert made.returncode == 0, made.stdout


def test_a_typo_in_a_workflow_is_found(tmp_path):
    text = (GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8")
    broken = tmp_path / "tests.yml"
    broken.write_text(text.replace("runs-on:", "run-on:", 1), encoding="utf-8")
    assert validate("github-workflows", broken).returncode


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_name_targets_and_files_that_exist(path):
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {word for line in re.findall(r"run: make ([a-z ]+)", text) for word in line.split()}
    assert named <= targets
    files = re.findall(r"(?:-r|--constraint|cache-dependency-path:) ([\w./-]+\.txt)", text)
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    "path", [GITHUB / "workflows" / "tests.yml", ROOT / ".ci" / "run"], ids=lambda p: p.name
)
def test_no_place_may_be_skipped_where_nobody_looks(path):
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^ *(?:export )?COURSEKIT_PLACES(?:: |=)required$", text, re.M)
    # What is marked long, GitHub repeats; nothing may be left out there.
    short = "" if path.suffix == ".yml" else "(?: SHORT=1)?"
    assert re.search(rf"\bmake (?:[a-z]+ )*places{short}$", text, re.M)


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", text, re.M)[1] == coursekit.__version__


def test_the_report_of_a_failed_cell_asks_for_the_machine():
    text = (GITHUB / "ISSUE_TEMPLATE" / "cell-failed.yml").read_text(encoding="utf-8")
    statement = re.search(
        r"^ +(from coursekit import runtime)\n +(print\(runtime\.describe\(\)\))$", text, re.M
    )
    made = subprocess.run(
        [sys.executable, "-c", "\n".join(statement.groups())], capture_output=True, text=True
    )
    assert "CPU" in made.stdout
    assert "versions" in made.stdout
