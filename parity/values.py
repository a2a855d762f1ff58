"""Inputs as values: what Hypothesis draws is a small JSON-able description, NumPy fills the array.

A description replays from its own fields alone, so that a token written today means the same after the palettes
it was drawn from have changed. Every description has a `seed`, and is otherwise plain sizes and names.
"""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from parity.errors import BadInput

Array = npt.NDArray[Any]
Tree = Any  # a Value, a plain JSON scalar, or a tuple of these


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value:
    """A described input; subclasses say how `array` fills it."""

    kinds: ClassVar[dict[str, type["Value"]]] = {}
    shape: tuple[int, ...]
    seed: int = 0

    def __init_subclass__(cls) -> None:
        Value.kinds[cls.__name__.lower()] = cls

    def array(self, dtype: npt.DTypeLike) -> Array:
        """The array, floats in `dtype`, integers in int64.

        Floats are drawn in float64 and rounded to float32 first, so that a run in float64 and one in float32 get
        the same inputs to the last bit.
        """
        raise NotImplementedError

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Floats(Value):
    """Normal values of standard deviation `scale`.

    `rows` puts one kind of hard row among them: 'zeros' (some rows all zero), 'onehot' (rows with a single
    non-zero element), 'same' (all rows of the second last axis alike), 'outlier' (one element 100 times as large).
    """

    scale: float = 1.0
    rows: str = ""

    def array(self, dtype: npt.DTypeLike) -> Array:
        rng = self.rng
        x = rng.standard_normal(self.shape) * self.scale
        picked = rng.random(self.shape[:-1]) < 0.5
        if self.rows == "zeros":
            x[picked] = 0.0
        elif self.rows == "onehot":
            x[picked] *= np.arange(self.shape[-1]) == rng.integers(self.shape[-1])
        elif self.rows == "same" and x.ndim > 1:
            x[...] = x[..., :1, :]
        elif self.rows == "outlier":
            x[..., rng.integers(self.shape[-1])] *= 100.0
        return _rounded(x, dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokens(Value):
    """Integers from `low` to below `high`.

    `same` repeats one along the last axis; `hole` stands in a third of the places.
    """

    high: int
    same: bool = False
    hole: int | None = None
    low: int = 0

    def array(self, dtype: npt.DTypeLike) -> Array:
        rng = self.rng
        ids = rng.integers(self.low, self.high, self.shape)
        if self.hole is not None:
            ids[rng.random(self.shape) < 1 / 3] = self.hole
        return np.broadcast_to(ids[..., :1], self.shape).copy() if self.same else ids


@dataclasses.dataclass(frozen=True, kw_only=True)
class Padding(Value):
    """A padding mask (batch, length) of ones and zeros.

    `side`: 'none', 'left', 'right', 'interior' (random holes), 'empty' (the first row has no real token at all).
    """

    side: str = "none"

    def array(self, dtype: npt.DTypeLike) -> Array:
        return _padding(self.rng, self.shape, self.side).astype(np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mask(Value):
    """A causal mask (batch, 1, length, memory) on top of a padding of `side`.

    `form`: 'additive' (0, or the lowest finite float32) or 'bool' (True where a query may look).
    """

    side: str = "none"
    form: str = "additive"

    def array(self, dtype: npt.DTypeLike) -> Array:
        batch, _, length, memory = self.shape
        real = _padding(self.rng, (batch, memory), self.side)
        causal = np.arange(memory) <= np.arange(memory - length, memory)[:, None]
        seen = causal[None, None] & real[:, None, None]
        if self.form == "bool":
            return seen
        lowest = max(float(np.finfo(np.float32).min), _lowest(dtype))
        return np.where(seen, 0.0, lowest).astype(dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Positions(Value):
    """Position ids (batch, length): 'arange' from `start`, 'packed' (restarting at random places), 'random' up to
    `start` plus the length (or from it, if it is negative), or 'rows' (each row from its own start)."""

    form: str = "arange"
    start: int = 0

    def array(self, dtype: npt.DTypeLike) -> Array:
        batch, length = self.shape
        steps = np.broadcast_to(np.arange(length), self.shape)
        if self.form == "packed":
            restart = self.rng.random(self.shape) < 0.3
            restart[:, 0] = True
            last = np.maximum.accumulate(np.where(restart, steps, 0), axis=-1)
            return steps - last + self.start
        if self.form == "random":
            return self.rng.integers(min(0, self.start), max(0, self.start) + length, self.shape)
        if self.form == "rows":
            return steps + self.rng.integers(min(0, self.start), max(0, self.start) + 1, (batch, 1))
        return steps + self.start


@dataclasses.dataclass(frozen=True, kw_only=True)
class Waves(Value):
    """The cosine or sine of random angles (..., dim), the angles of the first half repeated in the second.

    Two descriptions with one seed and `of` 'cos' and 'sin' describe one rotation.
    """

    of: str = "cos"

    def array(self, dtype: npt.DTypeLike) -> Array:
        half = self.rng.uniform(-np.pi, np.pi, (*self.shape[:-1], self.shape[-1] // 2))
        angles = np.concatenate([half, half], axis=-1)
        return _rounded(np.cos(angles) if self.of == "cos" else np.sin(angles), dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given(Value):
    """An array that somebody gave: its bytes in base64, and whether these are float32, int64 or bool."""

    data: str
    of: str

    @staticmethod
    def of_array(x: Array) -> "Given":
        """Describe an array of float32, int64 or bool."""
        text = base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()
        return Given(shape=tuple(x.shape), data=text, of=x.dtype.name)

    def array(self, dtype: npt.DTypeLike) -> Array:
        x = np.frombuffer(base64.b64decode(self.data), self.of).reshape(self.shape)
        return x.astype(dtype) if self.of == "float32" else x.copy()


def arrays(tree: Tree, dtype: npt.DTypeLike) -> Any:
    """Fill every description in a tree of tuples; plain scalars pass through."""
    if isinstance(tree, Value):
        return tree.array(dtype)
    if isinstance(tree, tuple):
        return tuple(arrays(branch, dtype) for branch in cast(tuple[Tree, ...], tree))
    return tree


def to_json(tree: Tree) -> Any:
    """A description as plain JSON: `{"kind": "floats", "shape": [2, 3], ...}`; a tuple is a list."""
    if isinstance(tree, Value):
        return {"kind": type(tree).__name__.lower(), **dataclasses.asdict(tree)}
    if isinstance(tree, tuple):
        return [to_json(branch) for branch in cast(tuple[Tree, ...], tree)]
    return tree


def from_json(node: Any) -> Tree:
    """The inverse of `to_json`; raises BadInput for an unknown kind or field."""
    if isinstance(node, list):
        return tuple(from_json(branch) for branch in cast(list[Any], node))
    if not isinstance(node, Mapping):
        return node
    fields = dict(cast(Mapping[str, Any], node))
    kind = fields.pop("kind", None)
    if kind not in Value.kinds:
        raise BadInput(f"an example names an input of unknown kind {kind!r}; known: {', '.join(Value.kinds)}")
    try:
        return Value.kinds[kind](**{**fields, "shape": tuple(fields["shape"])})  # pyright: ignore[reportArgumentType]
    except (KeyError, TypeError) as error:
        raise BadInput(f"an example's input of kind {kind!r} can't be read: {error}") from None


def _padding(rng: np.random.Generator, shape: tuple[int, ...], side: str) -> npt.NDArray[np.bool_]:
    batch, length = shape
    real = rng.integers(1, length + 1, (batch, 1))
    step = np.arange(length)
    if side == "left":
        return step >= length - real
    if side == "right":
        return step < real
    if side in ("interior", "empty"):
        mask = rng.random((batch, length)) < 0.6
        mask[np.arange(batch), rng.integers(length, size=batch)] = True
        mask[0] &= side != "empty"
        return mask
    return np.ones(shape, bool)


def _rounded(x: npt.NDArray[np.float64], dtype: npt.DTypeLike) -> Array:
    return x.astype(np.float32).astype(dtype)


def _lowest(dtype: npt.DTypeLike) -> float:
    import ml_dtypes  # finfo of bfloat16, which NumPy alone doesn't know

    return float(ml_dtypes.finfo(np.dtype(dtype)).min)
