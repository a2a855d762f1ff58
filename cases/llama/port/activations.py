"""Activation functions by the names that `hidden_act` gives them, rounding in half precision where torch rounds.

An operation that torch has as one kernel is computed in float32 or wider and rounded once (`rounded_once`); one
that is written out in torch operations is written out here, each operation rounded.
"""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

Activation = Callable[[jax.Array], jax.Array]

_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)


def rounded_once(function: Activation) -> Activation:
    """`function`, evaluated in float32 or wider, its result in the dtype of its argument."""

    def rounded(x: jax.Array) -> jax.Array:
        return function(x.astype(jnp.promote_types(x.dtype, jnp.float32))).astype(x.dtype)

    return rounded


def times(x: jax.Array, scalar: float) -> jax.Array:
    """x * scalar with the scalar not rounded to the dtype of x, as in torch; JAX would round it first."""
    return rounded_once(lambda wide: wide * scalar)(x)


def _plus(x: jax.Array, scalar: float) -> jax.Array:
    return rounded_once(lambda wide: wide + scalar)(x)


_sigmoid = rounded_once(jax.nn.sigmoid)
_tanh = rounded_once(jnp.tanh)
_erf = rounded_once(jax.lax.erf)
_cube = rounded_once(lambda x: x * x * x)
_softplus = rounded_once(lambda x: jnp.where(x > 20, x, jnp.log1p(jnp.exp(jnp.minimum(x, 20)))))
_gelu = rounded_once(lambda x: x * 0.5 * (1 + jax.lax.erf(x * math.sqrt(0.5))))


@rounded_once
def _gelu_tanh(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(_SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)))


def _gelu_python(x: jax.Array) -> jax.Array:
    argument = rounded_once(lambda wide: wide / math.sqrt(2.0))(x)
    return times(x, 0.5) * _plus(_erf(argument), 1.0)


def _gelu_new(x: jax.Array) -> jax.Array:
    argument = times(x + times(_cube(x), 0.044715), _SQRT_2_OVER_PI)
    return times(x, 0.5) * _plus(_tanh(argument), 1.0)


def _gelu_fast(x: jax.Array) -> jax.Array:
    argument = times(x, 0.7978845608) * _plus(times(x, 0.044715) * x, 1.0)
    return times(x, 0.5) * _plus(_tanh(argument), 1.0)


def _laplace(x: jax.Array) -> jax.Array:
    argument = rounded_once(lambda wide: wide / (0.282095 * math.sqrt(2.0)))(_plus(x, -0.707107))
    return times(_plus(_erf(argument), 1.0), 0.5)


silu = rounded_once(lambda x: x * jax.nn.sigmoid(x))

# prelu and xielu are missing: they have parameters of their own.
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": _gelu,
    "gelu_10": lambda x: jnp.clip(_gelu(x), -10, 10),
    "gelu_accurate": _gelu_new,
    "gelu_fast": _gelu_fast,
    "gelu_new": _gelu_new,
    "gelu_python": _gelu_python,
    "gelu_python_tanh": _gelu_new,
    "gelu_pytorch_tanh": _gelu_tanh,
    "hardswish": rounded_once(lambda x: x * jnp.clip(x + 3, 0, 6) / 6),
    "laplace": _laplace,
    "leaky_relu": rounded_once(lambda x: jnp.where(x > 0, x, x * 0.01)),
    "linear": lambda x: x,
    "mish": rounded_once(lambda x: x * jnp.tanh(jax.nn.softplus(x))),
    "quick_gelu": lambda x: x * _sigmoid(times(x, 1.702)),
    "relu": jax.nn.relu,
    "relu2": rounded_once(lambda x: jnp.square(jax.nn.relu(x))),
    "relu6": lambda x: jnp.clip(x, 0, 6),
    "sigmoid": _sigmoid,
    "silu": silu,
    "sqrtsoftplus": lambda x: rounded_once(jnp.sqrt)(_softplus(x)),
    "swish": silu,
    "tanh": _tanh,
}
