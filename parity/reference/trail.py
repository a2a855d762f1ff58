"""Everything that a reference computes in one call, operation by operation, and the line that asked for each."""

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from parity.reference.build import Reference, _while_running, arithmetic, array

Array = npt.NDArray[Any]
# Frames that ask for an operation on behalf of others.
_INNER = (os.path.join("parity", "ideal", ""), os.path.join("parity", "reference", ""), os.path.join("torch", ""))


class Step(NamedTuple):
    """One result of the reference: by which operation, asked for by which line; no file for what it was given."""

    operation: str
    file: str
    line: int
    values: Array


def trail(reference: Reference, inputs: Mapping[str, Any], parts: Collection[str] = ()) -> list[Step]:
    """Run a reference as `Reference.run` does, and list what it computes; of its parts only what they return.

    Args:
        reference: filled; of an ideal machine.
        inputs: by the reference's names.
        parts: paths of submodules that are not looked into.
    """
    steps: list[Step] = []
    recorder = _Recorder(steps.append)
    with contextlib.ExitStack() as stack:
        if isinstance(reference.call, nn.Module):
            begin = reference.call.register_forward_pre_hook(lambda *_: setattr(recorder, "begun", True))
            stack.callback(begin.remove)
        else:
            recorder.begun = True
        for path in parts:
            module: nn.Module = reference.call.get_submodule(path)  # type: ignore[attr-defined]
            stack.enter_context(_closed(module, recorder))
        stack.enter_context(arithmetic(_while_running(reference.dtype)))
        stack.enter_context(recorder)
        reference.call_named(inputs)
    return steps


class _Recorder(TorchDispatchMode):
    def __init__(self, add: Callable[[Step], None]) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        self.add, self.depth, self.begun = add, 0, False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        if not self.depth:
            self.note(func.overloadpacket.__name__, results)
        return results

    def note(self, operation: str, results: Any) -> None:
        """Add every tensor among an operation's results, as it is now."""
        file, line = _asked_by() if self.begun else ("", 0)
        self.depth += 1  # what this does itself is not noted
        for x in results if isinstance(results, tuple | list) else (results,):
            if isinstance(x, torch.Tensor) and x.numel() and x.device.type != "meta":
                self.add(Step(operation, file, line, array(x).copy()))
        self.depth -= 1


@contextlib.contextmanager
def _closed(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Record only what a module returns, not how it came by it."""

    def before(*_: Any) -> None:
        recorder.depth += 1

    def after(_: nn.Module, args: Any, outputs: Any) -> None:
        recorder.depth -= 1
        if not recorder.depth:
            for x in tree_leaves(outputs):
                recorder.note(type(module).__name__, x)

    handles = module.register_forward_pre_hook(before), module.register_forward_hook(after)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _asked_by() -> tuple[str, int]:
    """The innermost line outside torch and the ideal machine."""
    frame = sys._getframe(2)
    while frame.f_back is not None and any(name in frame.f_code.co_filename for name in _INNER):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
