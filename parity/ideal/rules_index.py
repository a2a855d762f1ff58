"""NumPy rules for gather and scatter in their general form: windows, batching dimensions, all modes."""

from typing import Any, NamedTuple

import numpy as np

from parity.ideal.equation import Array, Equation, Operation, Rule


class _Windows(NamedTuple):
    """How index vectors place windows in an operand; gather reads such windows, scatter writes them."""

    shape: tuple[int, ...]  # of the operand
    sizes: tuple[int, ...]  # of the window, one for each operand dimension
    indexed: tuple[int, ...]  # operand dimension that each component of an index vector moves along
    kept: tuple[int, ...]  # operand dimensions that the window keeps, in order
    batching: tuple[tuple[int, int], ...]  # operand dimension, dimension of the indices it runs along with

    def starts(self, indices: Array) -> Array:
        """Split off the index vectors; signed, so that bounds can be compared."""
        limit = np.iinfo(np.int64).max
        return indices.astype(np.int64) if indices.dtype != np.uint64 else np.minimum(indices, limit).astype(np.int64)

    def inside(self, starts: Array) -> Array:
        """Tell which windows lie wholly inside the operand."""
        return np.asarray(((starts >= 0) & (starts <= self._room())).all(axis=-1))

    def clamp(self, starts: Array) -> Array:
        """Move each window inside the operand."""
        return np.minimum(np.maximum(starts, 0), self._room())

    def select(self, starts: Array) -> tuple[Array, ...]:
        """Return one index array per operand dimension, which together broadcast to (*batch, *window)."""
        batch, window = starts.ndim - 1, len(self.kept)
        component = {axis: i for i, axis in enumerate(self.indexed)}
        partner = dict(self.batching)
        chosen: list[Array] = []
        for axis, size in enumerate(self.sizes):
            index: Array = np.zeros((1,) * (batch + window), np.int64)
            if axis in component:
                index = index + starts[..., component[axis]].reshape(starts.shape[:-1] + (1,) * window)
            if axis in partner:
                index = index + _along(partner[axis], starts.shape[partner[axis]], batch + window)
            if axis in self.kept:
                index = index + _along(batch + self.kept.index(axis), size, batch + window)
            chosen.append(index)
        return tuple(chosen)

    def _room(self) -> Array:
        return np.array([self.shape[axis] - self.sizes[axis] for axis in self.indexed], np.int64)


def _along(axis: int, size: int, rank: int) -> Array:
    shape = [1] * rank
    shape[axis] = size
    return np.arange(size).reshape(shape)


def _mode(equation: Equation) -> str:
    return equation.params["mode"].name


def _gather(equation: Equation) -> Operation | None:
    numbers, mode = equation.params["dimension_numbers"], _mode(equation)
    if mode == "ONE_HOT":
        return None
    operand, indices = equation.inputs
    dropped = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    windows = _Windows(
        shape=operand.shape,
        sizes=tuple(equation.params["slice_sizes"]),
        indexed=tuple(numbers.start_index_map),
        kept=tuple(axis for axis in range(len(operand.shape)) if axis not in dropped),
        batching=tuple(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True)),
    )
    batch = len(indices.shape) - 1
    rank = batch + len(windows.kept)
    places = [d for d in range(rank) if d not in numbers.offset_dims] + list(numbers.offset_dims)
    order = tuple(int(i) for i in np.argsort(places))
    fill = _fill_value(equation.params["fill_value"], operand.dtype)
    rows = _plain_rows(windows)

    def gather(x: Array, index: Array) -> Array:
        starts = windows.starts(index)
        clamped = windows.clamp(starts)
        if rows and clamped.size:
            taken = np.take(x, clamped[..., 0], axis=0)
        else:
            taken = x[windows.select(clamped)]
            # Without components or kept dimensions, the batch shape does not come from any index array.
            taken = np.broadcast_to(taken, starts.shape[:-1] + tuple(windows.sizes[axis] for axis in windows.kept))
        if mode == "FILL_OR_DROP":
            inside = windows.inside(starts)
            if not inside.all():
                taken = np.where(inside.reshape(inside.shape + (1,) * len(windows.kept)), taken, fill)
        return taken.transpose(order)

    return gather if _fits(windows) else None


def _plain_rows(windows: _Windows) -> bool:
    """Whether this is a look-up of whole rows, the common case, which np.take does fastest."""
    whole = windows.sizes[1:] == windows.shape[1:]
    return windows.indexed == (0,) and 0 not in windows.kept and not windows.batching and whole


def _fits(windows: _Windows) -> bool:
    return all(size <= n for size, n in zip(windows.sizes, windows.shape, strict=True))


def _fill_value(value: Any, dtype: np.dtype[Any]) -> Any:
    if value is not None:
        return np.asarray(value, dtype)[()]
    if dtype.kind in "fc":
        return dtype.type(np.nan)
    return {"i": lambda: np.iinfo(dtype).min, "u": lambda: np.iinfo(dtype).max}.get(dtype.kind, lambda: True)()


def _scatter(combine: np.ufunc | None) -> Rule:
    """Scatter with a ufunc, or by plain assignment where it is None."""

    def rule(equation: Equation) -> Operation | None:
        if combine is None and equation.params["update_jaxpr"] is not None:
            return None  # scatter_apply: an arbitrary function of the old value
        numbers, mode = equation.params["dimension_numbers"], _mode(equation)
        operand, _, updates = equation.inputs
        windows = _scatter_windows(numbers, operand.shape, updates.shape)
        inner = tuple(numbers.update_window_dims)
        order = tuple(d for d in range(len(updates.shape)) if d not in inner) + inner

        def scatter(x: Array, index: Array, update: Array) -> Array:
            result = np.array(x)
            starts, update = windows.starts(index), update.transpose(order)
            if mode == "CLIP":
                starts = windows.clamp(starts)
            inside = windows.inside(starts)
            if not inside.any() or not update.size:
                return result
            chosen = windows.select(windows.clamp(starts))
            if not inside.all():
                wide = inside.reshape(inside.shape + (1,) * len(inner))
                keep = np.broadcast_to(wide, update.shape)
                chosen = tuple(np.broadcast_to(part, update.shape)[keep] for part in chosen)
                update = update[keep]
            elif chosen:
                chosen = tuple(np.broadcast_to(part, update.shape) for part in chosen)
            if combine is None:
                result[chosen] = update
            else:
                combine.at(result, chosen, update)
            return result

        return scatter if _fits(windows) else None

    return rule


def _scatter_windows(numbers: Any, operand: tuple[int, ...], updates: tuple[int, ...]) -> _Windows:
    dropped = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    kept = tuple(axis for axis in range(len(operand)) if axis not in dropped)
    sizes = [1] * len(operand)
    for axis, inner in zip(kept, numbers.update_window_dims, strict=True):
        sizes[axis] = updates[inner]
    return _Windows(
        shape=operand,
        sizes=tuple(sizes),
        indexed=tuple(numbers.scatter_dims_to_operand_dims),
        kept=kept,
        batching=tuple(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims, strict=True)),
    )


RULES: dict[str, Rule] = {
    "gather": _gather,
    "scatter": _scatter(None),
    "scatter-add": _scatter(np.add),
    "scatter-sub": _scatter(np.subtract),
    "scatter-mul": _scatter(np.multiply),
    "scatter-min": _scatter(np.minimum),
    "scatter-max": _scatter(np.maximum),
}
