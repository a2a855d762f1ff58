"""Tests of abstract builds: what they cost, what variants share of them, and traces that must not be shared."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import importlib
import sys
import types
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import parity
from parity.checks.subject import Subject
from parity.port import apart, build
from parity.tests import gain

CONFIG = {"width": 3}


@jax.jit
def jitted(x: Any, scale: Any, bias: Any) -> Any:
    return inner(x, scale, bias)


@nnx.jit
def jitted_by_nnx(x: Any, scale: Any, bias: Any) -> Any:
    return inner(x, scale, bias)


def inner(x: Any, scale: Any, bias: Any) -> Any:
    return x * scale + bias


class Jits(gain.Port):
    """A port that jits a part of itself, and calls what is edited from there."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jitted(x, self.scale[...], self.bias[...])


class JitsByNnx(gain.Port):
    """The same, by nnx."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jitted_by_nnx(x, self.scale[...], self.bias[...])


def start_of(width: int) -> Any:
    return jnp.ones(width)


class Starts(gain.Port):
    """A port whose constructor calls a function."""

    def __init__(self, width: int, dtype: Any) -> None:
        super().__init__(width, dtype)
        self.scale = nnx.Param(start_of(width).astype(dtype))


class Draws(gain.Port):
    """A port that keeps its random streams, and draws from them when it is called."""

    def __init__(self, width: int, dtype: Any, rngs: nnx.Rngs) -> None:
        super().__init__(width, dtype)
        self.rngs = rngs

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x) + 0 * jax.random.normal(self.rngs.noise(), x.shape, x.dtype)


def of(port: type[gain.Port], **changes: Any) -> parity.Case:
    return gain.case(port=lambda config, dtype, rngs: port(config["width"], dtype), **changes)


def test_a_fault_below_a_function_that_the_port_jits_is_seen_and_leaves_nothing_behind() -> None:
    """JAX keeps a jitted function's trace although the code of what it calls was exchanged: before, and afterwards."""
    for port in (Jits, JitsByNnx):
        runner = gain.runner(of(port, faults={"bias_doubled": parity.edit(inner, ("+ bias", "+ 2 * bias"))}))
        case = runner.registry.cases["toy/gain"]
        verdicts = [runner.run(case, check).status for check in ("exact", "rejects:bias_doubled", "exact", "float32")]
        assert verdicts == ["passed"] * 4, port.__name__


def test_a_variant_shares_the_clean_build_unless_it_changes_what_building_runs() -> None:
    """An edit of what is called later finds its way into the shared module; one of the constructor gets its own."""
    later = parity.edit(gain.gained, ("+ bias", "- bias"))
    earlier = parity.edit(start_of, ("jnp.ones(width)", "jnp.ones(width + 1)"))
    case = of(Starts, faults={"later": later, "earlier": earlier})
    clean = Subject(gain.registry(case), case)
    built = clean.port(CONFIG, "float64")
    subjects = {
        name: Subject(gain.registry(case), case, variant=case.faults[name], clean=clean) for name in case.faults
    }
    with subjects["later"].patched():
        assert subjects["later"].port(CONFIG, "float64") is built
    with subjects["earlier"].patched():
        own = subjects["earlier"].port(CONFIG, "float64")
    assert own is not built
    assert own.leaves["scale"].shape == (4,)


def test_a_variant_with_a_patch_of_its_own_kind_shares_nothing() -> None:
    """Of a patch that is not an edit nobody knows what it changes."""
    case = of(Starts)
    clean = Subject(gain.registry(case), case)
    built = clean.port(CONFIG, "float64")
    edit = parity.edit(gain.gained, ("+ bias", "- bias"))
    other = Subject(gain.registry(case), case, variant=parity.Variant(patch=edit.patch), clean=clean)
    with other.patched():
        assert other.port(CONFIG, "float64") is not built


def test_a_port_may_draw_from_its_streams_when_it_is_called() -> None:
    """A stream that counted would be changed inside a trace, which nnx refuses for a module made outside of it."""
    case = gain.case(port=lambda config, dtype, rngs: Draws(config["width"], dtype, rngs))
    assert set(build(case, CONFIG, dtype="float64").leaves) == {"scale", "bias"}
    assert gain.run(case, "exact").status == "passed"
    assert gain.run(case, "float32").status == "passed"


class Initialised(gain.Port):
    """A port whose parameters start as JAX's initialisers say."""

    def __init__(self, width: int, dtype: Any, rngs: nnx.Rngs, init: Any) -> None:
        super().__init__(width, dtype)
        self.scale = nnx.Param(init(rngs.params(), (width, 2 * width), dtype))


@pytest.mark.parametrize("name", ["normal", "uniform", "truncated_normal", "lecun_normal", "he_uniform", "orthogonal"])
def test_initialisers_draw_nothing_in_a_build(name: str) -> None:
    """Shapes and dtypes are those of what would be drawn; outside, and afterwards, numbers are drawn."""
    made = getattr(nnx.initializers, name)
    init = made() if name != "normal" else made(0.5)
    case = gain.case(port=lambda config, dtype, rngs: Initialised(config["width"], dtype, rngs, init))
    for dtype in ("float64", "bfloat16", "rounded:bfloat16"):
        leaf = build(case, CONFIG, dtype=dtype).leaves["scale"]
        assert (leaf.shape, leaf.dtype) == ((3, 6), dtype.removeprefix("rounded:"))
    assert float(jnp.std(init(jax.random.key(0), (30, 60), jnp.float32))) > 0


def test_what_a_build_runs_is_looked_at_only_once_a_fault_asks() -> None:
    """It doubles what a build takes, and a run without faults need not know."""
    case = of(Starts, faults={"later": parity.edit(gain.gained, ("+ bias", "- bias"))})
    clean = Subject(gain.registry(case), case)
    clean.port(CONFIG, "float64")
    assert not [key for key in clean._port if key[0] == "ran"]
    with Subject(gain.registry(case), case, variant=case.faults["later"], clean=clean).patched():
        (code,) = [value for key, value in clean._port.items() if key[0] == "ran"]
    assert start_of.__code__ in code
    assert gain.gained.__code__ not in code


def test_only_the_ports_own_functions_are_forgotten() -> None:
    """What another function was traced to stays: to forget it too was a quarter of the time of a run's faults."""
    traced: list[str] = []

    def traced_as(name: str) -> Any:
        def function(x: Any) -> Any:
            traced.append(name)
            return x + 1

        return jax.jit(function)

    own, foreign = traced_as("own"), traced_as("foreign")
    mine: Any = types.ModuleType("mine")
    mine.__file__, mine.own = __file__, own
    x = jnp.ones(2)

    def asked() -> list[str]:
        traced.clear()
        jax.make_jaxpr(lambda x: own(x) + foreign(x))(x)
        return list(traced)

    asked()
    assert asked() == []
    with mock.patch.dict(sys.modules, {"mine": mine}), apart():
        assert asked() == ["own"]
        assert asked() == []
    assert asked() == ["own"]


def test_where_jax_has_changed_everything_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public way stays right, and slow."""
    monkeypatch.delattr("jax._src.pjit._infer_params_cached")
    asked: list[str] = []
    function = mock.Mock()
    function.clear_cache = lambda: asked.append("all")
    importlib.import_module("parity.port.apart")._clear(function)
    assert asked == ["all"]
