"""A tiny layer in which each position sees a few before it, for tests of what a wrong one is consistent with."""

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
from parity.draw import floats, one_of, positions
from parity.registry import Registry
from parity.session import Workspace
from parity.tests.gain import tolerances

TORCH = {
    "gelu": nn.functional.gelu,
    "gelu_pytorch_tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
}


class Reference(nn.Module):
    """Queries and keys are turned by their positions, half against half; what is seen is averaged by their scores."""

    def __init__(self, width: int, head: int, window: int, act: str) -> None:
        super().__init__()
        self.query = nn.Linear(width, head, bias=False)
        self.key = nn.Linear(width, head, bias=False)
        self.window, self.act = window, TORCH[act]

    def forward(self, x: torch.Tensor, cos: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        q, k = self._turned(self.query(x), cos), self._turned(self.key(x), cos)
        far = position_ids[:, :, None] - position_ids[:, None, :]
        seen = (far >= 0) & (far < self.window)
        scores = torch.where(seen, q @ k.transpose(1, 2), torch.tensor(-1e30, dtype=x.dtype))
        mixed = torch.softmax(scores, -1) @ x
        return self.act(mixed) * torch.cos(0.3 * position_ids.to(x.dtype))[..., None]

    def _turned(self, x: torch.Tensor, cos: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat((-b, a), -1)


class Sight(nnx.Module):
    """The same in Flax."""

    def __init__(self, width: int, head: int, window: int, act: str, dtype: Any) -> None:
        self.query = nnx.Param(jnp.ones((width, head), dtype))
        self.key = nnx.Param(jnp.ones((width, head), dtype))
        self.window, self.act = window, act

    def __call__(self, x: jax.Array, cos: jax.Array, position_ids: jax.Array) -> jax.Array:
        q, k = turned(x @ self.query[...], cos), turned(x @ self.key[...], cos)
        seen = self.seen(position_ids)
        scores = jnp.where(seen, jnp.einsum("blh,bmh->blm", q, k), -1e30)
        mixed = jax.nn.softmax(scores, axis=-1) @ x
        return activated(mixed, self.act) * phase(position_ids, x.dtype)[..., None]

    def seen(self, position_ids: jax.Array) -> jax.Array:
        """Whether a position sees another."""
        far = position_ids[:, :, None] - position_ids[:, None, :]
        return (far >= 0) & (far < self.window)


def turned(x: jax.Array, cos: jax.Array) -> jax.Array:
    """(a, b) times cos plus (-b, a), where a and b are halves."""
    a, b = jnp.split(x, 2, axis=-1)
    return x * cos + jnp.concatenate((-b, a), axis=-1)


def activated(x: jax.Array, act: str) -> jax.Array:
    """The activation of a name."""
    return jax.nn.relu(x) if act == "relu" else jax.nn.gelu(x, approximate=act == "gelu_pytorch_tanh")


def phase(position_ids: jax.Array, dtype: Any) -> jax.Array:
    """What a position is weighed with."""
    return jnp.cos(0.3 * position_ids.astype(dtype))


# Few and deep enough: every one shows every fault.
CONFIGS = st.fixed_dictionaries(
    {"width": one_of(6, 10), "head": one_of(8, 4), "window": one_of(3, 5), "act": one_of("gelu")}
)
sight = parity.Case(
    name="toy/sight",
    reference=lambda c: Reference(c["width"], c["head"], c["window"], c["act"]),
    port=lambda c, dtype, rngs: Sight(c["width"], c["head"], c["window"], c["act"], dtype),
    weights=parity.rules(
        {"query.weight": parity.transpose("query"), "key.weight": parity.transpose("key")},
    ),
    configs=CONFIGS,
    forms=lambda config: st.fixed_dictionaries({"length": one_of(7, 9)}),
    inputs=lambda config, form: st.fixed_dictionaries(
        {
            "x": floats((2, form["length"], config["width"])),
            "cos": floats((2, form["length"], config["head"])),
            "position_ids": positions(2, form["length"]),
        }
    ),
    pool=4,
    faults={
        "window_with_its_edge": parity.edit(Sight.seen, ("far < self.window", "far <= self.window")),
        "sees_no_self": parity.edit(Sight.seen, ("far >= 0", "far > 0")),
        "phase_of_the_next": parity.edit(phase, ("0.3 * position_ids", "0.3 * (position_ids + 1)")),
        "approximate": parity.edit(activated, ('act == "gelu_pytorch_tanh"', "True")),
        "exact_for_another": parity.edit(activated, ('if act == "relu"', "if act")),
        "in_pairs": parity.edit(
            turned,
            ("a, b = jnp.split(x, 2, axis=-1)", "a, b = x[..., 0::2], x[..., 1::2]"),
            ("jnp.concatenate((-b, a), axis=-1)", "jnp.stack((-b, a), axis=-1).reshape(x.shape)"),
        ),
    },
)


def workspace() -> Workspace:
    """This case and the bounds of a new port; found nowhere on disk."""
    cases = {sight.name: sight}
    return Workspace(Registry(Path(__file__).parents[2], cases, {}, dict.fromkeys(cases, "sight.py")), tolerances())
