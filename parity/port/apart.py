"""Programs of one variant of a port kept apart from those of another."""

import contextlib
import functools
import os
import sys
import sysconfig
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import jax

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_PACKAGE, _TESTS = str(Path(__file__).parents[1]) + os.sep, f"{os.sep}tests{os.sep}"
_JITTED = type(jax.jit(lambda x: x))


@contextlib.contextmanager
def apart() -> Generator[None]:
    """Let nothing that a port's own jitted functions were traced to outside of this `with` be used in it, nor after it.

    JAX keeps traces by function and shapes: it does not see that a variant has exchanged the code of something that
    the function calls. `jax.make_user_context` would part them too, but every `jnp` function would be traced anew
    for every variant: twice the time for a run's faults.
    """
    _forget()
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    for module in _own(len(sys.modules)):
        for function in _jitted(module):
            _clear(function)


def _clear(function: Any) -> None:
    """Forget a jitted function's traces.

    `function.clear_cache()` also forgets what calls of *every* jitted function were traced to: a quarter of the time
    of a run's faults. There is no public way to forget one only, so where JAX has changed, that is what is called.
    """
    try:
        from jax._src.interpreters.partial_eval import trace_to_jaxpr
        from jax._src.pjit import _infer_params_cached

        forgotten: Any = (trace_to_jaxpr, _infer_params_cached)
        for cache in forgotten:
            cache.evict_weakref(function._fun)
        function._clear_cache()
    except (ImportError, AttributeError):
        function.clear_cache()


@functools.lru_cache(maxsize=1)
def _own(loaded: int) -> tuple[Any, ...]:
    """Modules that are neither of Python nor of an installed library, nor of this package (but its tests).

    Args:
        loaded: how many modules there are: thousands, of which a handful is a port's.
    """
    paths = [(module, getattr(module, "__file__", None) or _PACKAGE) for module in list(sys.modules.values())]
    foreign = [(module, path) for module, path in paths if not path.startswith(_LIBRARIES)]
    return tuple(module for module, path in foreign if not path.startswith(_PACKAGE) or _TESTS in path)


def _jitted(space: Any) -> Iterator[Any]:
    """Functions and methods of a module that `jax.jit` or `nnx.jit` made."""
    for value in list(vars(space).values()):
        if isinstance(value, type) and value.__module__ == getattr(space, "__name__", None):
            yield from _jitted(value)
        found = getattr(value, "__dict__", {}).get("jitted_fn", value)  # what `nnx.jit` makes holds one of `jax.jit`
        if isinstance(found, _JITTED):
            yield found
