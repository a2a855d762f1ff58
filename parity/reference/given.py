"""A torch module that somebody has built already, as a reference: a copy of it, cast as a whole."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def is_module(thing: Any) -> bool:
    """Whether this is a torch module."""
    return isinstance(thing, nn.Module)


def parameter_names(thing: Any) -> list[str]:
    """The names of what a module or function is called with, in order."""
    return list(inspect.signature(thing.forward if isinstance(thing, nn.Module) else thing).parameters)


def copied(module: nn.Module) -> Callable[[], nn.Module]:
    """What makes a copy of a module in the default dtype of the moment; the module itself is left alone.

    Parameters, buffers and tensors that are plain attributes are cast as `module.to(dtype)` casts the first two. What
    was rounded to float32 when it was built stays rounded.
    """

    def make() -> nn.Module:
        dtype = torch.get_default_dtype()
        made = copy.deepcopy(module).to(dtype)
        for part in made.modules():
            for name, value in list(part.__dict__.items()):
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    part.__dict__[name] = value.to(dtype)
        return made

    return make
