"""NumPy rules for reductions, cumulative operations, sorting and contractions."""

# A closure takes whatever arrays the program holds, so its operands have no static type.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from typing import Any

import numpy as np

from parity.ideal.equation import Array, Equation, Operation, Rule, is_float


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype == np.bool_:
        return np.False_
    return dtype.type(-np.inf) if dtype.kind == "f" else dtype.type(np.iinfo(dtype).min)


def _highest(dtype: np.dtype[Any]) -> Any:
    if dtype == np.bool_:
        return np.True_
    return dtype.type(np.inf) if dtype.kind == "f" else dtype.type(np.iinfo(dtype).max)


def _reduce(ufunc: np.ufunc, start: Callable[[np.dtype[Any]], Any] | None = None) -> Rule:
    """Reduce with a ufunc; `start` gives its neutral element where NumPy knows none."""

    def rule(equation: Equation) -> Operation | None:
        axes, dtype = tuple(int(axis) for axis in equation.params["axes"]), equation.outputs[0].dtype
        if dtype.kind == "c" and start is not None:
            return None
        if start is not None:
            initial = start(dtype)
            return lambda x: ufunc.reduce(x, axis=axes, dtype=dtype, initial=initial)
        return lambda x: ufunc.reduce(x, axis=axes, dtype=dtype)

    return rule


def _arg(search: Callable[..., Any]) -> Rule:
    def rule(equation: Equation) -> Operation:
        (axis,), dtype = equation.params["axes"], equation.outputs[0].dtype
        return lambda x: search(x, axis=int(axis)).astype(dtype)

    return rule


def _cumulative(ufunc: np.ufunc) -> Rule:
    def rule(equation: Equation) -> Operation | None:
        axis, dtype = equation.params["axis"], equation.outputs[0].dtype
        if dtype.kind == "c" and ufunc not in (np.add, np.multiply):
            return None
        if equation.params["reverse"]:
            return lambda x: np.flip(ufunc.accumulate(np.flip(x, axis), axis=axis, dtype=dtype), axis)
        return lambda x: ufunc.accumulate(x, axis=axis, dtype=dtype)

    return rule


def _sort(equation: Equation) -> Operation | None:
    axis, keys = equation.params["dimension"], equation.params["num_keys"]
    if any(spec.dtype.kind not in "biuf" for spec in equation.inputs):
        return None
    if len(equation.inputs) == 1:
        return lambda x: [np.sort(x, axis=axis, kind="stable")]

    def sort(*operands: Array) -> list[Array]:
        order = np.lexsort(operands[:keys][::-1], axis=axis)
        return [np.take_along_axis(operand, order, axis) for operand in operands]

    return sort


def _top_k(equation: Equation) -> Operation | None:
    k, axis, indices = equation.params["k"], equation.params["axis"], equation.outputs[1].dtype
    if equation.inputs[0].dtype.kind not in "iuf":
        return None
    floating = is_float(equation.inputs[0])

    def top_k(x: Array) -> list[Array]:
        key = x
        if floating:
            # The total order of XLA, which tells -0 from 0 and puts NaN above infinity: that of the bits.
            bits = np.ascontiguousarray(x).view(np.int64)
            key = bits ^ ((bits >> 63) & np.int64(np.iinfo(np.int64).max))
        # A stable descending sort: the ascending one of the mirror image, read backwards.
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(key, axis), axis=axis, kind="stable"), axis)
        order = np.take(order, np.arange(k), axis=axis)
        return [np.take_along_axis(x, order, axis), order.astype(indices)]

    return top_k


def _dot_general(equation: Equation) -> Operation | None:
    left, right = equation.inputs
    result = equation.outputs[0]
    if result.dtype.kind not in "iufc":
        return None
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left_free = [d for d in range(len(left.shape)) if d not in left_sum and d not in left_batch]
    right_free = [d for d in range(len(right.shape)) if d not in right_sum and d not in right_batch]
    batch = tuple(left.shape[d] for d in left_batch)
    summed = int(np.prod([left.shape[d] for d in left_sum], dtype=np.int64))
    rows = int(np.prod([left.shape[d] for d in left_free], dtype=np.int64))
    columns = int(np.prod([right.shape[d] for d in right_free], dtype=np.int64))
    # Batch dimensions stay apart: merging them would copy, and matmul takes any number.
    arrange_left = _arrange([*left_batch, *left_free, *left_sum], left.shape, (*batch, rows, summed))
    arrange_right = _arrange([*right_batch, *right_sum, *right_free], right.shape, (*batch, summed, columns))
    shape = result.shape

    if left.dtype == right.dtype == result.dtype:
        return lambda x, y: np.matmul(arrange_left(x), arrange_right(y)).reshape(shape)
    dtype = result.dtype
    return lambda x, y: np.matmul(arrange_left(x.astype(dtype)), arrange_right(y.astype(dtype))).reshape(shape)


def _arrange(order: list[int], source: tuple[int, ...], shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """Transpose, then reshape, doing only what is needed."""
    moved = tuple(source[d] for d in order)
    if order == list(range(len(order))):
        return (lambda x: x) if moved == shape else lambda x: x.reshape(shape)
    if moved == shape:
        return lambda x: x.transpose(order)
    return lambda x: x.transpose(order).reshape(shape)


RULES: dict[str, Rule] = {
    "reduce_sum": _reduce(np.add),
    "reduce_prod": _reduce(np.multiply),
    "reduce_max": _reduce(np.maximum, _lowest),
    "reduce_min": _reduce(np.minimum, _highest),
    "reduce_and": _reduce(np.bitwise_and),
    "reduce_or": _reduce(np.bitwise_or),
    "reduce_xor": _reduce(np.bitwise_xor),
    "argmax": _arg(np.argmax),
    "argmin": _arg(np.argmin),
    "cumsum": _cumulative(np.add),
    "cumprod": _cumulative(np.multiply),
    "cummax": _cumulative(np.maximum),
    "cummin": _cumulative(np.minimum),
    "cumlogsumexp": _cumulative(np.logaddexp),
    "sort": _sort,
    "top_k": _top_k,
    "dot_general": _dot_general,
}
