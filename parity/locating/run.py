"""The whole search: walk the model, name the culprits, and inside each the operation and a suggested cause."""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parity.case import Case, Example
from parity.environment import describe
from parity.errors import BadInput
from parity.located import Culprit, Located
from parity.located import Place as Told
from parity.locating import drawn
from parity.locating.culprit import explain
from parity.locating.walk import Setting, culprits, walk
from parity.port import cache
from parity.reference import one_thread
from parity.session import Workspace

DTYPES = ("float64", "float32", "bfloat16", "float16", "rounded:bfloat16", "rounded:float16")
EXAMPLES = 6  # drawn, until one shows a divergence
Progress = Callable[[int, int], None]


def locate_drawn(
    workspace: Workspace,
    name: str,
    *,
    dtype: str = "float64",
    backward: bool = False,
    seed: int = 0,
    example: Example | None = None,
    count: int = EXAMPLES,
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
        progress: called with the places done, and how many there are in an example.

    Raises:
        BadInput: the name or the dtype is unknown.
    """
    started = time.monotonic()
    port, case = whole_of(workspace, name)
    check_dtype(dtype)
    found: Located | None = None
    tolerances = workspace.tolerances.beyond()
    with cache.persistent(), one_thread():
        tried = 0
        for each in [example] if example else drawn.examples(case, seed=seed, count=count):
            tried += 1
            setting = drawn.setting(workspace.registry, tolerances, case, each, dtype=dtype)
            inputs = drawn.inputs(each, dtype)
            found = report(setting, inputs, walk(setting, inputs, progress=progress), workspace.registry.root)
            if found.culprits:
                break
    assert found is not None
    told = f"drawn example {tried}: {_said(each)}" if not example else f"the given example: {_said(example)}"
    return found.model_copy(
        update={"port": port, "seed": seed, "inputs": told, "seconds": round(time.monotonic() - started, 3)}
    )


def report(setting: Setting, inputs: Mapping[str, Any], places: tuple[Told, ...], root: Path) -> Located:
    """What was found on one set of inputs, with every culprit explained."""
    guilty = culprits(places)
    explained = explain(setting, inputs, guilty, root) if guilty else {}
    return Located(
        port=setting.parts.whole.port_name,
        dtype=setting.parts.dtype,
        environment=describe(),
        places=places,
        culprits=tuple(
            Culprit(path=each.path, case=each.case, call=each.call, reason=reason(each), **explained.get(each.path, {}))
            for each in guilty
        ),
        peak_memory_bytes=peak_memory(),
        not_checked=tuple(not_checked(setting, places)),
    )


def reason(place: Told) -> str:
    """Why a place is a culprit."""
    if place.message:
        return place.message
    if place.status == "glue":
        return "glue: fails on the reference's inputs while its parts pass"
    return "fails on the reference's inputs"


def not_checked(setting: Setting, places: tuple[Told, ...]) -> list[str]:
    """What a search does not look at, a line each."""
    run = {place.path for place in places}
    failed = [place.path for place in places if place.status in ("failed", "glue")]
    notes = [f"`{path}`: the reference does not run it here" for path in setting.places if path not in run]
    notes += [f"`{place.path}`: bridged by the reference's own" for place in places if place.status == "bridged"]
    above = [p for p in failed if any(q != p and (not p or q.startswith(f"{p}.")) for q in failed)]
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


def check_dtype(dtype: str) -> None:
    """Refuse a dtype that there is no arithmetic for; raises BadInput."""
    if dtype not in DTYPES:
        raise BadInput(f"--dtype {dtype}: one of {', '.join(DTYPES)}")


def peak_memory() -> int:
    """The most memory that this process has had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _said(example: Example) -> str:
    return ", ".join(f"{name}={value}" for name, value in example.form.items())
