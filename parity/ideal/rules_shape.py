"""NumPy rules for the primitives that move values without changing them."""

# A closure takes whatever arrays the program holds, so its operands have no static type.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import itertools

import numpy as np

from parity.ideal.equation import Array, Equation, Operation, Rule


def _broadcast_in_dim(equation: Equation) -> Operation:
    shape, source = equation.outputs[0].shape, equation.inputs[0].shape
    expanded = [1] * len(shape)
    for axis, size in zip(equation.params["broadcast_dimensions"], source, strict=True):
        expanded[axis] = size
    if tuple(expanded) == shape:
        return lambda x: x.reshape(shape)
    if len(source) == len(shape):
        return lambda x: np.broadcast_to(x, shape)
    return lambda x: np.broadcast_to(x.reshape(expanded), shape)


def _reshape(equation: Equation) -> Operation:
    shape, order = equation.outputs[0].shape, equation.params.get("dimensions")
    if order is not None:
        return lambda x: x.transpose(order).reshape(shape)
    return lambda x: x.reshape(shape)


def _squeeze(equation: Equation) -> Operation:
    shape = equation.outputs[0].shape
    return lambda x: x.reshape(shape)


def _transpose(equation: Equation) -> Operation:
    order = tuple(equation.params["permutation"])
    return lambda x: x.transpose(order)


def _concatenate(equation: Equation) -> Operation:
    axis = equation.params["dimension"]
    return lambda *parts: np.concatenate(parts, axis=axis)


def _stack(equation: Equation) -> Operation:
    axis = equation.params["axis"]
    return lambda *parts: np.stack(parts, axis=axis)


def _unstack(equation: Equation) -> Operation:
    axis = equation.params["axis"]
    return lambda x: tuple(np.moveaxis(x, axis, 0))


def _tile(equation: Equation) -> Operation:
    reps = tuple(equation.params["reps"])
    return lambda x: np.tile(x, reps)


def _pad(equation: Equation) -> Operation:
    shape, spec = equation.outputs[0].shape, equation.inputs[0]
    source: list[slice] = []
    target: list[slice] = []
    for size, after, (low, _, interior) in zip(spec.shape, shape, equation.params["padding_config"], strict=True):
        # Element i lands on low + i * step; negative padding cuts off those that land outside.
        step = interior + 1
        first = max(0, -(low // step)) if low < 0 else 0
        stop = max(first, min(size, -((low - after) // step)))
        source.append(slice(first, stop))
        target.append(slice(low + first * step, low + first * step + max(0, (stop - first - 1) * step + 1), step))
        if first == stop:
            target[-1] = slice(0, 0)
    take, put = tuple(source), tuple(target)

    def pad(x: Array, value: Array) -> Array:
        result = np.full(shape, value, dtype=spec.dtype)
        result[put] = x[take]
        return result

    return pad


def _slice(equation: Equation) -> Operation:
    params = equation.params
    strides = params["strides"] or (1,) * len(params["start_indices"])
    take = tuple(map(slice, params["start_indices"], params["limit_indices"], strides))
    return lambda x: x[take]


def _split(equation: Equation) -> Operation:
    axis, edges = equation.params["axis"], list(itertools.accumulate(equation.params["sizes"], initial=0))
    cuts = [(slice(None),) * axis + (slice(a, b),) for a, b in itertools.pairwise(edges)]
    return lambda x: [x[cut] for cut in cuts]


def _window(starts: tuple[Array, ...], shape: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[slice, ...]:
    """Place a window as XLA does: moved inside where it would reach over an edge."""
    clamped = [min(max(int(start), 0), n - size) for start, n, size in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(clamped, sizes, strict=True))


def _dynamic_slice(equation: Equation) -> Operation:
    shape, sizes = equation.inputs[0].shape, equation.outputs[0].shape
    return lambda x, *starts: x[_window(starts[: len(shape)], shape, sizes)]


def _dynamic_update_slice(equation: Equation) -> Operation:
    shape, sizes = equation.inputs[0].shape, equation.inputs[1].shape

    def update(x: Array, part: Array, *starts: Array) -> Array:
        result = np.array(x)
        result[_window(starts, shape, sizes)] = part
        return result

    return update


def _rev(equation: Equation) -> Operation:
    axes = tuple(equation.params["dimensions"])
    return lambda x: np.flip(x, axes)


def _iota(equation: Equation) -> Operation:
    spec, axis = equation.outputs[0], equation.params["dimension"]
    line = [1] * len(spec.shape)
    line[axis] = spec.shape[axis]
    return lambda *_sizes: np.broadcast_to(np.arange(spec.shape[axis]).astype(spec.dtype).reshape(line), spec.shape)


def _dim_as_value(equation: Equation) -> Operation:
    value = equation.outputs[0].dtype.type(equation.params["dim"])
    return lambda: value


RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "stack": _stack,
    "unstack": _unstack,
    "tile": _tile,
    "pad": _pad,
    "slice": _slice,
    "split": _split,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "rev": _rev,
    "iota": _iota,
    "dim_as_value": _dim_as_value,
}
