"""`parity audit`: faults injected at every operation of a port's cases, and what becomes of each."""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from parity import environment, session
from parity.case import Case
from parity.errors import BadInput
from parity.faults import Injected, Place
from parity.measure.audited import Audit, Layer, Survivor
from parity.measure.examples import places_of
from parity.measure.proof import explanation, means
from parity.measure.survey import Standing, Unsound, survey
from parity.reference import one_thread, quiet
from parity.run import Runner, crash
from parity.session import Workspace


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Called while an audit is under way; progress is (examples done, examples expected)."""

    on_start: Callable[[Case], None] = lambda case: None
    on_progress: Callable[[int, int], None] = lambda done, asked: None
    on_layer: Callable[[Layer], None] = lambda layer: None


def select(workspace: Workspace, names: Sequence[str]) -> tuple[Case, ...]:
    """The cases to audit, bottom-up; raises BadInput where there are none, or a file is broken."""
    registry = workspace.registry
    cases = tuple(case for case in registry.select(names) if is_audited(case))
    if registry.broken:
        raise BadInput("; ".join(map(str, registry.broken)))
    if not cases:
        raise BadInput("nothing was selected: no case of these has an exact check")
    return cases


def is_audited(case: Case) -> bool:
    """Whether faults are injected: into a case with an exact check that does not say why not."""
    return not {"exact", "audit"} & {*case.skips}


def run(
    workspace: Workspace, cases: Sequence[Case], *, examples: int = 50, seed: int = 0, hooks: Hooks | None = None
) -> Audit:
    """Audit cases; an interrupt ends it with the layers that are done.

    Args:
        workspace: the root's cases and tolerances.
        cases: which of them.
        examples: of the exact check, whose examples the faults are injected into first.
        seed: of that check too.
        hooks: told what is under way.
    """
    hooks = hooks or Hooks()
    runner = Runner(workspace.registry, workspace.tolerances, session.settings(examples=examples, seed=seed))
    layers: list[Layer] = []
    interrupted = False
    try:
        with one_thread(), quiet():
            known: dict[str, Collection[Place]] = {}
            for case in cases:
                hooks.on_start(case)
                layers.append(_layer(runner, case, known, hooks))
                hooks.on_layer(layers[-1])
    except KeyboardInterrupt:
        interrupted = True
    return Audit(
        seed=seed,
        examples=examples,
        environment=environment.describe(),
        layers=tuple(layers),
        interrupted=interrupted,
    )


def _layer(runner: Runner, case: Case, known: dict[str, Collection[Place]], hooks: Hooks) -> Layer:
    """Audit a case; `known` are the places of the cases that were audited or only traced before, and then its too."""
    started = time.monotonic()
    try:
        parts = {part.name: _places(runner, part, known) for part in _below(runner, case)}
        subject = runner.subject(case)
        found = survey(runner, subject, parts=parts, progress=hooks.on_progress)
        known[case.name] = found.places
        survivors = [_survivor(runner, case, standing) for standing in found.survivors.values()]
    except Unsound as error:
        return Layer(case=case.name, trouble=str(error))
    except Exception as error:  # the author's code, on either side
        return Layer(case=case.name, trouble=crash(error))
    return Layer(
        case=case.name,
        injected=len(found.faults),
        caught=sum(standing.caught for standing in found.faults.values()),
        late=sum(standing.late for standing in found.faults.values()),
        survivors=tuple(survivors),
        parameters=len(found.parameters),
        missed=tuple(found.missed),
        elsewhere=Counter(filter(None, found.elsewhere.values())),
        closed=found.closed,
        stale=_stale(case, (standing.injected for standing in found.survivors.values())),
        examples=found.examples,
        seconds=round(time.monotonic() - started, 3),
    )


def _below(runner: Runner, case: Case) -> list[Case]:
    """The parts of a case and theirs that have an audit of their own, leaves first."""
    found: dict[str, Case] = {}
    for part in runner.registry.parts(case).values():
        found.update({below.name: below for below in _below(runner, part)})
        found[part.name] = part
    return [part for part in found.values() if "exact" not in part.skips]


def _places(runner: Runner, part: Case, known: dict[str, Collection[Place]]) -> Collection[Place]:
    """Where the operations of a part stand; none of a part that can't be run, as its own audit says."""
    if part.name not in known:
        try:
            known[part.name] = places_of(runner, runner.subject(part))
        except Exception:  # the author's code
            known[part.name] = ()
    return known[part.name]


def _survivor(runner: Runner, case: Case, standing: Standing) -> Survivor:
    injected, root = standing.injected, f"{runner.registry.root}/"
    why = None if standing.reason or standing.crash else explanation(case, injected)
    return Survivor(
        where=injected.where.removeprefix(root),
        primitive=injected.primitive,
        occurrence=injected.occurrence,
        kind=injected.fault.kind,
        description=injected.fault.description,
        tried=standing.tried,
        verdict="equivalent" if standing.reason else "explained" if why else "unresolved",
        reason=standing.reason or why or standing.crash or None,
    )


def _stale(case: Case, survivors: Iterable[Injected]) -> tuple[str, ...]:
    """Explanations of what does not survive any more."""
    left = list(survivors)
    return tuple(pattern for pattern in case.survivors if not any(means(pattern, injected) for injected in left))
