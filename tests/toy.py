"""A course of one tiny notebook, for the tests of the tools."""

import shutil
from pathlib import Path

from build_notebooks import Course

ROOT = Path(__file__).resolve().parents[1]
NAME = "01-toy"
TITLE = """\
# %% [markdown]
# # 01 Toy
#
# Time: about 5 minutes.
#
# See [the other](02-other.ipynb), [the guide](../docs/guide.md) and [the answers](solutions/02-other.ipynb).
#
# {{badges}}
"""
SETUP = """
# %% tags=["nbval-ignore-output"]
import sys

if "google.colab" in sys.modules:
    # %pip install -q "onnx<1.23" "{{install}}"
    pass

import os
"""
EXERCISE = """
# %% [markdown]
# ## 1. Double it

# %% tags=["exercise"]
def double(x):
    # solution
    return 2 * x
    # end solution


answer = None
# solution
answer = double(21)
# end solution
"""
OUTPUT = """
# %% slideshow={"slide_type": "subslide"} tags=["shown"]
print("seen on", os.environ["COURSEKIT_DEVICE"])
"""
MASTER = TITLE + SETUP + EXERCISE + OUTPUT


def course(root: Path, text: str = MASTER, name: str = NAME, place: str = "") -> Course:
    """Write a course with one master under ``root``, in the folder ``place`` of its notebooks."""
    source = root / "notebooks" / place / "source"
    source.mkdir(parents=True, exist_ok=True)
    (source / f"{name}.py").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "pyproject.toml", root)
    return Course(root)


def with_address(course: Course, slug: str) -> Course:
    """Give the course's pyproject.toml the repository ``slug``."""
    path = course.root / "pyproject.toml"
    lines = path.read_text(encoding="utf-8").split("\n")
    changed = [
        f'Repository = "https://github.com/{slug}"' if x.startswith("Repository =") else x for x in lines
    ]
    path.write_text("\n".join(changed), encoding="utf-8")
    return course
