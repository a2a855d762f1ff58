"""A reference larger than memory: a module's parameters are there while it runs, and gone before the next one does."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from parity.case import Case, Json
from parity.reference.build import Reference, arithmetic, of, quiet, tensor

Array = npt.NDArray[Any]


def streamed(case: Case, config: Json, read: Callable[[str], Array], *, dtype: str) -> Reference:
    """Build a case's reference whose parameters are read as they are needed.

    Buffers are real, since a module computes them while it is built. A module that reaches into another one for its
    parameters finds none there, and fails.

    Args:
        case: whose reference.
        config: to build it from.
        read: gives a parameter by its name in `Reference.parameters`, in float32.
        dtype: as for `build`.
    """
    with arithmetic(dtype), quiet(), _without_parameters():
        made = of(case.reference(config), dtype=dtype, ignores=case.ignores, held=case.held)
    working = dtype.removeprefix("rounded:")
    names = {id(parameter): name for name, parameter in made.parameters.items()}
    root: Any = made.call
    for module in root.modules():
        own = {place: names[id(p)] for place, p in module._parameters.items() if p is not None}
        if own:
            _watch(module, own, lambda name: read(name).astype(working))
    return made


def _watch(module: nn.Module, own: dict[str, str], read: Callable[[str], Array]) -> None:
    """Read a module's own parameters whenever it is called; `own`: attribute -> the name to read."""
    empty = dict(module._parameters)

    def before(*_: Any) -> None:
        for place, name in own.items():
            module._parameters[place] = nn.Parameter(tensor(np.asarray(read(name))), requires_grad=False)

    def after(*_: Any) -> None:
        module._parameters.update(empty)

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after, always_call=True)


@contextlib.contextmanager
def _without_parameters() -> Iterator[None]:
    """Parameters that are registered inside have a shape and no memory."""
    register = nn.Module.register_parameter

    def registered(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        if param is not None and param.device != torch.device("meta"):
            self._parameters[name] = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)

    nn.Module.register_parameter = registered
    try:
        yield
    finally:
        nn.Module.register_parameter = register
