"""One dropout mask for both sides: what either draws at random is given to it instead."""

import contextlib
from collections.abc import Generator
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cases.llama.port import dropout


class Injected(TorchDispatchMode):
    """Torch's own dropout, but for its random numbers: the place and the scaling are those that torch has.

    Args:
        kept: which elements are left, in the shape of what is dropped from.
    """

    def __init__(self, kept: torch.Tensor) -> None:
        super().__init__()
        self.kept = kept

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bernoulli_.float:
            return args[0].copy_(self.kept)
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def training(module: torch.nn.Module, kept: torch.Tensor) -> Generator[None]:
    """A torch module in training mode, with this mask for its dropout."""
    module.train()
    try:
        with Injected(kept):
            yield
    finally:
        module.eval()


def ported(kept: Any) -> Any:
    """A context in which the port's dropout has this mask."""
    return mock.patch.object(dropout, "kept", return_value=kept)
