"""From a shell: ``python -m coursekit.classroom FOLDER`` writes the class page and the scores."""

import argparse
import sys
from pathlib import Path

from coursekit import classroom
from coursekit._core import arguments, files

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """Read a folder of reports, write a page and a CSV file, say what was found; return the exit status.

    Parameters
    ----------
    words : list of str, optional
        The command line; by default the one that Python was started with.

    Returns
    -------
    int
        0, or 1 where nothing could be read or written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m coursekit.classroom", description="Make a class page of the reports in a folder."
    )
    parser.add_argument("folder", help="where the reports were collected; folders in it are searched, too")
    parser.add_argument("--out", default="class.html", help="the page (default: class.html)")
    parser.add_argument("--csv", default="scores.csv", help="the scores (default: scores.csv)")
    parser.add_argument("--title", default="The class", help="what stands on top of the page")
    parser.add_argument("--present", action="store_true", help="large type and no names, for the wall")
    options = parser.parse_args(words)
    try:
        out, scores = arguments.target("--out", options.out), arguments.target("--csv", options.csv)
        found = classroom.read(options.folder)
        if not found.entries and not found.aside:
            raise ValueError(f"there is no report in {options.folder}: reports are the .html files handed in")
        _write(out, classroom.page(found, options.title, present=options.present))
        _write(scores, classroom.scores(found))
    except (ValueError, TypeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        "\n".join(
            [f"{found.summary}: {out}, {scores}", *(f"set aside: {e.file}: {e.why}" for e in found.aside)]
        )
    )
    return 0


def _write(target: Path, text: str) -> None:
    files.replace(target, text.encode())


if __name__ == "__main__":
    sys.exit(main())
