"""One model on many devices: which axis of a parameter, a batch or a cache is split over which axis of a mesh.

The arithmetic is left to XLA, which sees how its inputs lie: the same functions run on one device and on many.
Shapes: B batch, L length, M memory length (the slots of a cache), K kv heads, H head dim.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from .cache import Cache
from .config import LlamaConfig
from .load import parameters
from .parameter import axes_of

Rules = Mapping[str, str | None]
Module = TypeVar("Module", bound=nnx.Module)

# What each logical axis is split over: heads and what is inside the feed-forward network stay on their device, so that
# a layer sums over devices twice and gathers nothing. `{**RULES, "embed": "data"}` splits parameters over all devices,
# for models that do not fit otherwise, at the price of more sums.
RULES: Rules = {
    "batch": "data",
    "vocab": "model",
    "heads": "model",
    "kv_heads": "model",
    "mlp": "model",
    "embed": None,
}


class MeshMismatch(ValueError):
    """A mesh that does not divide what is to be split over it; `problems` holds one line each."""

    def __init__(self, mesh: Mesh, problems: Sequence[str]):
        self.problems = list(dict.fromkeys(problems))
        sizes = ", ".join(f"{name}={size}" for name, size in mesh.shape.items())
        super().__init__(f"the mesh ({sizes}) does not fit:" + "".join(f"\n  {line}" for line in self.problems))


def make_mesh(*, data: int = 1, model: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of `data` times `model` devices: all that there are, of every host, or those given.

    Raises:
        ValueError: there are more or fewer.
    """
    found = np.array(jax.devices() if devices is None else devices)
    if found.size != data * model:
        raise ValueError(f"data = {data} times model = {model} is {data * model}, and there are {found.size} devices")
    return Mesh(found.reshape(data, model), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def shardings(model: nnx.Module, mesh: Mesh, rules: Rules = RULES) -> dict[str, NamedSharding]:
    """How each parameter lies, by path, of a model that may be abstract.

    Heads are never cut in two. Where the kv heads don't divide, as where they are fewer than the devices, keys and
    values are on all devices alike.

    Raises:
        MeshMismatch: what cannot be split evenly, all of it; or a rule names an axis that the mesh does not have.
    """
    config: Any = getattr(model, "config", None)
    counts = {} if config is None else _counts(config)
    problems: list[str] = []
    placed = {
        path: _placed(axes_of(variable), variable.shape, counts, mesh, rules, problems)
        for path, variable in parameters(model).items()
    }
    if problems:
        raise MeshMismatch(mesh, problems)
    return placed


def shard(model: Module, mesh: Mesh, rules: Rules = RULES) -> Module:
    """Lay a model's parameters out over a mesh, in place; raises MeshMismatch before any of them moves."""
    placed = shardings(model, mesh, rules)
    for path, variable in parameters(model).items():
        variable.set_value(jax.device_put(variable.get_value(), placed[path]))
    return model


def initialise(build: Callable[[nnx.Rngs], Module], rngs: nnx.Rngs, mesh: Mesh, rules: Rules = RULES) -> Module:
    """A fresh model, each device drawing no more than its own part; raises MeshMismatch."""
    model = nnx.eval_shape(lambda: build(nnx.Rngs(0)))

    def draw(key: jax.Array) -> dict[str, jax.Array]:
        return {path: variable.get_value() for path, variable in parameters(build(nnx.Rngs(key))).items()}

    drawn = jax.jit(draw, out_shardings=shardings(model, mesh, rules))(rngs.params())
    for path, variable in parameters(model).items():
        variable.set_value(drawn[path])
    return model


def shard_batch(batch: Any, mesh: Mesh, rules: Rules = RULES, *, axis: int = 0) -> Any:
    """Arrays of a batch, rows split, which lie along `axis`: 0, or 1 behind one of micro-batches; raises MeshMismatch.

    On several hosts give `jax.make_array_from_process_local_data` the rows of each one and `batch_sharding` instead.
    """
    name = _axis("batch", mesh, rules)
    over = mesh.shape[name] if name else 1
    rows = {np.shape(x)[axis] for x in jax.tree.leaves(batch)}
    if problems := [f"`batch`: {size} over {name} = {over}" for size in sorted(rows) if size % over]:
        raise MeshMismatch(mesh, problems)
    return jax.device_put(batch, batch_sharding(mesh, rules, axis=axis))


def batch_sharding(mesh: Mesh, rules: Rules = RULES, *, axis: int = 0) -> NamedSharding:
    """How anything lies that has the rows of a batch along `axis`."""
    return NamedSharding(mesh, PartitionSpec(*(None,) * axis, _axis("batch", mesh, rules)))


def empty_cache(
    config: LlamaConfig, batch: int, slots: int, dtype: DTypeLike, mesh: Mesh, rules: Rules = RULES
) -> Cache:
    """A cache whose rows and kv heads lie as those of the batch and of the parameters do; raises MeshMismatch."""
    shape = batch, config.num_key_value_heads, slots, config.head_dim
    problems: list[str] = []
    axes = "batch", "kv_heads", None, None
    slots_lie = _placed(axes, shape, _counts(config), mesh, rules, problems)
    if problems:
        raise MeshMismatch(mesh, problems)
    made = jax.eval_shape(lambda: Cache.empty(config, batch, slots, dtype))
    lie = jax.tree.map(lambda x: slots_lie if x.shape else NamedSharding(mesh, PartitionSpec()), made)
    return jax.jit(lambda: Cache.empty(config, batch, slots, dtype), out_shardings=lie)()


def _counts(config: LlamaConfig) -> dict[str, int]:
    """How many pieces an axis has that must stay whole, where they are not its elements."""
    return {"heads": config.num_attention_heads, "kv_heads": config.num_key_value_heads}


def _placed(
    axes: Sequence[str | None],
    shape: Sequence[int],
    counts: Mapping[str, int],
    mesh: Mesh,
    rules: Rules,
    problems: list[str],
) -> NamedSharding:
    """How one array lies; what stands in the way is added to `problems`."""
    names: list[str | None] = []
    for axis, size in zip(axes, shape, strict=True):
        name = _axis(axis, mesh, rules)
        pieces = counts.get(axis or "", size)
        if name is not None and pieces % mesh.shape[name]:
            if axis != "kv_heads":
                problems.append(f"`{axis}`: {pieces} over {name} = {mesh.shape[name]}")
            name = None
        names.append(name)
    if twice := {name for name in names if name and names.count(name) > 1}:
        problems.append(f"`{'`, `'.join(map(str, axes))}` of one array, both over {twice.pop()}")
        names = []
    return NamedSharding(mesh, PartitionSpec(*names))


def _axis(axis: str | None, mesh: Mesh, rules: Rules) -> str | None:
    """The axis of the mesh that a logical axis goes to; a name that no rule has stays whole."""
    name = rules.get(axis or "")
    if name is not None and name not in mesh.shape:
        raise MeshMismatch(mesh, [f"the rules split `{axis}` over `{name}`, which the mesh does not have"])
    return name
