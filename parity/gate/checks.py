"""Checks: has every check of the port passed, and has every fault that its cases declare been rejected?"""

from collections.abc import Collection, Iterator

from parity import session
from parity.canary import CHECK
from parity.case import Suite
from parity.gated import Question
from parity.registry import Registry
from parity.results import Result, Results
from parity.run import check_ids

ASKS = "does every check pass?"
DECLARED_ASKS = "is every declared fault rejected?"


def checks(registry: Registry, suite: Suite, results: Results) -> Question:
    """Hold a run's results against the checks that the port's cases have; those of faults are another question."""
    own = [result for result in results.results if _is_of(result, suite) and not _is_fault(result)]
    skips = [result for result in own if result.status == "skipped" and result.check in _skips(registry, result)]
    shut = [*_canary(results), *_other_code(registry, suite, results), *_failing(own), *_missing(registry, suite, own)]
    if results.interrupted:
        shut.insert(0, "the run was interrupted")
    shut += [
        f"{result.id} was skipped: {result.message}"
        for result in own
        if result.status == "skipped" and result not in skips
    ]
    passed = sum(result.status == "passed" for result in own)
    return Question(
        name="checks",
        asks=ASKS,
        answer="no" if shut or not own else "yes",
        said=f"{passed} of {len(own) - len(skips)} passed, seed {results.seed}",
        why_not=tuple(shut),
        notes=tuple(f"{result.id} does not apply: {result.message}" for result in skips),
        seconds=round(sum(result.seconds for result in results.results), 1),
    )


def declared(registry: Registry, suite: Suite, results: Results) -> Question:
    """The faults that the cases declare: each must have been rejected."""
    own = [result for result in results.results if _is_of(result, suite) and _is_fault(result)]
    shut = [*_failing(own), *_missing(registry, suite, own, faults=True)]
    shut += [f"{result.id} was skipped: {result.message}" for result in own if result.status == "skipped"]
    rejected = sum(result.status == "passed" for result in own)
    return Question(
        name="declared faults",
        asks=DECLARED_ASKS,
        answer="no" if shut or not own else "yes",
        said=f"{rejected} of {len(own)} rejected",
        why_not=tuple(shut) if own else ("no case of the port declares a fault",),
    )


def _skips(registry: Registry, result: Result) -> Collection[str]:
    return registry.cases[result.case].skips if result.case in registry.cases else ()


def _is_of(result: Result, suite: Suite) -> bool:
    if result.check == CHECK:
        return False
    return result.case.partition("/")[0] == suite.name or result.case.startswith(f"cases/{suite.name}/")


def _is_fault(result: Result) -> bool:
    return result.check.startswith("rejects:")


def _failing(results: list[Result]) -> Iterator[str]:
    """Failures first, each with the command that replays it; then what is blocked, a line a culprit."""
    for result in results:
        if result.status in ("failed", "error"):
            said = " ".join((result.message or _beyond(result)).split())[:300]
            yield f"{result.id} {result.status}: {said}" + (f"\n  replay: {result.replay}" if result.replay else "")
    blocked = [result for result in results if result.status == "blocked"]
    for cause in dict.fromkeys(result.blocked_by for result in blocked):
        yield f"{sum(result.blocked_by == cause for result in blocked)} checks are blocked by {cause}"


def _beyond(result: Result) -> str:
    if (limit := result.limit) is None:
        return "no reason was given"
    return f"{limit.name} {result.measured.get(limit.name, 0.0):.3g}, limit {limit.value:g} ({limit.where})"


def _missing(registry: Registry, suite: Suite, results: list[Result], *, faults: bool = False) -> Iterator[str]:
    """Checks that a case has and the run has not, a line a case."""
    there = {(result.case, result.check) for result in results}
    for case in registry.bottom_up():
        if case.port_name != suite.name:
            continue
        wanted = [check for check in check_ids(case, deep=False) if check.startswith("rejects:") is faults]
        missing = [check for check in wanted if (case.name, check) not in there]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            yield f"{case.name}[{', '.join(missing[:5])}{more}] was not run: parity check {suite.name}"


def _canary(results: Results) -> Iterator[str]:
    yield from (f"{r.id}: {r.message}" for r in results.results if r.check == CHECK and r.status != "passed")
    if results.canary is None:
        yield "the run injected no canary fault: nothing shows that it can fail"


def _other_code(registry: Registry, suite: Suite, results: Results) -> Iterator[str]:
    """Cases that the run saw otherwise than they stand now: its results say nothing of these."""
    seen = {one.case: one for one in results.components}
    for now in session.components(registry):
        if now.case.partition("/")[0] == suite.name and now.case in seen and seen[now.case] != now:
            yield f"{now.case} is another case than the one that the results are of: run them again"
