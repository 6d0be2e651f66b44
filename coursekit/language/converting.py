"""A model as a GGUF file, and back: llama.cpp's names, and its order of the rows that positions turn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coursekit._core import arguments
from coursekit.language.gguf.formats import WRITABLE
from coursekit.language.gguf.reading import GGUFFile
from coursekit.language.gguf.writing import write
from coursekit.language.loading import LanguageModel, with_weights
from coursekit.language.tokens import CUTS, Tokenizer
from coursekit.language.transformer import Config

__all__ = ["GGUF_NAMES", "from_gguf", "gguf_names", "neighbours_paired", "to_gguf"]

USUAL_CUT = "smollm"  # of files that do not say
NORMAL, SPECIAL = 1, 3  # ggml's types of a token: one of the text, and one that text is never cut into
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K": 14, "Q6_K": 18, "BF16": 32}
QUANTIZATION_VERSION = 2
MOST_OF_A_REASON = 200  # characters of what another library says
# What GGUF calls the parts of a block, and what Hugging Face does.
GGUF_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def gguf_names(config: Config) -> dict[str, str]:
    """Return what GGUF calls the weights of a model.

    Parameters
    ----------
    config : Config
        Of the model.

    Returns
    -------
    dict of str to str
        Our name to GGUF's.
    """
    names = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
    if not config.tied:
        names["lm_head.weight"] = "output.weight"
    for number in range(config.layers):
        names |= {
            f"layers.{number}.{ours}.weight": f"blk.{number}.{theirs}.weight"
            for theirs, ours in GGUF_NAMES.items()
        }
    return names


@torch.no_grad()
def to_gguf(language: LanguageModel, path: str | Path, format: str = "F32") -> Path:
    """Write a model as a GGUF file of LLaMA's architecture, which llama.cpp and all that build on it read.

    Parameters
    ----------
    language : LanguageModel
        The model: without biases, with a byte-level BPE tokenizer.
    path : path
        A new file, or a regular one that is replaced once the new one is whole.
    format : {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"}
        Of the matrices; norms stay F32.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TypeError, ValueError
        For another format, one whose blocks do not divide the rows, a model or a tokenizer that the file
        cannot hold, and for a path where something else stands.
    OSError
        If it cannot be written.
    """
    language = arguments.instance("language", language, LanguageModel)
    format, config = arguments.choice("format", format, WRITABLE), language.model.config
    if config.qkv_bias:
        raise ValueError("the model must have no biases; llama.cpp's architecture llama has none")
    weights, tensors = language.model.state_dict(), {}
    for ours, theirs in gguf_names(config).items():
        weight = weights[ours].detach().float().cpu()
        if heads := _turned(ours, config):
            weight = neighbours_paired(weight, heads)
        tensors[theirs] = weight.numpy(), format if weight.dim() == 2 else "F32"
    return write(path, _metadata(language, format), tensors)


def neighbours_paired(weight: Tensor, heads: int) -> Tensor:
    """Return a query or key matrix with the rows of each head in llama.cpp's order.

    llama.cpp turns neighbours as a pair, Hugging Face a row of the first half with one of the second.

    Parameters
    ----------
    weight : Tensor
        [heads * head_dim, in].
    heads : int
        Of the matrix.

    Returns
    -------
    Tensor
        Of the same shape.
    """
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


@torch.no_grad()
def from_gguf(path: str | Path, name: str | None = None, context: int | None = None) -> LanguageModel:
    """Return the model of a GGUF file of LLaMA's architecture, dequantized to FP32.

    Parameters
    ----------
    path : path
        The file, in any of ``language.gguf.FORMATS``.
    name : str, optional
        What to call it; by default what the file does.
    context : int, optional
        Tokens that it reads at once, if fewer than the file says.

    Returns
    -------
    LanguageModel
        The model with its tokenizer.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds another architecture, tokenizer or format.
    ImportError
        If ``tokenizers`` is not installed.
    """
    file = GGUFFile(path)
    about = _About(file)
    named = str(about.get("general.name", file.path.stem)) if name is None else arguments.label("name", name)
    _only_llama(file)
    try:
        config = _config(about, context)
    except TypeError as error:
        raise ValueError(f"{file.path.name} says what no model is: {error}") from error
    names = gguf_names(config)
    if others := file.formats.keys() - {*names.values()}:
        raise ValueError(
            f"{file.path.name} has parts that this model has not: {', '.join(sorted(others)[:3])}"
        )
    weights = {ours: torch.from_numpy(file.tensor(theirs)) for ours, theirs in names.items()}
    for ours, weight in weights.items():
        if (heads := _turned(ours, config)) and weight.dim() == 2 and not len(weight) % (2 * heads):
            weights[ours] = _halves_paired(weight, heads)
    try:
        model = with_weights(config, weights)
    except RuntimeError as error:
        shapes = " ".join(str(error).split())[:MOST_OF_A_REASON]
        raise ValueError(f"{file.path.name} has weights of other shapes than it says: {shapes}") from error
    return LanguageModel(named, model, _tokenizer(about))


def _turned(name: str, config: Config) -> int:
    """Return how many heads a matrix has whose rows are turned by positions, 0 for any other."""
    return config.heads if "q_proj" in name else config.kv_heads if "k_proj" in name else 0


def _halves_paired(weight: Tensor, heads: int) -> Tensor:
    """Return a query or key matrix with the rows of each head in Hugging Face's order."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def _metadata(language: LanguageModel, format: str) -> dict[str, Any]:
    config, parts = language.model.config, language.tokenizer.taken_apart()
    if len(parts.tokens) != config.vocab_size:
        raise ValueError(f"the tokenizer has {len(parts.tokens)} tokens, the model {config.vocab_size}")
    begin, end = language.tokenizer.begin, language.tokenizer.end
    ends = {"bos": end if begin is None else begin, "eos": end}
    kinds = [SPECIAL if number in parts.special else NORMAL for number in range(len(parts.tokens))]
    return {
        "general.architecture": "llama",
        "general.name": language.name,
        "general.file_type": FILE_TYPES[format],
        "general.quantization_version": QUANTIZATION_VERSION,
        "llama.vocab_size": config.vocab_size,
        "llama.context_length": config.context,
        "llama.embedding_length": config.width,
        "llama.block_count": config.layers,
        "llama.feed_forward_length": config.hidden,
        "llama.attention.head_count": config.heads,
        "llama.attention.head_count_kv": config.kv_heads,
        "llama.attention.key_length": config.per_head,
        "llama.attention.value_length": config.per_head,
        "llama.rope.dimension_count": config.per_head,
        "llama.rope.freq_base": config.rope_base,
        "llama.attention.layer_norm_rms_epsilon": config.norm_eps,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": parts.cut,
        "tokenizer.ggml.tokens": list(parts.tokens),
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": list(parts.merges),
        "tokenizer.ggml.add_bos_token": begin is not None,
        **{f"tokenizer.ggml.{name}_token_id": token for name, token in ends.items() if token is not None},
    }


class _About:
    """What a file says, asked for by name: it may lack anything, or say it in another type."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file
        self.said: Mapping[str, Any] = file.metadata

    def get(self, name: str, otherwise: Any) -> Any:
        """Return what it says, or ``otherwise``."""
        return self.said.get(name, otherwise)

    def wanted(self, name: str) -> Any:
        """Return what it says, or refuse the file."""
        if name not in self.said:
            raise ValueError(f"{self.file.path.name} does not say its {name}")
        return self.said[name]

    def listed(self, name: str, kind: type) -> list[Any]:
        """Return a list of ``kind``, or refuse the file."""
        found = self.wanted(name)
        if not isinstance(found, list) or not all(type(each) is kind for each in found):
            raise ValueError(f"{self.file.path.name} must list its {name} as {kind.__name__}")
        return found


def _only_llama(file: GGUFFile) -> None:
    about, name = file.metadata, file.path.name
    if about.get("general.architecture") != "llama" or about.get("tokenizer.ggml.model") != "gpt2":
        kinds = f"{about.get('general.architecture')} with {about.get('tokenizer.ggml.model')} tokens"
        raise ValueError(f"{name} must hold a llama model with gpt2 tokens; got {kinds}")
    if about.get("tokenizer.ggml.pre", USUAL_CUT) not in (*CUTS,):
        cut = arguments.shown(about["tokenizer.ggml.pre"])
        raise ValueError(f"{name} must cut text as {' or '.join(CUTS)}; got {cut}")
    if about.get("llama.rope.scaling.type", "none") != "none":
        raise ValueError(f"this model turns all positions at constant speed; {name} scales them")


def _config(about: _About, context: int | None) -> Config:
    most = about.wanted("llama.context_length")
    layers = about.wanted("llama.block_count")
    if layers > len(about.file.formats):  # asked for by name, each of them
        raise ValueError(f"{about.file.path.name} cannot hold {layers:,} layers")
    heads = about.wanted("llama.attention.head_count")
    return Config(
        vocab_size=len(about.listed("tokenizer.ggml.tokens", str)),
        width=about.wanted("llama.embedding_length"),
        layers=layers,
        heads=heads,
        kv_heads=about.get("llama.attention.head_count_kv", heads),
        hidden=about.wanted("llama.feed_forward_length"),
        context=most if context is None else min(most, arguments.size("context", context)),
        rope_base=_as_written(about.get("llama.rope.freq_base", 10_000.0)),
        norm_eps=_as_written(about.wanted("llama.attention.layer_norm_rms_epsilon")),
        head_dim=about.get("llama.attention.key_length", None),
        tied="output.weight" not in about.file.formats,
    )


def _as_written(value: Any) -> Any:
    """Return the shortest number that is this one in 32 bits: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _tokenizer(about: _About) -> Tokenizer:
    tokens = about.listed("tokenizer.ggml.tokens", str)
    types = about.listed("tokenizer.ggml.token_type", int)
    end = about.wanted("tokenizer.ggml.eos_token_id")
    if len(types) != len(tokens) or type(end) is not int or not 0 <= end < len(tokens):
        raise ValueError(f"{about.file.path.name} does not say what each of its {len(tokens):,} tokens is")
    try:
        return Tokenizer.from_merges(
            tokens,
            about.listed("tokenizer.ggml.merges", str),
            end=end,
            special=[number for number, kind in enumerate(types) if kind == SPECIAL],
            digits=CUTS[about.get("tokenizer.ggml.pre", USUAL_CUT)],
        )
    except ImportError:
        raise
    except Exception as error:  # the library raises bare Exceptions
        why = " ".join(str(error).split())[:MOST_OF_A_REASON]
        raise ValueError(f"{about.file.path.name} has merges that fit no tokens: {why}") from error
