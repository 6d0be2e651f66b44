"""How this package trains: the state of PyTorch that every training finds, whatever ran before it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch._dynamo  # optimizers import it late, in a cell, where an interrupt could tear it in half

from coursekit import runtime

__all__ = ["training"]


@contextmanager
def training() -> Iterator[None]:
    """Give a training, as its decorator, one thread and gradients; restore what the reader had afterwards.

    The products are so small that sharing them between threads costs more than it brings, on a busy machine
    forty times more. And a cell that was interrupted inside PyTorch may have left gradients switched off.
    """
    with runtime.threads(1), torch.inference_mode(False), torch.enable_grad():
        yield
