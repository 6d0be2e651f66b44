"""Number formats and their bits: which numbers exist, how a value is rounded to one, how bits are read back.

Everything follows from the bits of the three fields and the bias (IEEE 754-2019, section 3; FP8: Micikevicius
et al. 2022, "FP8 formats for deep learning"; FP4: OCP Microscaling Formats 1.0). Values are taken as exact
fractions, so that each is rounded once.
"""

from coursekit.floats.bit_fields import FIELD_COLOURS, Fields
from coursekit.floats.exact import binary
from coursekit.floats.formats import (
    FORMATS,
    Format,
    all_values,
    decode,
    encode,
    fields,
    fields_of,
    neighbours,
    spacing,
)

__all__ = [
    "FIELD_COLOURS",
    "FORMATS",
    "Fields",
    "Format",
    "all_values",
    "binary",
    "decode",
    "encode",
    "fields",
    "fields_of",
    "neighbours",
    "spacing",
]
