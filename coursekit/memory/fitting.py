"""What a model needs in one setting, part by part, and whether a device has it."""

from dataclasses import dataclass

from coursekit._core import display
from coursekit.memory.architectures import Device, Model

__all__ = ["CHUNK", "Fit", "Need", "at_once"]

CHUNK = 512  # tokens of a prompt that are worked on at once: llama.cpp's default
WORK = {"inference": "inference", "lora": "LoRA training", "full": "full training"}


PIECES = f"because prompts are worked on in pieces of {CHUNK} and only the cache keeps the rest"


def at_once(context: int, batch: int) -> int:
    """Return how many tokens are worked on at once: a piece of a prompt, or one token of each sequence.

    Parameters
    ----------
    context, batch : int
        Tokens per sequence; sequences.

    Returns
    -------
    int
        Tokens.
    """
    return max(batch, min(CHUNK, context * batch))


@dataclass(frozen=True, repr=False)
class Need(display.Tabled):
    """What a model needs in one setting, in bytes; ``activations`` are working values when nothing trains."""

    model: Model
    bits: int
    kv_bits: int
    context: int
    batch: int
    mode: str
    weights: int
    kv_cache: int
    activations: int
    gradients: int
    optimizer: int

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The five parts as (name, bytes): what grows with the model, then what grows with the input."""
        named = ("weights", "gradients", "optimizer", "kv_cache", "activations")
        return tuple((name.replace("kv_cache", "KV cache"), getattr(self, name)) for name in named)

    @property
    def total(self) -> int:
        """All of it."""
        return sum(nbytes for _, nbytes in self.parts)

    @property
    def worked(self) -> int | None:
        """How many tokens have activations at once: a piece of the prompt; None in training, where all do."""
        return at_once(self.context, self.batch) if self.mode == "inference" else None

    @property
    def title(self) -> str:
        """The setting in words."""
        kv = f", KV cache at {self.kv_bits} bits" if self.kv_cache else ""
        tokens = f"{self.batch} × {self.context:,} tokens"
        return f"{self.model.name} at {self.bits} bits, {WORK[self.mode]}{kv}, {tokens}"

    def _table(self) -> display.Table:
        parts = [(name, display.size(nbytes)) for name, nbytes in self.parts if nbytes]
        rows = [*parts, ("total", display.size(self.total))]
        notes = [] if self.worked is None else [f"activations: of {self.worked:,} tokens, {PIECES}"]
        return display.Table(("memory", "size"), rows, self.title, notes=notes)


@dataclass(frozen=True, repr=False)
class Fit(display.Shown):
    """Whether a need fits into a device; ``room`` is what is left over in bytes, negative if it lacks."""

    need: Need
    device: Device

    @property
    def room(self) -> int:
        """The bytes left over; below zero, the bytes missing."""
        return self.device.memory - self.need.total

    @property
    def verdict(self) -> str:
        """Either "fits" or "does not fit"."""
        return "fits" if self.room >= 0 else "does not fit"

    @property
    def share(self) -> float:
        """The need as a multiple of the device's memory."""
        return self.need.total / self.device.memory

    def __str__(self) -> str:
        rest = f"{display.size(abs(self.room))} {'left' if self.room >= 0 else 'missing'}"
        mark = "✓" if self.room >= 0 else "✗"
        return f"{mark} {self.device}: {self.verdict}, needs {display.size(self.need.total)}, {rest}"
