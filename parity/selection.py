"""What a run is asked for: checks of cases by name, and what is left out by that."""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from parity.case import Case
from parity.errors import BadInput
from parity.registry import Broken, Registry, nearest

Pairs = Sequence[tuple[Case, str]]


@dataclasses.dataclass(frozen=True)
class Selection:
    """What a run is asked for, bottom-up, all checks of a case together so that what is built is shared."""

    pairs: Pairs
    broken: tuple[Broken, ...] = ()
    not_checked: tuple[str, ...] = ()


def select(registry: Registry, names: Collection[str] = (), checks: Collection[str] = ()) -> Selection:
    """Cases and checks by name; raises BadInput for an unknown name, and when nothing is selected."""
    from parity.run import check_ids

    _known_checks(registry, checks)
    broken = tuple(b for b in registry.broken if not names or any(_is_named(b, name) for name in names))
    left = [name for name in names if not any(_is_named(b, name) for b in broken) or _names_a_case(registry, name)]
    cases = registry.select(left) if left or not names else ()
    pairs = [
        (case, check) for case in cases for check in check_ids(case, deep=bool(checks)) if _asked_for(check, checks)
    ]
    if not cases and not broken:
        raise BadInput(f"nothing was selected: there are no cases under {registry.root / 'cases'}")
    if not pairs and not broken:
        raise BadInput(f"nothing was selected: {', '.join(c.name for c in cases)} has no check {' or '.join(checks)}")
    return Selection(pairs, broken, tuple(not_checked(registry, pairs, broken)))


def not_checked(registry: Registry, pairs: Pairs, broken: Collection[Broken] = ()) -> Iterator[str]:
    """What a run of these checks does not look at, a line each; what is skipped is in the results."""
    from parity.run import check_ids

    chosen = {(case.name, check) for case, check in pairs}
    cases = {name for name, _ in chosen}
    if others := [case.name for case in registry.bottom_up() if case.name not in cases]:
        yield f"not selected: {', '.join(others)}"
    every = [(case.name, check) for case in registry.bottom_up() if case.name in cases for check in check_ids(case)]
    kinds = Counter(check.partition(":")[0] for name, check in every if (name, check) not in chosen)
    if kinds:
        yield f"not asked for: {', '.join(f'{kind} ({count})' for kind, count in kinds.items())}"
    yield from (f"{file}: could not be loaded" for file in registry.broken if file not in broken)
    for suite in registry.suites.values():
        if any(name.startswith(f"{suite.name}/") for name in cases):
            yield from (f"{suite.name} refuses the field `{field}`: {why}" for field, why in suite.refuses.items())
    for case in registry.bottom_up():
        undeclared = [what for what, given in (("batch", case.batch), ("laws", case.laws)) if not given]
        if undeclared and (case.name, "transforms") in chosen:
            yield f"{case.name} declares no {' and no '.join(undeclared)}: `transforms` does not ask for them"
    declared = {case.name: case.equivalents for case, _ in pairs if case.equivalents}
    for name, equivalents in declared.items():
        yield f"{name}: declared the same function: {', '.join(equivalents)}"
        for variant, equivalent in equivalents.items():
            yield from (f"{name}: {variant} need not pass {kind}: {why}" for kind, why in equivalent.excused.items())


def _known_checks(registry: Registry, checks: Collection[str]) -> None:
    from parity.run import CHECKS, check_ids

    short = (*dict.fromkeys((*CHECKS, *(check.kind for check in CHECKS.values()))), "rejects", "accepts")
    every = (*short, *(check for case in registry.cases.values() for check in check_ids(case)))
    for name in checks:
        if name not in every:
            known = every if difflib.get_close_matches(name, every, cutoff=0.5) else short
            raise BadInput(f"unknown check {name!r}{nearest(name, dict.fromkeys(known))}")


def _asked_for(check: str, asked: Collection[str]) -> bool:
    return not asked or check in asked or check.partition(":")[0] in asked


def layer_of(broken: Broken) -> str:
    """The layer that a file which could not be loaded would have been of, as far as its name tells."""
    return Path(broken.path).stem.removeprefix("case_")


def _is_named(broken: Broken, name: str) -> bool:
    """Whether a selection by this name would have meant a file's cases, as far as its path tells."""
    port = broken.path.split("/")[-2]
    return name in (port, layer_of(broken), f"{port}/{layer_of(broken)}")


def _names_a_case(registry: Registry, name: str) -> bool:
    return any(name in (case, *case.split("/", 1)) for case in registry.cases)
