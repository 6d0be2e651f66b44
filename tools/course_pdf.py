"""Print the course into one PDF: the notebooks as they are stored, the glossary. No cell runs, no network.

Sphinx makes one page of them, and the system's Chromium prints it (apt install chromium).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

import chromium
import course_site
import generated
from build_notebooks import Course

OUTPUT = generated.ROOT / "build" / "course.pdf"
GLOSSARY = PurePosixPath("docs", "glossary.md")
FLAGS = ("--headless", *chromium.FLAGS, "--no-pdf-header-footer")
LONGEST_S = 600  # that Chromium may take
TITLE = "# Profiling, quantization and model optimisation"


def lay_out(root: Path, folder: Path) -> None:
    """Write the sources of what is printed into ``folder``: the students' notebooks and the glossary."""
    course_site.lay_out(root, folder)
    course = Course(root)
    printed = [*map(course.relative, course.students()), GLOSSARY]
    for file in set(course_site.files(root)) - set(printed):
        (folder / file).unlink()
    index = course_site.toctree("Contents", printed).replace(":hidden:\n", "")
    (folder / "index.md").write_text(f"{TITLE}\n\n{index}\n", encoding="utf-8")


def build(output: Path = OUTPUT, root: Path = generated.ROOT) -> None:
    """Print the course under ``root`` to ``output``.

    Errors: RuntimeError if there is no Chromium; CalledProcessError or TimeoutExpired if a program fails.
    """
    program = chromium.find()
    if program is None:
        raise RuntimeError("there is no Chromium on this machine: apt install chromium")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source, page = Path(scratch, "source"), Path(scratch, "page")
        lay_out(root, source)
        sphinx = [sys.executable, "-m", "sphinx", "--quiet", "-b", "singlehtml"]
        search = os.pathsep.join([os.fspath(root), os.fspath(generated.ROOT / "tools"), *sys.path])
        # Links to what is not printed lead nowhere here; `make site` has looked at them.
        quiet = ["-D", "suppress_warnings=myst.header,myst.xref_missing"]
        places = ["--doctree-dir", f"{scratch}/.doctrees", source, page]
        subprocess.run(
            [*sphinx, *quiet, *map(str, places)], check=True, env=os.environ | {"PYTHONPATH": search}
        )
        made = Path(scratch, "course.pdf")
        command = [program, *FLAGS, f"--print-to-pdf={made}", (page / "index.html").as_uri()]
        subprocess.run(command, check=True, timeout=LONGEST_S, stderr=subprocess.DEVNULL)
        output.write_bytes(made.read_bytes())


def main(arguments: list[str] | None = None) -> int:
    """Print the course where the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT, help="default: build/course.pdf")
    output = parser.parse_args(arguments).output
    try:
        build(output)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"open {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
