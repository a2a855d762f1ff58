"""A port's module built abstractly: shapes and structure only, no initialiser runs and nothing is compiled."""

import contextlib
import cProfile
import dataclasses
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import nnx

from parity.case import Case, Json
from parity.errors import ParityError
from parity.held import Held
from parity.ideal.jax_wide import wide
from parity.port.apart import apart
from parity.weights import Leaf


@dataclasses.dataclass(frozen=True)
class Port:
    """What a port is made of, and a pure function that runs it.

    Attributes:
        dtype: 'float32', 'bfloat16', 'float16', 'float64' (exact) or 'rounded:bfloat16' (its float32 is float64).
        leaves: parameter path -> shape and dtype, in the order that `bind` takes them.
        bind: parameters in that order -> a fresh module (or the plain function), to call with inputs by name.
        held: an input that the module is not simply called with; see `Held.port`.
    """

    dtype: str
    leaves: Mapping[str, Leaf]
    bind: Callable[[Sequence[Any]], Callable[..., Any]]
    held: Held | None = None

    def call(self, parameters: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        """Outputs of one call, with what is held after it. Pure: safe to trace, jit and differentiate."""
        module = self.bind(parameters)
        if self.held is None or self.held.argument not in inputs:
            return module(**inputs)
        others = {name: tree for name, tree in inputs.items() if name != self.held.argument}
        outputs, after = self.held.port(module, others, inputs[self.held.argument])
        return {**dict(named(outputs)), self.held.argument: after}


def build(case: Case, config: Json, *, dtype: str) -> Port:
    """Build the case's port for a configuration with parameters and compute in `dtype`."""
    working = dtype.removeprefix("rounded:")
    with jax.enable_x64(dtype == "float64") if working == dtype else wide():
        made = of(lambda: case.port(config, jnp.dtype(working), rngs()), dtype=dtype, subject=case.name)
    return dataclasses.replace(made, held=case.held)


def ran(case: Case, config: Json, *, dtype: str) -> frozenset[CodeType] | None:
    """The code of every Python function that building the port runs; None under a profiler: there can be but one."""
    if sys.getprofile():
        return None
    profile = cProfile.Profile(subcalls=False, builtins=False)
    with apart():
        profile.enable()
        try:
            build(case, config, dtype=dtype)
        finally:
            profile.disable()
    entries: list[Any] = profile.getstats()
    return frozenset(entry.code for entry in entries if isinstance(entry.code, CodeType))


class _Still(nnx.RngStream):
    """A random stream that gives the same key for ever.

    Nothing random is compared, and a stream that counts costs more than all else of a large module's abstract build:
    `nnx` asks the traced counter for its sharding, and JAX answers with an error message that it searches the whole
    trace for.
    """

    def __call__(self) -> jax.Array:
        return self.key[...]


def rngs() -> nnx.Rngs:
    """The random streams that a port is built with."""
    streams: Any = nnx.Rngs()
    streams.default = _Still(0, tag="default")
    return streams


def of(make: Callable[[], Any], *, dtype: str, subject: str) -> Port:
    """A port from whatever `make` returns: an nnx module, or a plain function without parameters."""
    made: list[Any] = []  # the structure of a module, or a function: neither goes through an abstract evaluation

    def states() -> Any:
        with _undrawn():
            built = make()
        if not isinstance(built, nnx.Module):
            made.append(built)
            return None
        graph, *states = nnx.split(built, nnx.Param, ...)
        made.append(graph)
        return states

    found = jax.eval_shape(states)
    if found is None:
        return Port(dtype, {}, lambda parameters: made[0])
    graph, (parameters, rest) = made[0], found
    others = _others(rest, subject)
    flat = {_path(path): variable for path, variable in nnx.to_flat_state(parameters)}
    shapes = {path: variable.get_value() for path, variable in flat.items()}
    structure = jax.tree.structure(parameters)

    def bind(leaves: Sequence[Any]) -> Callable[..., Any]:
        return nnx.merge(graph, jax.tree.unflatten(structure, leaves), others)

    leaves = {path: Leaf(tuple(x.shape), str(x.dtype)) for path, x in shapes.items()}
    return Port(dtype, leaves, bind)


@contextlib.contextmanager
def _undrawn() -> Generator[None]:
    """Let initialisers draw zeros: traced, normal distributions are half of the time that making a module takes."""
    space = jax.nn.initializers.normal.__globals__["random"]  # where JAX's initialisers look them up
    with contextlib.ExitStack() as stack:
        for name, function in _DRAWS.items():
            stack.enter_context(mock.patch.object(space, name, function))
        yield


def _zeros(key: Any, shape: Sequence[int] = (), dtype: Any = None, *_: Any, **__: Any) -> jax.Array:
    return jnp.zeros(shape, dtype)


def _zeros_within(key: Any, low: Any, high: Any, shape: Any = None, dtype: Any = None, **_: Any) -> jax.Array:
    return jnp.zeros(jnp.broadcast_shapes(jnp.shape(low), jnp.shape(high)) if shape is None else shape, dtype)


_DRAWS = {"normal": _zeros, "uniform": _zeros, "truncated_normal": _zeros_within}


def _others(state: Any, subject: str) -> Any:
    """What is not a parameter: random streams are made real (nothing random is compared), all else is refused."""
    for path, variable in nnx.to_flat_state(state):
        if not isinstance(variable, nnx.RngState):
            kind = type(variable).__name__
            raise ParityError(
                f"{subject}: port variable `{_path(path)}` is a {kind}: only parameters can be transferred"
            )

    def real(shape: Any) -> Any:
        if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return jnp.zeros(shape.shape, shape.dtype)

    return jax.tree.map(real, state)


def _path(path: Sequence[Any]) -> str:
    return ".".join(str(step) for step in path)


def named(outputs: Any) -> Iterator[tuple[str, Any]]:
    """Outputs by name as the reference's are: 'output' for a lone one, positions and field names joined by dots."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(outputs)[0]:
        yield ".".join(str(_step(step)) for step in path) or "output", leaf


def _step(step: Any) -> Any:
    for attribute in ("name", "key", "idx"):
        if hasattr(step, attribute):
            return getattr(step, attribute)
    return step
