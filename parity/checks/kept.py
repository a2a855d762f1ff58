"""What a subject keeps between checks: what was built, traced and compiled, and outputs up to a size."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from parity.case import Json

Outputs = Mapping[str, npt.NDArray[Any]]
T = TypeVar("T")
KEPT = 64  # built modules, traces and compilations of one kind; a run's pool is smaller
KEPT_BYTES = 2**28  # of the reference's outputs: a check asks for those of the check before it


class KeptOutputs:
    """A cache of the outputs that were used last, up to `KEPT_BYTES`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Outputs] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any, make: Callable[[], Outputs]) -> Outputs:
        if key not in self._kept:
            self._kept[key] = made = make()
            self._bytes += _bytes(made)
        self._kept.move_to_end(key)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= _bytes(self._kept.popitem(last=False)[1])
        return self._kept[key]


def _bytes(outputs: Outputs) -> int:
    return sum(x.nbytes for x in outputs.values())


def keep(cache: OrderedDict[Any, Any], key: Any, make: Callable[[], T]) -> T:
    """A cache of the `KEPT` things of one kind (a key's first item) that were used last."""
    if key not in cache:
        made = make()
        same_kind = [other for other in cache if other[0] == key[0]]
        if len(same_kind) >= KEPT:
            del cache[same_kind[0]]
        cache[key] = made
    cache.move_to_end(key)
    return cache[key]


def key_of(config: Json) -> str:
    """A configuration as text."""
    return json.dumps(dict(config), sort_keys=True)


def shapes(tree: Any) -> Any:
    """What decides a trace: shapes and dtypes of arrays, values of all else."""
    if isinstance(tree, Mapping):
        return tuple((name, shapes(branch)) for name, branch in sorted(tree.items()))
    if isinstance(tree, tuple):
        return tuple(shapes(branch) for branch in tree)
    return (tree.shape, tree.dtype.name) if isinstance(tree, np.ndarray) else repr(tree)
