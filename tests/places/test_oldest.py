"""The oldest releases that pyproject.toml admits, ipywidgets 7.7.1 among them."""

from pathlib import Path

import pytest
from environments import ROOT, create, output, settings_but, versions
from packaging.utils import canonicalize_name

OLDEST = Path(__file__).parent / "oldest.txt"
# What leans on other packages most. The whole suite meets this set every week: .github/workflows/weekly.yml.
SUITES = (
    ("tests/widgets", "-k", "rules"),
    ("tests/widgets/test_panel.py", "tests/test_onnx_models.py", "tests/core/test_log.py"),
)


@pytest.mark.timeout(1500)
def test_panels_files_and_quantization_with_the_oldest_set(tmp_path):
    python = create(tmp_path / "env", "--constraint", OLDEST, "--editable", f"{ROOT}[notebooks,test]")
    pins = (line.split("==") for line in OLDEST.read_text(encoding="utf-8").splitlines() if "==" in line)
    wanted = {canonicalize_name(name): version for name, version in pins}
    found = versions(python)
    assert {name: found[name].partition("+")[0] for name in wanted} == wanted
    for suite in SUITES:
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suite]
        assert " passed" in output(*tests, cwd=ROOT, env=settings_but("PYTEST_", "COURSEKIT_"))
