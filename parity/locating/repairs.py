"""Repairs of a traced port, without knowing what it is: parameters, inputs, the order of heads."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.port import Followed

Array = npt.NDArray[Any]
Changes = Mapping[int, Any]


@dataclasses.dataclass(frozen=True)
class Repair:
    """Something put right: other values in some slots of a program.

    Attributes:
        kind: repairs of one kind are one answer.
        said: what it would mean.
        changes: slot -> its value instead.
        after: the line that the values are results of; -1: what the program is given.
    """

    kind: str
    said: str
    changes: Callable[[], Changes]
    after: int = -1


def of_parameters(
    followed: Followed, named: Mapping[str, float], inner: Collection[str] = (), inputs: Collection[int] = ()
) -> Iterator[Repair]:
    """Kernels transposed, halves and rows in another order, two in each other's place, one more or less.

    Args:
        followed: the program.
        named: the configuration's numbers.
        inner: paths of parts whose parameters are left alone.
        inputs: the slots of its inputs: where heads are laid out in another way, so are tables for heads.
    """
    values = followed.evaluation.values
    slots = {path: slot for path, slot in followed.parameters.items() if not _is_in(path, inner)}
    for path, slot in slots.items():
        x: Array = values[slot]
        for said, changed in _layouts(path, x):
            yield Repair(said, said, lambda slot=slot, changed=changed: {slot: changed()})
    for (one, a), (other, b) in itertools.combinations(slots.items(), 2):
        if values[a].shape == values[b].shape:
            said = f"`{one}` and `{other}` in each other's place"
            yield Repair(said, said, lambda a=a, b=b: {a: values[b], b: values[a]})
    units = _units(slots)
    for (one, own), (other, theirs) in itertools.combinations(units.items(), 2):
        if len(own) > 1 and [values[s].shape for s in own.values()] == [values[s].shape for s in theirs.values()]:
            said = f"`{one}` and `{other}` in each other's place"
            pairs = [*zip(own.values(), theirs.values(), strict=True)]
            yield Repair(said, said, lambda pairs=pairs: {a: values[b] for p in pairs for a, b in (p, p[::-1])})
    yield from _permuted(followed, units, named, inputs)


def of_inputs(followed: Followed, inputs: Mapping[int, str]) -> Iterator[Repair]:
    """Integers one too high or low, an axis off by one, the last two axes in each other's place."""
    for slot, name in inputs.items():
        x: Array = np.asarray(followed.evaluation.values[slot])
        if x.dtype.kind in "iu":
            for step in (-1, 1):
                yield Repair(f"input {name}", f"`{name}` off by one", lambda s=slot, x=x, d=step: {s: x + d})
        for axis, step in itertools.product((-1, -2), (-1, 1)):
            if x.ndim >= -axis and x.shape[axis] > 1:
                said = f"`{name}` off by one along axis {x.ndim + axis}"
                yield Repair(said, said, lambda s=slot, x=x, d=step, a=axis: {s: np.roll(x, d, a)})
        if x.ndim > 1 and x.shape[-1] == x.shape[-2] > 1:
            said = f"the last two axes of `{name}` in each other's place"
            yield Repair(said, said, lambda s=slot, x=x: {s: x.swapaxes(-1, -2)})


def of_heads(followed: Followed) -> Iterator[Repair]:
    """Groups repeated in another order: each one several times over (repeat), or all of them again and again (tile)."""
    for kind, there, wanted in (("tiled", _tiled, _repeat), ("repeated", _repeated, _tile)):
        found: dict[int, Any] = {}
        made_of: set[int] = set()
        for index, line in enumerate(followed.evaluation.program.lines):
            fresh = made_of.isdisjoint(line.inputs)
            for slot, x in zip(line.outputs, followed.evaluation.results(index), strict=True):
                axis_and_count = _grouped(x, there) if fresh else None
                if axis_and_count:
                    axis, count = axis_and_count
                    found[slot] = np.take(x, wanted(x.shape[axis], count), axis)
            if not fresh or not made_of.isdisjoint(line.outputs) or not found.keys().isdisjoint(line.outputs):
                made_of.update(line.outputs)
        if found:
            other = "repeated one by one" if kind == "tiled" else "tiled"
            said = f"groups of heads that are {kind} and should be {other}"
            yield Repair(said, said, lambda found=found: found)


def _layouts(path: str, x: Array) -> Iterator[tuple[str, Callable[[], Array]]]:
    """Other layouts of one parameter, and what it would mean."""
    if x.ndim == 2 and x.shape[0] == x.shape[1] > 1:
        yield f"`{path}` not being transposed", lambda: x.T
    for axis in range(x.ndim if x.ndim == 2 else 0):
        size = x.shape[axis]
        if size % 2 == 0:
            yield (
                f"the halves of `{path}` in each other's place",
                lambda axis=axis, size=size: np.roll(x, size // 2, axis),
            )
        if size > 2:
            yield f"`{path}` in reversed order", lambda axis=axis: np.flip(x, axis)
    if x.ndim == 1:
        yield f"1 not being added to `{path}`", lambda: x + 1
        yield f"1 being added to `{path}`", lambda: x - 1


def _is_in(path: str, inner: Collection[str]) -> bool:
    return any(path.startswith(f"{one}.") for one in inner)


def _units(slots: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """The parameters by the module that has them."""
    units: dict[str, dict[str, int]] = {}
    for path, slot in slots.items():
        module, _, leaf = path.rpartition(".")
        units.setdefault(module or path, {})[leaf] = slot
    return units


def _permuted(
    followed: Followed, units: Mapping[str, Mapping[str, int]], named: Mapping[str, float], inputs: Collection[int]
) -> Iterator[Repair]:
    """The rows of each head in pairs instead of halves, or the other way round: of one module, or of two alike.

    Each is tried alone, and together with the inputs that are as wide as a head.
    """
    values = followed.evaluation.values
    whole = {int(v) for v in named.values() if v == int(v)} | {
        int(a // b) for a, b in itertools.permutations(named.values(), 2) if a % b == 0
    }
    for names in itertools.chain(itertools.combinations(units, 1), itertools.combinations(units, 2)):
        slots = [slot for name in names for slot in units[name].values()]
        sizes = {values[slot].shape[-1] for slot in slots if values[slot].ndim}
        for head in sorted(h for h in whole if h > 2 and h % 2 == 0 and all(size % h == 0 for size in sizes)):
            for paired, index in (
                ("pairs", np.arange(head).reshape(2, -1).T),
                ("halves", np.arange(head).reshape(-1, 2).T),
            ):
                said = f"the rows of `{'` and `'.join(names)}` not in {paired} of each head of {head}"
                order, wide = index.ravel(), [n for n in inputs if np.shape(values[n])[-1:] == (head,)]
                for every in (slots, [*slots, *wide]) if wide else (slots,):
                    yield Repair(
                        f"rows of {names}", said, lambda e=every, o=order: {k: _by_head(values[k], o) for k in e}
                    )


def _by_head(x: Array, order: Array) -> Array:
    """The last axis of x, each head of it in another order."""
    heads = x.reshape(*x.shape[:-1], -1, len(order))
    return heads[..., order].reshape(x.shape)


def _grouped(x: Any, there: Callable[[int, int], Array]) -> tuple[int, int] | None:
    """The axis of a value, and the count of different slices along it, where they lie in some order of groups."""
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.ndim < 3:
        return None
    for axis in range(x.ndim - 1):  # not within a head: tables for rotations repeat there
        size = x.shape[axis]
        for count in (c for c in range(2, size // 2 + 1) if size % c == 0):
            firsts = np.take(x, range(size), axis)
            distinct = not np.array_equal(np.take(x, 0, axis), np.take(x, size - 1, axis))
            if distinct and np.array_equal(np.take(x, there(size, count), axis), firsts):
                return axis, count
    return None


def _tiled(size: int, count: int) -> Array:
    """For each place the first one that a tiled order has the same slice at."""
    return np.arange(size) % count


def _repeated(size: int, count: int) -> Array:
    return np.arange(size) // (size // count) * (size // count)


def _repeat(size: int, count: int) -> Array:
    """Where a tiled order has what a repeated one wants at each place."""
    return np.arange(size) // (size // count)


def _tile(size: int, count: int) -> Array:
    return np.arange(size) % count * (size // count)
