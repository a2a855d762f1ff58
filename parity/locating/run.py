"""The whole search: walk the model, name the culprits, and inside each the operation and a suggested cause."""

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.case import Case, Example
from parity.environment import describe
from parity.errors import BadInput
from parity.located import Culprit, Located
from parity.located import Place as Told
from parity.locating import drawn
from parity.locating.backward import Pulled, pulled
from parity.locating.culprit import explain
from parity.locating.injected import injected
from parity.locating.walk import Alone, Progress, Setting, alone, bridged, culprits, inside, together
from parity.port import cache
from parity.reference import one_thread, quiet
from parity.session import Workspace

DTYPES = ("float64", "float32", "bfloat16", "float16", "rounded:bfloat16", "rounded:float16")
EXAMPLES = 6  # drawn, until one shows a divergence


def locate_drawn(
    workspace: Workspace,
    name: str,
    *,
    dtype: str = "float64",
    backward: bool = False,
    seed: int = 0,
    example: Example | None = None,
    count: int = EXAMPLES,
    fault: str | None = None,
    progress: Progress = lambda done, asked: None,
) -> Located:
    """Locate on drawn examples: the first that shows a culprit, or the last.

    Args:
        workspace: the root's cases and tolerances.
        name: of a port, or of a case of several parts.
        dtype: one of `DTYPES`.
        backward: walk the cotangents from the outputs down instead; in float64.
        seed: another one draws other examples.
        example: this one instead of drawn ones.
        count: how many are drawn at most.
        fault: `[CASE:]NAME@PATH`: this declared fault is in the port, at this place only.
        progress: called with the places done, and how many there are in an example.

    Raises:
        BadInput: the name, the dtype or the fault is unknown, or there are no gradients to walk.
    """
    started = time.monotonic()
    port, case = whole_of(workspace, name)
    check_dtype(dtype, backward=backward)
    if backward and "gradient" in case.skips:
        raise BadInput(f"--backward: {case.name} has no gradient: {case.skips['gradient']}")
    tolerances, root = workspace.tolerances.beyond(), workspace.registry.root
    with cache.persistent(), one_thread(), quiet():
        asked = [example] if example else list(drawn.examples(case, seed=seed, count=count))
        for number, each in enumerate(asked, 1):
            setting = drawn.setting(workspace.registry, tolerances, case, each, dtype=dtype)
            setting = injected(setting, fault) if fault else setting
            inputs = drawn.inputs(each, dtype)
            found = (pulled if backward else alone)(setting, inputs, progress=progress)
            if not found.passed or number == len(asked):
                told = f"{'the given example' if example else f'drawn example {number}'}: {_said(each)}{told_of(fault)}"
                made = report(setting, inputs, found, root, backward=backward)
                seconds = round(time.monotonic() - started, 3)
                return made.model_copy(update={"port": port, "seed": seed, "inputs": told, "seconds": seconds})
    raise BadInput(f"{case.name} draws no example")


def report(
    setting: Setting,
    inputs: Mapping[str, Any],
    found: Alone | Pulled,
    root: Path,
    *,
    backward: bool = False,
    short: Mapping[str, Any] | None = None,
) -> Located:
    """What was found on one set of inputs, with every culprit explained: on `short` ones, where those are given."""
    places = together(setting, inputs, found) if isinstance(found, Alone) else (*found.told, *bridged(setting))
    guilty = culprits(places)
    explained = {} if backward or not guilty else explain(setting, short or inputs, guilty, root)
    return Located(
        port=setting.parts.whole.port_name,
        dtype=setting.parts.dtype,
        backward=backward,
        environment=describe(),
        places=places,
        culprits=tuple(
            Culprit(path=each.path, case=each.case, call=each.call, reason=reason(each), **explained.get(each.path, {}))
            for each in guilty
        ),
        peak_memory_bytes=peak_memory(),
        not_checked=tuple(not_checked(setting, places, found.skipped if isinstance(found, Pulled) else {})),
    )


def reason(place: Told) -> str:
    """Why a place is a culprit."""
    if place.message:
        return place.message
    if place.status == "glue":
        return "glue: fails on the reference's inputs while its parts pass"
    return "fails on the reference's inputs"


def not_checked(setting: Setting, places: tuple[Told, ...], skipped: Mapping[str, str]) -> list[str]:
    """What a search does not look at, a line each; `skipped`: parts that it left out itself, and why."""
    run = {place.path for place in places}
    failed = [place.path for place in places if place.status in ("failed", "glue")]
    above = {path for path in setting.places if any(inside(each, path) for each in failed)}
    unrun = [path for path in setting.places if path not in run | above]
    notes = [f"`{path}`: {skipped.get(path, 'the reference does not run it here')}" for path in unrun]
    notes += [f"`{place.path}`: bridged by the reference's own" for place in places if place.status == "bridged"]
    if above:
        notes.append(f"the glue of what contains a culprit ({len(above)} places): mend the culprit and look again")
    return notes


def whole_of(workspace: Workspace, name: str) -> tuple[str, Case]:
    """The port's name and the case to walk: a port's whole, or a case; raises BadInput."""
    registry = workspace.registry
    if name in registry.suites:
        return name, registry[registry.suites[name].whole]
    cases = registry.select([name])
    if len(cases) != 1:
        raise BadInput(f"{name!r} is {len(cases)} cases: name a port, or one case")
    return cases[0].port_name, cases[0]


def check_dtype(dtype: str, *, backward: bool) -> None:
    """Refuse a dtype that there is no arithmetic for; raises BadInput."""
    if backward and dtype != "float64":
        raise BadInput(f"--backward compares gradients in exact arithmetic: no --dtype {dtype}")
    if dtype not in DTYPES:
        raise BadInput(f"--dtype {dtype}: one of {', '.join(DTYPES)}")


def peak_memory() -> int:
    """The most memory that this process has had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def told_of(fault: str | None) -> str:
    """What a report says of an injected fault."""
    return f", with the fault {fault}" if fault else ""


def _said(example: Example) -> str:
    return ", ".join(f"{name}={value}" for name, value in example.form.items())
