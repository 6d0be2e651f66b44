"""What one more token of a language model takes: its arithmetic, and the bytes that have to move for it."""

from typing import TYPE_CHECKING

from coursekit._core import arguments
from coursekit.timing.roofline.measuring import BYTES, Work

if TYPE_CHECKING:
    from coursekit.language import Config

__all__ = ["next_token"]


def next_token(config: "Config", context: int, precision: str = "fp32", *, cache: bool = True) -> Work:
    """Return the work of the token after ``context`` others, for one text.

    Every weight is read once, whatever the context. With a cache of keys and values one token goes through
    the model and the others' keys and values are read; without, all of them go through it again. What else
    is read and written is left out: it is little beside the weights.

    Parameters
    ----------
    config : language.Config
        The sizes of the model.
    context : int
        Tokens so far, the one last drawn included.
    precision : str, optional
        What weights and cache are kept in.
    cache : bool, optional
        Whether keys and values of the tokens before are kept.

    Returns
    -------
    Work
        FLOP and bytes. The output layer counts for the last token only, though a model that is asked for all
        logits computes it for all.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no ``language.Config``, a context below 1 or an unknown precision.
    """
    from coursekit.language import Config

    config, context = arguments.instance("config", config, Config), arguments.size("context", context)
    cache = arguments.flag("cache", cache)
    width, _ = BYTES[arguments.choice("precision", precision, BYTES)]
    inner, shared = config.heads * config.per_head, config.kv_heads * config.per_head
    layer = 2 * config.width * (inner + shared) + 3 * config.width * config.hidden
    head = config.width * config.vocab_size
    through = 1 if cache else context
    pairs = context if cache else context * (context + 1) // 2  # of a token and one that it looks at
    flop = 2 * (through * config.layers * layer + head + 2 * config.layers * inner * pairs)
    kept = 2 * config.layers * shared * context if cache else 0
    return Work(flop=flop, nbytes=width * (config.layers * layer + head + kept))
