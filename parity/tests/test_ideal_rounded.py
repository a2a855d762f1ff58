"""The ideal half-precision machine, both sides: one rounding function, each operation rounded once."""

# Torch and jax leave most of what is used here untyped.
# pyright: basic

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parity.ideal.jax_wide import wide
from parity.ideal.program import Program
from parity.ideal.rounding import HALVES, rounder
from parity.ideal.torch_rounded import rounded

DTYPES = ("bfloat16", "float16")
BITS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Check after every test that nothing of either mode is left."""
    setter = torch.set_default_dtype
    yield
    assert torch.get_default_dtype() == torch.float32
    assert torch.set_default_dtype is setter
    assert torch.ones(1).float().dtype == torch.float32
    assert jnp.float32 is not jnp.float64
    assert jnp.ones(1).dtype == np.float32


def finite(dtype: str) -> np.ndarray:
    """Every finite number of a format that is not negative, in order, as float64."""
    with np.errstate(invalid="ignore"):
        numbers = np.arange(2**15, dtype=np.uint16).view(BITS[dtype]).astype(np.float64)
    return numbers[np.isfinite(numbers)]


STEP = 2.0**-40  # of a number: what decides beside a tie


def rounds(dtype: str) -> Callable[[Any], np.ndarray]:
    found = rounder(dtype)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_of_the_format_stays(dtype: str) -> None:
    """Numbers of the format, subnormal ones and zeros of both signs among them, come back bit for bit."""
    numbers = finite(dtype)
    for x in (numbers, -numbers):
        assert rounds(dtype)(x).tobytes() == x.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_go_to_even_and_what_is_past_one_does_not(dtype: str) -> None:
    """Halfway between neighbours the even one is taken; a step of 2**-40 to either side decides otherwise."""
    numbers = finite(dtype)
    below, above = numbers[:-1], numbers[1:]
    ties = (below + above) / 2
    even = np.where(np.arange(len(ties)) % 2 == 0, below, above)
    np.testing.assert_array_equal(rounds(dtype)(ties), even)
    np.testing.assert_array_equal(rounds(dtype)(ties * (1 + STEP)), above)
    np.testing.assert_array_equal(rounds(dtype)(ties * (1 - STEP)), below)
    np.testing.assert_array_equal(rounds(dtype)(-ties), -even)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_in_another_order_is_on_the_same_side_of_a_tie(dtype: str) -> None:
    """Two float64 sums of the same numbers differ by some 2**-52: beside a tie, that must not decide."""
    numbers = finite(dtype)
    ties = (numbers[:-1] + numbers[1:]) / 2
    for moved in (np.nextafter(ties, np.inf), np.nextafter(ties, 0), ties * (1 + 2.0**-50)):
        np.testing.assert_array_equal(rounds(dtype)(moved), rounds(dtype)(ties))


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflow_starts_half_a_unit_past_the_largest(dtype: str) -> None:
    """From there on the result is infinite; just before it is the largest number; NaN and infinities stay."""
    largest = HALVES[dtype].largest
    edge = largest + (largest - finite(dtype)[-2]) / 2
    x = np.array([edge * (1 - STEP), edge, -edge, np.inf, -np.inf, np.nan, 1e300])
    expected = [largest, np.inf, -np.inf, np.inf, -np.inf, np.nan, np.inf]
    np.testing.assert_array_equal(rounds(dtype)(x), expected)


def test_a_conversion_by_way_of_float32_rounds_twice() -> None:
    """The reason for a rounding function of our own: ml_dtypes and torch get this number wrong."""
    x = 1 + 2.0**-8 + 2.0**-40
    assert rounds("bfloat16")(x) == 1 + 2.0**-7
    assert float(ml_dtypes.bfloat16(x)) == 1.0
    assert torch.tensor(x, dtype=torch.float64).to(torch.bfloat16).item() == 1.0


@given(st.lists(st.floats(width=32), min_size=1, max_size=9))
def test_float16_agrees_with_numpy(values: list[float]) -> None:
    """NumPy rounds float64 to float16 in one step too."""
    x = np.array(values)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(rounds("float16")(x), x.astype(np.float16).astype(np.float64))


def test_only_half_precision_is_rounded() -> None:
    """float32 and wider have no rounding function: they are exact on this machine."""
    assert rounder("float32") is None
    assert rounder("float64") is None
    assert rounder("int32") is None


OPERATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": lambda x, y: x / (y.abs() + 0.5),
    "scalar": lambda x, y: x * 0.1767766952966369,
    "shift": lambda x, y: y + 1e-3,
    "addcmul": lambda x, y: torch.addcmul(x, y, y),
    "square": lambda x, y: x.pow(2),
    "rsqrt": lambda x, y: torch.rsqrt(x.abs() + 1),
    "exp": lambda x, y: x.exp(),
    "tanh": lambda x, y: y.tanh(),
    "cos": lambda x, y: x.cos(),
    "sigmoid": lambda x, y: x.sigmoid(),
    "silu": lambda x, y: F.silu(x),
    # Far below zero float32 cancels: there torch's own gelu has no digit right.
    "gelu": lambda x, y: F.gelu(x.abs()),
    "gelu_tanh": lambda x, y: F.gelu(x.abs(), approximate="tanh"),
    "in_place": lambda x, y: x.clone().mul_(y),
    "in_place_on_a_view": lambda x, y: written(x.clone(), y),
    "concatenated": lambda x, y: torch.cat((-x, y), -1),
    "masked": lambda x, y: x.masked_fill(y > 0, -1e3),
    "softmax": lambda x, y: F.softmax(x, dim=-1),
    "mean": lambda x, y: x.mean(-1),
    "sum": lambda x, y: x.sum(-1, keepdim=True),
    "upcast": lambda x, y: (x.float() * y.float()).to(x.dtype),
}


def written(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Change a part of x in place, by way of a view."""
    x[:, 1:].add_(y[:, :-1])
    return x


def pair(dtype: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two contiguous tensors, of whole vectors: in a remainder some of torch's kernels (rsqrt) round between steps."""
    rng = np.random.default_rng(seed)
    x, y = (torch.from_numpy(rng.standard_normal((64, 16)) * 3).to(getattr(torch, dtype)) for _ in range(2))
    return x, y


def on_the_machine(fn: Callable[..., torch.Tensor], *args: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), rounded("float32"):
        return fn(*args)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_what_torch_computes(name: str, dtype: str) -> None:
    """One kernel in half precision rounds once, from float32: so it may miss a tie, by one unit, one time in 1000."""
    x, y = pair(dtype, seed=len(name))
    real, ideal = OPERATIONS[name](x, y), on_the_machine(OPERATIONS[name], x, y)
    assert real.dtype == ideal.dtype == getattr(torch, dtype)
    apart = (real.view(torch.int16).int() - ideal.view(torch.int16).int()).abs()
    assert apart.max() <= 1
    assert apart.count_nonzero() <= 0.005 * real.numel()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_projection_adds_its_bias_before_it_rounds(dtype: str) -> None:
    """addmm, on contiguous inputs, is one operation: equal to torch's own but for float32's accumulation."""
    x, _ = pair(dtype, seed=1)
    torch.manual_seed(0)
    linear = nn.Linear(16, 200).to(getattr(torch, dtype))
    with torch.no_grad():
        real = linear(x)
    ideal = on_the_machine(linear, x)
    twice = on_the_machine(lambda x: x @ linear.weight.T + linear.bias, x)
    assert (real != ideal).float().mean() < 0.002
    assert (real != twice).float().mean() > 0.05


def test_float32_is_exact_and_promotes_like_float32() -> None:
    """Beside half precision float32 wins as it does in torch, and keeps what float32 would lose."""
    x = torch.ones(2, dtype=torch.bfloat16)
    with rounded("bfloat16"):
        assert torch.ones(1).dtype == torch.bfloat16
        wide = torch.tensor([0.1, 0.2], dtype=torch.float32)
        assert (x * wide).dtype == torch.float64
        assert (x * wide)[0].item() == 0.1
        assert (x * wide[0]).dtype == torch.bfloat16  # a tensor of rank 0 gives way
        assert (x.float() + 2.0**-40)[0].item() == 1 + 2.0**-40
        assert (x + 2.0**-40)[0].item() == 1.0


def test_a_cast_rounds_once() -> None:
    """Also where torch's own cast, from float64 by way of float32, would not; likewise a copy in place."""
    number = 1 + 2.0**-8 + 2.0**-40
    with rounded("bfloat16"):
        x = torch.tensor([number], dtype=torch.float32)
        assert x.to(torch.bfloat16).item() == 1 + 2.0**-7
        assert torch.zeros(1, dtype=torch.bfloat16).copy_(x).item() == 1 + 2.0**-7


def evaluate(fn: Callable[..., Any], *args: Any) -> list[np.ndarray]:
    with wide():
        program = Program(jax.make_jaxpr(fn)(*args), rounded=True)
    return [x.astype(dtype) for x, dtype in zip(program(*args), program.declared, strict=True)]


PRIMITIVES: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "mul": operator.mul,
    "div": lambda x, y: x / (jnp.abs(y) + 1),
    "scalar": lambda x, y: x * 0.1767766952966369,
    "exp": lambda x, y: jnp.exp(y),
    "tanh": lambda x, y: jnp.tanh(x),
    "sqrt": lambda x, y: jnp.sqrt(jnp.abs(x)),
    "mean": lambda x, y: jnp.mean(x, -1),
    "where": lambda x, y: jnp.where(x > y, x, -y),
    "concatenated": lambda x, y: jnp.concatenate((x, y), -1),
    "counted": lambda x, y: jax.lax.iota(x.dtype, 700) + 0 * x[0, 0],
    "upcast": lambda x, y: (x.astype(jnp.float32) * y).astype(x.dtype),
    "scanned": lambda x, y: jax.lax.scan(lambda carry, row: (carry * row, carry + row), x[0], y)[1],
    "reduced": lambda x, y: jax.lax.reduce_precision(x.astype(jnp.float32) / 3, 8, 7).astype(x.dtype),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRIMITIVES)
def test_an_equation_is_what_jax_computes_eagerly(name: str, dtype: str) -> None:
    """One operation at a time XLA rounds each result too; its float32 inside may miss a tie, by one unit.

    Not so its logistic on a CPU, which it expands into several operations of half precision.
    """
    x, y = (np.random.default_rng(seed).standard_normal((40, 9)).astype(BITS[dtype]) for seed in (0, 1))
    with jax.disable_jit():
        real = np.asarray(PRIMITIVES[name](jnp.asarray(x), jnp.asarray(y)))
    (ideal,) = evaluate(PRIMITIVES[name], x, y)
    assert real.dtype == ideal.dtype == BITS[dtype]
    apart = np.abs(real.view(np.int16).astype(int) - ideal.view(np.int16).astype(int))
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 0.005 * apart.size


def test_a_python_scalar_is_rounded_as_jax_rounds_it() -> None:
    """bfloat16 * 7**-0.5 multiplies by the rounded scalar in JAX, and by the scalar itself in torch."""
    x = np.arange(1, 200).astype(ml_dtypes.bfloat16)
    (port,) = evaluate(lambda x: x * 7**-0.5, x)
    tensor = torch.arange(1, 200, dtype=torch.bfloat16)
    reference = on_the_machine(lambda x: x * 7**-0.5, tensor).double().numpy()
    assert np.mean(port.astype(np.float64) != reference) > 0.3
    wide_first = evaluate(lambda x: (x.astype(jnp.float32) * 7**-0.5).astype(x.dtype), x)[0]
    np.testing.assert_array_equal(wide_first.astype(np.float64), reference)


@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=st.integers(0, 10**6))
def test_a_softmax_in_float32_agrees_bit_for_bit_and_in_half_does_not(dtype: str, seed: int) -> None:
    """A whole kernel in torch and its pieces in JAX round once, at the downcast; pieces in half round between."""
    scores = (np.random.default_rng(seed).standard_normal((8, 33)) * 4).astype(BITS[dtype])
    tensor = torch.from_numpy(scores.astype(np.float32)).to(getattr(torch, dtype))
    reference = on_the_machine(lambda x: F.softmax(x, -1, dtype=torch.float32).to(x.dtype), tensor)
    (port,) = evaluate(lambda x: jax.nn.softmax(x.astype(jnp.float32), -1).astype(x.dtype), scores)
    (misplaced,) = evaluate(lambda x: jax.nn.softmax(x, -1), scores)
    wanted = reference.double().numpy()
    np.testing.assert_array_equal(port.astype(np.float64), wanted)
    assert np.mean(misplaced.astype(np.float64) != wanted) > 0.1


def test_constants_in_float32_are_exact_inside_wide() -> None:
    """What is asked for as jnp.float32 is not rounded to it; outside, nothing has changed."""
    (product,) = evaluate(lambda x: x.astype(jnp.float32) * jnp.asarray(0.1, jnp.float32), np.ones(1, np.float16))
    assert product[0] == 0.1


def test_a_precision_that_no_dtype_has_is_refused() -> None:
    """Better than to leave it exact."""
    with pytest.raises(NotImplementedError, match=r"\(6, 9\) bits of exponent and mantissa, which no dtype has"):
        evaluate(lambda x: jax.lax.reduce_precision(x, 6, 9), np.ones(2, np.float16))
