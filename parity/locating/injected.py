"""A whole model with one declared fault at one place: what a search is tried on, by hand and by measurement."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from parity.case import Variant
from parity.checks.subject import Subject
from parity.errors import BadInput
from parity.locating.parts import Parts
from parity.locating.walk import Setting, inside
from parity.port import Port, build
from parity.port.graft import grafted
from parity.real.places import Place, port_path

Array = npt.NDArray[Any]


def with_fault(setting: Setting, variant: Variant, target: Place) -> Setting:
    """The same two sides with a fault at one place, and only there; raises WeightMapError where it does not fit."""
    leaves = changed_leaves(setting, variant, target)
    return dataclasses.replace(setting, parts=Injected(setting.parts, variant, target, leaves))


def changed_leaves(setting: Setting, variant: Variant, target: Place) -> dict[str, Array]:
    """What the changed rules of a transfer make of a place's parameters, by the whole port's paths; none otherwise."""
    if variant.weights is None:
        return {}
    parts, read = setting.parts, setting.read
    assert read is not None
    plan = Subject(parts.registry, target.case, variant=variant).plan(parts.config, parts.dtype)
    prefix = f"{target.path}." if target.path else ""
    to = port_path(parts.registry, parts.whole, target.path)
    moved = plan.forward(lambda name: read(f"{prefix}{name}"))
    return {f"{to}.{name}" if to else name: x for name, x in moved}


def injected(setting: Setting, fault: str) -> Setting:
    """The same two sides with the fault that `[CASE:]NAME@PATH` names.

    Raises:
        BadInput: there is no such place, or no such fault, or cases beside the place's own have several.
    """
    said, at, path = fault.partition("@")
    if not at or not said:
        raise BadInput(f"--fault {fault}: say NAME@PATH, such as eps_ignored@model.norm")
    known = setting.places
    if path not in known:
        within = [place for place in known if path and place.startswith(path.rpartition(".")[0])]
        raise BadInput(f"--fault {fault}: no case answers for a place `{path}`; {', '.join((within or [*known])[:6])}")
    target = known[path]
    owner, _, name = said.rpartition(":")
    found = dict(_declared(setting, target, owner, name))
    if target.case.name in found:
        return with_fault(setting, found[target.case.name], target)
    if len(found) != 1:
        has = f"declared by {', '.join(found)}: say CASE:{name}@{path}" if found else "no case declares it"
        raise BadInput(f"--fault {fault}: {has}; {target.case.name} has {', '.join(target.case.faults)}")
    return with_fault(setting, next(iter(found.values())), target)


def _declared(setting: Setting, target: Place, owner: str, name: str) -> Iterator[tuple[str, Variant]]:
    """The faults of a name, by the case of the port that declares them."""
    for case in setting.parts.registry.bottom_up():
        named = owner in ("", case.name, case.name.partition("/")[2])
        if named and case.port_name == target.case.port_name and name in case.faults:
            yield case.name, case.faults[name]


class Injected(Parts):
    """The clean parts, but for one place and all that it is part of."""

    def __init__(self, clean: Parts, variant: Variant, target: Place, leaves: Mapping[str, Array]) -> None:
        super().__init__(
            clean.registry,
            clean.whole,
            clean.config,
            dtype=clean.dtype,
            leaf=lambda path: leaves[path] if path in leaves else clean.leaf(path),
        )
        self._made = dict(clean._made)  # what the clean parts have built already serves here too
        self._clean, self._variant, self._target = clean, variant, target

    def build(self, place: Place, dtype: str) -> Port:
        target = self._target
        if self._variant.patch is None or not (place.path == target.path or inside(target.path, place.path)):
            return self._clean.build(place, dtype)
        return self.once(("port", "at", place.path, dtype), lambda: self._grafted(place, dtype))

    def _grafted(self, place: Place, dtype: str) -> Port:
        paths = (port_path(self.registry, self.whole, each) for each in (self._target.path, place.path))
        inner, outer = paths
        at = inner.removeprefix(outer).removeprefix(".")
        assert self._variant.patch is not None
        port = grafted(place.case, at, self._target.case, self._variant.patch)
        return build(dataclasses.replace(place.case, port=port), self.config, dtype=dtype)
