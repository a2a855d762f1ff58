"""Laws: what must hold between two calls of a port, whatever the reference says.

A law makes a second call from the first one's inputs, and says which elements of both calls' outputs must be equal.
An axis is counted in the whole array; inputs and outputs go by the reference's names, outputs also by pattern
(`hidden_states.*`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from parity.errors import ParityError

Array = npt.NDArray[Any]
Json = Mapping[str, Any]
Inputs = Mapping[str, Any]  # arrays, tuples of arrays, plain scalars
Axes = int | tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """The first call: an example's configuration and form, its inputs as arrays, and a source of chance."""

    config: Json
    form: Json
    inputs: Inputs
    rng: np.random.Generator


@dataclass(frozen=True)
class Twin:
    """The second call, and how its outputs correspond to the first's.

    Attributes:
        inputs: of the second call.
        alike: (output's name, of the first call, of the second) -> two arrays that must be equal.
    """

    inputs: Inputs
    alike: Callable[[str, Array, Array], tuple[Array, Array]]


@dataclass(frozen=True, kw_only=True)
class Law:
    """What must hold between two calls of a port.

    Attributes:
        twin: makes the second call from the first.
        why: the reason that it must hold.
        where: (config, form) -> whether it must hold there; somewhere in a run it has to.
    """

    twin: Callable[[Call], Twin]
    why: str
    where: Callable[[Json, Json], bool] = lambda config, form: True


def permuted(call: Call, inputs: Mapping[str, Axes], outputs: Mapping[str, Axes]) -> Twin:
    """Entries in another order: the outputs must come in that order too.

    Args:
        call: the first call.
        inputs: input -> the axis (or axes, all in the same order) along which entries are reordered.
        outputs: output -> its axes that follow; none, `()`, for an output that must not change.
    """
    size = _size(call, inputs)
    order = call.rng.permutation(size)
    if size > 1 and (order == np.arange(size)).all():
        order = np.roll(order, 1)

    def alike(name: str, first: Array, second: Array) -> tuple[Array, Array]:
        return _along(first, _axes(name, outputs), lambda x, axis: x.take(order, axis)), second

    return Twin(_changed(call.inputs, inputs, lambda x, axis: x.take(order, axis)), alike)


def later_changed(
    call: Call,
    inputs: Mapping[str, Axes],
    outputs: Mapping[str, int],
    *,
    seen: npt.NDArray[np.bool_] | None = None,
    at: Mapping[str, Array] | None = None,
) -> Twin:
    """Other values from some position on: nothing before it may change.

    Args:
        call: the first call.
        inputs: input -> its axis of positions, L long.
        outputs: output -> its axis of positions; the first axis is the batch.
        seen: [B, L], the positions to compare; all by default. (One that sees nothing may depend on anything.)
        at: output -> [P] or [B, P], the positions that its P entries stand for; 0, 1, 2 ... by default.
    """
    size = _size(call, inputs)
    start = int(call.rng.integers(1, size)) if size > 1 else size

    def change(x: Array, axis: int) -> Array:
        other, later = fresh(x, call.rng), np.arange(size) >= start
        return np.where(later.reshape([-1 if i == axis else 1 for i in range(x.ndim)]), other, x)

    def alike(name: str, first: Array, second: Array) -> tuple[Array, Array]:
        earlier = np.broadcast_to(np.arange(size) < start, (len(first), size))
        return _kept(name, first, second, outputs, earlier if seen is None else earlier & seen, at)

    return Twin(_changed(call.inputs, inputs, change), alike)


def padded(
    call: Call,
    inputs: Mapping[str, tuple[Axes, Any]],
    outputs: Mapping[str, Axes],
    *,
    left: bool,
    by: int = 2,
    real: npt.NDArray[np.bool_] | None = None,
    at: Mapping[str, Array] | None = None,
) -> Twin:
    """A longer call with padding at one end that is masked out: what was there before must not change.

    Args:
        call: the first call.
        inputs: input -> its axes of positions, L long, and what fills the padding; None means any values.
        outputs: output -> its axes of positions, the first of them judged by `real`.
        left: whether the padding comes first.
        by: how much padding.
        real: [B, L], the positions to compare; all by default.
        at: as in `later_changed`.
    """

    def change(fill: Any) -> Callable[[Array, int], Array]:
        def extended(x: Array, axis: int) -> Array:
            pad = fresh(x, call.rng).take(np.zeros(by, int), axis)
            pad = pad if fill is None else np.full_like(pad, fill)
            return np.concatenate([pad, x] if left else [x, pad], axis)

        return extended

    def alike(name: str, first: Array, second: Array) -> tuple[Array, Array]:
        axes = _axes(name, outputs)
        cut = _along(second, axes, lambda x, axis: x.take(np.arange(x.shape[axis] - by) + by * left, axis))
        return (first, cut) if real is None else _kept(name, first, cut, outputs, real, at)

    changed = dict(call.inputs)
    for name, (axes, fill) in inputs.items():
        changed = _changed(changed, {name: axes}, change(fill))
    return Twin(changed, alike)


def fresh(x: Array, rng: np.random.Generator) -> Array:
    """Other values of the same kind: floats of the same magnitude, integers out of those that occur."""
    if x.dtype.kind != "f":
        return rng.choice(x.ravel(), x.shape)
    size = float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0
    return (rng.standard_normal(x.shape) * (size or 1.0)).astype(x.dtype)


def _kept(
    name: str,
    first: Array,
    second: Array,
    outputs: Mapping[str, Axes],
    keep: npt.NDArray[np.bool_],
    at: Mapping[str, Array] | None,
) -> tuple[Array, Array]:
    """Both outputs with zeros at the positions that are not compared."""
    (axis, *_) = _axes(name, outputs) or (1,)
    if at and name in at:
        places = np.broadcast_to(at[name], (len(keep), np.shape(at[name])[-1]))
        keep = np.take_along_axis(keep, places, axis=-1)
    mask = keep.reshape([size if i in (0, axis) else 1 for i, size in enumerate(first.shape)])
    return np.where(mask, first, 0.0), np.where(mask, second, 0.0)


def _changed(inputs: Inputs, axes: Mapping[str, Axes], change: Callable[[Array, int], Array]) -> dict[str, Any]:
    """Inputs with those named changed along their axes; the leaves of a tuple all alike."""

    def leaf(tree: Any, along: tuple[int, ...]) -> Any:
        if isinstance(tree, tuple):
            return tuple(leaf(branch, along) for branch in cast(tuple[Any, ...], tree))
        return _along(tree, along, change)

    given = {name: _tuple(along) for name, along in axes.items() if inputs.get(name) is not None}
    return {**inputs, **{name: leaf(inputs[name], along) for name, along in given.items()}}


def _along(x: Array, axes: tuple[int, ...], change: Callable[[Array, int], Array]) -> Array:
    for axis in axes:
        x = change(x, axis)
    return x


def _size(call: Call, axes: Mapping[str, Axes]) -> int:
    """The one size that the named inputs have along their axes; those that are not given don't count."""
    sizes: set[int] = set()
    for name, along in axes.items():
        tree = call.inputs.get(name)
        leaf = cast(Any, tree[0] if isinstance(tree, tuple) else tree)
        sizes.update(leaf.shape[axis] for axis in _tuple(along) if leaf is not None)
    if len(sizes) != 1:
        raise ParityError(f"the inputs {', '.join(axes)} have sizes {sorted(sizes)} along the law's axes: not one size")
    return sizes.pop()


def _axes(name: str, outputs: Mapping[str, Axes]) -> tuple[int, ...]:
    for pattern, axes in outputs.items():
        if fnmatchcase(name, pattern):
            return _tuple(axes)
    raise ParityError(f"the law does not say how the output `{name}` corresponds; it knows {', '.join(outputs)}")


def _tuple(axes: Axes) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else axes
