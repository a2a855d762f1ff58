"""What is said of a culprit: the operation inside it that is at fault, and the repairs that it is consistent with."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.located import Place as Told
from parity.locating.cause import Suspect, suggest
from parity.locating.judge import judge
from parity.locating.operation import Wrong, described, first_wrong
from parity.locating.parts import LARGE
from parity.locating.walk import Setting, inside
from parity.real.places import Place, port_path, widened
from parity.reference import Reference, build
from parity.reference.capture import capture, submodule
from parity.reference.trail import trail

Array = npt.NDArray[Any]
EXPLAINED = 2  # culprits of one case that are explained: the others are most often the same one


def explain(
    setting: Setting, inputs: Mapping[str, Any], guilty: Sequence[Told], root: Path
) -> dict[str, dict[str, Any]]:
    """Operation and cause of the first culprits of each case, by path."""
    wanted: dict[str, int] = {}
    counts: dict[str | None, int] = {}
    for each in guilty:
        counts[each.case] = counts.get(each.case, 0) + 1
        if counts[each.case] <= EXPLAINED:
            wanted[each.path] = each.call
    if setting.parts.is_real:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for path, given in given_to(setting, inputs, wanted).items():
        wrong = operation(setting, path, given)
        found[path] = {
            "operation": described(wrong, root) if wrong else None,
            "cause": cause(setting, path, given, wrong),
        }
    return found


def cause(setting: Setting, path: str, given: Mapping[str, Any], wrong: Wrong | None) -> tuple[str, ...]:
    """What a culprit is consistent with.

    Nothing is tried for parts of more than `LARGE` parameters, or that make whole numbers only.
    """
    place, parts = setting.places[path], setting.parts
    port = parts.build(place, parts.dtype)
    if setting.read is None or sum(math.prod(leaf.shape) for leaf in port.leaves.values()) > LARGE:
        return ()
    accepted = parts.accepted(place, given)
    module = submodule(setting.reference, path, place.case)
    if parts.dtype != "float64":
        said = "consistent with a cast in another place: in exact arithmetic this part passes"
        return (said,) if _is_exact(setting, place, given, module) else ()
    theirs = module.run(given)
    if not any(y.dtype.kind == "f" for y in theirs.values()):
        return ()  # whole numbers, such as tokens, are equal for many a reason
    followed = parts.traced(place, accepted).follow(parts.leaves(place, port), accepted)
    read, prefix = setting.read, f"{path}." if path else ""
    names = [name for name, value in sorted(accepted.items()) for _ in leaves_in(value)]
    slots = followed.evaluation.program.flat.inputs[len(port.leaves) :]
    return suggest(
        Suspect(
            case=place.case,
            config=parts.config,
            given=given,
            theirs=theirs,
            followed=followed,
            inputs=dict(zip(slots, names, strict=True)),
            parameters=lambda: {name: read(f"{prefix}{name}").astype(np.float64) for name in module.leaves},
            wrong=wrong,
            inner=tuple(port_path(parts.registry, place.case, one) for one in inner_places(setting, path)),
            tolerances=setting.tolerances,
        )
    )


def inner_places(setting: Setting, path: str) -> list[str]:
    """The outermost parts of a place, by their paths in it."""
    within = [other.removeprefix(f"{path}.") if path else other for other in setting.places if inside(other, path)]
    return [one for one in within if not any(inside(one, other) for other in within)]


def _is_exact(setting: Setting, place: Place, given: Mapping[str, Any], module: Reference) -> bool:
    """Whether a part that rounds in another way computes the same function."""
    parts, read = setting.parts, setting.read
    assert read is not None
    prefix = f"{place.path}." if place.path else ""
    theirs = build(place.case, parts.config, dtype="float64")
    theirs.fill({name: read(f"{prefix}{name}").astype(np.float64) for name in module.leaves})
    exact, wide = parts.exact(), widened(given)
    ours = exact.run(place, exact.accepted(place, wide))
    verdict = judge(place.case.name, theirs.run(wide), ours, dtype="float64", tolerances=setting.tolerances)
    return verdict.passed


def leaves_in(tree: Any) -> list[Array]:
    """The arrays of a tree of inputs, in order."""
    if isinstance(tree, tuple):
        return [leaf for branch in tree for leaf in leaves_in(branch)]
    return [tree] if isinstance(tree, np.ndarray) else []


def given_to(setting: Setting, inputs: Mapping[str, Any], wanted: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """What some places are given by the reference; `wanted`: path -> which call."""
    found: dict[str, dict[str, Any]] = {}
    calls: dict[str, int] = {}

    def visit(path: str, given: dict[str, Any], outputs: Mapping[str, Array]) -> None:
        if calls.setdefault(path, 0) == wanted[path]:
            found[path] = given
        calls[path] += 1

    capture(setting.reference, {path: setting.places[path].case for path in wanted}, inputs, visit)
    return found


def operation(setting: Setting, path: str, given: Mapping[str, Any]) -> Wrong | None:
    """The operation of the port's part at a path that leaves the reference's program."""
    place, parts = setting.places[path], setting.parts
    prefix, outermost = f"{path}." if path else "", inner_places(setting, path)
    steps = trail(submodule(setting.reference, path, place.case), given, outermost)
    accepted = parts.accepted(place, given)
    flat = parts.traced(place, accepted).program.unfolded().flat
    closed = {parts.defined(setting.places[f"{prefix}{one}"]) for one in outermost}
    return first_wrong(
        parts.lines(place, accepted), given=flat.inputs, outputs=flat.outputs, steps=steps, closed=closed
    )
