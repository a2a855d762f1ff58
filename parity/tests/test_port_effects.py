"""What a call of a port leaves behind: told by name and place, and nothing else is."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.port import build, effects
from parity.tests import gain

KEPT: dict[str, Any] = {}
HOARD: list[Any] = []


def found(port: type[gain.Port]) -> list[str]:
    """What a call leaves behind."""
    built = build(gain.case(port=lambda config, dtype, rngs: port(3, dtype)), {"width": 3}, dtype="float64")
    return effects(built, {"x": np.ones((2, 3))})


def at(function: Callable[..., Any], offset: int) -> str:
    """`file:line` of a line in a function, counted from its `def`."""
    return f"{__file__}:{function.__code__.co_firstlineno + offset}"


class Remembers(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        self.last = x * 2
        return super().__call__(x)


class RemembersItsInput(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        self.last = x
        return super().__call__(x)


class Hoards(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        HOARD.append(x + 1)
        return super().__call__(x)


class HoardsInside(gain.Port):
    """In a function of its own trace, which jax caches."""

    def __call__(self, x: jax.Array) -> jax.Array:
        def kept(x: jax.Array) -> jax.Array:
            HOARD.append(x * 3)
            return x

        return super().__call__(jax.jit(kept)(x))


class Caches(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        table = KEPT.setdefault("table", jnp.cos(self.bias[...]))
        return super().__call__(x) + 0 * table.sum()


class Counts(gain.Port):
    def __init__(self, width: int, dtype: Any) -> None:
        super().__init__(width, dtype)
        self.calls = 0

    def __call__(self, x: jax.Array) -> jax.Array:
        self.calls += 1
        return super().__call__(x)


class Trains(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        y = super().__call__(x)
        self.scale[...] = self.scale[...] * 0.9
        return y


class Donates(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.jit(gain.gained, donate_argnums=(0, 2))(x, self.scale[...], self.bias[...])


class DonatesAnIntermediate(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.jit(gain.gained, donate_argnums=0)(x + 0, self.scale[...], self.bias[...])


class Describes(gain.Port):
    """Plain attributes of every kind, that stay what they are."""

    def __init__(self, width: int, dtype: Any) -> None:
        super().__init__(width, dtype)
        self.names = ("a", 1.5, None)
        self.sizes = {"width": width}
        self.bound = float("nan")

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x)


class Notes(Describes):
    def __call__(self, x: jax.Array) -> jax.Array:
        self.sizes["batch"] = x.shape[0]
        return super().__call__(x)


@pytest.fixture(autouse=True)
def _empty() -> None:
    KEPT.clear()
    HOARD.clear()


@pytest.mark.parametrize("port", [gain.Port, Describes, DonatesAnIntermediate])
def test_a_pure_port_leaves_nothing(port: type[gain.Port]) -> None:
    """Attributes of every kind are no finding, nor is a donated intermediate: only the caller's own buffers count."""
    assert found(port) == []


@pytest.mark.parametrize(
    ("port", "message"),
    [
        (
            Remembers,
            f"leaks a tracer: `last` ({at(Remembers.__call__, 1)}) keeps a value of one call on the module",
        ),
        (
            RemembersItsInput,
            f"leaks a tracer: `last` ({at(RemembersItsInput.__call__, 0)}) keeps a value of one call on the module",
        ),
        (Hoards, f"leaks a tracer: `{__name__}.HOARD` ({at(Hoards.__call__, 1)}) keeps a value of one call"),
        (
            HoardsInside,
            f"leaks a tracer: `{__name__}.HOARD` ({at(HoardsInside.__call__, 2)}) keeps a value of one call",
        ),
        (Counts, f"changes its own `calls` in a call ({at(Counts.__call__, 0)}), from 0 to 1"),
        (
            Trains,
            f"changes its own `scale` in a call ({at(Trains.__call__, 2)}): the next call is another function",
        ),
        (
            Donates,
            f"donates the buffer of its input `x` ({at(Donates.__call__, 1)}): it is gone when the caller needs it "
            f"again; donates the buffer of its parameter `bias` ({at(Donates.__call__, 1)}): it is gone when the "
            "caller needs it again",
        ),
    ],
)
def test_what_is_left_behind_is_named_with_its_place(port: type[gain.Port], message: str) -> None:
    """A tracer kept, a parameter or an attribute changed, a buffer donated."""
    assert "; ".join(found(port)) == message


def test_a_container_changed_in_place_is_found() -> None:
    """Though the attribute is the same object as before."""
    place = at(Notes.__call__, 0)
    assert found(Notes) == [f"changes its own `sizes.batch` in a call ({place}), from None to 2"]


def test_a_cache_of_tracers_is_found_when_it_is_filled_and_when_it_is_used() -> None:
    """It may have been filled by another check before, whose trace is long over."""
    place = at(Caches.__call__, 1)
    assert found(Caches) == [f"leaks a tracer: `{__name__}.KEPT` ({place}) keeps a value of one call"]
    assert found(Caches) == [f"leaks a tracer: this call uses one that an earlier call has kept ({place})"]
