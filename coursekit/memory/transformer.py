"""A decoder as small as one likes, or as large: what the formulas of ``memory`` are checked against.

The parts are LLaMA's and GPT's: norm, attention with shared key and value heads, norm, a gated block or GELU.
It has no biases and no positions; it is there to be weighed, not to talk.
"""

import torch
import torch._dynamo  # the "meta" device needs it; see models.training.training
from torch import Tensor, nn
from torch.nn import functional

from coursekit.memory.architectures import Model

__all__ = ["Cache", "Decoder", "Layer"]

Cache = tuple[Tensor, Tensor]


class Layer(nn.Module):
    """One layer; ``cache`` is (keys, values), each [batch, kv_heads, context, head_dim], or None.

    Parameters
    ----------
    model : Model
        The sizes.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.heads, self.kv_heads = model.heads, model.kv_heads
        self.norm_1 = nn.LayerNorm(model.hidden, bias=False)
        self.q = nn.Linear(model.hidden, model.query_width, bias=False)
        self.k = nn.Linear(model.hidden, model.kv_width, bias=False)
        self.v = nn.Linear(model.hidden, model.kv_width, bias=False)
        self.out = nn.Linear(model.query_width, model.hidden, bias=False)
        self.norm_2 = nn.LayerNorm(model.hidden, bias=False)
        self.gate = nn.Linear(model.hidden, model.mlp, bias=False) if model.gated else None
        self.up = nn.Linear(model.hidden, model.mlp, bias=False)
        self.down = nn.Linear(model.mlp, model.hidden, bias=False)

    def forward(self, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """Return the layer's output and the cache with these tokens in it.

        Parameters
        ----------
        x : Tensor
            [batch, tokens, hidden].
        cache : Cache, optional
            Keys and values of the tokens before; with it ``x`` holds one new token.

        Returns
        -------
        tuple of (Tensor, Cache)
            [batch, tokens, hidden], and the cache.
        """
        attended, cache = self.attention(self.norm_1(x), cache)
        x = x + attended
        return x + self.down(self.inner(self.norm_2(x))), cache

    def attention(self, x: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        """Return what each token reads from the tokens up to itself, and the cache.

        Parameters
        ----------
        x : Tensor
            [batch, tokens, hidden].
        cache : Cache or None
            Keys and values of the tokens before.

        Returns
        -------
        tuple of (Tensor, Cache)
            [batch, tokens, hidden], and the cache.
        """
        q, k, v = (
            part(x).unflatten(-1, (heads, -1)).transpose(1, 2)  # [batch, heads, tokens, head_dim]
            for part, heads in ((self.q, self.heads), (self.k, self.kv_heads), (self.v, self.kv_heads))
        )
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        causal = cache is None  # a single new token may look at everything before it
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        return self.out(seen.transpose(1, 2).flatten(2)), (k, v)

    def inner(self, x: Tensor) -> Tensor:
        """Return the values between the two (or three) matrices of the second half.

        Parameters
        ----------
        x : Tensor
            [batch, tokens, hidden].

        Returns
        -------
        Tensor
            [batch, tokens, mlp].
        """
        if self.gate is None:
            return functional.gelu(self.up(x))
        return functional.silu(self.gate(x)) * self.up(x)


class Decoder(nn.Module):
    """Embedding, layers, norm, and a matrix back to the vocabulary.

    Parameters
    ----------
    model : Model
        The sizes.
    tied : bool, optional
        Whether that matrix is the embedding's.
    """

    def __init__(self, model: Model, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(model.vocab, model.hidden)
        self.layers = nn.ModuleList(Layer(model) for _ in range(model.layers))
        self.norm = nn.LayerNorm(model.hidden, bias=False)
        self.head = nn.Linear(model.hidden, model.vocab, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor, caches: list[Cache] | None = None) -> tuple[Tensor, list[Cache]]:
        """Return logits, and every layer's cache.

        Parameters
        ----------
        ids : Tensor
            Tokens, [batch, tokens].
        caches : list of Cache, optional
            One per layer; with them the ids are one new token per sequence.

        Returns
        -------
        tuple of (Tensor, list of Cache)
            Logits [batch, tokens, vocab], and the caches.
        """
        x, kept = self.embedding(ids), []
        for number, layer in enumerate(self.layers):
            x, cache = layer(x, None if caches is None else caches[number])
            kept.append(cache)
        return self.head(self.norm(x)), kept
