"""One run of the reference: every part of the port on the reference's inputs, then all of them one after another."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from parity.errors import BadInput, OutputMismatch
from parity.located import Place as Located
from parity.locating.judge import Judged, judge, normwise
from parity.locating.parts import Parts
from parity.real.places import Place, places, widened
from parity.reference import Reference
from parity.reference.capture import capture, submodule
from parity.run import crash
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
Key = tuple[str, int]
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is walked through.

    Attributes:
        reference: the whole, built for the arithmetic of `parts`, with its parameters.
        parts: the port's side.
        tolerances: the bounds.
        truth: the whole in float64 with the same numbers, where a working dtype is judged.
        read: gives a parameter of the reference by its name in the whole, for the search for a cause.
    """

    reference: Reference
    parts: Parts
    tolerances: Tolerances
    truth: Reference | None = None
    read: Callable[[str], Array] | None = None

    @property
    def places(self) -> dict[str, Place]:
        """Every place that a case answers for, by path."""
        return places(self.parts.registry, self.parts.whole, self.reference.types)


@dataclasses.dataclass(frozen=True)
class Visited:
    """One call of a place: how it was judged on the reference's inputs."""

    place: Place
    call: int
    judged: Judged
    own_error: float | None


@dataclasses.dataclass(frozen=True)
class Alone:
    """Every part on the reference's inputs.

    Attributes:
        visited: by path and call, in order of execution.
        kept: what each was given, and what the reference made of it; not for the spine.
    """

    visited: Mapping[Key, Visited]
    kept: Mapping[Key, tuple[Any, Outputs]]

    @property
    def passed(self) -> bool:
        """Whether no part fails."""
        return all(visited.judged.passed for visited in self.visited.values())

    @property
    def told(self) -> tuple[Located, ...]:
        """Every call of a place, in order of execution, without what it inherits."""
        return told(self.visited)


def told(found: Mapping[Key, Visited], inherited: Mapping[Key, float | None] | None = None) -> tuple[Located, ...]:
    """Calls of places as a report has them."""
    stand = standings((path, visited.judged.passed) for (path, _), visited in found.items())
    return tuple(
        Located(
            path=path,
            case=visited.place.case.name,
            call=call,
            layer=layer_of(path),
            own=visited.judged.used,
            own_error=visited.own_error,
            inherited=(inherited or {}).get((path, call)),
            status="passed" if visited.judged.passed else stand[path],
            message=visited.judged.message,
        )
        for (path, call), visited in found.items()
    )


def bridged(setting: Setting) -> tuple[Located, ...]:
    """The modules that the port has no part for, as a report has them."""
    return tuple(Located(path=path, status="bridged", layer=layer_of(path)) for path in bridges(setting))


def passes(setting: Setting, inputs: Mapping[str, Any], place: Place) -> bool:
    """Whether one part alone passes, in every call, on what the reference gives it."""
    found: list[bool] = []

    def visit(path: str, given: dict[str, Any], theirs: Outputs) -> None:
        found.append(_judged(setting, place, len(found), given, theirs).judged.passed)

    capture(setting.reference, {place.path: place.case}, inputs, visit)
    return all(found)


def standing_places(setting: Setting, inputs: Mapping[str, Any], places: Iterable[Place]) -> list[Place]:
    """Those of some places that the reference runs on these inputs."""
    run: set[str] = set()
    wanted = {place.path: place for place in places}
    paths = {path: place.case for path, place in wanted.items()}
    capture(setting.reference, paths, inputs, lambda path, given, outputs: run.add(path))
    return [place for path, place in wanted.items() if path in run]


def alone(
    setting: Setting,
    inputs: Mapping[str, Any],
    *,
    above: bool = True,
    progress: Progress = lambda done, asked: None,
) -> Alone:
    """Judge every part of the port on what the reference gives it.

    Args:
        setting: both sides.
        inputs: of the whole, in the arithmetic of both.
        above: judge also what a failing part is part of; that changes no culprit.
        progress: called with the places done, and how many there are.
    """
    known, calls = setting.places, Counter[str]()
    found: dict[Key, Visited] = {}
    kept: dict[Key, tuple[Any, Outputs]] = {}
    spine = set(_spine(known))

    def visit(path: str, given: dict[str, Any], theirs: Outputs) -> None:
        key = path, calls[path]
        calls[path] += 1
        if not above and any(inside(each, path) and not one.judged.passed for (each, _), one in found.items()):
            return
        found[key] = _judged(setting, known[path], key[1], given, theirs)
        if path not in spine:
            kept[key] = given, theirs
        progress(len(found), len(known))

    capture(setting.reference, {path: place.case for path, place in known.items()}, inputs, visit)
    return Alone(found, kept)


def together(setting: Setting, inputs: Mapping[str, Any], found: Alone) -> tuple[Located, ...]:
    """Every place in order of execution, with what it inherits: the port's parts one after another.

    They are wired as the reference wires them: each gets what those before it made, and a part that the port does not
    have is bridged by the reference's own.
    """
    return (*told(found.visited, _freely(setting, inputs, found)), *bridged(setting))


def standings(judged: Iterable[tuple[str, bool]]) -> dict[str, Any]:
    """Of each path that failed in some call, whether it failed with a part that failed too, or is the glue of parts."""
    judged = list(judged)
    failed = dict.fromkeys(path for path, passed in judged if not passed)
    paths = {path for path, _ in judged}
    return {path: "glue" if _inner(path, paths) and not _inner(path, failed) else "failed" for path in failed}


def culprits(found: Iterable[Located]) -> list[Located]:
    """The deepest parts that fail while all their parts pass, in order; each at its first failing call."""
    found = list(found)
    failed = {each.path for each in found if each.status in ("failed", "glue")}
    first: dict[str, Located] = {}
    for each in found:
        if each.status in ("failed", "glue") and not _inner(each.path, failed):
            first.setdefault(each.path, each)
    return list(first.values())


def bridges(setting: Setting) -> Iterator[str]:
    """Modules beside the parts of a composite for which no case answers."""
    known = setting.places
    composite = {path for path in known if _inner(path, known)}
    for path in setting.reference.types:
        above = path.rpartition(".")[0]
        if path and path not in known and above in composite and not _inner(path, known):
            yield path


def layer_of(path: str) -> int | None:
    """The first number in a path."""
    numbers = [int(step) for step in path.split(".") if step.isdigit()]
    return numbers[0] if numbers else None


def inside(path: str, outer: str) -> bool:
    """Whether a module's path lies within another's; no path lies within itself."""
    return path != outer and (not outer or path.startswith(f"{outer}."))


def _inner(path: str, paths: Iterable[str]) -> list[str]:
    return [each for each in paths if inside(each, path)]


def _judged(setting: Setting, place: Place, call: int, given: Mapping[str, Any], theirs: Outputs) -> Visited:
    parts = setting.parts
    try:
        ours = parts.run(place, parts.accepted(place, given))
    except BadInput:
        raise
    except Exception as error:  # the port's own code, on inputs that it may never have met
        return Visited(place, call, Judged(False, message=said(error)), None)
    truth = submodule(setting.truth, place.path, place.case) if setting.truth else None
    verdict = judge(
        place.case.name,
        theirs,
        ours,
        dtype=parts.dtype,
        tolerances=setting.tolerances,
        truth=truth,
        inputs=widened(given) if truth else None,
    )
    return Visited(place, call, verdict, normwise(theirs, ours))


def _freely(setting: Setting, inputs: Mapping[str, Any], found: Alone) -> dict[Key, float | None]:
    """The error of every place where each part of the port gets what the parts before it made."""
    known, calls, parts = setting.places, Counter[str](), setting.parts
    errors = {key: visited.own_error for key, visited in found.visited.items() if key not in found.kept}

    def visit(path: str, given: dict[str, Any], outputs: Outputs) -> Outputs | None:
        key = path, calls[path]
        calls[path] += 1
        if key not in found.kept:
            return None
        try:
            ours = parts.run(known[path], parts.accepted(known[path], given))
        except Exception:  # said where the part was judged
            return None
        errors[key] = normwise(found.kept[key][1], ours)
        return ours if all(name in ours and ours[name].shape == y.shape for name, y in outputs.items()) else None

    paths = {path: place.case for path, place in known.items() if any(key[0] == path for key in found.kept)}
    capture(setting.reference, paths, inputs, visit)
    return errors


def _spine(paths: Iterable[str]) -> Iterator[str]:
    """The places that every other one is part of, or has as a part: what they get is what the whole gets."""
    paths = list(paths)
    for path in paths:
        if all(other == path or inside(other, path) or inside(path, other) for other in paths):
            yield path


def said(error: Exception) -> str:
    """An error of the port on one line."""
    return str(error) if isinstance(error, OutputMismatch) else re.sub(r"\s+", " ", crash(error))
