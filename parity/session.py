"""One way to run a selection of checks: behind `parity check`, `parity.check` and, for what surrounds them, pytest."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity import garbage, tolerance
from parity import registry as registries
from parity.case import Case
from parity.environment import describe
from parity.errors import BadInput
from parity.fingerprint import fingerprint
from parity.registry import Broken, Registry
from parity.results import Component, Result, Results
from parity.selection import Pairs, layer_of
from parity.selection import Selection as Selection
from parity.selection import not_checked as not_checked
from parity.selection import select as select
from parity.tolerance import Tolerances

if TYPE_CHECKING:  # these import torch and jax: seconds that `parity --version` must not cost
    from parity.run import Runner, Settings
    from parity.workers import Event


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A root's cases and tolerances."""

    registry: Registry
    tolerances: Tolerances


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Called while a run is under way; progress is (examples done, examples asked).

    `beside` makes hooks for another check that is under way at the same time.
    """

    on_start: Callable[[Case, str], None] = lambda case, check: None
    on_progress: Callable[[int, int], None] = lambda done, asked: None
    on_result: Callable[[Result], None] = lambda result: None
    beside: "Callable[[], Hooks]" = lambda: Hooks()


def check(
    *cases: str | Case,
    checks: Collection[str] = (),
    examples: int = 50,
    seed: int = 0,
    time_limit: float | None = None,
    stop_first: bool = False,
    root: Path | None = None,
) -> Results:
    """Check cases of the root that the working directory lies in.

    Args:
        cases: cases, or names of cases or ports; none means all.
        checks: ids ('exact', 'rejects:eps'), or 'rejects' or 'accepts' for all of these; none means all.
        examples: how many distinct examples each check must complete.
        seed: another one draws other configurations and examples.
        time_limit: seconds after which no further check starts.
        stop_first: stop at the first failure.
        root: another folder to look for the root from.

    Raises:
        BadInput: a name is unknown, nothing is selected, or the root's files are broken.
    """
    workspace = load(root)
    names = [case.name if isinstance(case, Case) else case for case in cases]
    made = settings(examples=examples, seed=seed, time_limit=time_limit)
    return run(workspace, select(workspace.registry, names, checks), made, stop_first=stop_first)


def load(start: Path | None = None) -> Workspace:
    """Find the root at or above `start`, load its case files, read its tolerances; raises BadInput."""
    root = registries.find_root(start)
    with garbage.off_and_frozen():
        registry = registries.discover(root)
    ports = {broken.path.split("/")[-2] for broken in registry.broken}
    return Workspace(registry, tolerance.read(root, registry.cases, ports))


def settings(*, examples: int = 50, seed: int = 0, time_limit: float | None = None) -> "Settings":
    """Settings of a run whose time starts now."""
    from parity.run import Settings

    if examples < 1:
        raise BadInput(f"at least 1 example is needed, not {examples}")
    return Settings(examples, seed, None if time_limit is None else time.monotonic() + time_limit)


def run(
    workspace: Workspace,
    selection: Selection,
    settings: "Settings",
    *,
    hooks: Hooks | None = None,
    stop_first: bool = False,
    jobs: int = 1,
) -> Results:
    """Run every selected check to its verdict; an interrupt ends it with what was found so far.

    A fault is injected first, into the first case's port: a run that does not reject it is a failed one.

    Args:
        workspace: cases and tolerances.
        selection: which checks.
        settings: examples, seed, time.
        hooks: told what is under way.
        stop_first: stop at the first failure; one check is run after another then.
        jobs: how many cases are checked at once, where this process can be forked. Verdicts don't depend on it.

    Raises:
        BadInput: the root's files ask for something impossible, such as a check without a bound.
    """
    from parity import canary, workers
    from parity.port import ask_for_devices, cache
    from parity.run import Runner

    started, hooks = time.monotonic(), hooks or Hooks()
    if any(check == "sharded" for _, check in selection.pairs):
        ask_for_devices()
    runner = Runner(workspace.registry, workspace.tolerances, settings)
    results = broken_results(selection.broken)
    interrupted, sung = False, None
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(garbage.seldom())
            several = (
                min(jobs, len({case.name for case, _ in selection.pairs})) > 1 and not stop_first and workers.possible()
            )
            # Workers are forked before anything starts JAX in this process.
            events = stack.enter_context(workers.running(runner, selection.pairs, jobs=jobs)) if several else ()
            stack.enter_context(cache.persistent())
            if not settings.late:
                sung = canary.sing(runner, [case for case, _ in selection.pairs])
            for result in _told(events, hooks) if several else _one_by_one(runner, selection.pairs, hooks):
                results.append(result)
                if stop_first and result.status in ("failed", "error"):
                    break
    except KeyboardInterrupt:
        interrupted = True
    order = {f"{case.name}[{check}]": number for number, (case, check) in enumerate(selection.pairs)}
    results.sort(key=lambda result: order.get(result.id, -1))
    notes = [*selection.not_checked, *stale(workspace, {case.name for case, _ in selection.pairs})]
    if missing := len(selection.pairs) + len(selection.broken) - len(results):
        notes.insert(
            0, f"{missing} checks were not run: {'interrupted' if interrupted else 'stopped at the first failure'}"
        )
    if sung is None and not interrupted:
        notes.append(canary.SILENT)
    results += [sung.result] if sung and sung.result else []
    gathered = gather(results, parts=parts(workspace.registry), seed=settings.seed, not_checked=notes)
    around = {"seconds": round(time.monotonic() - started, 3), "components": components(workspace.registry)}
    return gathered.model_copy(update={**around, "interrupted": interrupted, "canary": sung.said if sung else None})


def _one_by_one(runner: "Runner", pairs: Pairs, hooks: Hooks) -> Iterator[Result]:
    for case, check in pairs:
        hooks.on_start(case, check)
        result = runner.run(case, check, progress=hooks.on_progress)
        hooks.on_result(result)
        yield result


def _told(events: "Iterable[Event]", hooks: Hooks) -> Iterator[Result]:
    """Results as they come; what each worker is at is told to hooks of its own."""
    from parity.workers import Finished, Started

    each: dict[int, Hooks] = {0: hooks}
    for event in events:
        if event.worker not in each:
            each[event.worker] = hooks.beside()
        told = each[event.worker]
        if isinstance(event, Started):
            told.on_start(event.case, event.check)
        elif isinstance(event, Finished):
            told.on_result(event.result)
            yield event.result
        else:
            told.on_progress(event.done, event.asked)


def gather(
    results: Iterable[Result],
    *,
    parts: Mapping[str, Sequence[str]],
    seed: int,
    not_checked: Iterable[str] = (),
    environment: Mapping[str, Any] | None = None,
) -> Results:
    """Merge results, wherever they were found; what lies above a failed part becomes 'blocked'."""
    results = list(results)
    skips = [f"{result.id} was skipped: {result.message}" for result in results if result.status == "skipped"]
    place = describe() if environment is None else environment
    return Results.of(results, parts=parts, seed=seed, environment=place, not_checked=[*skips, *not_checked])


def parts(registry: Registry) -> dict[str, list[str]]:
    """Case -> what it is made of; a part whose file could not be loaded goes by the file's name."""
    broken = {f"{b.path.split('/')[-2]}/{layer_of(b)}": b.name for b in registry.broken}
    return {
        name: [broken.get(part, part) for part in case.parts.values() if part in registry.cases or part in broken]
        for name, case in registry.cases.items()
    }


def components(registry: Registry) -> tuple[Component, ...]:
    """The map of every case there is, bottom-up, whether it was selected or not."""
    return tuple(
        Component(
            case=case.name,
            file=registry.files[case.name],
            parts=dict(case.parts),
            covers=tuple(f"{covered.__module__}.{covered.__qualname__}" for covered in case.covers),
            faults=len(case.faults),
            equivalents=len(case.equivalents),
        )
        for case in registry.bottom_up()
    )


def broken_results(broken: Iterable[Broken]) -> list[Result]:
    """A case file that could not be loaded, as a result with status 'error'."""
    return [Result(case=file.name, check="import", status="error", message=str(file)) for file in broken]


def stale(workspace: Workspace, cases: Collection[str]) -> Iterator[str]:
    """Tolerances of these cases that were measured on other code than there is now, a line a case."""
    registry, tolerances = workspace.registry, workspace.tolerances
    known = [registry.cases[name] for name in cases if name in tolerances.measured and name in registry.cases]
    found = tolerance.stale(tolerances, {case.name: fingerprint(registry, case) for case in known})
    for case in sorted(known, key=lambda case: case.name):
        if checks := [check for name, check in found if name == case.name]:
            port, _, layer = case.name.partition("/")
            command = f"parity calibrate {port} {layer} --write"
            yield f"the bounds of {case.name}[{', '.join(checks)}] were measured on other code: {command}"
