"""The walk backward: every part's gradients on the reference's own inputs and cotangents, from the outputs down."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from parity.checks.subject import shapes
from parity.error import gradient_error, same_form
from parity.errors import BadInput, OutputMismatch
from parity.located import Place as Located
from parity.locating.judge import Judged
from parity.locating.walk import Key, Progress, Setting, Visited, inside, said, told
from parity.port import traced_pullback
from parity.real.places import Place
from parity.reference import Reference, gradients
from parity.reference.capture import submodule
from parity.reference.cotangents import Passed, cotangents
from parity.weights import plan

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
LARGE = 2**26  # parameters of a part whose gradients are not asked for at once


@dataclasses.dataclass(frozen=True)
class Pulled:
    """Every part's gradients, the last part first.

    Attributes:
        visited: by path and call, in order of the gradient.
        inherited: the error of a part's parameters' gradients where the port's own cotangents flow; by path.
        skipped: why a part was not judged, by path.
    """

    visited: Mapping[Key, Visited]
    inherited: Mapping[str, float]
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    @property
    def passed(self) -> bool:
        """Whether no part fails."""
        return all(visited.judged.passed for visited in self.visited.values())

    @property
    def told(self) -> tuple[Located, ...]:
        """Every call of a place, in order of the gradient."""
        return told(self.visited, {key: self.inherited.get(key[0]) for key in self.visited})


def pulled(
    setting: Setting,
    inputs: Mapping[str, Any],
    *,
    above: bool = True,
    progress: Progress = lambda done, asked: None,
) -> Pulled:
    """Judge every part's vector-Jacobian product on what the reference gives it, forward and back.

    Args:
        setting: both sides, in float64.
        inputs: of the whole.
        above: judge also what a failing part is part of; that changes no culprit.
        progress: called with the places done, and how many there are.
    """
    known = setting.places
    weights = drawn_weights(setting.reference.run(inputs))
    paths = {path: frozenset(place.case.ignores) for path, place in known.items()}
    passed = cotangents(setting.reference, paths, inputs, weights)
    found: dict[Key, Visited] = {}
    inherited: dict[str, float] = {}
    skipped: dict[str, str] = {}
    order = list(reversed(passed)) if above else sorted(passed, key=lambda key: -len(key[0]))  # parts first
    for path, call in order:
        if not above and any(inside(each, path) and not one.judged.passed for (each, _), one in found.items()):
            continue
        back = passed[path, call]
        back = back if path else back._replace(cotangents=weights)
        if why := _unasked(setting, known[path], back):
            skipped[path] = why
            continue
        judged, error, pair = _judged(setting, known[path], back)
        found[path, call] = Visited(known[path], call, judged, error)
        if not path and pair:
            inherited = _inherited(known, *pair)
        progress(len(found), len(known))
    return Pulled(found, inherited, skipped)


def drawn_weights(outputs: Outputs) -> dict[str, Array]:
    """Normal numbers in the shape of every floating output, the same for one name."""
    return {
        name: np.random.default_rng(crc32(name.encode())).standard_normal(y.shape)
        for name, y in outputs.items()
        if y.dtype.kind == "f"
    }


def _judged(
    setting: Setting, place: Place, back: Passed
) -> tuple[Judged, float | None, tuple[Outputs, Outputs] | None]:
    """How a part's gradients were judged, their error, and both sides' gradients."""
    accepted = setting.parts.accepted(place, back.given)
    module = submodule(setting.reference, place.path, place.case)
    names = {to: name for name, to in place.case.arguments.items()}
    taken = {names.get(name, name) for name in accepted}
    theirs = gradients(module, back.given, back.cotangents)
    try:
        ours = _port_gradients(setting, place, module, accepted, back.cotangents)
        theirs = {name: x for name, x in theirs.items() if name in ours or name.partition(".")[0] in taken}
        same_form(theirs, ours)
    except BadInput:
        raise
    except Exception as error:  # the port's own code, on inputs that it may never have met
        message = str(error) if isinstance(error, OutputMismatch) else said(error)
        return Judged(False, message=message), None, None
    error = gradient_error(theirs, ours)
    verdict = setting.tolerances.judge(place.case.name, "gradient", error)
    return Judged(verdict.passed, verdict.used), error.measures["rtol"], (theirs, ours)


def _port_gradients(
    setting: Setting, place: Place, module: Reference, accepted: Mapping[str, Any], weights: Outputs
) -> Outputs:
    """The gradients of the port's part, by the reference's names."""
    parts, case = setting.parts, place.case
    port = parts.build(place, "float64")
    key = ("pullback", id(port), shapes(accepted), tuple(weights))
    run = parts.once(key, lambda: traced_pullback(port, accepted, weights))
    found = run(parts.leaves(place, port), accepted, weights)
    moved = plan(
        case.name,
        reference={name: dataclasses.replace(leaf, dtype="float64") for name, leaf in module.leaves.items()},
        port=port.leaves,
        rules=parts.registry.rules(case, parts.config),
        types=module.types,
        at=parts.registry.at(case),
        ties=module.ties,
    )
    theirs = {to: name for name, to in case.arguments.items()}
    given = {name: x for name, x in found.items() if name not in port.leaves}
    renamed = {_renamed(name, theirs): x for name, x in given.items()}
    return {**dict(moved.backward(lambda path: found[path])), **renamed}


def _renamed(name: str, theirs: Mapping[str, str]) -> str:
    """A gradient of an argument, or of a place in a tuple, by the reference's name."""
    argument, dot, rest = name.partition(".")
    return f"{theirs.get(argument, argument)}{dot}{rest}"


def _inherited(known: Mapping[str, Place], theirs: Outputs, ours: Outputs) -> dict[str, float]:
    """By place, the error of its parameters' gradients in the gradient of the whole."""
    errors: dict[str, float] = {}
    for path in known:
        names = [name for name in theirs if name in ours and inside(name, path)]
        if names:
            pair = ({name: side[name] for name in names} for side in (theirs, ours))
            errors[path] = gradient_error(*pair).measures["rtol"]
    return errors


def _unasked(setting: Setting, place: Place, back: Passed) -> str | None:
    """Why the gradients of a part are not asked for; None where they are."""
    if not back.cotangents:
        return "no gradient reaches it here"
    count = sum(math.prod(leaf.shape) for leaf in setting.parts.build(place, "float64").leaves.values())
    return f"{count / 1e6:.0f} million parameters, more than are differentiated at once" if count > LARGE else None
