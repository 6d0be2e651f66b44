"""What a llama.cpp declares in its header, which changes with its versions: structs and kinds of files.

Source: ggml-org/llama.cpp, include/llama.h.
"""

import re
from typing import Any

__all__ = ["FUNCTIONS", "STRUCTS", "declared"]

STRUCTS = ("llama_model_params", "llama_context_params", "llama_model_quantize_params", "llama_batch")
FUNCTIONS = (
    *("llama_model_load_from_file", "llama_init_from_model", "llama_model_get_vocab", "llama_vocab_n_tokens"),
    *("llama_get_memory", "llama_memory_clear", "llama_batch_init", "llama_decode", "llama_get_logits_ith"),
    *("llama_tokenize", "llama_model_quantize", "llama_model_free"),
)
# Types of fields: what C calls them.
TYPES = {
    **{name: name for name in ("bool", "float", "size_t", "int8_t", "int32_t", "uint32_t")},
    **{name: "int32_t" for name in ("int", "llama_token", "llama_pos", "llama_seq_id")},
}
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
FIELD = re.compile(r"(?:const )?(?:(struct|enum) )?(\w+)((?: ?\*)*) ?(\w+)")
KIND = re.compile(r"\bLLAMA_FTYPE_(?:MOSTLY|ALL)_(\w+)\s*=\s*(\d+)")


def declared(header: str) -> dict[str, Any]:
    """Return what ``engine_worker`` has to know of a llama.cpp.

    Parameters
    ----------
    header : str
        Its llama.h, or a text that repeats it.

    Returns
    -------
    dict
        ``structs``, by name: pairs of a field's name and its type in C; and ``kinds``, numbers by name.

    Raises
    ------
    ValueError
        If it is older than all of ``FUNCTIONS``, or declares what cannot be understood.
    """
    text = COMMENT.sub("", header)
    lacking = [name for name in FUNCTIONS if not re.search(rf"\b{name}\s*\(", text)]
    if lacking:
        raise ValueError(f"its header has no {lacking[0]}")
    kinds = {name: int(number) for name, number in KIND.findall(text)}
    return {"structs": {name: _fields(name, text) for name in STRUCTS}, "kinds": kinds}


def _fields(name: str, text: str) -> list[tuple[str, str]]:
    found = re.search(rf"\bstruct {name}\s*{{([^{{}}]*)}}", text)
    if found is None:
        raise ValueError(f"its header has no struct {name}")
    return [_field(" ".join(line.split())) for line in found[1].split(";") if line.strip()]


def _field(line: str) -> tuple[str, str]:
    """Return the name and the type of a field: pointers to what is not known here are those to ``void``."""
    found = FIELD.fullmatch(line)
    if found is None:
        raise ValueError(f"its header declares a field of another form: {line[:80]}")
    prefix, base, stars, name = found.groups()
    depth = stars.count("*")
    if prefix == "enum":
        kind = "int32_t"
    elif base in TYPES and prefix is None:
        kind = TYPES[base]
    elif depth or base.endswith(("_callback", "_t")):  # llama.cpp's names of pointers
        return name, "void*"
    else:
        raise ValueError(f"its header declares a field of another type: {line[:80]}")
    return name, kind + "*" * depth
