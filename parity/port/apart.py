"""Programs of one variant of a port kept apart from those of another."""

import contextlib
import functools
import sys
import sysconfig
from collections.abc import Generator, Iterator
from typing import Any

import jax

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
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
    for module in list(sys.modules.values()):
        if (path := getattr(module, "__file__", None)) and _is_own(path):
            for function in _jitted(module):
                function.clear_cache()


@functools.cache
def _is_own(path: str) -> bool:
    """Whether a file is neither of Python nor of an installed library."""
    return not path.startswith(_LIBRARIES)


def _jitted(space: Any) -> Iterator[Any]:
    """Functions and methods of a module that `jax.jit` or `nnx.jit` made."""
    for value in list(vars(space).values()):
        if isinstance(value, type) and value.__module__ == getattr(space, "__name__", None):
            yield from _jitted(value)
        found = getattr(value, "__dict__", {}).get("jitted_fn", value)  # what `nnx.jit` makes holds one of `jax.jit`
        if isinstance(found, _JITTED):
            yield found
