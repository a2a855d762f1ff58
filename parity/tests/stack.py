"""A stack of tiny layers in torch and in Flax, for tests of what looks into a whole model."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import torch
from flax import nnx
from hypothesis import strategies as st
from torch import nn

import parity
from parity.draw import floats, one_of
from parity.registry import Registry
from parity.session import Workspace
from parity.tests.gain import tolerances


class ReferenceGain(nn.Module):
    """x * weight * gain, in torch."""

    def __init__(self, width: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight * self.gain


class ReferenceLayer(nn.Module):
    """A gain, a mix, and what came in."""

    def __init__(self, width: int, gain: float) -> None:
        super().__init__()
        self.first = ReferenceGain(width, gain)
        self.mix = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tanh(self.mix(self.first(x)))


class ReferenceStack(nn.Module):
    """Layers one after another, a last gain, and something that the port does not have."""

    def __init__(self, width: int, gain: float, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([ReferenceLayer(width, gain) for _ in range(layers)])
        self.last = ReferenceGain(width, gain)
        self.nothing = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.nothing(self.last(x))


class Gain(nnx.Module):
    """x * scale * gain, in Flax."""

    def __init__(self, width: int, gain: float, dtype: Any) -> None:
        self.scale = nnx.Param(jnp.ones(width, dtype))
        self.gain = gain

    def __call__(self, x: jax.Array) -> jax.Array:
        return x * self.scale[...] * self.gain


class Layer(nnx.Module):
    """A gain, a mix, and what came in."""

    def __init__(self, width: int, gain: float, dtype: Any) -> None:
        self.first = Gain(width, gain, dtype)
        self.mix = nnx.Param(jnp.ones((width, width), dtype))

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + jnp.tanh(jnp.matmul(self.first(x), self.mix[...]))


class Stack(nnx.Module):
    """Layers one after another, and a last gain."""

    def __init__(self, width: int, gain: float, layers: int, dtype: Any) -> None:
        self.layers = nnx.List([Layer(width, gain, dtype) for _ in range(layers)])
        self.last = Gain(width, gain, dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return self.last(x)


# Gains that bfloat16 has: JAX rounds a Python number to the dtype of the array beside it, torch does not.
CONFIGS = st.fixed_dictionaries({"width": one_of(4, 6), "gain": one_of(0.75, 1.25), "count": one_of(1, 5)})


def _case(name: str, reference: Any, port: Any, weights: parity.Rules, **fields: Any) -> parity.Case:
    return parity.Case(
        name=f"toy/{name}",
        reference=reference,
        port=port,
        weights=weights,
        configs=CONFIGS,
        forms=lambda config: st.fixed_dictionaries({"batch": one_of(2, 3)}),
        inputs=lambda config, form: st.fixed_dictionaries({"x": floats((form["batch"], config["width"]))}),
        pool=6,
        **fields,
    )


gain = _case(
    "gain",
    lambda c: ReferenceGain(c["width"], c["gain"]),
    lambda c, dtype, rngs: Gain(c["width"], c["gain"], dtype),
    parity.rules({"weight": parity.copy("scale")}),
    faults={
        "no_factor": parity.edit(Gain.__call__, (" * self.gain", "")),
        "other_factor": parity.edit(Gain.__init__, ("self.gain = gain", "self.gain = 1.0 / gain")),
    },
    equivalents={
        "swapped": parity.same(Gain.__call__, ("x * self.scale[...]", "self.scale[...] * x"), why="a b = b a")
    },
)
layer = _case(
    "layer",
    lambda c: ReferenceLayer(c["width"], c["gain"]),
    lambda c, dtype, rngs: Layer(c["width"], c["gain"], dtype),
    parity.rules({"mix.weight": parity.transpose("mix")}),
    parts={"first": "toy/gain"},
    faults={
        "no_residual": parity.edit(Layer.__call__, ("x + jnp.tanh(", "jnp.tanh(")),
        "kernel_as_it_is": parity.remap(lambda rules: rules | parity.rules({"mix.weight": parity.copy("mix")})),
        "half_a_gradient": parity.edit(
            Layer.__call__, ("return x +", "return 0.5 * x + 0.5 * jax.lax.stop_gradient(x) +"), checks=("gradient",)
        ),
    },
)
stack = _case(
    "stack",
    lambda c: ReferenceStack(c["width"], c["gain"], c["count"]),
    lambda c, dtype, rngs: Stack(c["width"], c["gain"], c["count"], dtype),
    parity.rules({}),
    parts={"layers.*": "toy/layer", "last": "toy/gain"},
)


def workspace() -> Workspace:
    """These cases and the bounds of a new port; found nowhere on disk."""
    cases = {case.name: case for case in (gain, layer, stack)}
    suite = parity.Suite(
        name="toy", references=(ReferenceStack,), whole="toy/stack", config=lambda config: config, architectures=()
    )
    registry = Registry(Path(__file__).parents[2], cases, {"toy": suite}, dict.fromkeys(cases, "stack.py"))
    return Workspace(registry, tolerances())
