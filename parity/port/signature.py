"""What a port's layer is: which arguments it takes, and where it is written."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from parity.case import Case, Json

T = TypeVar("T")
ANY = "**"


def arguments(case: Case, config: Json) -> frozenset[str]:
    """The names of the arguments of a case's port, by the port's own names; from an abstract build.

    Among them the one that is held, if any is, and `ANY` where it takes arguments of any name.
    """
    parameters = _seen(case, config, inspect.signature).parameters
    held = () if case.held is None else (case.held.argument,)
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    return frozenset((*parameters, *held, *((ANY,) if takes_any else ())))


def defined(case: Case, config: Json) -> tuple[str, str]:
    """The file and the name of the class, or function, that a case's port is."""

    def look(built: Any) -> tuple[str, str]:
        what = type(built) if isinstance(built, nnx.Module) else inspect.unwrap(built)
        return inspect.getsourcefile(what) or "", str(what.__qualname__).partition(".")[0]

    return _seen(case, config, look)


def _seen(case: Case, config: Json, look: Callable[[Any], T]) -> T:
    """What a look at a case's port sees, built abstractly."""
    found: list[T] = []

    def made() -> Any:
        built = case.port(config, jnp.dtype("float32"), nnx.Rngs(0))
        found.append(look(built))
        return built if isinstance(built, nnx.Module) else None

    with jax.enable_x64(False):
        nnx.eval_shape(made)
    return found[0]
