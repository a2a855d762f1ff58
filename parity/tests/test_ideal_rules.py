"""Every NumPy rule against XLA in float64."""

# Jax leave most of what is used here untyped.
# pyright: basic

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import jaxpr_as_fun

from parity.ideal.program import Program
from parity.ideal.rules import RULES

Maker = Callable[[np.random.Generator], Any]
Variant = tuple[Callable[..., Any], tuple[Maker, ...]]

EDGES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-150, 1e150, 300.0, 2.0**62, 1e19])
SHAPES = ((4, 8), ())
INTEGER_EDGES = (0, 1, -1, 7, -7)
FEW = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def real(*shape: int, low: float = -4.0, high: float = 4.0, edges: bool = True) -> Maker:
    """Make float64 values in a range, some of them special."""

    def make(rng: np.random.Generator) -> np.ndarray:
        values = rng.uniform(low, high, shape)
        return np.where(rng.random(shape) < 0.3, rng.choice(EDGES, shape), values) if edges else values

    return make


def plain(*shape: int, low: float = -4.0, high: float = 4.0) -> Maker:
    """Make ordinary float64 values."""
    return real(*shape, low=low, high=high, edges=False)


def ties(*shape: int) -> Maker:
    """Make float64 values with many equal ones, NaN and both zeros."""
    return lambda rng: rng.choice(np.array([0.0, -0.0, 1.0, 2.0, np.nan, np.inf, -np.inf]), shape)


def whole(*shape: int, dtype: Any = np.int32, low: int | None = None, high: int | None = None) -> Maker:
    """Make integers of the whole range of a dtype, or of a part of it."""

    def make(rng: np.random.Generator) -> np.ndarray:
        info = np.iinfo(dtype)
        first, last = (info.min if low is None else low), (info.max if high is None else high)
        values = rng.integers(first, last, shape, dtype=dtype, endpoint=True)
        if low is not None:
            return values
        edges = np.array([*INTEGER_EDGES, info.min, info.max]).astype(dtype)
        return np.where(rng.random(shape) < 0.5, rng.choice(edges, shape), values)

    return make


def truth(*shape: int) -> Maker:
    """Make booleans."""
    return lambda rng: rng.random(shape) < 0.5


def imaginary(*shape: int) -> Maker:
    """Make complex numbers."""
    return lambda rng: rng.normal(size=shape) + 1j * rng.normal(size=shape)


def unary(fn: Callable[..., Any], *makers: Callable[..., Maker], **options: Any) -> list[Variant]:
    """Return variants of a function of one argument: an array, a scalar, an empty array."""
    return [(fn, (maker(*shape, **options),)) for maker in makers or (real,) for shape in SHAPES]


def binary(fn: Callable[..., Any], *makers: Callable[..., Maker]) -> list[Variant]:
    """Return variants of a function of two arguments of one dtype."""
    return [(fn, (maker(*shape), maker(*shape))) for maker in makers or (real,) for shape in SHAPES[:1]]


def unsigned(*shape: int) -> Maker:
    """Make unsigned integers."""
    return whole(*shape, dtype=np.uint8)


def long(*shape: int) -> Maker:
    """Make 64-bit integers."""
    return whole(*shape, dtype=np.int64)


def to(dtype: Any) -> Callable[[Any], Any]:
    """Return a conversion."""
    return lambda x: lax.convert_element_type(x, dtype)


def reducing(fn: Callable[..., Any], *makers: Maker) -> list[Variant]:
    """Return variants of a reduction over several choices of axes."""
    return [(lambda x, axes=axes: fn(x, axes=axes), (maker,)) for maker in makers for axes in ((1,), (0, 2))]


def along(fn: Callable[..., Any], *makers: Maker) -> list[Variant]:
    """Return variants of a cumulative operation, both ways."""
    return [
        (lambda x, axis=axis, reverse=reverse: fn(x, axis=axis, reverse=reverse), (maker,))
        for maker in makers
        for axis, reverse in ((0, False), (1, True))
    ]


NUMBERS = lax.GatherDimensionNumbers
ROWS = lax.ScatterDimensionNumbers((1,), (0,), (0,))
MODES = ("clip", "fill", "promise_in_bounds")


def gathers() -> list[Variant]:
    """Return look-ups of rows, windows, single elements and batches, in all modes."""

    def one(numbers: Any, sizes: tuple[int, ...], operand: Maker, index: Maker, mode: str) -> Variant:
        return lambda x, i: lax.gather(x, i, numbers, sizes, mode=mode), (operand, index)

    rows = NUMBERS(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
    deep = NUMBERS(offset_dims=(0, 3), collapsed_slice_dims=(1,), start_index_map=(2, 1))
    points = NUMBERS(offset_dims=(), collapsed_slice_dims=(0, 1), start_index_map=(1, 0))
    batched = NUMBERS((2,), (1,), (1,), operand_batching_dims=(0,), start_indices_batching_dims=(0,))
    fixed = NUMBERS(offset_dims=(1, 2), collapsed_slice_dims=(), start_index_map=())
    found: list[Variant] = []
    for mode in MODES:
        index = {"low": -2, "high": 7}
        found += [
            one(rows, (1, 4), real(5, 4), whole(6, 1, **index), mode),
            one(rows, (1, 4), whole(5, 4), whole(6, 1, dtype=np.int64, **index), mode),
            one(rows, (1, 4), truth(5, 4), whole(0, 1, **index), mode),
            one(rows, (1, 2), real(5, 4), whole(6, 1, dtype=np.uint8, low=0, high=7), mode),
            one(deep, (2, 1, 3), real(3, 4, 5), whole(2, 3, 2, low=-1, high=4), mode),
            one(points, (1, 1), real(4, 5), whole(3, 2, low=-1, high=5), mode),
            one(batched, (1, 1, 4), real(3, 5, 4), whole(3, 2, 1, **index), mode),
            one(fixed, (3, 4), real(3, 4), whole(2, 0), mode),
        ]
    return found


def distinct(*shape: int) -> Maker:
    """Make row indices, one of them perhaps out of range, that clipping keeps apart."""
    return lambda rng: rng.choice(np.array([-9, 1, 2, 3, 4, 9]), shape, replace=False).astype(np.int32)


def scatters(fn: Callable[..., Any], modes: Sequence[str] = ("fill",)) -> list[Variant]:
    """Return updates of rows, windows, single elements and batches, with repeated indices."""
    numbers, rows = lax.ScatterDimensionNumbers, ROWS
    deep = numbers((0, 3), (1,), (2, 1))
    batched = numbers((2,), (1,), (1,), operand_batching_dims=(0,), scatter_indices_batching_dims=(0,))
    whole_operand = numbers((0, 1), (), ())

    def one(how: Any, operand: Maker, index: Maker, update: Maker, mode: str) -> Variant:
        return lambda x, i, u: fn(x, i, u, how, mode=mode), (operand, index, update)

    found: list[Variant] = []
    for mode in modes:
        index = {"low": -2, "high": 7}
        found += [
            one(rows, plain(5, 4), whole(6, 1, **index), plain(6, 4), mode),
            one(rows, whole(5, 4), whole(6, 1, **index), whole(6, 3), mode),
            one(rows, plain(5, 4), whole(0, 1), plain(0, 4), mode),
            one(deep, plain(3, 4, 5), whole(2, 3, 2, low=-1, high=4), plain(2, 2, 3, 3), mode),
            one(batched, plain(3, 5, 4), whole(3, 2, 1, **index), plain(3, 2, 4), mode),
            one(whole_operand, plain(3, 4), whole(0), plain(3, 4), mode),
        ]
    return found


def pads() -> list[Variant]:
    """Return paddings: positive, negative, interior, and mixtures."""
    configs = [((1, 2, 0), (0, 0, 0)), ((-1, 1, 2), (2, -3, 1)), ((-2, -1, 3), (0, 0, 0)), ((-4, 1, 0), (1, 1, 1))]
    configs += [((-3, -3, 3), (-5, 6, 0))]
    return [(lambda x, config=config: lax.pad(x, 7.0, config), (real(3, 4),)) for config in configs]


def dots() -> list[Variant]:
    """Return contractions over several dimensions, batched, transposed, empty, and of integers."""
    cases = [
        ((3, 4), (4, 5), (((1,), (0,)), ((), ()))),
        ((2, 3, 4), (2, 5, 4), (((2,), (2,)), ((0,), (0,)))),
        ((2, 3, 4, 5), (4, 2, 6, 5), (((3,), (3,)), ((0, 2), (1, 0)))),
        ((2, 3, 4), (4, 3, 5), (((1, 2), (1, 0)), ((), ()))),
        ((3, 0), (0, 5), (((1,), (0,)), ((), ()))),
        ((3,), (4,), (((), ()), ((), ()))),
        ((), (4,), (((), ()), ((), ()))),
    ]
    found: list[Variant] = []
    for left, right, numbers in cases:
        for maker in (plain, whole):
            found.append((lambda x, y, n=numbers: lax.dot_general(x, y, n), (maker(*left), maker(*right))))
    wide = (
        lambda x, y: lax.dot_general(x, y, cases[0][2], preferred_element_type=np.int32),
        (unsigned(3, 4), unsigned(4, 5)),
    )
    return [*found, wide]


def sharded(x: Any) -> Any:
    """Constrain a value to where it is."""
    return lax.with_sharding_constraint(x, jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0]))


DOMAINS = {"asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1), "acosh": (1, 9), "erf_inv": (-1, 1), "log": (0, 9)}
TRANSCENDENTAL = (
    "sqrt rsqrt exp exp2 expm1 log log1p sinh cosh tanh asin acos atan asinh acosh atanh cbrt logistic erf erfc floor "
    "ceil is_finite square"
)
CONVERTED_FROM = {real: (np.float64,), whole: (np.int32,), truth: (bool,)}
INTEGERS = (long, unsigned)
VARIANTS: dict[str, list[Variant]] = {
    **{
        name: unary(getattr(lax, name), low=DOMAINS.get(name, (-4, 4))[0], high=DOMAINS.get(name, (-4, 4))[1])
        for name in TRANSCENDENTAL.split()
    },
    # XLA and NumPy reduce huge arguments differently, and near a pole both are far off.
    **{name: unary(getattr(lax, name), plain) for name in ("sin", "cos", "tan")},
    "erf_inv": unary(lax.erf_inv, plain, low=-0.999, high=0.999),
    "lgamma": unary(lax.lgamma, plain, low=2.5, high=30.0),
    "digamma": unary(lax.digamma, plain, low=2.0, high=30.0),
    "neg": unary(lax.neg, real, whole),
    "sign": unary(lax.sign, real, whole, unsigned),
    "abs": unary(lax.abs, real, whole, imaginary),
    "not": unary(lax.bitwise_not, truth, *INTEGERS),
    "population_count": unary(lax.population_count, *INTEGERS),
    "clz": unary(lax.clz, *INTEGERS),
    "add": [*binary(lax.add, real, *INTEGERS), (lax.add, (real(0, 2), real(0, 2)))],
    "sub": binary(lax.sub, real, *INTEGERS),
    "mul": [*binary(lax.mul, real, imaginary, *INTEGERS), (lambda x: 2.0 * x, (real(3, 4),))],
    "div": binary(lax.div, real, *INTEGERS),
    "rem": binary(lax.rem, real, *INTEGERS),
    "max": binary(lax.max, real, truth, *INTEGERS),
    "min": binary(lax.min, real, truth, *INTEGERS),
    "pow": [*binary(lax.pow), (lax.pow, (real(3, 4), whole(3, 4, low=-3, high=5)))],
    "atan2": binary(lax.atan2),
    "nextafter": binary(lax.nextafter),
    "and": binary(lax.bitwise_and, truth, *INTEGERS),
    "or": binary(lax.bitwise_or, truth, *INTEGERS),
    "xor": binary(lax.bitwise_xor, truth, *INTEGERS),
    **{name: binary(getattr(lax, name), real, whole) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{
        name: [
            (getattr(lax, name), (whole(3, 8, dtype=dtype), whole(3, 8, dtype=dtype, low=0, high=100)))
            for dtype in (np.int32, np.int64, np.uint8)
        ]
        for name in ("shift_left", "shift_right_logical", "shift_right_arithmetic")
    },
    "integer_pow": [
        (lambda x, y=y: lax.integer_pow(x, y), (maker,))
        for y, maker in ((2, real(3, 4)), (3, real()), (-2, real(3, 4)), (7, whole(3, 4)), (0, real(3, 4)))
    ],
    "round": [(lambda x, mode=mode: lax.round(x, mode), (real(3, 4),)) for mode in lax.RoundingMethod],
    "clamp": [
        (lax.clamp, (plain(), real(3, 4), plain())),
        (lax.clamp, (plain(3, 4), real(3, 4), plain(3, 4))),
        (lax.clamp, (whole(), whole(3, 4), whole())),
    ],
    "select_n": [
        (lax.select_n, (truth(3, 4), real(3, 4), real(3, 4))),
        (lax.select_n, (truth(), real(3, 4), real(3, 4))),
        (lax.select_n, (whole(3, 4, low=0, high=2), real(3, 4), real(3, 4), real(3, 4))),
    ],
    "convert_element_type": [
        (to(dtype), (maker(3, 8),))
        for dtype in (np.int8, np.uint8, np.int32, np.uint32, np.int64, bool, np.float64, np.complex128)
        for maker in (real, whole, truth)
        if dtype not in CONVERTED_FROM[maker]
    ],
    "bitcast_convert_type": [
        (lambda x: lax.bitcast_convert_type(x, np.int64), (real(3, 4),)),
        (lambda x: lax.bitcast_convert_type(x, np.uint32), (plain(3, 4),)),
        (lambda x: lax.bitcast_convert_type(x, np.float64), (whole(3, 2, low=0, high=9),)),
    ],
    "complex": [(lax.complex, (plain(3, 4), plain(3, 4)))],
    "real": [(lax.real, (imaginary(3, 4),))],
    "imag": [(lax.imag, (imaginary(3, 4),))],
    "conj": [(lax.conj, (imaginary(3, 4),))],
    "copy": unary(lambda x: lax.copy_p.bind(x)),
    "stop_gradient": unary(lax.stop_gradient),
    "name": unary(lambda x: checkpoint_name(x, "here")),
    "sharding_constraint": unary(sharded),
    "device_put": unary(jax.device_put),
    "optimization_barrier": [(lambda x, y: lax.optimization_barrier((x, y)), (real(3), whole(2)))],
    "reduce_precision": [(lambda x: lax.reduce_precision(lax.round(x), 8, 10), (plain(3, 4),))],
    "broadcast_in_dim": [
        (lambda x: lax.broadcast_in_dim(x, (2, 3, 4), (0, 2)), (real(2, 4),)),
        (lambda x: lax.broadcast_in_dim(x, (3, 1), (0,)), (real(3),)),
        (lambda x: lax.broadcast_in_dim(x, (3, 4), (0, 1)), (real(3, 1),)),
        (lambda x: lax.broadcast_in_dim(x, (3, 0), ()), (real(),)),
    ],
    "reshape": [(lambda x: lax.reshape(x, (4, 3)), (real(3, 4),)), (lambda x: lax.reshape(x, ()), (real(1, 1),))],
    "squeeze": [(lambda x: lax.squeeze(x, (0, 2)), (real(1, 3, 1),))],
    "transpose": [(lambda x: lax.transpose(x, (2, 0, 1)), (real(2, 3, 4),))],
    "concatenate": [
        (lambda x, y: lax.concatenate((x, y), 1), (real(3, 4), real(3, 1))),
        (lambda x, y: lax.concatenate((x, y), 0), (whole(3), whole(0))),
    ],
    "stack": [(lambda x, y, axis=axis: jnp.stack((x, y), axis), (real(3), real(3))) for axis in (0, 1)],
    "unstack": [(lambda x, axis=axis: jnp.unstack(x, axis=axis), (real(2, 3),)) for axis in (0, 1)],
    "tile": [(lambda x: lax.tile(x, (2, 3)), (real(3, 2),))],
    "pad": pads(),
    "slice": [
        (lambda x: lax.slice(x, (1, 0), (3, 4), (1, 3)), (real(3, 4),)),
        (lambda x: lax.slice(x, (2, 0), (2, 4)), (whole(3, 4),)),
    ],
    "split": [(lambda x: lax.split(x, (1, 0, 3), 1), (real(3, 4),))],
    "dynamic_slice": [(lambda x, i, j: lax.dynamic_slice(x, (i, j), (2, 3)), (real(3, 4), whole(), whole()))],
    "dynamic_update_slice": [
        (lambda x, u, i, j: lax.dynamic_update_slice(x, u, (i, j)), (real(3, 4), real(2, 3), whole(), whole()))
    ],
    "rev": [(lambda x: lax.rev(x, (0, 2)), (real(2, 3, 4),))],
    "iota": [
        (lambda x, dtype=dtype: x + lax.broadcasted_iota(dtype, (3, 4), 1).astype(float), (real(3, 4),))
        for dtype in (np.int32, np.float64, np.uint8)
    ],
    "reduce_sum": reducing(lax.reduce_sum, plain(2, 3, 4), whole(2, 3, 4), plain(2, 0, 4)),
    "reduce_prod": reducing(lax.reduce_prod, plain(2, 3, 4), whole(2, 3, 4), plain(2, 0, 4)),
    "reduce_max": reducing(lax.reduce_max, real(2, 3, 4), whole(2, 3, 4), real(2, 0, 4), truth(2, 3, 4)),
    "reduce_min": reducing(lax.reduce_min, real(2, 3, 4), whole(2, 3, 4), real(2, 0, 4), truth(2, 3, 4)),
    "reduce_and": reducing(lax.reduce_and, truth(2, 3, 4), whole(2, 3, 4), truth(2, 0, 4)),
    "reduce_or": reducing(lax.reduce_or, truth(2, 3, 4), whole(2, 3, 4), truth(2, 0, 4)),
    "reduce_xor": reducing(lax.reduce_xor, truth(2, 3, 4), whole(2, 3, 4), truth(2, 0, 4)),
    **{
        name: [
            (lambda x, name=name, axis=axis: getattr(lax, name)(x, axis, np.int32), (maker(3, 4),))
            for axis in (0, 1)
            for maker in (ties, whole, truth)
        ]
        for name in ("argmax", "argmin")
    },
    "cumsum": along(lax.cumsum, plain(3, 4), whole(3, 4), plain(0, 4)),
    "cumprod": along(lax.cumprod, plain(3, 4), whole(3, 4)),
    "cummax": along(lax.cummax, ties(3, 4), whole(3, 4)),
    "cummin": along(lax.cummin, ties(3, 4), whole(3, 4)),
    "cumlogsumexp": along(lax.cumlogsumexp, real(3, 4), plain(3, 4)),
    "sort": [
        (lambda x: lax.sort(x, dimension=0), (ties(6, 2),)),
        (lambda x: lax.sort(x, dimension=1), (truth(3, 6),)),
        (lambda x, y: lax.sort((x, y), dimension=1, num_keys=1), (ties(3, 6), whole(3, 6))),
        (lambda x, y, z: lax.sort((x, y, z), dimension=0, num_keys=2), (truth(6, 2), ties(6, 2), whole(6, 2))),
    ],
    "top_k": [
        (lambda x, k=k: lax.top_k(x, k), (maker,)) for k in (0, 2, 6) for maker in (ties(3, 6), real(6), whole(3, 6))
    ],
    "dot_general": dots(),
    "gather": gathers(),
    # With indices that repeat, XLA may assign in any order, so here they are all different.
    "scatter": [
        (
            lambda x, i, u, mode=mode: lax.scatter(x, i, u, ROWS, mode=mode),
            (plain(6, 4), distinct(5, 1), plain(5, size)),
        )
        for mode, size in (("clip", 4), ("fill", 4), ("fill", 3), ("promise_in_bounds", 4))
    ],
    "scatter-add": scatters(lax.scatter_add, MODES),
    "scatter-sub": scatters(lax.scatter_sub),
    "scatter-mul": scatters(lax.scatter_mul),
    "scatter-min": scatters(lax.scatter_min),
    "scatter-max": scatters(lax.scatter_max),
}


def linear(x: Any) -> Any:
    """Return a gradient that adds two cotangents."""
    return jax.grad(lambda x: (jnp.sin(x) * jnp.cos(x)).sum())(x)


VARIANTS["add_any"] = [(linear, (plain(3, 4),)), (linear, (plain(),))]


@functools.cache
def traced(primitive: str) -> tuple[Program, Callable[..., Any], str]:
    """Trace all variants of a primitive, once: as a program, as a function that XLA compiles, and as text."""
    variants = VARIANTS[primitive]

    def together(groups: Sequence[Any]) -> list[Any]:
        return [fn(*args) for (fn, _), args in zip(variants, groups, strict=True)]

    with jax.enable_x64(True):
        closed = jax.make_jaxpr(together)(draw(primitive, 0))
        # Unoptimised code rounds no differently here, and compiles in half the time.
        compiled = jax.jit(jaxpr_as_fun(closed), compiler_options={"xla_backend_optimization_level": 0})
    return Program(closed), compiled, str(closed)


def draw(primitive: str, seed: int) -> list[list[Any]]:
    """Draw arguments for all variants of a primitive."""
    rng = np.random.default_rng(seed)
    return [[make(rng) for make in makers] for _, makers in VARIANTS[primitive]]


@pytest.mark.parametrize("primitive", sorted(VARIANTS))
@FEW
@given(seed=st.integers(0, 2**32 - 1))
def test_rule_agrees_with_xla(primitive: str, seed: int) -> None:
    """A rule computes what XLA computes in float64: values, dtype, shape, NaN and infinity."""
    program, compiled, text = traced(primitive)
    args = jax.tree.leaves(draw(primitive, seed))
    with jax.enable_x64(True):
        expected = [np.asarray(value) for value in compiled(*args)]
    assert f" {primitive}" in text
    assert program.fallbacks == ()
    for place, (ours, theirs) in enumerate(zip(program(*args), expected, strict=True)):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), f"output {place}"
        atol = 1e-14 if primitive in LOOSE else 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=atol, err_msg=f"output {place}")


# These cancel near a zero that is no float, so XLA is itself only good to its own rounding there.
LOOSE = {
    "sin",
    "cos",
    "tan",
    "dot_general",
    "reduce_sum",
    "cumsum",
    "cumlogsumexp",
    "add_any",
    "scatter-add",
    "scatter-sub",
}


def test_every_rule_is_covered() -> None:
    """No rule is in the table without a property above."""
    # What a symbolic dimension is worth can't be asked of XLA without exporting; test_ideal_program does.
    assert set(RULES) - set(VARIANTS) == {"dim_as_value"}
    assert set(VARIANTS) <= set(RULES)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16], ids=str)
def test_casts_are_lifted(dtype: Any) -> None:
    """A cast to a lower floating dtype changes nothing."""
    x = np.random.default_rng(0).normal(size=(3, 4))
    with jax.enable_x64(True):
        closed = jax.make_jaxpr(lambda x: jnp.exp(x.astype(dtype)) * 2)(x)
    (got,) = Program(closed)(x)
    np.testing.assert_array_equal(got, np.exp(x) * 2)


def test_bits_of_a_declared_dtype() -> None:
    """A bitcast sees the bits of the dtype that the program declares, not those of float64."""
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    with jax.enable_x64(True):
        closed = jax.make_jaxpr(lambda x: lax.bitcast_convert_type(x, np.int32))(x)
    np.testing.assert_array_equal(Program(closed)(x)[0], x.view(np.int32))
