"""A port in which one part is another: built under a patch that is in force only while that very part runs."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any

from flax import nnx

from parity.case import Case, Json

Patch = Callable[[], AbstractContextManager[Any]]


def grafted(outer: Case, at: str, inner: Case, patch: Patch) -> Callable[[Json, Any, Any], Any]:
    """What builds the port of a case with one part of it patched, as `Case.port` does.

    Args:
        outer: the case that is built.
        at: the port's path of the part in it; '' is the whole.
        inner: the case of that part.
        patch: makes the context in which the part is built, and in which its methods run.
    """
    only = _Outermost(patch)

    def port(config: Json, dtype: Any, rngs: Any) -> Any:
        with only.entered():
            part = inner.port(config, dtype, rngs)
        part = _patched(part, only)
        if not at:
            return part
        whole = outer.port(config, dtype, rngs)
        above, _, name = at.rpartition(".")
        parent = functools.reduce(_child, above.split(".") if above else [], whole)
        if name.isdigit():
            parent[int(name)] = part
        else:
            setattr(parent, name, part)
        return whole

    return port


class _Outermost:
    """A patch that is entered once, however deep the calls are nested: an edit can't be made twice."""

    def __init__(self, patch: Patch) -> None:
        self.patch, self.depth = patch, 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        self.depth += 1
        try:
            with self.patch() if self.depth == 1 else contextlib.nullcontext():
                yield
        finally:
            self.depth -= 1


def _patched(part: Any, patch: _Outermost) -> Any:
    """A part whose own methods run under the patch."""
    if not isinstance(part, nnx.Module):
        return _wrapped(part, patch)
    kind: Any = type(part)
    methods = {
        name: _wrapped(method, patch)
        for base in reversed(kind.__mro__[: kind.__mro__.index(nnx.Module)])
        for name, method in vars(base).items()
        if isinstance(method, FunctionType) and name != "__init__" and not _is_library(method)
    }
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    changed: Any = type(kind)(kind.__name__, (kind,), {**names, **methods})
    object.__setattr__(part, "__class__", changed)
    return part


def _wrapped(function: Any, patch: _Outermost) -> Any:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with patch.entered():
            return function(*args, **kwargs)

    return run


def _is_library(function: FunctionType) -> bool:
    return function.__module__.partition(".")[0] in ("flax", "jax")


def _child(parent: Any, name: str) -> Any:
    return parent[int(name)] if name.isdigit() else getattr(parent, name)
