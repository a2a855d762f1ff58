"""Where the cases stand in a whole model, and the port's parameters at each place."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity import weights
from parity.case import Case
from parity.errors import ParityError
from parity.port import Port
from parity.registry import Registry

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Place:
    """A module of the reference that a case answers for. The whole has the path ''."""

    path: str
    case: Case

    def __str__(self) -> str:
        return f"`{self.path}`" if self.path else "the whole"


def places(registry: Registry, whole: Case, modules: Iterable[str]) -> dict[str, Place]:
    """Every place of the whole and its parts, theirs included, by path."""
    modules = tuple(modules)
    return {"": Place("", whole), **{place.path: place for place in _within(registry, whole, "", modules)}}


def leaves_at(port: Port, place: Place, path: str, leaves: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    """A place's parameters, by the place's own names, in the order and dtype that its port takes them.

    They are those that the whole's transfer put under the port's `path`, so that a fault of the transfer shows where
    it lies. Raises ParityError where the whole keeps them elsewhere.
    """
    prefix = f"{path}." if path else ""
    absent = [name for name in port.leaves if f"{prefix}{name}" not in leaves]
    if absent:
        raise ParityError(f"{place}: the whole port has no `{prefix}{absent[0]}`, which {place.case.name} has")
    return {name: leaves[f"{prefix}{name}"].astype(dtype, copy=False) for name in port.leaves}


def port_path(registry: Registry, whole: Case, path: str) -> str:
    """Where the port has what the reference has at `path`."""
    return weights.port_path(path, registry.at(whole))


def widened(tree: Any) -> Any:
    """Floating arrays of a tree in float64."""
    if isinstance(tree, Mapping):
        return {name: widened(branch) for name, branch in tree.items()}
    if isinstance(tree, tuple):
        return tuple(widened(branch) for branch in tree)
    return tree.astype(np.float64) if isinstance(tree, np.ndarray) and tree.dtype.kind not in "biu" else tree


def _within(registry: Registry, case: Case, prefix: str, modules: tuple[str, ...]) -> Iterator[Place]:
    for pattern, part in registry.parts(case).items():
        regex = re.compile(re.escape(prefix) + re.escape(pattern).replace(r"\*", "[^.]+"))
        for path in modules:
            if regex.fullmatch(path):
                yield Place(path, part)
                yield from _within(registry, part, f"{path}.", modules)
