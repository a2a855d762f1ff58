"""`decode`: a case that decodes is held against the reference that reads everything at once."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
from hypothesis import strategies as st

import parity
from parity.draw import floats, one_of
from parity.errors import BadInput
from parity.results import Result
from parity.run import check_ids
from parity.tests import gain


class Steps(gain.Reference):
    """A running sum, gained, in steps that each go on from the last."""

    def forward(self, x: torch.Tensor, steps: tuple[int, ...]) -> torch.Tensor:
        past, sums = torch.zeros_like(x[:1]), []
        for chunk in x.split(list(steps)):
            sums.append(past + chunk.cumsum(0))
            past = sums[-1][-1:]
        return super().forward(torch.cat(sums))


class AtOnce(gain.Reference):
    def forward(self, x: torch.Tensor, steps: tuple[int, ...]) -> torch.Tensor:
        return super().forward(x.cumsum(0))


class Port(gain.Port):
    def __call__(self, x: jax.Array, steps: tuple[int, ...]) -> jax.Array:
        past, sums, end = jnp.zeros_like(x[:1]), [], 0
        for step in steps:
            sums.append(past + jnp.cumsum(x[end : end + step], axis=0))
            past, end = kept(sums), end + step
        return super().__call__(jnp.concatenate(sums))


def kept(sums: list[jax.Array]) -> jax.Array:
    """What the next step goes on from; for faults to edit."""
    return sums[-1][-1:]


def case(**changes: Any) -> parity.Case:
    """The case of the running sum."""
    fields: dict[str, Any] = {
        "reference": lambda config: Steps(config["width"]),
        "port": lambda config, dtype, rngs: Port(config["width"], dtype),
        "at_once": parity.AtOnce(reference=lambda config: AtOnce(config["width"])),
        "forms": lambda config: st.fixed_dictionaries({"steps": one_of((2, 1), (1, 3, 1))}),
        "inputs": lambda config, form: st.fixed_dictionaries(
            {"x": floats((sum(form["steps"]), config["width"])), "steps": st.just(tuple(form["steps"]))}
        ),
        "faults": {"first_step_forgotten": parity.edit(kept, ("sums[-1][-1:]", "0 * sums[-1][-1:]"), checks=CHECK)},
    }
    return gain.case(**{**fields, **changes})


CHECK = ("decode",)


def checked(case: parity.Case, check: str = "decode") -> Result:
    return gain.runner(case, examples=6).run(case, check)


def test_right_steps_come_to_one_pass() -> None:
    """And say how near they came."""
    result = checked(case())
    assert (result.status, result.examples) == ("passed", 6)
    assert result.measured["rtol"] < 1e-14
    assert result.limit is not None
    assert result.limit.value == 1e-10


def test_a_step_that_forgets_is_rejected() -> None:
    """A fault may name this check; its failure shows the element, and what it should be."""
    assert checked(case(), "rejects:first_step_forgotten").status == "passed"
    with case().faults["first_step_forgotten"].patch():  # pyright: ignore[reportOptionalCall]
        result = checked(case())
    assert result.status == "failed"
    assert result.worst is not None
    assert result.worst.reference != result.worst.port


def test_both_sides_wrong_alike_are_seen_here_alone() -> None:
    """`exact` holds two decoders against each other; only one pass tells that both forget."""

    class Forgets(Steps):
        def forward(self, x: torch.Tensor, steps: tuple[int, ...]) -> torch.Tensor:
            return gain.Reference.forward(self, torch.cat([chunk.cumsum(0) for chunk in x.split(list(steps))]))

    both = case(reference=lambda config: Forgets(config["width"]))
    with case().faults["first_step_forgotten"].patch():  # pyright: ignore[reportOptionalCall]
        assert checked(both, "exact").status == "passed"
        assert checked(both).status == "failed"


def test_what_is_never_compared_is_no_pass() -> None:
    """Where the two are the same function nowhere, nothing was checked."""
    nowhere = parity.AtOnce(reference=lambda config: AtOnce(config["width"]), where=lambda config, form: False)
    result = checked(case(at_once=nowhere))
    assert (result.status, result.message) == ("failed", "no example can be read at once")


def test_a_layer_that_does_not_decode_has_no_such_check() -> None:
    """It is neither listed nor run."""
    assert "decode" in check_ids(case())
    assert "decode" not in check_ids(gain.case())
    with pytest.raises(BadInput, match="toy/gain has no check 'decode'"):
        checked(gain.case())
