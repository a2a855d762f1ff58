"""Read a checkpoint into a model, tensor by tensor: nothing is initialised, and no second copy is ever whole."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Sharding
from jax.typing import DTypeLike

from .names import Match, match, stored
from .tensors import Array, BadCheckpoint, Tensor, open_folder

Module = TypeVar("Module", bound=nnx.Module)
Build = Callable[[nnx.Rngs], Module]
Index = tuple[slice, ...]
ROWS = 1024  # compared at a time


def load(
    build: Build[Module],
    folder: Path,
    *,
    tied: bool,
    dtype: DTypeLike | None = None,
    rngs: nnx.Rngs | None = None,
    shardings: Callable[[Module], Mapping[str, Sharding]] = lambda model: {},
) -> Module:
    """What `build` makes, with the parameters of a checkpoint.

    Args:
        build: random streams -> the model; called abstractly.
        folder: holds the tensors.
        tied: whether the token table is the output layer too.
        dtype: of the parameters; as each is stored where none is given.
        rngs: where given, a head that the checkpoint does not have is drawn from them.
        shardings: the abstract model -> how parameters lie, by path; of what is not named, all is on one device.

    Raises:
        BadCheckpoint: names every tensor that is missing, extra or misshapen, before any of them is read.
    """
    model = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    empty, placed = parameters(model), shardings(model)
    found = open_folder(folder)
    shapes = {path: tuple(variable.shape) for path, variable in empty.items()}
    fit = match(shapes, found, tied=tied, fresh_head=rngs is not None)
    if problems := [*fit.problems, *_unequal(fit, found)]:
        raise BadCheckpoint(folder, problems)
    for path, tensor in fit.tensors.items():
        value = _array(tensor, dtype or tensor.dtype, transposed=stored(path).transposed, sharding=placed.get(path))
        empty[path].set_value(value)
    if rngs is not None and fit.absent:
        for path, value in _drawn(build, rngs, {path: placed.get(path) for path in fit.absent}).items():
            empty[path].set_value(value)
    return model


def parameters(model: nnx.Module) -> dict[str, nnx.Param]:
    """The variables themselves, by path: `layers.0.mlp.up_proj.kernel`."""
    flat: Any = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): variable for path, variable in flat}


def _array(tensor: Tensor, dtype: DTypeLike, *, transposed: bool, sharding: Sharding | None) -> jax.Array:
    """A tensor on its devices. No more of it is read than lies here, and each part once."""
    view = tensor.mapped().T if transposed else tensor.mapped()
    parts: dict[str, Array] = {}

    def part(index: Index | None) -> Array:
        key = str(index)
        if key not in parts:
            parts[key] = np.array(view[index or ()], jnp.dtype(dtype), order="C")
        return parts[key]

    return jnp.asarray(part(None)) if sharding is None else jax.make_array_from_callback(view.shape, sharding, part)


def _unequal(fit: Match, found: Mapping[str, Tensor]) -> list[str]:
    """Tied tensors that do not hold the same numbers; nothing is compared where a shape is wrong already."""
    pairs = fit.twins.items() if not fit.problems else ()
    return [f"`{a}` and `{b}` differ, and the model ties them" for a, b in pairs if not _equal(found[a], found[b])]


def _equal(first: Tensor, second: Tensor) -> bool:
    a, b = first.mapped(), second.mapped()
    if a.shape != b.shape:
        return False
    return all(np.array_equal(a[row : row + ROWS], b[row : row + ROWS]) for row in range(0, len(a), ROWS))


def _drawn(build: Build[Any], rngs: nnx.Rngs, placed: dict[str, Sharding | None]) -> dict[str, jax.Array]:
    """Freshly drawn parameters. The others are not computed, since nothing asks for them."""

    def draw(key: jax.Array) -> dict[str, jax.Array]:
        fresh = parameters(build(nnx.Rngs(key)))
        return {path: fresh[path].get_value() for path in placed}

    return jax.jit(draw, out_shardings=placed)(rngs.params())
