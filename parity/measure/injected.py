"""A whole model with one fault at one place: what `parity locate` is measured on."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.case import Case, Example, Variant
from parity.checks.subject import Subject, key_of
from parity.error import exact_error
from parity.locating import drawn
from parity.locating.parts import Parts
from parity.locating.walk import Setting, inside
from parity.port import Port, build
from parity.port.graft import grafted
from parity.real.places import Place, port_path
from parity.registry import Registry
from parity.session import Workspace

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Clean:
    """A drawn example of a whole case, both sides without a fault; what is built for it is shared by all faults."""

    workspace: Workspace
    whole: Case
    example: Example
    dtype: str
    setting: Setting

    @staticmethod
    def of(workspace: Workspace, whole: Case, example: Example, dtype: str) -> "Clean":
        tolerances = workspace.tolerances.beyond()
        made = drawn.setting(workspace.registry, tolerances, whole, example, dtype=dtype)
        return Clean(workspace, whole, example, dtype, made)

    def parameters(self) -> Mapping[str, Array]:
        """The reference's parameters by name."""
        return Subject(self.workspace.registry, self.whole).parameters(self.example, self.dtype)

    def with_fault(self, variant: Variant, target: Place) -> Setting:
        """The same with a fault at one place, and only there; raises WeightMapError where it does not fit."""
        leaves = self._leaves(variant, target) if variant.weights else {}
        parts = _Injected(self.setting.parts, variant, target, leaves)
        return dataclasses.replace(self.setting, parts=parts)

    def expected(self, variant: Variant, target: Place) -> set[str]:
        """The paths that should be named: the place of a fault, or where the parameters stand that it changes."""
        if variant.weights is None:
            return {target.path}
        registry, places = self.workspace.registry, self.setting.places
        changed = [path for path, x in self._leaves(variant, target).items() if not np.array_equal(x, self._leaf(path))]
        paths = {place: port_path(registry, self.whole, place) for place in places}
        owners = {max((p for p in places if inside(leaf, paths[p])), key=len) for leaf in changed}
        return owners or {target.path}

    def _leaf(self, path: str) -> Array:
        return self.setting.parts._leaf(path)

    def _leaves(self, variant: Variant, target: Place) -> dict[str, Array]:
        """What the changed rules of a transfer make of a place's parameters, by the whole port's paths."""
        registry, config = self.workspace.registry, self.example.config
        plan = Subject(registry, target.case, variant=variant).plan(config, self.dtype)
        prefix = f"{target.path}." if target.path else ""
        to = port_path(registry, self.whole, target.path)
        given = self.parameters()
        moved = plan.forward(lambda name: given[f"{prefix}{name}"])
        return {f"{to}.{name}" if to else name: x for name, x in moved}


class _Injected(Parts):
    """The clean parts, but for one place and all that it is part of."""

    def __init__(self, clean: Parts, variant: Variant, target: Place, leaves: Mapping[str, Array]) -> None:
        super().__init__(
            clean.registry,
            clean.whole,
            clean.config,
            dtype=clean.dtype,
            leaf=lambda path: leaves[path] if path in leaves else clean._leaf(path),
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


def home(registry: Registry, case: Case, variant: Variant, places: Mapping[str, Place]) -> Case | None:
    """The case of the whole that a case belongs to: itself, or the deepest whose outputs the variant changes."""
    names = {place.case.name for place in places.values()}
    if case.name in names:
        return case
    for other in registry.bottom_up():
        if other.name in names and _changes(registry, other, variant):
            return other
    return None


def _changes(registry: Registry, case: Case, variant: Variant) -> bool:
    """Whether a variant of another case's changes what a case computes, on a few examples."""
    from parity import draw

    clean, changed = (
        Subject(registry, case),
        Subject(registry, case, variant=dataclasses.replace(variant, weights=None)),
    )
    for pair in draw.pool(dataclasses.replace(case, pool=4), seed=0):
        examples: list[Example] = []
        draw.run(draw.examples(case, [pair]), examples.append, examples=2, seed=0)
        before = clean.exact_outputs(examples[-1])
        with changed.patched():
            after = changed.exact_outputs(examples[-1])
        if exact_error(before, after).measures["rtol"] > 0:
            return True
    return False


def config_key(example: Example) -> str:
    """A configuration as text."""
    return key_of(example.config)


def seeded(name: str, seed: int) -> np.random.Generator:
    """A generator of one subject in a measurement."""
    from parity import draw

    return np.random.default_rng(draw.seed_of(seed, name))
