"""Gradients: the same for every parameter and input by name, exactly first, then as accurately."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import parity
from parity.run import check_ids
from parity.tests import gain

OTHERS = [name for name in check_ids(gain.case()) if name != "gradient"]


@jax.custom_vjp
def wrong_backward(x: Any, scale: Any) -> Any:
    """Compute x * scale, and a gradient of x that is 1e-4 too large."""
    return x * scale


def _forward(x: Any, scale: Any) -> Any:
    return x * scale, (x, scale)


def _backward(kept: Any, cotangent: Any) -> Any:
    x, scale = kept
    return cotangent * scale * (1 + 1e-4), jnp.sum(cotangent * x, axis=tuple(range(x.ndim - 1)))


wrong_backward.defvjp(_forward, _backward)


@jax.custom_vjp
def coarse_backward(x: Any, scale: Any) -> Any:
    """Compute x * scale, and a gradient of x that was rounded to bfloat16."""
    return x * scale


def _coarse(kept: Any, cotangent: Any) -> Any:
    x, scale = kept
    rounded = (cotangent * scale).astype(jnp.bfloat16).astype(x.dtype)
    return rounded, jnp.sum(cotangent * x, axis=tuple(range(x.ndim - 1)))


coarse_backward.defvjp(_forward, _coarse)


def product(name: str) -> parity.Variant:
    """Return a fault: the port's product computed by a function of this file."""
    place = f"__import__('{__name__}', fromlist=['x']).{name}"
    return parity.edit(gain.gained, ("x * scale + bias", f"{place}(x, scale) + bias"), checks=("gradient",))


def test_a_right_port_passes_with_both_measures() -> None:
    """The exact difference and the error ratio are both measured, and both are small."""
    result = gain.run(gain.case(), "gradient")
    assert result.status == "passed", result.message
    assert result.measured["rtol"] < 1e-13
    assert 0 < result.measured["ratio"] < 4


@pytest.mark.parametrize("check", OTHERS)
def test_a_wrong_backward_passes_everywhere_else(check: str) -> None:
    """With a right forward, no other check can see a custom VJP's wrong backward."""
    result = gain.run(gain.case(faults={"wrong": product("wrong_backward")}), check, within="wrong")
    assert result.status == "passed", result.message


def test_a_wrong_backward_is_caught_by_name() -> None:
    """It is told whose gradient is wrong, by how much, and the values of both sides."""
    result = gain.run(gain.case(faults={"wrong": product("wrong_backward")}), "gradient", within="wrong")
    assert result.status == "failed"
    assert result.worst is not None
    assert result.worst.output == "gradient of x"
    assert result.worst.port == pytest.approx(result.worst.reference * (1 + 1e-4), rel=1e-9)
    assert result.limit is not None
    assert result.limit.name == "rtol"


def test_a_coarse_backward_is_caught_by_its_accuracy() -> None:
    """A backward that rounds is the same function, and farther from the truth than the reference."""
    result = gain.run(gain.case(faults={"coarse": product("coarse_backward")}), "gradient", within="coarse")
    assert result.status == "failed"
    assert result.limit is not None
    assert result.limit.name == "ratio"


def test_a_parameter_without_influence_on_one_side_is_named() -> None:
    """A parameter that the port takes for a constant fails under the reference's name, with a gradient of zero."""
    cut = parity.edit(
        gain.gained,
        ("x * scale + bias", "x * __import__('jax').lax.stop_gradient(scale) + bias"),
        checks=("gradient",),
    )
    result = gain.run(gain.case(faults={"cut": cut}), "gradient", within="cut")
    assert result.status == "failed"
    assert result.worst is not None
    assert (result.worst.output, result.worst.port) == ("gradient of weight", 0.0)
    assert result.worst.reference != 0.0


def test_a_case_may_say_why_it_has_no_gradient() -> None:
    """The check is skipped with the reason, also where an equivalent is asked about."""
    same = parity.same(gain.gained, ("x * scale + bias", "bias + x * scale"), why="a sum commutes")
    case = gain.case(skips={"gradient": "nothing flows"}, equivalents={"turned": same})
    assert gain.run(case, "gradient").message == "nothing flows"
    assert gain.run(case, "accepts:turned").status == "passed"


def test_an_equivalent_is_excused_with_a_reason() -> None:
    """The same function with another derivative is accepted only where it says so."""
    change = ("x * scale + bias", "x * scale + __import__('jax').lax.stop_gradient(bias)")
    strict = parity.same(gain.gained, change, why="a constant is itself")
    excused = parity.same(gain.gained, change, why="a constant is itself", excused={"gradient": "on purpose"})
    case = gain.case(equivalents={"strict": strict, "excused": excused})
    assert "gradient rejects it" in str(gain.run(case, "accepts:strict").message)
    assert gain.run(case, "accepts:excused").status == "passed"
