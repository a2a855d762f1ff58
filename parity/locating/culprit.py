"""What is said of a culprit: the operation inside it that is at fault, and the repairs that it is consistent with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from parity.located import Place as Told
from parity.locating.operation import described, first_wrong
from parity.locating.walk import Setting, inside
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
        found[path] = {"operation": described(wrong, root) if wrong else None}
    return found


def given_to(setting: Setting, inputs: Mapping[str, Any], wanted: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """What some places are given by the reference; `wanted`: path -> which call."""
    found: dict[str, dict[str, Any]] = {}
    calls: dict[str, int] = {}

    def visit(path: str, given: dict[str, Any], outputs: Mapping[str, Array]) -> None:
        if calls.setdefault(path, 0) == wanted[path]:
            found[path] = given
        calls[path] += 1

    capture(setting.reference, {path: setting.places[path].case.ignores for path in wanted}, inputs, visit)
    return found


def operation(setting: Setting, path: str, given: Mapping[str, Any]) -> Any:
    """The operation of the port's part at a path that leaves the reference's program."""
    place, parts = setting.places[path], setting.parts
    prefix = f"{path}." if path else ""
    within = [other.removeprefix(prefix) for other in setting.places if inside(other, path)]
    outermost = [one for one in within if not any(inside(one, other) for other in within)]
    steps = trail(submodule(setting.reference, path, place.case.ignores), given, outermost)
    accepted = parts.accepted(place, given)
    flat = parts.traced(place, accepted).program.unfolded().flat
    closed = {parts.defined(setting.places[f"{prefix}{one}"]) for one in outermost}
    return first_wrong(
        parts.lines(place, accepted), given=flat.inputs, outputs=flat.outputs, steps=steps, closed=closed
    )
