"""Faults of where things stand: axes, broadcasts, indices, transposes, the order of a reshape."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.faults.site import Fault, Site

MOST = 2  # other places tried for one operation

_ALONG = {"cumsum": "axis", "cummax": "axis", "cummin": "axis", "cumprod": "axis", "cumlogsumexp": "axis"}


def axes(site: Site) -> Iterator[Fault]:
    """A reduction or a running sum along another axis of the same size."""
    shape = site.equation.inputs[0].shape if site.equation.inputs else ()
    if (site.name.startswith("reduce_") and "axes" in site.equation.params) or site.name in ("argmax", "argmin"):
        before = tuple(site.equation.params["axes"])
        for other in _first(_other_axes(before, shape)):
            yield from _moved(site, f"over axis {before} -> {other}", other[0] - before[0], axes=other)
    elif site.name in _ALONG:
        before = site.equation.params["axis"]
        for other in _first(axis for axis in range(len(shape)) if axis != before and shape[axis] > 1):
            yield from _moved(site, f"along axis {before} -> {other}", other - before, **{_ALONG[site.name]: other})
        reverse = not site.equation.params["reverse"]
        if change := site.instead(reverse=reverse):
            yield Fault("axis", "reversed", "run the other way", change)


def broadcasts(site: Site) -> Iterator[Fault]:
    """An operand broadcast along other axes of the same sizes."""
    if site.name != "broadcast_in_dim":
        return
    source, target = site.equation.inputs[0].shape, site.equation.outputs[0].shape
    before = tuple(site.equation.params["broadcast_dimensions"])
    if int(np.prod(source)) == 1:
        return
    for other in _first(
        dims
        for dims in itertools.combinations(range(len(target)), len(source))
        if dims != before and all(n in (1, target[d]) for n, d in zip(source, dims, strict=True))
        if _placed(source, before) != _placed(source, dims)
    ):
        change = site.instead(broadcast_dimensions=other)
        if change:
            yield Fault("broadcast", _steps(before, other), f"along axes {before} -> {other}", change)


def indices(site: Site) -> Iterator[Fault]:
    """A slice, a look-up, a counter or a padding off by one."""
    params = site.equation.params
    if site.name == "slice":
        yield from _slices(site)
    elif site.name == "iota":
        one = site.equation.outputs[0].dtype.type(1)
        yield Fault("index", "from 1", "counts from 1", lambda _, results: [results[0] + one])
        yield Fault("index", "from -1", "counts from -1", lambda _, results: [results[0] - one])
    elif site.name in ("argmax", "argmin"):
        yield Fault("index", "plus 1", "index plus 1", lambda _, results: [results[0] + results[0].dtype.type(1)])
    elif site.name == "gather":
        size = max(site.equation.inputs[0].shape[axis] for axis in params["dimension_numbers"].start_index_map)
        for step in (1, -1):
            change = site.exchanged(1, lambda x, step=step: np.mod(x + x.dtype.type(step), x.dtype.type(size)))
            yield Fault("index", f"{step:+d}", f"indices {step:+d}, modulo {size}", change)
    elif site.name in ("dynamic_slice", "dynamic_update_slice"):
        first = 1 if site.name == "dynamic_slice" else 2
        for number in range(first, len(site.equation.inputs)):
            for step in (1, -1):
                change = site.exchanged(number, lambda x, step=step: x + np.asarray(x).dtype.type(step))
                yield Fault("index", f"start {number - first} {step:+d}", f"start {step:+d}", change)
    elif site.name == "pad":
        yield from _pads(site)
    elif site.name == "rev":
        yield Fault("index", "not reversed", "not reversed", lambda operands, _: [operands[0]])


def transposes(site: Site) -> Iterator[Fault]:
    """A transpose dropped or made another, a square matrix turned, a reshape that reads in the other order."""
    if site.name == "transpose":
        before, shape = tuple(site.equation.params["permutation"]), site.equation.inputs[0].shape
        result = tuple(shape[axis] for axis in before)
        order = sorted(before)
        for other in _first(
            perm
            for perm in sorted(itertools.permutations(order), key=lambda perm: perm != tuple(order))
            if perm != before
            and tuple(shape[axis] for axis in perm) == result
            and _real(perm, shape) != _real(before, shape)
        ):
            if change := site.instead(permutation=other):
                said = "dropped" if other == tuple(order) else f"{before} -> {other}"
                yield Fault("transpose", _steps(before, other), said, change)
    elif site.name == "reshape" and not site.equation.params.get("dimensions"):
        yield from _layouts(site)
    elif site.name == "dot_general":
        yield from _turned(site)


def _slices(site: Site) -> Iterator[Fault]:
    params, (spec,) = site.equation.params, site.equation.inputs
    for axis, (start, stop) in enumerate(zip(params["start_indices"], params["limit_indices"], strict=True)):
        for step in (1, -1):
            if start + step >= 0 and stop + step <= spec.shape[axis]:
                starts, stops = list(params["start_indices"]), list(params["limit_indices"])
                starts[axis], stops[axis] = start + step, stop + step
                change = site.instead(start_indices=tuple(starts), limit_indices=tuple(stops))
                if change:
                    said = f"[{start}:{stop}] -> [{start + step}:{stop + step}] on axis {axis}"
                    yield Fault("index", f"axis {axis} {step:+d}", said, change)


def _pads(site: Site) -> Iterator[Fault]:
    config = tuple(site.equation.params["padding_config"])
    for axis, (low, high, interior) in enumerate(config):
        for step in (1, -1):
            if low + step >= 0 and high - step >= 0 and (low or high):
                moved = (*config[:axis], (low + step, high - step, interior), *config[axis + 1 :])
                if change := site.instead(padding_config=moved):
                    yield Fault("index", f"axis {axis} {step:+d}", f"padded {low}, {high} -> {moved[axis][:2]}", change)


def _layouts(site: Site) -> Iterator[Fault]:
    source, target = site.equation.inputs[0].shape, site.equation.outputs[0].shape
    places = np.arange(int(np.prod(source))).reshape(source)
    if not np.array_equal(places.reshape(target), places.reshape(target, order="F")):
        yield Fault(
            "transpose",
            "order",
            f"{source} -> {target} read column by column",
            lambda operands, _: [np.reshape(operands[0], target, order="F")],
        )


def _turned(site: Site) -> Iterator[Fault]:
    (summed, batch), specs = site.equation.params["dimension_numbers"], site.equation.inputs
    for number, spec in enumerate(specs):
        axis = summed[number][0] if summed[number] else None
        free = [d for d in range(len(spec.shape)) if d not in summed[number] and d not in batch[number]]
        for other in free[-1:]:
            if axis is not None and spec.shape[other] == spec.shape[axis] > 1:
                change = site.exchanged(number, lambda x, a=axis, b=other: np.swapaxes(x, a, b))
                yield Fault("transpose", f"operand {number}", f"operand {number} {spec.shape} transposed", change)


def _other_axes(before: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    kept = [size for axis, size in enumerate(shape) if axis not in before]
    for other in itertools.combinations(range(len(shape)), len(before)):
        left = [size for axis, size in enumerate(shape) if axis not in other]
        if set(other) != set(before) and left == kept and any(shape[axis] > 1 for axis in (*before, *other)):
            yield other


def _moved(site: Site, said: str, step: int, **params: Any) -> Iterator[Fault]:
    if change := site.instead(**params):
        yield Fault("axis", f"{step:+d}", said, change)


def _placed(source: tuple[int, ...], dims: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(n, d) for n, d in zip(source, dims, strict=True) if n != 1]


def _real(permutation: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    """A permutation as far as it moves anything: axes of size 1 count for nothing."""
    return [axis for axis in permutation if shape[axis] != 1]


def _steps(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    return " ".join(f"{b - a:+d}" for a, b in zip(before, after, strict=True))


def _first(found: Iterator[Any]) -> Iterator[Any]:
    return itertools.islice(found, MOST)
