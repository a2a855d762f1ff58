"""`parity audit`: faults injected at every operation of a port's cases, and what becomes of each."""

import dataclasses
import fnmatch
import time
from collections.abc import Callable, Sequence

from parity import environment, session
from parity.case import Case, Example
from parity.checks.subject import Subject
from parity.errors import BadInput
from parity.faults import Injected, claims
from parity.measure import adversary
from parity.measure.audited import Audit, Layer, Survivor
from parity.measure.survey import Standing, Unsound, survey
from parity.reference import one_thread
from parity.run import Runner, crash
from parity.session import Workspace

TRACES = 8  # traces in which a reason must hold, if there are that many


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Called while an audit is under way; progress is (examples done, examples expected)."""

    on_start: Callable[[Case], None] = lambda case: None
    on_progress: Callable[[int, int], None] = lambda done, asked: None
    on_layer: Callable[[Layer], None] = lambda layer: None


def select(workspace: Workspace, names: Sequence[str]) -> tuple[Case, ...]:
    """The cases to audit, bottom-up; raises BadInput where there are none, or a file is broken."""
    registry = workspace.registry
    cases = tuple(case for case in registry.select(names) if "exact" not in case.skips)
    if registry.broken:
        raise BadInput("; ".join(map(str, registry.broken)))
    if not cases:
        raise BadInput("nothing was selected: no case of these has an exact check")
    return cases


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
        with one_thread():
            for case in cases:
                hooks.on_start(case)
                layers.append(_layer(runner, case, hooks))
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


def _layer(runner: Runner, case: Case, hooks: Hooks) -> Layer:
    started = time.monotonic()
    try:
        subject = runner.subject(case)
        found = survey(runner, subject, progress=hooks.on_progress)
        survivors = [_survivor(runner, subject, standing) for standing in found.survivors.values()]
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
        missed=tuple(path for path, caught in found.parameters.items() if not caught),
        closed=found.closed,
        stale=tuple(pattern for pattern in case.survivors if not any(_matches(s, pattern) for s in survivors)),
        examples=found.examples,
        seconds=round(time.monotonic() - started, 3),
    )


def _survivor(runner: Runner, subject: Subject, standing: Standing) -> Survivor:
    reason = None if standing.crash else _reason(subject, standing, seed=runner.settings.seed)
    injected, root = standing.injected, f"{runner.registry.root}/"
    survivor = Survivor(
        where=injected.where.removeprefix(root),
        primitive=injected.primitive,
        occurrence=injected.occurrence,
        kind=injected.fault.kind,
        description=injected.fault.description,
        tried=standing.tried,
        verdict="equivalent" if reason else "unresolved",
        reason=reason or standing.crash or None,
    )
    if survivor.verdict == "unresolved" and not standing.crash:
        for pattern, why in subject.case.survivors.items():
            if _matches(survivor, pattern):
                return survivor.model_copy(update={"verdict": "explained", "reason": why})
    return survivor


def _matches(survivor: Survivor, pattern: str) -> bool:
    """Whether a case's explanation means a survivor; lines move, so they take no part."""
    file = survivor.where.rpartition(":")[0].rpartition("/")[2]
    return fnmatch.fnmatchcase(f"{file}: {survivor.primitive}: {survivor.description}", pattern)


def _reason(subject: Subject, standing: Standing, *, seed: int) -> str | None:
    """The first reason that holds in every trace looked at; None where there is none."""
    traces: dict[str, tuple[Example, Injected]] = {}
    for example, injected in standing.seen:
        traces.setdefault(example.shape_key, (example, injected))
    left: list[str] | None = None
    for example, injected in spaced(list(traces.values())):
        evaluation = subject.follow(example).evaluation
        holding = [
            claim.why
            for claim in claims(evaluation.program, injected)
            if (left is None or claim.why in left) and adversary.holds(claim, injected, evaluation, seed=seed)
        ]
        if not holding:
            return None
        left = holding
    return left[0] if left else None


def spaced(traces: Sequence[tuple[Example, Injected]]) -> list[tuple[Example, Injected]]:
    """`TRACES` of them, from the first to the last."""
    step = max(1.0, len(traces) / TRACES)
    return [traces[int(number * step)] for number in range(min(TRACES, len(traces)))]
