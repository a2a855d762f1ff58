"""One tiny layer, for tests that need a whole case and no particular one."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import contextlib
from collections.abc import Mapping
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
from parity.results import Limit, Result
from parity.run import Runner, Settings
from parity.tolerance import Tolerances


class Reference(nn.Module):
    """x * weight + bias, in torch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight + self.bias


class Port(nnx.Module):
    """x * scale + bias, in Flax."""

    def __init__(self, width: int, dtype: Any) -> None:
        self.scale = nnx.Param(jnp.ones(width, dtype))
        self.bias = nnx.Param(jnp.zeros(width, dtype))

    def __call__(self, x: jax.Array) -> jax.Array:
        return gained(x, self.scale[...], self.bias[...])


def gained(x: Any, scale: Any, bias: Any) -> Any:
    """What the port computes, as a function that faults can edit."""
    unused = x + 1
    del unused
    return x * scale + bias


def case(**changes: Any) -> parity.Case:
    """The case of this layer, with some of its fields exchanged."""
    fields: dict[str, Any] = {
        "name": "toy/gain",
        "reference": lambda config: Reference(config["width"]),
        "port": lambda config, dtype, rngs: Port(config["width"], dtype),
        "weights": parity.rules({"weight": parity.copy("scale"), "bias": parity.copy("bias")}),
        "configs": st.fixed_dictionaries({"width": one_of(3, 1, 5)}),
        "forms": lambda config: st.fixed_dictionaries({"batch": one_of(1, 2)}),
        "inputs": lambda config, form: st.fixed_dictionaries({"x": floats((form["batch"], config["width"]))}),
        "pool": 3,
    }
    return parity.Case(**{**fields, **changes})


def registry(*cases: parity.Case) -> Registry:
    """These cases, found nowhere on disk."""
    return Registry(Path(), {case.name: case for case in cases}, {}, {case.name: "case_gain.py" for case in cases})


def tolerances(**defaults: Mapping[str, float]) -> Tolerances:
    """Bounds for every case: those of a new port, or others."""
    bounds: dict[str, Mapping[str, float]] = {
        "exact": {"rtol": 1e-10},
        "rounded": {"differ": 1e-3},
        **{check: {"ratio": 4.0} for check in ("float32", "bfloat16", "float16")},
        "gradient": {"rtol": 1e-10, "ratio": 4.0},
        "eager": {"ratio": 4.0},
        "transforms": {"rtol": 1e-10},
        "decode": {"rtol": 1e-10},
        "sharded": {"rtol": 1e-10},
        "training": {"rtol": 1e-10, "ratio": 4.0},
        **defaults,
    }
    return Tolerances(
        {
            check: {name: Limit(name=name, value=value, where="here") for name, value in entry.items()}
            for check, entry in bounds.items()
        },
        {},
    )


def runner(*cases: parity.Case, examples: int = 6, seed: int = 0) -> Runner:
    """A runner of these cases, with few examples a check."""
    return Runner(registry(*cases), tolerances(), Settings(examples, seed))


def run(case: parity.Case, check: str, *, within: str | None = None) -> Result:
    """One check of a case; `within` names a fault that stands in the port meanwhile."""
    patch = case.faults[within].patch if within else None
    with patch() if patch else contextlib.nullcontext():
        return runner(case).run(case, check)
