"""A whole model with one fault at one place: what `parity locate` is measured on."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from parity.case import Case, Example, Variant
from parity.checks.subject import Subject, key_of
from parity.error import exact_error
from parity.locating import drawn
from parity.locating.injected import changed_leaves, with_fault
from parity.locating.walk import Setting, inside
from parity.real.places import Place, port_path
from parity.registry import Registry
from parity.session import Workspace


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

    def with_fault(self, variant: Variant, target: Place) -> Setting:
        """The same with a fault at one place, and only there; raises WeightMapError where it does not fit."""
        return with_fault(self.setting, variant, target)

    def expected(self, variant: Variant, target: Place) -> set[str]:
        """The paths that should be named: the place of a fault, or where the parameters stand that it changes."""
        if variant.weights is None:
            return {target.path}
        registry, places, clean = self.workspace.registry, self.setting.places, self.setting.parts
        leaves = changed_leaves(self.setting, variant, target)
        changed = [path for path, x in leaves.items() if not np.array_equal(x, clean.leaf(path))]
        paths = {place: port_path(registry, self.whole, place) for place in places}
        owners = {max((p for p in places if inside(leaf, paths[p])), key=len) for leaf in changed}
        return owners or {target.path}


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
