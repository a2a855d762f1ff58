"""Whole programs against XLA in float64: control flow, gradients, modules, fallbacks, symbolic shapes."""

# Jax and flax leave most of what is used here untyped.
# pyright: basic

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from parity.ideal import blas
from parity.ideal.program import Program, trace

X = np.random.default_rng(0).normal(size=(3, 4))
V = np.random.default_rng(1).normal(size=(3,))


@jax.custom_vjp
def doubled_slope(x: Any) -> Any:
    """Return sin with a made-up derivative."""
    return jnp.sin(x)


doubled_slope.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (2 * jnp.cos(x) * g,))


def running(x: Any) -> Any:
    """Scan with a carry, a constant and stacked results."""
    return lax.scan(lambda c, row: (c * 0.5 + row @ x.T @ x, (c.sum(), row + c)), x[0], x)


def backwards(x: Any) -> Any:
    """Scan from the end, with two sequences."""
    return lax.scan(lambda c, rows: (c + rows[0] * rows[1], c), jnp.zeros(4), (x, x * 2), reverse=True)


def halving(x: Any) -> Any:
    """Loop until a condition that depends on the data fails."""
    return lax.while_loop(lambda c: c[1].max() > 0.1, lambda c: (c[0] + 1, c[1] * 0.5), (0, jnp.abs(x)))


def branching(x: Any) -> Any:
    """Choose a branch by the data, and by an index out of range."""
    first = lax.cond(x[0, 0] > 0, jnp.sin, lambda y: y * 2, x)
    return first, lax.switch(jnp.int32(x.shape[0] + x[0, 0] * 0), [jnp.sin, jnp.cos], x)


def looked_up(x: Any) -> Any:
    """Look rows up, with a repeated and a negative index."""
    return (x[jnp.array([0, 2, 2, -1])] ** 2).sum()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "scan": running,
    "scan_reverse": backwards,
    "scan_of_nothing": lambda x: lax.scan(lambda c, row: (c + row, c), x[0], x[:0]),
    "scan_without_sequences": lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=3),
    "while": halving,
    "cond": branching,
    "nested_jit": jax.jit(lambda x: jax.jit(jnp.tanh)(x) + jax.jit(lambda y: y.T @ y)(x)[0]),
    "custom_jvp": lambda x: (jax.nn.silu(x), jax.nn.relu(x), jax.nn.gelu(x), jax.nn.softmax(x)),
    "custom_vjp": doubled_slope,
    "remat": jax.checkpoint(lambda x: jnp.sin(x) @ x.T),
    "platforms": lambda x: lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos),
    "indexing": lambda x: (x[1], x[:, None, ::2], x.at[1].set(0.0), jnp.take_along_axis(x, jnp.argsort(x), 1)),
    "statistics": lambda x: (x.mean(0), x.var(), jnp.linalg.norm(x), jnp.quantile(x, 0.3), jax.nn.logsumexp(x)),
    "masks": lambda x: jnp.where(jnp.tril(jnp.ones((3, 4), bool)), x, -jnp.inf).max(1),
    "einsum": lambda x: jnp.einsum("ij,kj,k->ik", x, x, V),
    "argument_returned": lambda x: (x, x, 1.0),
    "solve": lambda x: jnp.linalg.solve(x @ x.T, V),
    "random": lambda x: x + jax.random.normal(jax.random.key(0), (3, 4)),
    "pooling": lambda x: nnx.max_pool(x[None, :, :, None], (2, 2)),
    "reduce": lambda x: lax.reduce(x, 0.5, lambda a, b: a * 0.5 + b * 0.5, (1,)),
    "convolution": lambda x: jnp.convolve(x[0], x[1]),
    "grad_scan": jax.grad(lambda x: running(x)[0].sum()),
    "grad_jit": jax.grad(lambda x: jax.jit(jnp.tanh)(x).sum()),
    "grad_custom_jvp": jax.grad(lambda x: (jax.nn.silu(x) * jax.nn.softmax(x)).sum()),
    "grad_custom_vjp": jax.grad(lambda x: doubled_slope(x).sum()),
    "grad_remat": jax.grad(lambda x: jax.checkpoint(lambda y: jnp.sin(jnp.cos(y)))(x).sum()),
    "grad_cond": jax.grad(lambda x: branching(x)[0].sum()),
    "grad_gather": jax.grad(looked_up),
    "grad_slices": jax.grad(lambda x: (x[1:] * lax.dynamic_slice(x, (1, 0), (2, 4))).sum()),
    "grad_max": jax.grad(lambda x: x.max(1).sum() + jnp.sort(x)[:, 0].sum() + jnp.abs(x).sum()),
    "grad_pooling": jax.grad(lambda x: nnx.max_pool(x[None, :, :, None], (2, 2)).sum()),
    "vmap": jax.vmap(lambda row: lax.dynamic_slice(row, (jnp.argmax(row),), (2,))),
    "hessian": jax.hessian(lambda x: (jnp.tanh(x[0]) ** 3).sum()),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_program_agrees_with_xla(name: str) -> None:
    """A traced function evaluates to what XLA computes in float64."""
    program, tree = trace(FUNCTIONS[name], X)
    with jax.enable_x64(True):
        expected = jax.tree.leaves(jax.jit(FUNCTIONS[name])(X))
    got = program(X)
    assert tree.num_leaves == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def two_layers() -> Any:
    """Build a small module."""
    return nnx.Sequential(nnx.Linear(4, 5, rngs=nnx.Rngs(0)), jax.nn.silu, nnx.LayerNorm(5, rngs=nnx.Rngs(0)))


def by_hand(bias: Any, kernel: Any, shift: Any, scale: Any, x: Any) -> Any:
    """Compute what that module computes."""
    h = x @ kernel + bias
    h = h / (1 + np.exp(-h))
    h = h - h.mean(-1, keepdims=True)
    return h / np.sqrt((h**2).mean(-1, keepdims=True) + 1e-6) * scale + shift


def test_module_is_evaluated_exactly() -> None:
    """An nnx module, split into its state, evaluates to float64 of its own."""
    with jax.enable_x64(True):
        graph, state = nnx.split(nnx.eval_shape(two_layers))
        state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float64), state)
    program, _ = trace(lambda state, x: nnx.merge(graph, state)(x), state, X)
    rng = np.random.default_rng(3)
    leaves = [rng.normal(size=leaf.shape) for leaf in jax.tree.leaves(state)]
    (got,) = program(*leaves, X)
    with jax.enable_x64(True):
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
        expected = jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, X)
    assert program.fallbacks == ()
    assert got.dtype == np.float64
    # flax's modules compute in the dtype they were built with, float32: only the ideal machine is exact here.
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got, by_hand(*leaves, x=X), rtol=1e-13, atol=1e-14)


def test_lower_precision_is_lifted() -> None:
    """A program traced in bfloat16 with casts inside evaluates in float64 throughout."""

    def step(x: Any) -> Any:
        return (jax.nn.silu(x.astype(jnp.float32)).astype(jnp.bfloat16) * x).sum(dtype=jnp.float32)

    program, _ = trace(lambda x: lax.scan(lambda c, r: (c + r, step(r)), x[0], x), jnp.zeros((3, 4), jnp.bfloat16))
    carry, stacked = program(X)
    np.testing.assert_allclose(carry, X[0] + X.sum(0), rtol=1e-14)
    np.testing.assert_allclose(stacked, (X * X / (1 + np.exp(-X))).sum(1), rtol=1e-14)
    assert carry.dtype == stacked.dtype == np.float64


def test_fallbacks_are_lifted_and_listed() -> None:
    """A primitive without a rule runs in JAX, in float64, also where its parameters name a lower dtype."""

    def fn(x: Any) -> Any:
        return lax.reduce(x, jnp.float32(0.5), lambda a, b: a * jnp.float32(0.5) + b, (1,))

    program, _ = trace(fn, jnp.zeros((3, 4), jnp.float32))
    with jax.enable_x64(True):
        exact = jax.jit(lambda x: lax.reduce(x, 0.5, lambda a, b: a * 0.5 + b, (1,)))(X)
    np.testing.assert_allclose(program(X)[0], exact, rtol=1e-15)
    assert program.fallbacks == ("reduce",)


def test_convolution_in_half_precision_is_lifted() -> None:
    """A preferred_element_type of lower precision is lifted in a fallback."""
    program, _ = trace(lambda x: jnp.convolve(x, x, preferred_element_type=jnp.float32), jnp.zeros(5, jnp.bfloat16))
    np.testing.assert_allclose(
        program(np.arange(5) / 3)[0], np.convolve(np.arange(5) / 3, np.arange(5) / 3), rtol=1e-14
    )
    assert program.fallbacks == ("conv_general_dilated",)


def test_symbolic_shapes() -> None:
    """One trace with symbolic batch and length serves every size, and refuses sizes that contradict each other."""
    b, length = jax.export.symbolic_shape("b, l")

    def fn(x: Any, y: Any) -> Any:
        positions = jnp.arange(x.shape[1])[:, None] * jnp.arange(4)
        total = lax.scan(lambda c, row: (c + row.sum(), row), 0.0, x)[0] / (x.shape[0] * 2)
        return jnp.einsum("blf,bmf->blm", x + positions, y) + total, x.reshape(-1, 2), x[:, -1]

    shapes = [jax.ShapeDtypeStruct((b, length, 4), np.float64), jax.ShapeDtypeStruct((b, 2 * length, 4), np.float64)]
    program, _ = trace(fn, *shapes)
    for size in ((2, 3), (1, 5), (2, 3)):
        x, y = np.ones((*size, 4)), np.ones((size[0], 2 * size[1], 4)) * 0.3
        with jax.enable_x64(True):
            expected = fn(x, y)
        for ours, theirs in zip(program(x, y), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-14)
    with pytest.raises(ValueError, match=r"argument 1 has shape \(2, 5, 4\), the program was traced with \(2, 6, 4\)"):
        program(np.ones((2, 3, 4)), np.ones((2, 5, 4)))


def test_scopes_do_not_meet() -> None:
    """Two programs may name different dimensions alike."""
    for power in (1, 2):
        (b,) = jax.export.symbolic_shape("b")
        program, _ = trace(lambda x, power=power: x.reshape(-1)[:1] * power, jax.ShapeDtypeStruct((b, 2), np.float64))
        np.testing.assert_array_equal(program(np.ones((3, 2)))[0], [power])


def test_dimension_as_a_value() -> None:
    """A symbolic dimension used in arithmetic has the size of the call."""
    (b,) = jax.export.symbolic_shape("b")
    program, _ = trace(lambda x: x.sum() / x.shape[0], jax.ShapeDtypeStruct((b,), np.float64))
    assert [float(program(np.arange(n, dtype=float))[0]) for n in (1, 3)] == [0.0, 1.0]
    assert program.fallbacks == ()


def test_arguments_are_checked() -> None:
    """Wrong numbers, shapes and kinds of arguments are refused, with both values."""
    program, _ = trace(lambda x, i: x[i], X, np.int32(0))
    with pytest.raises(ValueError, match="takes 2 arguments, got 1"):
        program(X)
    with pytest.raises(ValueError, match=r"argument 0 has shape \(4, 3\), the program was traced with \(3, 4\)"):
        program(X.T, 0)
    with pytest.raises(ValueError, match="dtype float64, the program was traced with int32"):
        program(X, 0.5)
    np.testing.assert_array_equal(program(X.astype(np.float32), np.int64(1))[0], X.astype(np.float32)[1])


def test_constants_are_folded_and_dead_code_skipped() -> None:
    """Only what depends on the arguments and reaches an output is left to evaluate."""

    def fn(x: Any) -> Any:
        jnp.linalg.svd(x)
        return x * jnp.sin(jnp.arange(4) / 3).sum()

    program, _ = trace(fn, X)
    assert program.fallbacks == ()
    assert len(program._plan(()).steps) == 1
    np.testing.assert_allclose(program(X)[0], X * np.sin(np.arange(4) / 3).sum(), rtol=1e-15)


def test_intermediates_name_their_source() -> None:
    """Each live equation is yielded in order, with its value and the line of the port that asked for it."""

    def fn(x: Any) -> Any:
        y = jax.nn.silu(x)
        return jax.nn.silu(y) + 1.0

    for _ in range(2):  # jax caches what it traced of silu, with the first caller's traceback
        program, _tree = trace(fn, X)
    found = list(program.intermediates(X))
    assert [step.primitive for step in found] == ["logistic", "mul", "logistic", "mul", "add"]
    assert [step.index for step in found] == [0, 1, 2, 3, 4]
    first = fn.__code__.co_firstlineno
    lines = [first + 1] * 2 + [first + 2] * 3
    assert [step.where for step in found] == [f"{Path(__file__)}:{line}" for line in lines]
    np.testing.assert_array_equal(found[-1].outputs[0], program(X)[0])


def test_mutable_references_are_refused() -> None:
    """A program that changes a reference has no value to follow, and says where."""

    def fn(x: Any) -> Any:
        ref = jax.new_ref(x)
        ref[...] = x * 2
        return ref[...]

    with pytest.raises(NotImplementedError, match=r"mutable reference.*test_ideal_program\.py"):
        trace(fn, X)


def test_threads_agree() -> None:
    """A program may be evaluated by several threads at once, and leaves BLAS's threads as they were."""
    before = blas._controls()[0]()
    program, _ = trace(lambda x: jnp.tanh(x @ x.T) @ x, X)
    expected, found = program(X)[0], list[bool]()

    def work() -> None:
        found.extend(np.array_equal(program(X)[0], expected) for _ in range(50))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [True] * 150
    assert blas._controls()[0]() == before


def test_arguments_are_not_written_to() -> None:
    """An update in the program leaves the caller's array alone."""
    program = Program(jax.make_jaxpr(lambda x: x.at[0].add(1.0))(X.astype(np.float32)))
    before = X.copy()
    program(X)
    np.testing.assert_array_equal(X, before)
