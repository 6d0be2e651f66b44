"""A decoder of LLaMA's parts: RMSNorm, rotary positions, grouped heads, SwiGLU; a cache of keys and values.

Layers and weights have the names of Hugging Face's LlamaForCausalLM without its leading ``model.``.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit._core import arguments

__all__ = [
    "Attention",
    "Block",
    "Config",
    "FeedForward",
    "KVCache",
    "RMSNorm",
    "Transformer",
    "attended",
    "rotated",
    "rotations",
]

INIT_STD = 0.02


@dataclass(frozen=True)
class Config:
    """The sizes of a :class:`Transformer`.

    Parameters
    ----------
    vocab_size : int
        Tokens it knows.
    width : int
        Numbers per token between the layers.
    layers : int
        Blocks of attention and feed-forward.
    heads : int
        Query heads.
    kv_heads : int
        Heads of keys and values; each serves ``heads / kv_heads`` query heads.
    hidden : int
        Numbers per token inside the feed-forward part.
    context : int
        The most tokens it reads at once.
    rope_base : float
        Rotary positions: the slowest pair turns once in about ``2 pi rope_base`` tokens.
    norm_eps : float
        What RMSNorm adds to the mean square.
    head_dim : int, optional
        Numbers per head; ``width / heads`` by default.
    qkv_bias : bool
        Whether queries, keys and values have biases, as in Qwen2.
    tied : bool
        Whether the output layer is the embedding's matrix.

    Raises
    ------
    TypeError, ValueError
        For what is not a size, and for sizes that do not divide.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    context: int
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5
    head_dim: int | None = None
    qkv_bias: bool = False
    tied: bool = True

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "layers", "heads", "kv_heads", "hidden", "context"):
            object.__setattr__(self, name, arguments.size(name, getattr(self, name)))
        for name in ("rope_base", "norm_eps"):
            object.__setattr__(self, name, arguments.positive(name, getattr(self, name)))
        for name in ("qkv_bias", "tied"):
            object.__setattr__(self, name, arguments.flag(name, getattr(self, name)))
        if self.heads % self.kv_heads:
            raise ValueError(f"heads must be a multiple of kv_heads; got {self.heads} and {self.kv_heads}")
        if self.head_dim is None and self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads; got {self.width} and {self.heads}")
        head_dim = (
            self.width // self.heads if self.head_dim is None else arguments.size("head_dim", self.head_dim)
        )
        if head_dim % 2:
            raise ValueError(f"head_dim must be even, because positions turn pairs; got {head_dim}")
        object.__setattr__(self, "head_dim", head_dim)

    @property
    def per_head(self) -> int:
        """Numbers per head."""
        return self.head_dim or self.width // self.heads

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes in FP32 that one token's keys and values take in the cache, all layers together."""
        return 2 * self.layers * self.kv_heads * self.per_head * 4


class KVCache:
    """Keys and values of the tokens read so far, so that no token is computed twice.

    Parameters
    ----------
    config : Config
        Of the model that will use it.
    batch : int, optional
        Sequences side by side.
    context : int, optional
        Tokens to make room for; by default the model's context.
    like : Tensor, optional
        A weight of the model: the cache lies on its device, in its type.

    Attributes
    ----------
    length : int
        Tokens read so far. Making it smaller forgets the last ones, as speculative decoding does.
    """

    def __init__(
        self, config: Config, batch: int = 1, context: int | None = None, like: Tensor | None = None
    ) -> None:
        context = config.context if context is None else arguments.size("context", context)
        shape = (config.layers, arguments.size("batch", batch), config.kv_heads, context, config.per_head)
        like = torch.empty(0) if like is None else like
        self.keys, self.values = (torch.empty(shape, device=like.device, dtype=like.dtype) for _ in range(2))
        self.length = 0

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self.keys.shape[3] - self.length

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values [batch, kv_heads, n, head_dim] behind the old; return all.

        Parameters
        ----------
        layer : int
            Which layer they come from.
        keys, values : Tensor
            Of the n new tokens. ``length`` moves on only when the model has gone through all layers.

        Returns
        -------
        tuple of 2 Tensor
            [batch, kv_heads, length + n, head_dim]: views of the cache, not copies.

        Raises
        ------
        ValueError
            If they do not fit.
        """
        end = self.length + keys.shape[2]
        if end > self.keys.shape[3]:
            raise ValueError(f"the cache holds {self.keys.shape[3]} tokens; got {end}: make a larger one")
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class RMSNorm(nn.Module):
    """Divide by the root mean square of the numbers, multiply by a weight per channel."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return x [..., width], normed."""
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class Attention(nn.Module):
    """Every token looks at itself and all before it: softmax(q k / sqrt(head_dim)) v, head by head."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        inner, shared = config.heads * config.per_head, config.kv_heads * config.per_head
        self.q_proj = nn.Linear(config.width, inner, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.width, shared, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.width, shared, bias=config.qkv_bias)
        self.o_proj = nn.Linear(inner, config.width, bias=False)

    def forward(
        self, x: Tensor, turns: tuple[Tensor, Tensor], cache: KVCache | None = None, layer: int = 0
    ) -> Tensor:
        """Return what x [batch, n, width] sees; ``turns`` are the cosines and sines [n, head_dim]."""
        batch, n, _ = x.shape
        q, k, v = (
            project(x).view(batch, n, -1, self.config.per_head).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotated(q, *turns), rotated(k, *turns)
        if cache is not None:
            k, v = cache.extended(layer, k, v)
        seen = attended(q, k, v)
        return self.o_proj(seen.transpose(1, 2).reshape(batch, n, -1))


class FeedForward(nn.Module):
    """SwiGLU: one projection, through SiLU, gates another; a third leads back."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [..., width], transformed token by token."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to what came in."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(
        self, x: Tensor, turns: tuple[Tensor, Tensor], cache: KVCache | None = None, layer: int = 0
    ) -> Tensor:
        """Return x [batch, n, width] after both parts."""
        x = x + self.self_attn(self.input_layernorm(x), turns, cache, layer)
        return x + self.mlp(self.post_attention_layernorm(x))


class Transformer(nn.Module):
    """A language model: tokens [batch, n] in, logits of the next token [batch, n, vocab_size] out.

    Parameters
    ----------
    config : Config
        Its sizes.
    seed : int, optional
        Of the weights it starts with; None leaves them as they come, for one that will be given others.
    """

    def __init__(self, config: Config, seed: int | None = 0) -> None:
        super().__init__()
        self.config = arguments.instance("config", config, Config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        if not config.tied:
            self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        if seed is not None:
            self._start(arguments.integer("seed", seed, 0))

    def _start(self, seed: int) -> None:
        """Draw the weights; what leads back into the stream is smaller, the more layers there are."""
        draw = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                back = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = INIT_STD / math.sqrt(2 * self.config.layers) if back else INIT_STD
                with torch.no_grad():
                    weight.normal_(0, std, generator=draw)

    @property
    def head(self) -> Tensor:
        """The output layer's matrix [vocab_size, width]."""
        return self.embed_tokens.weight if self.config.tied else self.lm_head.weight

    @property
    def blocks(self) -> list[Block]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Block)]

    def hidden(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return what the last layer says about every token, normed.

        Parameters
        ----------
        tokens : Tensor
            int64 [batch, n]: all of a text, or what follows the tokens in ``cache``.
        cache : KVCache, optional
            Read and extended.

        Returns
        -------
        Tensor
            float32 [batch, n, width]. Its product with ``head`` are the logits.

        Raises
        ------
        ValueError
            For tokens of another shape, too many of them, or numbers that are not in the vocabulary.
        """
        self._check(tokens, cache)
        start = 0 if cache is None else cache.length
        x = self.embed_tokens(tokens)
        turns = rotations(self.config, start, start + tokens.shape[1], x.device, x.dtype)
        for number, block in enumerate(self.layers):
            x = block(x, turns, cache, number)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.norm(x)

    def forward(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return the logits of the token after each one.

        Parameters
        ----------
        tokens : Tensor
            int64 [batch, n].
        cache : KVCache, optional
            The tokens before them; extended by these.

        Returns
        -------
        Tensor
            float32 [batch, n, vocab_size].

        Raises
        ------
        ValueError
            As for :meth:`hidden`.
        """
        return F.linear(self.hidden(tokens, cache), self.head)

    def _check(self, tokens: Tensor, cache: KVCache | None) -> None:
        if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64:
            what = f"{tokens.dtype}" if isinstance(tokens, Tensor) else type(tokens).__name__
            raise TypeError(f"tokens must be an int64 tensor [batch, n]; got {what}")
        if tokens.dim() != 2 or tokens.shape[1] == 0:
            raise ValueError(f"tokens must have shape [batch, n], n from 1 on; got {list(tokens.shape)}")
        if cache is not None and cache.keys.shape[1] != len(tokens):
            raise ValueError(f"the cache is for {cache.keys.shape[1]} texts at once; got {len(tokens)}")
        total = tokens.shape[1] + (0 if cache is None else cache.length)
        if total > self.config.context:
            raise ValueError(f"the model reads at most {self.config.context} tokens; got {total}")
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.config.vocab_size:
            raise ValueError(
                f"tokens must lie between 0 and {self.config.vocab_size - 1}; got {low} to {high}"
            )


def rotations(
    config: Config, start: int, stop: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return by what every position turns its queries and keys: each pair of numbers at its own speed.

    Parameters
    ----------
    config : Config
        Of the model.
    start, stop : int
        The positions, ``stop`` excluded.
    device, dtype
        Of the result.

    Returns
    -------
    tuple of 2 Tensor
        Cosines and sines [stop - start, head_dim].

    Notes
    -----
    Source: Su and others, RoFormer (2021); a pair has one number of each half, as in Hugging Face's weights.
    """
    half = config.per_head // 2
    speeds = config.rope_base ** -(torch.arange(half, dtype=torch.float64, device=device) / half)
    angles = torch.outer(torch.arange(start, stop, dtype=torch.float64, device=device), speeds)
    both = torch.cat([angles, angles], dim=-1)
    return both.cos().to(dtype), both.sin().to(dtype)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return queries or keys with every pair of numbers turned by its position's angle.

    Parameters
    ----------
    x : Tensor
        [batch, heads, n, head_dim].
    cos, sin : Tensor
        [n, head_dim] of :func:`rotations`.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention: the n queries belong to the last n of the keys.

    Parameters
    ----------
    q : Tensor
        [batch, heads, n, head_dim].
    k, v : Tensor
        [batch, kv_heads, total, head_dim], total from n on.

    Returns
    -------
    Tensor
        Of q's shape: for every query the mean of the values that it may see, weighted by the softmax of
        q k / sqrt(head_dim).
    """
    n, total = q.shape[2], k.shape[2]
    if n == total:
        return F.scaled_dot_product_attention(q, k, v, is_causal=n > 1, enable_gqa=True)
    mask = None
    if n > 1:
        mask = torch.ones(n, total, dtype=torch.bool, device=q.device).tril(total - n)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
