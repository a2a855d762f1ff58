"""What flows back through a reference: the cotangents that reach the outputs of its submodules, and their inputs."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import nn

from parity.reference.build import Outputs, Reference, arithmetic, array, leaves_of, tensor, tensors_of
from parity.reference.capture import _given, _named, hooked

Array = npt.NDArray[Any]
Key = tuple[str, int]  # a submodule's path, and which of its calls


class Passed(NamedTuple):
    """One call of a submodule: what it was given, and the cotangents that came back to its outputs, by name."""

    given: dict[str, Any]
    cotangents: Outputs


def cotangents(
    reference: Reference,
    paths: Mapping[str, frozenset[str]],
    inputs: Mapping[str, Any],
    weights: Mapping[str, Array],
) -> dict[Key, Passed]:
    """Run a reference forward and back once.

    Args:
        reference: filled, in float64.
        paths: submodule path -> outputs of it that are ignored.
        inputs: of the whole.
        weights: cotangents of the whole's outputs, by name.

    Returns:
        Every call of these submodules in order of execution; an output that nothing flows back to has no cotangent.
    """
    passed: dict[Key, Passed] = {}
    with contextlib.ExitStack() as stack:
        for path, ignores in paths.items():
            module: nn.Module = reference.call.get_submodule(path)  # type: ignore[attr-defined]
            stack.enter_context(_watched(module, path, ignores, passed))
        stack.enter_context(arithmetic(reference.dtype))
        stack.enter_context(torch.enable_grad())
        reference.restore()
        named = dict(leaves_of(reference.call(**{n: tensors_of(x) for n, x in inputs.items()}), reference.ignores))
        pairs = [(named[name], tensor(x)) for name, x in weights.items() if named[name].requires_grad]
        # Of the parameters' own gradients nothing is kept: each part's are asked for one by one.
        sources = [p for p in reference.parameters.values() if p.requires_grad]
        if pairs and sources:
            ys, ws = zip(*pairs, strict=True)
            torch.autograd.grad(ys, sources, ws, allow_unused=True)
    return passed


@contextlib.contextmanager
def _watched(module: nn.Module, path: str, ignores: frozenset[str], passed: dict[Key, Passed]) -> Iterator[None]:
    signature = inspect.signature(module.forward)
    under_way: list[dict[str, Any]] = []
    count = 0

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with torch.no_grad():
            under_way.append(_given(_named(signature, args, kwargs)))

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        nonlocal count
        back: Outputs = {}
        passed[path, count] = Passed(under_way.pop(), back)
        count += 1
        for name, y in leaves_of(outputs, ignores):
            if y.requires_grad:
                y.register_hook(lambda gradient, name=name: back.update({name: array(gradient).copy()}))

    with hooked(module, before, after):
        yield
