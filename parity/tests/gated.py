"""A stack of tiny layers as a gate sees it: what it covers, what was measured, a run and an audit of it."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import dataclasses
from collections.abc import Mapping
from typing import Any

from parity import session
from parity.fingerprint import fingerprint
from parity.measure.audited import Audit, Layer
from parity.measure.clean import checks_of
from parity.registry import Registry
from parity.results import Limit, Result, Results
from parity.run import check_ids
from parity.session import Workspace
from parity.tests import gain, stack
from parity.tolerance import Tolerances

COVERS = {
    "toy/gain": (stack.ReferenceGain,),
    "toy/layer": (stack.ReferenceLayer,),
    "toy/stack": (stack.ReferenceStack,),
}
MEASURED = {"rtol": 1e-13, "ratio": 2.0}  # what the default bounds follow from
SUITE = stack.workspace().registry.suites["toy"]


def registry(*left_out: str, **changes: Mapping[str, Any]) -> Registry:
    """The stack's cases, each with the class that it answers for, but those left out."""
    found = stack.workspace().registry
    cases = {
        name: dataclasses.replace(case, covers=COVERS[name], **changes.get(name.partition("/")[2], {}))
        for name, case in found.cases.items()
        if name not in left_out
    }
    return dataclasses.replace(found, cases=cases)


def calibrated(**changes: Any) -> Workspace:
    """The stack, with a measured entry for each of its checks; `changes` are of toy/gain's float32 entry."""
    own, base = registry(), gain.tolerances()
    measured = {
        case.name: {check: {**MEASURED, "fingerprint": fingerprint(own, case)} for check in checks_of(case)}
        for case in own.cases.values()
    }
    measured["toy/gain"]["float32"].update(changes.pop("measured", {}))
    layers = {"toy/gain": {"float32": {name: Limit(name=name, value=v, where="here") for name, v in changes.items()}}}
    return Workspace(own, Tolerances(base.defaults, layers, measured))


def passed(**statuses: str) -> Results:
    """A run of the stack in which everything passed, but checks (':' as '_') with another status."""
    own = registry()
    results = [
        Result(case=case.name, check=check, status=statuses.get(check.replace(":", "_"), "passed"))  # type: ignore
        for case in own.bottom_up()
        for check in check_ids(case, deep=False)
    ]
    made = Results.of(results, parts={}, seed=0, environment={})
    return made.model_copy(update={"canary": "rejected", "components": session.components(own)})


def audit(**changes: Any) -> Audit:
    """An audit of the stack that left nothing, but for `changes` of its first layer."""
    layers = [Layer(case=case.name, injected=3, caught=3) for case in registry().bottom_up()]
    return Audit(layers=(layers[0].model_copy(update=changes), *layers[1:]))
