"""The keys and values themselves, in blocks, and one pass of the model over tokens of many requests."""

from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from coursekit._core import arguments
from coursekit.kv_cache.blocks import BlockManager
from coursekit.language.transformer import Attention, Config, Transformer, attended, rotated, rotations

__all__ = ["BlockPool", "read"]

MOST_SLOTS = 2**24


class BlockPool:
    """Keys and values of many requests in blocks of one memory, which a block manager hands out.

    Parameters
    ----------
    config : Config
        Of the model that will use it.
    blocks : int
        How many there are.
    page_size : int, optional
        Tokens per block.
    like : Tensor, optional
        A weight of the model: the memory lies on its device, in its type.

    Attributes
    ----------
    manager : BlockManager
        Who has which blocks.
    keys, values : Tensor
        [layers, slots, kv_heads, head_dim]; slot ``block * page_size + n`` is the n-th of a block.
    """

    def __init__(self, config: Config, blocks: int, page_size: int = 16, like: Tensor | None = None) -> None:
        self.config = arguments.instance("config", config, Config)
        slots = arguments.size("page_size", page_size, most=MOST_SLOTS)
        arguments.size("blocks", blocks, most=MOST_SLOTS // slots)
        self.manager = BlockManager(blocks, page_size)
        like = torch.empty(0) if like is None else arguments.instance("like", like, Tensor)
        shape = (config.layers, blocks * page_size, config.kv_heads, config.per_head)
        self.keys, self.values = (torch.zeros(shape, device=like.device, dtype=like.dtype) for _ in range(2))

    def append(self, request: Hashable, tokens: int) -> Tensor:
        """Make room for more tokens of a request; a block that others still read is copied first.

        Parameters
        ----------
        request : hashable
            New or known.
        tokens : int
            How many.

        Returns
        -------
        Tensor
            int64 [tokens]: the slots that their keys and values go to.

        Raises
        ------
        OutOfBlocks
            If too few blocks are free; nothing has changed then.
        """
        size = self.manager.page_size
        for old, new in self.manager.append(request, tokens):
            for part in (self.keys, self.values):
                part[:, new * size : (new + 1) * size] = part[:, old * size : (old + 1) * size]
        return self.slots(request)[-tokens:] if tokens else self.slots(request)[:0]

    def slots(self, request: Hashable) -> Tensor:
        """Return where a request's tokens lie, in the order of its text.

        Parameters
        ----------
        request : hashable
            A known one.

        Returns
        -------
        Tensor
            int64 [tokens].

        Raises
        ------
        ValueError
            For a request that has not begun.
        """
        if request not in self.manager.tables:
            raise ValueError(f"request must be one that has begun; got {arguments.shown(request)}")
        size, length = self.manager.page_size, self.manager.lengths[request]
        blocks = torch.tensor(self.manager.tables[request], dtype=torch.int64)
        found = (blocks[:, None] * size + torch.arange(size)).flatten()[:length]
        return found.to(self.keys.device)


@torch.inference_mode()
def read(model: Transformer, pool: BlockPool, pieces: Mapping[Hashable, Sequence[int]]) -> Tensor:
    """Let the model read the next tokens of several requests in one pass.

    Where a request stands in its text is where its blocks end: a prompt can be read in pieces, and beside
    them others can go on by one token.

    Parameters
    ----------
    model : Transformer
        The model.
    pool : BlockPool
        Where the keys and values of these requests lie; it is extended.
    pieces : mapping of hashable to sequence of int
        The next tokens of each request, one at least.

    Returns
    -------
    Tensor
        float32 [requests, vocab_size]: the logits after the last token of each.

    Raises
    ------
    OutOfBlocks
        If too few blocks are free for one of them; those before it have their room by then.
    TypeError, ValueError
        For no request, one without tokens, tokens that the model does not know, a text that is longer than it
        reads, or a pool that was made for another model.
    """
    arguments.instance("model", model, Transformer)
    arguments.instance("pool", pool, BlockPool)
    if not isinstance(pieces, Mapping) or not pieces:
        raise ValueError(f"pieces must map at least one request to tokens; got {arguments.shown(pieces)}")
    highest = model.config.vocab_size - 1
    pieces = {name: arguments.integers("pieces", tokens, 0, highest) for name, tokens in pieces.items()}
    counts = [len(tokens) for tokens in pieces.values()]
    starts = [pool.manager.lengths.get(request, 0) for request in pieces]
    _check(model.config, pool.config, max(map(sum, zip(starts, counts, strict=True))))
    device = model.head.device
    new = torch.cat([pool.append(request, len(tokens)) for request, tokens in pieces.items()])
    flat = torch.tensor([token for tokens in pieces.values() for token in tokens], device=device)
    places = torch.cat([torch.arange(s, s + n) for s, n in zip(starts, counts, strict=True)]).to(device)
    everywhere = rotations(model.config, 0, int(places.max()) + 1, device, model.head.dtype)
    turns = tuple(part[places] for part in everywhere)
    look = _Look(pool, list(pieces), counts)
    x = model.embed_tokens(flat)
    for layer, block in enumerate(model.blocks):
        attention = block.self_attn
        q, k, v = _projected(attention, block.input_layernorm(x))
        pool.keys[layer, new] = rotated(k, *turns).transpose(0, 1)
        pool.values[layer, new] = v.transpose(0, 1)
        seen = look(rotated(q, *turns), pool.keys[layer], pool.values[layer])
        x = x + attention.o_proj(seen.flatten(1))
        x = x + block.mlp(block.post_attention_layernorm(x))
    last = torch.tensor(counts, device=device).cumsum(0) - 1
    return F.linear(model.norm(x[last]), model.head)


def _check(config: Config, made_for: Config, longest: int) -> None:
    """Refuse a pool whose slots have another form, and a text that the model cannot read."""
    wanted, given = ((each.layers, each.kv_heads, each.per_head) for each in (config, made_for))
    if given != wanted:
        raise ValueError(f"pool must have layers, heads and numbers per head {wanted}; got {given}")
    if longest > config.context:
        raise ValueError(f"pieces may make a text {config.context} tokens long; got {longest}")


def _projected(attention: Attention, x: Tensor) -> list[Tensor]:
    """Return queries, keys and values [heads, n, head_dim] of x [n, width]."""
    size = attention.config.per_head
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    return [project(x).view(len(x), -1, size).transpose(0, 1) for project in projections]


class _Look:
    """Attention of several requests, each over its own slots; those with one token go together."""

    def __init__(self, pool: BlockPool, requests: Sequence[Hashable], counts: Sequence[int]) -> None:
        self.counts = counts
        self.ends = torch.tensor(counts).cumsum(0).tolist()
        slots = [pool.slots(request) for request in requests]
        self.long = [(n, slots[n]) for n, count in enumerate(counts) if count > 1]
        single = [n for n, count in enumerate(counts) if count == 1]
        self.rows = torch.tensor([self.ends[n] - 1 for n in single], device=pool.keys.device)
        if single:
            rows = [slots[n] for n in single]
            self.slots = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # [single, longest]
            lengths = torch.tensor([len(row) for row in rows], device=pool.keys.device)
            places = torch.arange(self.slots.shape[1], device=pool.keys.device)
            self.mask = (places < lengths[:, None])[:, None, None]

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return what the queries [heads, n, head_dim] see of keys and values [slots, kv_heads, head_dim]."""
        seen = torch.empty(q.shape[1], q.shape[0], q.shape[2], device=q.device, dtype=q.dtype)
        if len(self.rows):
            k, v = (part[self.slots].transpose(1, 2) for part in (keys, values))
            queries = q[:, self.rows].transpose(0, 1)[:, :, None]  # [single, heads, 1, head_dim]
            found = F.scaled_dot_product_attention(queries, k, v, attn_mask=self.mask, enable_gqa=True)
            seen[self.rows] = found[:, :, 0]
        for n, slots in self.long:
            k, v = (part[slots].transpose(0, 1)[None] for part in (keys, values))
            rows = slice(self.ends[n] - self.counts[n], self.ends[n])
            seen[rows] = attended(q[None, :, rows], k, v)[0].transpose(0, 1)
        return seen
