"""The language models of the course: the small one, its copy with outliers, and yours in a folder."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coursekit._core import arguments, display, imports
from coursekit.language.tokens import Tokenizer
from coursekit.language.transformer import Config, Transformer

__all__ = [
    "LanguageModel",
    "from_folder",
    "small",
    "text",
    "to_folder",
    "with_outliers",
    "with_weights",
]

SHIPPED = Path(__file__).parent / "shipped"
SMALL = Config(vocab_size=1024, width=256, layers=2, heads=8, kv_heads=4, hidden=512, context=1024)
END = "<|end|>"
TEXTS = ("evaluation", "calibration", "code", "adaptation")
OUTLIERS, FACTOR = 8, 30.0
NO_WEIGHT = "rotary_emb.inv_freq"  # older files keep the speeds of the positions beside the weights
NEEDED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "rms_norm_eps",
)


@dataclass(frozen=True, repr=False)
class LanguageModel(display.Text):
    """A model, and the tokenizer that it was trained with.

    Parameters
    ----------
    name : str
        What pictures and tables call it.
    model : Transformer
        In evaluation mode.
    tokenizer : Tokenizer
        Of the same vocabulary.
    """

    name: str
    model: Transformer
    tokenizer: Tokenizer

    @property
    def parameters(self) -> int:
        """How many numbers it has learned; a tied output layer counts once."""
        return sum(weight.numel() for weight in self.model.parameters())

    def __str__(self) -> str:
        config = self.model.config
        heads = f"{config.heads} heads on {config.kv_heads}"
        return (
            f"{self.name}: {self.parameters / 1e6:,.2f} million parameters, {config.layers} layers of width "
            f"{config.width}, {heads}, {config.vocab_size:,} tokens"
        )


def small() -> LanguageModel:
    """Return the model that ships with the course, trained on the docstrings of Python's standard library.

    Returns
    -------
    LanguageModel
        A new one with every call, so that no cell spoils another's.

    Raises
    ------
    ImportError
        If ``safetensors`` or ``tokenizers`` is not installed.
    """
    safetensors: Any = imports.need("safetensors.torch", "language")
    weights = safetensors.load_file(SHIPPED / "small.safetensors")
    model = with_weights(SMALL, {name: weight.float() for name, weight in weights.items()})
    return LanguageModel("small", model, Tokenizer.from_file(SHIPPED / "tokenizer.json", END))


def text(name: str = "evaluation") -> str:
    """Return a text that ships with the course and that the small model was not trained on.

    Parameters
    ----------
    name : {"evaluation", "calibration", "code", "adaptation"}
        Docstrings to measure on, other docstrings to calibrate on, source code to measure on, or source code
        of other modules to adapt a model to.

    Returns
    -------
    str
        75,000 to 150,000 characters. The licence is Python's.
    """
    return (SHIPPED / f"{arguments.choice('name', name, TEXTS)}.txt").read_text(encoding="utf-8")


@torch.no_grad()
def with_outliers(
    language: LanguageModel, channels: int = OUTLIERS, factor: float = FACTOR, seed: int = 0
) -> LanguageModel:
    """Return a copy that computes the same and has what large models have: channels of large activations.

    A norm's weight is multiplied by ``factor`` in some channels, and the columns that read these channels are
    divided by it.

    Parameters
    ----------
    language : LanguageModel
        The original; it stays as it is.
    channels : int, optional
        How many, in every norm before a layer.
    factor : float, optional
        By how much they stand out.
    seed : int, optional
        Which ones.

    Returns
    -------
    LanguageModel
        The copy.

    Raises
    ------
    ValueError
        For more channels than the model has.
    """
    original = arguments.instance("language", language, LanguageModel).model
    channels = arguments.integer("channels", channels, 0, original.config.width)
    factor = arguments.positive("factor", factor)
    weights = {name: weight.clone() for name, weight in original.state_dict().items()}
    model = with_weights(original.config, weights)
    draw = torch.Generator().manual_seed(arguments.integer("seed", seed, 0))
    for block in model.blocks:
        attention, forward = block.self_attn, block.mlp
        for norm, readers in (
            (block.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
            (block.post_attention_layernorm, (forward.gate_proj, forward.up_proj)),
        ):
            chosen = torch.randperm(original.config.width, generator=draw)[:channels]
            norm.weight[chosen] *= factor
            for reader in readers:
                reader.weight[:, chosen] /= factor
    return replace(language, name=f"{language.name}, with outliers", model=model)


def with_weights(config: Config, weights: dict[str, Tensor]) -> Transformer:
    """Return a model that holds these very tensors: a second copy would double the memory.

    Parameters
    ----------
    config : Config
        Of the model.
    weights : dict of str to Tensor
        By the names of its ``state_dict``.

    Returns
    -------
    Transformer
        In evaluation mode.

    Raises
    ------
    RuntimeError
        If names or shapes are not the model's.
    """
    with torch.device("meta"):
        model = Transformer(config, seed=None)
    model.load_state_dict(weights, assign=True)
    return model.eval().requires_grad_(True)


@torch.no_grad()
def from_folder(folder: str | Path, name: str | None = None) -> LanguageModel:
    """Return the model of a folder in Hugging Face's layout: config.json, *.safetensors, tokenizer.json.

    Parameters
    ----------
    folder : path
        Of a model of type llama, qwen2 or mistral, without scaled rotary positions.
    name : str, optional
        What to call it; by default the folder's name.

    Returns
    -------
    LanguageModel
        In FP32, whatever the files hold.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, or the model has parts that this one has not.
    ImportError
        If ``safetensors`` or ``tokenizers`` is not installed.
    """
    folder = arguments.place("folder", folder)
    name = folder.absolute().name if name is None else arguments.label("name", name)
    safetensors: Any = imports.need("safetensors.torch", "language")
    files = _weight_files(folder)
    if not (folder / "config.json").is_file() or not files:
        raise FileNotFoundError(f"folder {folder} must hold config.json, *.safetensors and tokenizer.json")
    said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = _folder_config(said)
    found: dict[str, Tensor] = {}
    for file in files:
        found |= {
            key.removeprefix("model."): weight.float()
            for key, weight in safetensors.load_file(file).items()
            if not key.endswith(NO_WEIGHT)
        }
    if config.tied:
        found.pop("lm_head.weight", None)
    try:
        model = with_weights(config, found)
    except RuntimeError as error:
        raise ValueError(f"{folder}'s weights are not those of its config.json: {error}") from error
    end = said.get("eos_token_id")
    tokenizer = Tokenizer.from_file(folder / "tokenizer.json")
    tokenizer.end = next(iter(end), None) if isinstance(end, list) else end
    return LanguageModel(name, model, tokenizer)


def _weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the model: some folders hold it a second time, under other names."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        return [single]
    if index.is_file():
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if missing := sorted(name for name in named if not (folder / name).is_file()):
            raise FileNotFoundError(f"{folder} lacks {missing[0]}, which its {index.name} names")
        return sorted(folder / name for name in named)
    return sorted(folder.glob("*.safetensors"))


def _folder_config(said: dict[str, Any]) -> Config:
    kind = said.get("model_type")
    if kind not in ("llama", "qwen2", "mistral"):
        raise ValueError(f"model_type must be llama, qwen2 or mistral; got {kind!r}")
    rope = said.get("rope_parameters") or said.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ValueError(f"this model turns all positions at constant speed; got {rope}")
    if said.get("use_sliding_window") or (kind == "mistral" and said.get("sliding_window")):
        raise ValueError("this model looks at all tokens before; got one with a sliding window")
    if said.get("hidden_act", "silu") != "silu" or said.get("mlp_bias"):
        raise ValueError("hidden_act must be silu, without biases in the feed-forward part")
    if missing := [name for name in NEEDED if name not in said]:
        raise ValueError(f"config.json must say {', '.join(missing)}")
    return Config(
        vocab_size=said["vocab_size"],
        width=said["hidden_size"],
        layers=said["num_hidden_layers"],
        heads=said["num_attention_heads"],
        kv_heads=said.get("num_key_value_heads") or said["num_attention_heads"],
        hidden=said["intermediate_size"],
        context=said["max_position_embeddings"],
        rope_base=rope.get("rope_theta", said.get("rope_theta", 10_000.0)),
        norm_eps=said["rms_norm_eps"],
        head_dim=said.get("head_dim"),
        qkv_bias=kind == "qwen2" or bool(said.get("attention_bias")),
        tied=bool(said.get("tie_word_embeddings")),
    )


def to_folder(language: LanguageModel, folder: str | Path) -> Path:
    """Write a model in Hugging Face's layout, which ``transformers`` and many other programs read.

    Parameters
    ----------
    language : LanguageModel
        The model.
    folder : path
        A new folder, or an empty one.

    Returns
    -------
    Path
        The folder, with config.json, model.safetensors and tokenizer.json in FP32.

    Raises
    ------
    FileExistsError
        If there is something in the folder, or a file in its place.
    """
    language, folder = (
        arguments.instance("language", language, LanguageModel),
        arguments.place("folder", folder),
    )
    safetensors: Any = imports.need("safetensors.torch", "language")
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"folder must be a new or an empty one; {folder} is no folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    config = language.model.config
    said = {
        "architectures": ["Qwen2ForCausalLM" if config.qkv_bias else "LlamaForCausalLM"],
        "model_type": "qwen2" if config.qkv_bias else "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.context,
        "rope_theta": config.rope_base,
        "rms_norm_eps": config.norm_eps,
        "head_dim": config.per_head,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tied,
        "eos_token_id": language.tokenizer.end,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    weights = {
        name if name == "lm_head.weight" else f"model.{name}": weight.detach().float().contiguous()
        for name, weight in language.model.state_dict().items()
    }
    safetensors.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    language.tokenizer.save(folder / "tokenizer.json")
    return folder
