"""Stability: the checks over many seeds, and how often they blame a port that is right."""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence

from parity.errors import BadInput
from parity.registry import nearest
from parity.results import Model, Result
from parity.run import CHECKS, Settings
from parity.session import Hooks, Selection, Workspace, run, select
from parity.tolerance import MEASURES


class Alarm(Model):
    """A check that did not pass: which, with which seed, what it says, and how to see it again."""

    case: str
    check: str
    seed: int
    status: str
    message: str
    replay: str | None


class Line(Model):
    """One check over all cases and seeds: how often it ran, and the largest share of a limit that was used, where."""

    check: str
    runs: int
    examples: int
    alarms: int
    used: float | None
    case: str
    measure: str
    seed: int


class Soak(Model):
    """Every check over every seed. `complete`: whether all runs were made."""

    seeds: int
    first: int
    examples: int
    seconds: float
    complete: bool
    lines: tuple[Line, ...]
    alarms: tuple[Alarm, ...]

    @property
    def exit_status(self) -> int:
        """0; 1 after a false alarm; 130 when it was interrupted."""
        return 130 if not self.complete else 1 if self.alarms else 0


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is run: every check of the selection, with each seed."""

    selection: Selection
    seeds: Sequence[int]
    examples: int  # a check, case and seed

    @property
    def runs(self) -> int:
        return len(self.selection.pairs) * len(self.seeds)


def asked(
    workspace: Workspace, names: Collection[str], checks: Collection[str], *, examples: int, seeds: Sequence[int]
) -> Asked:
    """Share a number of examples among seeds, cases and checks.

    Args:
        workspace: the cases.
        names: of ports or cases; none means all.
        checks: which; none means all that have bounds. No check of a variant.
        examples: in all, rounded up so that each run has as many.
        seeds: which.

    Raises:
        BadInput: an unknown name or check, a file that can't be loaded, or nothing to run.
    """
    for name in checks:
        if name not in CHECKS:
            raise BadInput(f"unknown check {name!r}{nearest(name, CHECKS)}")
    selection = select(workspace.registry, names, checks or tuple(CHECKS))
    for broken in selection.broken:
        raise BadInput(f"{broken}: nothing is soaked until all of it can be loaded")
    pairs = [(case, check) for case, check in selection.pairs if checks or _is_bounded(check)]
    if not pairs:
        raise BadInput("nothing was selected: no case has a check with bounds")
    share = math.ceil(examples / (len(seeds) * len(pairs)))
    return Asked(dataclasses.replace(selection, pairs=pairs), seeds, share)


def _is_bounded(check: str) -> bool:
    return check in CHECKS and CHECKS[check].kind in MEASURES and not CHECKS[check].deep


def soak(workspace: Workspace, asked: Asked, *, hooks: Hooks | None = None) -> Soak:
    """Run it all. A failure ends the check that it is found in, and nothing else."""
    found: list[tuple[int, Result]] = []
    complete = True
    for seed in asked.seeds:
        results = run(workspace, asked.selection, Settings(asked.examples, seed), hooks=hooks)
        found += [(seed, result) for result in results.results]
        if results.interrupted:
            complete = False
            break
    checks = dict.fromkeys(check for _, check in asked.selection.pairs)
    return Soak(
        seeds=len(asked.seeds),
        first=asked.seeds[0],
        examples=sum(result.examples for _, result in found),
        seconds=round(sum(result.seconds for _, result in found), 1),
        complete=complete,
        lines=tuple(_line(check, [pair for pair in found if pair[1].check == check]) for check in checks),
        alarms=tuple(_alarm(seed, result) for seed, result in found if result.status not in ("passed", "skipped")),
    )


def _line(check: str, found: Iterable[tuple[int, Result]]) -> Line:
    found = list(found)
    seed, worst = max(
        found, key=lambda pair: pair[1].used or 0.0, default=(0, Result(case="", check="", status="todo"))
    )
    return Line(
        check=check,
        runs=len(found),
        examples=sum(result.examples for _, result in found),
        alarms=sum(result.status not in ("passed", "skipped") for _, result in found),
        used=worst.used,
        case=worst.case,
        measure=worst.limit.name if worst.limit else "",
        seed=seed,
    )


def _alarm(seed: int, result: Result) -> Alarm:
    return Alarm(
        case=result.case,
        check=result.check,
        seed=seed,
        status=result.status,
        message=result.message or _said(result),
        replay=result.replay,
    )


def _said(result: Result) -> str:
    limit = result.limit
    value = result.measured.get(limit.name) if limit else None
    return f"{limit.name} {value:.3g}, limit {limit.value:g}, {limit.where}" if limit and value is not None else ""
