"""Language models small enough for a notebook: how they are built, measured, run and trained.

Tokens are int64 [batch, n]; logits are float32 [batch, n, vocab_size], about the token after each one.
"""

from coursekit.language import gguf
from coursekit.language.converting import from_gguf, to_gguf
from coursekit.language.engines import Engine, EngineModel, llama_cpp
from coursekit.language.generating import (
    Speculation,
    Trigrams,
    accepts,
    expected_tokens,
    generate,
    leftover,
    shares,
    speculate,
)
from coursekit.language.gguf import GGUFFile
from coursekit.language.loading import (
    LanguageModel,
    from_folder,
    small,
    text,
    to_folder,
    with_outliers,
)
from coursekit.language.quality import (
    Distance,
    Loss,
    Reference,
    bits_per_character,
    losses,
    perplexity,
    windows,
)
from coursekit.language.smollm import REAL_PACKAGE, has_real, real, real_file
from coursekit.language.tokens import Tokenizer
from coursekit.language.training import Recipe, Trainer
from coursekit.language.transformer import Config, KVCache, Transformer

__all__ = [
    "REAL_PACKAGE",
    "Config",
    "Distance",
    "Engine",
    "EngineModel",
    "GGUFFile",
    "KVCache",
    "LanguageModel",
    "Loss",
    "Recipe",
    "Reference",
    "Speculation",
    "Tokenizer",
    "Trainer",
    "Transformer",
    "Trigrams",
    "accepts",
    "bits_per_character",
    "expected_tokens",
    "from_folder",
    "from_gguf",
    "generate",
    "gguf",
    "has_real",
    "leftover",
    "llama_cpp",
    "losses",
    "perplexity",
    "real",
    "real_file",
    "shares",
    "small",
    "speculate",
    "text",
    "to_folder",
    "to_gguf",
    "windows",
    "with_outliers",
]
