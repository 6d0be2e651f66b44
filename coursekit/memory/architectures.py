"""Models as far as they take up memory, and the devices that they may have to fit into."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from coursekit import runtime
from coursekit._core import arguments, display

__all__ = ["DEVICES", "MODELS", "SMALL", "Device", "Model", "found_device", "found_model", "this_machine"]

GB = 10**9
HEAD_DIM = 128  # what the heads of LLaMA, Mistral and GPT-3 measure
GATED_RATIO = 8 / 3  # a gated block has three matrices; at this width they hold as much as two of four times
MOST_PARAMETERS = 10**14


@dataclass(frozen=True)
class Model:
    """A transformer: its ``parameters`` as counted, and the sizes that its memory follows from.

    ``kv_heads`` is smaller than ``heads`` where several heads share keys and values; ``mlp`` is the inner
    width of a layer's second half, which is ``gated`` if it has three matrices instead of two. A model that
    does not ``generate`` text, such as BERT, keeps no KV cache.

    Raises
    ------
    TypeError, ValueError
        For sizes that are not whole numbers above zero, and for heads that cannot be shared evenly.
    """

    name: str
    parameters: int
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    mlp: int
    gated: bool = False
    generates: bool = True

    def __post_init__(self) -> None:
        for field in ("parameters", "layers", "hidden", "heads", "kv_heads", "head_dim", "vocab", "mlp"):
            object.__setattr__(self, field, arguments.size(field, getattr(self, field)))
        for field in ("gated", "generates"):
            object.__setattr__(self, field, arguments.flag(field, getattr(self, field)))
        arguments.label("name", self.name)
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads must divide the {self.heads} heads; got {self.kv_heads}")

    @property
    def query_width(self) -> int:
        """The numbers that one token's queries take, all heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """The numbers that one token's keys take in one layer; its values take as many."""
        return self.kv_heads * self.head_dim

    @classmethod
    def like_llama(cls, parameters: Any) -> "Model":
        """Return a made-up model with LLaMA's proportions.

        Its layers are 128 times as wide as there are many, as from 7B to 70B: 12 · layers · hidden² weights.

        Parameters
        ----------
        parameters : object
            About how many, a million to 10**14.

        Returns
        -------
        Model
            The model.

        Raises
        ------
        TypeError, ValueError
            For a number that is not within these.
        """
        count = round(arguments.real("parameters", parameters, 10**6, MOST_PARAMETERS))
        layers = max(1, round((count / (12 * HEAD_DIM**2)) ** (1 / 3)))
        hidden = HEAD_DIM * layers
        mlp = round(GATED_RATIO * hidden)
        name = f"own, {display.significant(count / 1e9)}B"
        return cls(name, count, layers, hidden, layers, layers, HEAD_DIM, 32_000, mlp, gated=True)


@dataclass(frozen=True)
class Device:
    """Something to run a model on, with ``memory`` in bytes.

    The presets count the number on the box as decimal gigabytes. The chips inside count in powers of two, so
    "80 GB" are really 85.9: the 7 % on top are left to the system, the driver and what is lost in between.
    """

    name: str
    memory: int

    def __post_init__(self) -> None:
        arguments.label("name", self.name)
        object.__setattr__(self, "memory", arguments.integer("memory", self.memory, 1))

    def __str__(self) -> str:
        return f"{self.name} ({display.size(self.memory).replace('.00 ', ' ').replace('.0 ', ' ')})"


# Sizes from the configurations published with the models; parameters counted from them (the tests do it
# again). LLaMA: Touvron et al. 2023; 70B is Llama 2; GPT-3: Brown et al. 2020, table 2.1.
_MODELS = (
    Model("BERT-base", 109_482_240, 12, 768, 12, 12, 64, 30_522, 3072, generates=False),
    Model("Llama 3.2 1B", 1_235_814_400, 16, 2048, 32, 8, 64, 128_256, 8192, gated=True),
    Model("GPT-2 1.5B", 1_557_611_200, 48, 1600, 25, 25, 64, 50_257, 6400),
    Model("LLaMA-7B", 6_738_415_616, 32, 4096, 32, 32, 128, 32_000, 11_008, gated=True),
    Model("LLaMA-13B", 13_015_864_320, 40, 5120, 40, 40, 128, 32_000, 13_824, gated=True),
    Model("LLaMA-70B", 68_976_648_192, 80, 8192, 64, 8, 128, 32_000, 28_672, gated=True),
    Model("GPT-3 175B", 174_604_259_328, 96, 12_288, 96, 96, 128, 50_257, 49_152),
)
# A decoder to train and weigh in a second: LLaMA's parts, four heads to each pair of keys and values.
SMALL = Model("small decoder", 949_376, 4, 128, 8, 2, 16, 1000, 344, gated=True)
_DEVICES = (
    Device("Raspberry Pi 5", 8 * GB),
    Device("phone", 8 * GB),
    Device("laptop", 16 * GB),
    Device("T4", 16 * GB),
    Device("RTX 4090", 24 * GB),
    Device("A100", 80 * GB),
    Device("H100", 80 * GB),
    Device("H200", 141 * GB),
)
MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _MODELS})
DEVICES: Mapping[str, Device] = MappingProxyType({device.name: device for device in _DEVICES})


def this_machine() -> Device:
    """Return the memory that this process may use as a device: the machine's, or the container's.

    Returns
    -------
    Device
        The device.
    """
    return Device("this machine", runtime.describe().memory)


def found_model(model: Model | str) -> Model:
    """Return a model, looked up by its name if it is text.

    Parameters
    ----------
    model : Model or str
        A model, or one of MODELS' names.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    TypeError, ValueError
        For an unknown name.
    """
    return model if isinstance(model, Model) else MODELS[arguments.choice("model", model, MODELS)]


def found_device(device: Device | str) -> Device:
    """Return a device, looked up by its name if it is text.

    Parameters
    ----------
    device : Device or str
        A device, or one of DEVICES' names.

    Returns
    -------
    Device
        The device.

    Raises
    ------
    TypeError, ValueError
        For an unknown name.
    """
    return device if isinstance(device, Device) else DEVICES[arguments.choice("device", device, DEVICES)]
