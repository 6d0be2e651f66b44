"""A small language model that learns from a large one: from its shares, its hidden states or where it looks.

Sources: Hinton and others 2015; Romero and others 2015, FitNets; Zagoruyko and Komodakis 2017, attention
transfer.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit._core import arguments, imports
from coursekit.finetuning.given import dense, log_shares, text_of, tokens_of
from coursekit.language.training import Recipe, batches
from coursekit.language.transformer import Config, Transformer, rotated, rotations

__all__ = ["LEVELS", "STUDENT", "Level", "Lesson", "attention_maps", "attention_gap", "hidden_gap", "teach"]

Level = Literal["alone", "logits", "hidden", "attention"]
LEVELS: tuple[Level, ...] = ("alone", "logits", "hidden", "attention")
STUDENT = Config(vocab_size=1024, width=128, layers=1, heads=4, kv_heads=2, hidden=256, context=1024)
NEVER = -1e9  # instead of a score that may not be looked at


@dataclass(frozen=True)
class Lesson:
    """What a student is taught beside the text.

    Parameters
    ----------
    level : {"alone", "logits", "hidden", "attention"}
        What of the teacher it is to match.
    weight : float
        For "logits" the share of the teacher, 0 to 1; else what the distance is multiplied by before it is
        added to the text's loss.
    temperature : float
        Of the logits.
    """

    level: Level
    weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        arguments.choice("level", self.level, LEVELS)
        most = 1.0 if self.level == "logits" else None
        object.__setattr__(self, "weight", arguments.real("weight", self.weight, 0, most))
        object.__setattr__(self, "temperature", arguments.positive("temperature", self.temperature))


def attention_maps(model: Transformer, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a model says about every token, and where the heads of its last layer look.

    Parameters
    ----------
    model : Transformer
        The model.
    tokens : Tensor
        int64 [batch, n].

    Returns
    -------
    tuple of 2 Tensor
        ``model.hidden(tokens)``, and the logarithms of the shares [batch, heads, n, n]; a token does not
        look at those behind it.
    """
    model, caught = arguments.instance("model", model, Transformer), []
    tokens_of("tokens", tokens, model.config.vocab_size, model.config.context)
    last = model.blocks[-1]
    hook = last.input_layernorm.register_forward_hook(lambda _, __, normed: caught.append(normed))
    try:
        said = model.hidden(tokens)
    finally:
        hook.remove()
    config, (x,), n = model.config, caught, tokens.shape[1]
    turns = rotations(config, 0, n, x.device, x.dtype)
    q, k = (
        rotated(part(x).unflatten(-1, (-1, config.per_head)).transpose(1, 2), *turns)
        for part in (last.self_attn.q_proj, last.self_attn.k_proj)
    )
    k = k.repeat_interleave(config.heads // config.kv_heads, dim=1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(config.per_head)
    behind = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
    return said, scores.masked_fill(behind, NEVER).log_softmax(-1)


def hidden_gap(student: Tensor, teacher: Tensor, projection: nn.Module) -> Tensor:
    """Return how far the projected hidden states are from the teacher's, in units of their mean square.

    Parameters
    ----------
    student, teacher : Tensor
        [batch, n, width] of each.
    projection : Module
        From the student's width to the teacher's; thrown away after the training.

    Returns
    -------
    Tensor
        One number: 1 for a projection to zeros.

    Raises
    ------
    TypeError, ValueError
        For other tensors, a teacher of zeros, and a projection between other widths.
    """
    arguments.module("projection", projection)
    mine, wanted = dense("student", student), dense("teacher", teacher)
    try:
        projected = projection(mine)
    except RuntimeError as error:
        raise ValueError(f"projection must take what student holds; got {list(mine.shape)}") from error
    if projected.shape != wanted.shape:
        shapes = f"{list(projected.shape)} and {list(wanted.shape)}"
        raise ValueError(f"projection must lead from student to teacher; got {shapes}")
    size = wanted.square().mean()
    if not size:
        raise ValueError("teacher must not be all zeros: they have no size to measure in")
    return (projected - wanted).square().mean() / size


def attention_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of where the student looks from where the teacher looks.

    Parameters
    ----------
    student, teacher : Tensor
        Logarithms of shares [batch, heads, n, n]. The teacher's heads are averaged in groups until there are
        as many as the student's.

    Returns
    -------
    Tensor
        Nats, mean over heads and tokens.

    Raises
    ------
    TypeError, ValueError
        For other tensors, and if the teacher's heads are no multiple of the student's.
    """
    heads, more = log_shares("student", student).shape[1], log_shares("teacher", teacher).shape[1]
    if student.shape[2:] != teacher.shape[2:] or len(student) != len(teacher):
        shapes = f"{list(student.shape)} and {list(teacher.shape)}"
        raise ValueError(f"student and teacher must look at the same tokens; got {shapes}")
    if more % heads:
        raise ValueError(f"teacher must have a multiple of student's heads; got {more} and {heads}")
    looked = teacher.exp().unflatten(1, (heads, more // heads)).mean(2)
    return (torch.xlogy(looked, looked) - looked * student).sum(-1).mean()


def teach(
    student: Transformer,
    teacher: Transformer,
    tokens: Tensor,
    recipe: Recipe,
    lesson: Lesson,
    after: Callable[[], object] | None = None,
) -> list[float]:
    """Train a student on a text, beside a teacher or alone; batches and steps are the same for all lessons.

    Parameters
    ----------
    student : Transformer
        Changed in place.
    teacher : Transformer
        Over the same vocabulary; it stays as it is.
    tokens : Tensor
        int64 [n]: the text.
    recipe : language.Recipe
        Steps, batches, seed, and ``lr``, which is AdamW's here.
    lesson : Lesson
        What it is taught.
    after : callable, optional
        Called without arguments after every step. Whatever ``after`` raises goes through.

    Returns
    -------
    list of float
        The text's own loss of every step, nats per token.

    Raises
    ------
    TypeError, ValueError
        For a text that they cannot read, and models of different vocabularies.
    """
    imports.whole("torch._dynamo")  # optimizers import it late, where an interrupt could tear it in half
    width = arguments.instance("student", student, Transformer).config.width
    config = arguments.instance("teacher", teacher, Transformer).config
    recipe, lesson = (
        arguments.instance("recipe", recipe, Recipe),
        arguments.instance("lesson", lesson, Lesson),
    )
    _read_the_same("tokens", tokens, student.config, config, recipe)
    if after is not None:
        arguments.function("after", after)
    draw = torch.Generator().manual_seed(recipe.seed)
    projection = nn.Linear(width, config.width, bias=False)
    with torch.no_grad():
        projection.weight.normal_(0, 1 / math.sqrt(width), generator=draw)
    projection.to(tokens.device)
    learning = [*student.parameters(), *(projection.parameters() if lesson.level == "hidden" else ())]
    optimizer, found = torch.optim.AdamW(learning, lr=recipe.lr, betas=(0.9, 0.99), weight_decay=0.01), []
    student.train()
    for number, batch in enumerate(batches(tokens, recipe)):
        optimizer.param_groups[0]["lr"] = recipe.lr * recipe.rate(number)
        optimizer.zero_grad(set_to_none=True)
        own, whole = _losses(student, teacher, batch, lesson, projection)
        whole.backward()
        optimizer.step()
        found.append(float(own.detach()))
        if after is not None:
            after()
    student.eval()
    return found


def _read_the_same(name: str, tokens: Tensor, one: Config, other: Config, recipe: Recipe) -> None:
    """Refuse a text that student and teacher cannot both read."""
    text = text_of(name, tokens, recipe.length)
    if one.vocab_size != other.vocab_size:
        both = f"{one.vocab_size} and {other.vocab_size}"
        raise ValueError(f"student and teacher must have the same vocabulary; got {both} tokens")
    tokens_of(name, text[None, : recipe.length], one.vocab_size, min(one.context, other.context))
    tokens_of(name, text[None], one.vocab_size, len(text))


def _losses(
    student: Transformer, teacher: Transformer, batch: Tensor, lesson: Lesson, projection: nn.Module
) -> tuple[Tensor, Tensor]:
    """Return the text's own loss, and what is descended."""
    read, level = batch[:, :-1], lesson.level
    said, looks = attention_maps(student, read) if level == "attention" else (student.hidden(read), read)
    logits = F.linear(said, student.head).flatten(0, 1)
    own = F.cross_entropy(logits, batch[:, 1:].flatten())
    if level == "alone":
        return own, own
    with torch.no_grad():
        if level == "attention":
            _, shown = attention_maps(teacher, read)
        else:
            shown = teacher.hidden(read)
    if level == "attention":
        return own, own + lesson.weight * attention_gap(looks, shown)
    if level == "hidden":
        return own, own + lesson.weight * hidden_gap(said, shown, projection)
    soft, right = (
        (part / lesson.temperature).log_softmax(-1)
        for part in (logits, F.linear(shown, teacher.head.detach()).flatten(0, 1))
    )
    apart = lesson.temperature**2 * F.kl_div(soft, right, log_target=True, reduction="batchmean")
    return own, (1 - lesson.weight) * own + lesson.weight * apart
