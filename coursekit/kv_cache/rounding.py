"""Keys and values in few bits: by token, by channel, or turned at random first, as TurboQuant does it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from coursekit._core import arguments
from coursekit.kv_cache.codebooks import LEAST_DIM, MOST_BITS, levels
from coursekit.language.transformer import Config, KVCache, Transformer

__all__ = [
    "METHODS",
    "CacheRounding",
    "Method",
    "RoundedCache",
    "RoundedCacheModel",
    "TurboQuant",
    "by_channel",
    "by_token",
    "cache_rounding",
    "random_rotation",
    "with_rounded_cache",
]

Method = Literal["per token", "keys per channel", "TurboQuant", "TurboQuant + QJL"]
METHODS: tuple[Method, ...] = ("per token", "keys per channel", "TurboQuant", "TurboQuant + QJL")
STORED = 16  # bits of a scale, an offset or a length
GROUP = 32  # tokens that share a channel's scale
LEAST = 1e-12  # below it a vector's length counts as 0

Rounder = Callable[[Tensor], Tensor]


def random_rotation(dim: int, seed: int = 0) -> Tensor:
    """Return a random orthogonal matrix, all directions being as likely.

    Parameters
    ----------
    dim : int
        Rows and columns.
    seed : int, optional
        The same seed, the same matrix.

    Returns
    -------
    Tensor
        float32 [dim, dim].

    Raises
    ------
    TypeError, ValueError
        Unless they are such numbers.

    Notes
    -----
    Source: Mezzadri, How to Generate Random Matrices from the Classical Compact Groups (2007): Q of a normal
    matrix, its columns with the signs of R's diagonal.
    """
    dim = arguments.size("dim", dim, most=2**14)
    seed = arguments.integer("seed", seed, 0, arguments.LARGEST_SEED)
    q, r = torch.linalg.qr(_normal(dim, seed).double())
    return (q * r.diagonal().sign()).float()


class TurboQuant:
    """Rounds vectors: each is turned at random, and every coordinate takes the nearest of a few levels.

    After the turn, coordinates are distributed alike, whatever the vector was: the levels are computed once,
    and no data is needed for them. The length is stored beside.

    Parameters
    ----------
    dim : int
        Of the vectors.
    bits : int
        Per coordinate.
    seed : int, optional
        Of the rotation.
    residual : bool, optional
        Whether one of the bits goes to the signs of what the others leave (QJL): inner products then have
        no bias, and spread more.

    Raises
    ------
    TypeError, ValueError
        For fewer than 4 dimensions, or bits outside 1 to 8.

    Notes
    -----
    Source: Zandieh, Daliri, Hadian and Mirrokni, TurboQuant (2025).
    """

    def __init__(self, dim: int, bits: int, seed: int = 0, *, residual: bool = False) -> None:
        self.dim = arguments.integer("dim", dim, LEAST_DIM, 2**14)
        self.bits = arguments.integer("bits", bits, 1, MOST_BITS)
        self.residual = arguments.flag("residual", residual)
        seed = arguments.integer("seed", seed, 0, arguments.LARGEST_SEED)
        self.rotation = random_rotation(self.dim, seed)
        self.projection = _normal(self.dim, seed + 1)
        coded = self.bits - self.residual
        found = levels(coded, self.dim) / math.sqrt(self.dim) if coded else [0.0]
        self.levels = torch.tensor(found, dtype=torch.float32)

    @property
    def stored_bits(self) -> float:
        """Bits per coordinate, with the length of the vector (and that of what is left) in 16 each."""
        return self.bits + STORED * (1 + self.residual) / self.dim

    def rounded(self, x: Tensor) -> Tensor:
        """Return vectors as they come back out of storage.

        Parameters
        ----------
        x : Tensor
            float [..., dim].

        Returns
        -------
        Tensor
            Of the same shape.

        Raises
        ------
        TypeError, ValueError
            Unless they are vectors of this dimension.
        """
        if _vectors(x).shape[-1] != self.dim:
            raise ValueError(f"x must hold vectors of {self.dim} numbers; got {x.shape[-1]}")
        return self._rounded(_wide(x)).to(x.dtype)

    def _rounded(self, x: Tensor) -> Tensor:
        rotation, known = self.rotation.to(x), self.levels.to(x)
        length = x.norm(dim=-1, keepdim=True)
        turned = x / length.clamp(min=LEAST) @ rotation.T
        nearest = known[torch.bucketize(turned, (known[1:] + known[:-1]) / 2)]
        back = nearest @ rotation
        if self.residual:
            left = x / length.clamp(min=LEAST) - back
            signs = torch.where(left @ self.projection.to(x).T >= 0, 1.0, -1.0).to(x)
            scale = math.sqrt(math.pi / 2) / self.dim * left.norm(dim=-1, keepdim=True)
            back = back + scale * (signs @ self.projection.to(x))
        return back * length


def by_token(x: Tensor, bits: int) -> Tensor:
    """Return vectors rounded with a scale and an offset for each: its largest and smallest numbers are kept.

    Parameters
    ----------
    x : Tensor
        float [..., dim].
    bits : int
        Per number.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    TypeError, ValueError
        Unless they are vectors, or for other bits.
    """
    return _between(_vectors(x), arguments.integer("bits", bits, 1, MOST_BITS), -1)


def by_channel(x: Tensor, bits: int, group: int = GROUP) -> Tensor:
    """Return vectors rounded with a scale and an offset for each channel of ``group`` tokens in a row.

    The last tokens, too few for a group, stay as they are: a cache keeps them so until the group is full.

    Parameters
    ----------
    x : Tensor
        float [..., tokens, dim].
    bits : int
        Per number.
    group : int, optional
        Tokens.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    TypeError, ValueError
        Unless they are vectors of tokens, or for other numbers.

    Notes
    -----
    Source: Liu and others, KIVI (2024), for keys.
    """
    bits, group = arguments.integer("bits", bits, 1, MOST_BITS), arguments.size("group", group)
    if _vectors(x).dim() < 2:
        raise ValueError(f"x must have shape [..., tokens, dim]; got {list(x.shape)}")
    whole = x.shape[-2] - x.shape[-2] % group
    grouped = x[..., :whole, :].unflatten(-2, (-1, group)) if whole else x[..., :0, :]
    rounded = _between(grouped, bits, -2).flatten(-3, -2) if whole else grouped
    return torch.cat([rounded, x[..., whole:, :]], dim=-2)


@dataclass(frozen=True)
class CacheRounding:
    """How a cache's keys and values are rounded, and the bits that a number of it takes, scales included."""

    keys: Rounder
    values: Rounder
    bits_per_number: float


def cache_rounding(method: Method, bits: int, dim: int, seed: int = 0) -> CacheRounding:
    """Return how a method rounds keys and values.

    Parameters
    ----------
    method : str
        One of ``METHODS``. "keys per channel" rounds values by token; TurboQuant with QJL uses that for keys
        only, because values enter no inner product.
    bits : int
        Per number, without scales.
    dim : int
        Numbers per head.
    seed : int, optional
        Of the rotation.

    Returns
    -------
    CacheRounding
        The two ways, and the bits with scales.

    Raises
    ------
    TypeError, ValueError
        For another method, or other numbers.
    """
    chosen = arguments.choice("method", method, METHODS)
    bits, dim = arguments.integer("bits", bits, 1, MOST_BITS), arguments.integer("dim", dim, LEAST_DIM, 2**14)
    seed = arguments.integer("seed", seed, 0, arguments.LARGEST_SEED)
    of_token = bits + 2 * STORED / dim
    if chosen == "per token":
        return CacheRounding(lambda x: by_token(x, bits), lambda x: by_token(x, bits), of_token)
    if chosen == "keys per channel":
        mean = (of_token + bits + 2 * STORED / GROUP) / 2
        return CacheRounding(lambda x: by_channel(x, bits), lambda x: by_token(x, bits), mean)
    keys = TurboQuant(dim, bits, seed, residual=chosen == "TurboQuant + QJL")
    values = TurboQuant(dim, bits, seed)
    return CacheRounding(keys.rounded, values.rounded, (keys.stored_bits + values.stored_bits) / 2)


class RoundedCache(KVCache):
    """A cache whose keys and values come back rounded.

    Parameters
    ----------
    config : Config
        Of the model that will use it.
    rounding : CacheRounding
        How.
    batch, context, like : optional
        As for :class:`coursekit.language.KVCache`.
    """

    def __init__(self, config: Config, rounding: CacheRounding, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self.rounding = arguments.instance("rounding", rounding, CacheRounding)

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new keys and values behind the old; return all of them, rounded.

        Parameters
        ----------
        layer : int
            Which layer they come from.
        keys, values : Tensor
            [batch, kv_heads, n, head_dim].

        Returns
        -------
        tuple of 2 Tensor
            [batch, kv_heads, length + n, head_dim].
        """
        k, v = super().extended(layer, keys, values)
        return self.rounding.keys(k), self.rounding.values(v)


class RoundedCacheModel(nn.Module):
    """A model that reads every text through a rounded cache, to be compared with the model itself.

    Parameters
    ----------
    model : Transformer
        The model; it is not copied.
    rounding : CacheRounding
        How keys and values are rounded.
    """

    def __init__(self, model: Transformer, rounding: CacheRounding) -> None:
        super().__init__()
        self.model, self.rounding, self.config = model, rounding, model.config

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits [batch, n, vocab_size] of tokens [batch, n]."""
        if not isinstance(tokens, Tensor) or tokens.dim() != 2:
            raise ValueError(f"tokens must be an int64 tensor [batch, n]; got {arguments.shown(tokens)}")
        cache = RoundedCache(self.config, self.rounding, len(tokens), tokens.shape[1], self.model.head)
        logits: Tensor = self.model(tokens, cache)
        return logits


def with_rounded_cache(model: Transformer, method: Method, bits: int, seed: int = 0) -> RoundedCacheModel:
    """Return a model that reads every text through a cache rounded by a method.

    Parameters
    ----------
    model : Transformer
        The model.
    method : str
        One of ``METHODS``.
    bits : int
        Per number, without scales.
    seed : int, optional
        Of the rotation.

    Returns
    -------
    RoundedCacheModel
        Tokens to logits, as ``language.Reference.distance`` wants it.

    Raises
    ------
    TypeError, ValueError
        For another method, or other numbers.
    """
    config = arguments.instance("model", model, Transformer).config
    return RoundedCacheModel(model, cache_rounding(method, bits, config.per_head, seed))


def _vectors(x: Tensor) -> Tensor:
    """Return a tensor of real vectors, or refuse what is not one."""
    plain = isinstance(x, Tensor) and x.layout == torch.strided and not x.is_nested
    if not plain or not x.is_floating_point() or x.dim() < 1 or not x.numel():
        raise TypeError(f"x must be a tensor of real numbers [..., dim]; got {arguments.shown(x)}")
    return x


def _normal(dim: int, seed: int) -> Tensor:
    return torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed))


def _between(x: Tensor, bits: int, axis: int) -> Tensor:
    """Return x rounded to 2^bits levels, evenly from the smallest to the largest along an axis."""
    wide = _wide(x)
    low, high = wide.amin(axis, keepdim=True), wide.amax(axis, keepdim=True)
    step = ((high - low) / (2**bits - 1)).clamp(min=LEAST)
    return (((wide - low) / step).round() * step + low).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """Return x in 32 bits at least: in FP16 the least step is 0, and the span of large numbers infinite."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
