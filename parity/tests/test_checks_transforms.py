"""`transforms`: a pure port passes; an impure one, or one that breaks a law, is told what it does and where."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.core import Tracer

import parity
from parity.draw import floats, one_of, tokens
from parity.errors import OutputMismatch
from parity.port import build, by_row, gradient
from parity.results import Result
from parity.tests import gain

TRANSFORMS = ("transforms",)
KEPT: dict[str, Any] = {}
ROWS = parity.Law(twin=lambda call: parity.permuted(call, {"x": 0}, {"*": 0}), why="rows are alone")


def checked(
    port: type[gain.Port] = gain.Port, *, examples: int = 6, check: str = "transforms", **changes: Any
) -> Result:
    """The check of the gain case with this port in its place."""
    fields = {"port": lambda config, dtype, rngs: port(config["width"], dtype), "batch": {"x": 0}, **changes}
    return checked_case(gain.case(**fields), examples=examples, check=check)


def checked_case(case: parity.Case, *, examples: int = 6, check: str = "transforms") -> Result:
    return gain.runner(case, examples=examples).run(case, check)


class Remembers(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        self.last = x * 2
        return super().__call__(x)


class Alternates(gain.Port):
    """Another function at every other trace."""

    def __call__(self, x: jax.Array) -> jax.Array:
        KEPT["calls"] = KEPT.get("calls", 0) + 1
        return super().__call__(x) * (1 + KEPT["calls"] % 2)


class KnowsJit(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        y = super().__call__(x)
        return y if isinstance(x, Tracer) else y * (1 + 1e-5)


class MixesRows(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x) + 1e-6 * x.mean(axis=0)


class CountsRows(gain.Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x) + 1e-6 * jnp.arange(x.shape[0])[:, None]


@pytest.fixture(autouse=True)
def _empty() -> None:
    KEPT.clear()


def test_a_pure_port_passes_with_its_law_and_its_batch() -> None:
    """In exact arithmetic nothing differs."""
    result = checked(laws={"rows": ROWS})
    assert (result.status, result.examples, result.message) == ("passed", 6, None)
    assert result.measured == {"rtol": 0.0}


def test_a_port_that_leaves_something_behind_fails_here_and_nowhere_else() -> None:
    """In a finding that can be replayed; in exact arithmetic nothing is seen."""
    result = checked(Remembers)
    assert (result.status, checked(Remembers, check="exact").status) == ("failed", "passed")
    assert (result.message or "").startswith("leaks a tracer: `last` (")
    assert (result.replay or "").startswith("parity replay toy/gain --check transforms --example ")


def test_a_port_that_is_another_function_when_recomputed_fails() -> None:
    """Each trace must be the same program: here the plain one and the one under jax.checkpoint are not."""
    result = checked(Alternates)
    assert result.status == "failed"
    assert result.message is not None
    assert result.message.startswith("a plain call and the call under jax.checkpoint differ: output `output` at (0,")


def test_a_port_that_behaves_otherwise_without_jit_fails() -> None:
    """1e-5 is far more than rounding can do; where everything is traced there is nothing to see."""
    assert {checked(KnowsJit, check=name).status for name in ("exact", "float32", "transforms")} == {"passed"}
    result = checked(KnowsJit, check="eager:float32")
    assert result.status == "failed"
    assert result.limit is not None
    assert result.limit.name == "ratio"
    assert result.worst is not None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_right_port_passes_without_jit_in_every_dtype(dtype: str) -> None:
    """Each operation is rounded by itself, on both sides."""
    result = checked(check=f"eager:{dtype}")
    assert (result.status, result.message) == ("passed", None)


def test_rows_that_look_at_each_other_fail_under_vmap() -> None:
    """Though permuting the batch finds nothing: a mean does not mind the order."""
    result = checked(MixesRows, laws={"rows": ROWS})
    assert result.message is not None
    assert result.message.startswith("the batched call and jax.vmap over its rows differ: output `output` at (")
    assert checked(MixesRows, laws={"rows": ROWS}, batch={}).status == "passed"


def test_a_broken_law_is_named_with_its_reason() -> None:
    """The row's number is added: no order is like another."""
    result = checked(CountsRows, laws={"rows": ROWS}, batch={})
    assert result.message is not None
    assert result.message.startswith("law `rows` (rows are alone): one call and its twin differ: output `output` at (")
    assert checked(CountsRows, batch={}).status == "passed"


def test_a_law_that_was_never_in_reach_does_not_pass() -> None:
    """Over a whole pool; nor does a batch. With fewer setups than the pool has, nothing is known yet."""
    never = parity.Law(twin=ROWS.twin, why="rows are alone", where=lambda config, form: False)
    result = checked(laws={"rows": never}, batch=lambda config, form: {})
    assert (result.status, result.message) == ("failed", "no example is in reach of batch, law `rows`")
    assert checked(laws={"rows": never}, examples=1).status == "passed"


def test_a_batch_may_depend_on_the_form() -> None:
    """Where rows do look at each other, they are not compared; elsewhere they are."""
    big = {"x": 0}
    assert checked(MixesRows, batch=lambda config, form: big if form["batch"] == 1 else {}).status == "passed"
    assert checked(MixesRows, batch=lambda config, form: big if form["batch"] == 2 else {}).status == "failed"


def test_an_output_without_rows_is_told_from_a_wrong_one() -> None:
    """A sum over the batch has no first axis to lay rows along."""

    class Sums(gain.Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            return super().__call__(x).sum(axis=0)

    port = build(gain.case(port=lambda config, dtype, rngs: Sums(3, dtype)), {"width": 3}, dtype="float64")
    with pytest.raises(OutputMismatch, match=r"output `output` has shape \(3,\) for a batch of one: its rows are not"):
        by_row(port, {"x": np.ones((2, 3))}, {"x": 0})


def test_an_option_of_the_port_must_be_the_same_function() -> None:
    """Its outputs, and its gradients where only these differ."""

    class Doubles(gain.Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            return super().__call__(x) * 2

    class Stops(gain.Port):
        def __call__(self, x: jax.Array) -> jax.Array:
            return super().__call__(jax.lax.stop_gradient(x))

    def options(port: type[gain.Port]) -> dict[str, Any]:
        return {"other": lambda config, dtype, rngs: port(config["width"], dtype)}

    assert checked(options=options(gain.Port)).status == "passed"
    outputs, gradients = (checked(options=options(port)).message or "" for port in (Doubles, Stops))
    assert outputs.startswith("the plain port and its option `other` differ: output `output` at (")
    assert gradients.startswith("the plain gradient and that of its option `other` differ: output `x` at (")


def test_the_gradient_is_by_parameter_and_input() -> None:
    """x scale + bias, weighted by cosines: the gradients are known."""
    port = build(gain.case(), {"width": 3}, dtype="float64")
    x, scale, bias = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([2.0, 3.0, 4.0]), np.zeros(3)
    weights = np.cos(np.arange(6)).reshape(2, 3)
    for recompute in (False, True):
        program = gradient(port, {"x": x}, recompute=recompute)
        leaves = {path: {"scale": scale, "bias": bias}[path] for path in port.leaves}
        found = program.run(leaves, {"x": x})
        np.testing.assert_allclose(found["scale"], (weights * x).sum(0), rtol=1e-15)
        np.testing.assert_allclose(found["bias"], weights.sum(0), rtol=1e-15)
        np.testing.assert_allclose(found["x"], weights * scale, rtol=1e-15)


def test_a_fault_of_this_kind_is_rejected_and_an_equivalent_is_not() -> None:
    """Both go through the check as any other's do."""
    faults = {
        "mixes": parity.edit(gain.gained, ("x * scale", "(x + 1e-6 * x.mean(axis=0)) * scale"), checks=TRANSFORMS)
    }
    equivalents = {"swaps": parity.same(gain.gained, ("x * scale", "scale * x"), why="a b = b a")}
    case = gain.case(batch={"x": 0}, laws={"rows": ROWS}, faults=faults, equivalents=equivalents)
    rejected = checked_case(case, check="rejects:mixes")
    assert rejected.status == "passed"
    assert rejected.message is not None
    assert rejected.message.startswith("rejected by transforms after")
    assert checked_case(case, check="accepts:swaps").status == "passed"


def test_integers_are_neither_differentiated_nor_widened() -> None:
    """A look-up: its gradient is that of the table."""

    def port(config: Any, dtype: Any, rngs: Any) -> Any:
        return lambda x, ids: x[ids]

    case = gain.case(
        reference=lambda config: lambda x, ids: x[ids],
        port=port,
        weights=parity.rules({}),
        configs=st.just({}),
        forms=lambda config: st.fixed_dictionaries({"rows": one_of(3, 4)}),
        inputs=lambda config, form: st.fixed_dictionaries(
            {"x": floats((form["rows"], 2)), "ids": tokens((5,), form["rows"])}
        ),
        laws={"picked": parity.Law(twin=lambda call: parity.permuted(call, {"ids": 0}, {"*": 0}), why="each alone")},
        pool=2,
    )
    assert checked_case(case).status == "passed"
