"""While a grader runs students' notebooks: what they solve does not count among the results of who grades."""

import atexit
import os
import shutil
import tempfile
from typing import Any

__all__ = ["Apart"]


class Apart:
    """A plugin of otter-grader, which knows nothing of otter: events that it does not have are left out."""

    def __init__(self, *_given: Any) -> None:
        """Take what otter tells a plugin: the submission, what is known of it, settings."""

    def before_grading(self, _settings: Any) -> None:
        """Give the notebooks that this process runs a folder for their results, which ends with it."""
        folder = tempfile.mkdtemp(prefix="coursekit-graded-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["COURSEKIT_HOME"] = folder
