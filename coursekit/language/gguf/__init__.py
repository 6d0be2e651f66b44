"""GGUF, the file format of llama.cpp: its blocks decoded and encoded, its files read and written."""

from coursekit.language.gguf.anatomy import FIELDS, Part, Reading, parts, read
from coursekit.language.gguf.formats import FORMATS, WRITABLE, BlockFormat, decode, encode, named
from coursekit.language.gguf.reading import GGUFFile
from coursekit.language.gguf.writing import write

__all__ = [
    "FIELDS",
    "FORMATS",
    "WRITABLE",
    "BlockFormat",
    "GGUFFile",
    "Part",
    "Reading",
    "decode",
    "encode",
    "named",
    "parts",
    "read",
    "write",
]
