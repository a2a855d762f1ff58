"""A tiny model that steps through time: its cells remember in an object that every call changes."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import dataclasses
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


@dataclasses.dataclass
class Memory:
    """What each cell has summed up so far, by its number; changed in place."""

    totals: dict[int, torch.Tensor] = dataclasses.field(default_factory=dict)


class ReferenceCell(nn.Module):
    """x + tanh(the sum of all weighted x so far), in torch."""

    def __init__(self, width: int, number: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.number = number

    def forward(self, x: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        total = x * self.weight
        if memory is not None:
            total = total + memory.totals.get(self.number, torch.zeros_like(x))
            memory.totals[self.number] = total
        return x + torch.tanh(total)


class ReferenceSteps(nn.Module):
    """Cells one after another, at each of the steps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList([ReferenceCell(width, number) for number in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        memory, made = Memory(), []
        for y in x.unbind(1):
            for cell in self.cells:
                y = cell(y, memory=memory)
            made.append(y)
        return torch.stack(made, 1)


class Cell(nnx.Module):
    """x + tanh(the sum of all scaled x so far), in Flax."""

    def __init__(self, width: int, dtype: Any) -> None:
        self.scale = nnx.Param(jnp.ones(width, dtype))

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + jnp.tanh(x * self.scale[...])

    def step(self, x: jax.Array, total: jax.Array) -> tuple[jax.Array, jax.Array]:
        after = x * self.scale[...] + total
        return x + jnp.tanh(after), after


class Steps(nnx.Module):
    """Cells one after another, at each of the steps."""

    def __init__(self, width: int, dtype: Any) -> None:
        self.cells = nnx.List([Cell(width, dtype) for _ in range(2)])

    def __call__(self, x: jax.Array) -> jax.Array:
        totals, made = [jnp.zeros_like(x[:, 0]) for _ in self.cells], []
        for t in range(x.shape[1]):
            y = x[:, t]
            for number, cell in enumerate(self.cells):
                y, totals[number] = cell.step(y, totals[number])
            made.append(y)
        return jnp.stack(made, 1)


def read(module: ReferenceCell, memory: Memory, inputs: Any) -> torch.Tensor:
    """A cell's sum; zeros before its first call."""
    return memory.totals[module.number] if module.number in memory.totals else torch.zeros_like(inputs["x"])


def write(module: ReferenceCell, memory: Memory, total: torch.Tensor) -> None:
    """Another sum."""
    memory.totals[module.number] = total


CONFIGS = st.fixed_dictionaries({"width": one_of(4, 6)})

cell = parity.Case(
    name="toy/cell",
    reference=lambda c: ReferenceCell(c["width"], 0),
    port=lambda c, dtype, rngs: Cell(c["width"], dtype),
    held=parity.Held(
        argument="memory",
        read=read,
        write=write,
        make=lambda module, total: Memory({module.number: total}),
        port=lambda module, inputs, total: module.step(**inputs, total=total),
    ),
    weights=parity.rules({"weight": parity.copy("scale")}),
    configs=CONFIGS,
    inputs=lambda config, form: st.fixed_dictionaries({"x": floats((2, config["width"]))}),
    faults={
        "starts_again": parity.edit(Cell.step, ("x * self.scale[...] + total", "x * self.scale[...]")),
        "forgets": parity.edit(Cell.step, ("jnp.tanh(after), after", "jnp.tanh(after), total")),
    },
)
steps = parity.Case(
    name="toy/steps",
    parts={"cells.*": "toy/cell"},
    reference=lambda c: ReferenceSteps(c["width"]),
    port=lambda c, dtype, rngs: Steps(c["width"], dtype),
    configs=CONFIGS,
    inputs=lambda config, form: st.fixed_dictionaries({"x": floats((2, 3, config["width"]))}),
    skips={"gradient": "nobody learns through it"},
    faults={
        "one_memory_for_all": parity.edit(Steps.__call__, ("cell.step(y, totals[number])", "cell.step(y, totals[0])")),
        "forgotten_by_cells": parity.edit(Cell.step, ("jnp.tanh(after), after", "jnp.tanh(after), total")),
    },
)


def workspace() -> Workspace:
    """These cases and the bounds of a new port; found nowhere on disk."""
    cases = {case.name: case for case in (cell, steps)}
    suite = parity.Suite(
        name="toy", references=(ReferenceSteps,), whole="toy/cell", config=lambda config: config, architectures=()
    )
    registry = Registry(Path(__file__).parents[2], cases, {"toy": suite}, dict.fromkeys(cases, "remember.py"))
    return Workspace(registry, tolerances())
