"""What a check says of one example, and what every check is."""

import dataclasses
from collections.abc import Callable

from parity.case import Case, Example
from parity.checks.subject import Subject
from parity.error import Error
from parity.results import Limit
from parity.tolerance import Tolerances


@dataclasses.dataclass(frozen=True)
class Finding:
    """One example judged. `message` says what is wrong where something is; `used` is None for an equality.

    `kind` is 'verdict', or why there is none: 'map' (the weight map was refused) or 'crash'.
    """

    passed: bool
    kind: str = "verdict"
    used: float | None = None
    error: Error | None = None
    limit: Limit | None = None
    message: str | None = None


@dataclasses.dataclass(frozen=True)
class Run:
    """A check under way: `judge` judges an example, `finish` what only the whole run can show.

    `explain` says in full what is wrong with an example that failed, where numbers alone don't tell; it may be slow.
    """

    judge: Callable[[Example], Finding]
    finish: Callable[[], Finding | None] = lambda: None
    explain: Callable[[Example, Finding], str | None] = lambda example, finding: finding.message


@dataclasses.dataclass(frozen=True)
class Check:
    """A question asked of a case.

    Attributes:
        name: its id, as in `--check` and in brackets behind a case's name.
        question: what it asks, in a few words.
        start: makes a run of it for one subject.
        compiles: whether it compiles for the real backend: its examples come from few configurations then.
        configurations: from how many, where that is fewer than for other checks that compile.
        deep: whether it runs only where it is asked for by name.
        variants: whether an equivalent must pass it too; not what only asks how good the backend is, and compiles.
        traces: whether it traces programs that no other check shares: a variant's examples come from few then.
        of: whether a case has this check at all.
        most: how many examples it is asked, where each is so dear that a few must do.
        turn: 0 or 1: a short run asks only every second configuration of its pool, from this one on.
    """

    name: str
    question: str
    start: Callable[[Subject, Tolerances], Run]
    compiles: bool = False
    configurations: int | None = None
    deep: bool = False
    variants: bool = True
    traces: bool = False
    of: Callable[[Case], bool] = lambda case: True
    most: int | None = None
    turn: int | None = None

    def among(self, examples: int) -> int:
        """How many of so many examples this check is asked."""
        return examples if self.most is None else min(self.most, examples)

    @property
    def kind(self) -> str:
        """The name without the dtype behind it."""
        return self.name.partition(":")[0]


def judged(subject: Subject, check: str, error: Error, tolerances: Tolerances) -> Finding:
    """Hold an error against the bounds of a case's check."""
    verdict = tolerances.judge(subject.case.name, check, error)
    return Finding(passed=verdict.passed, used=verdict.used, error=error, limit=verdict.limit)


def larger(first: Finding, second: Finding) -> Finding:
    """The one that used more of its bound, with what both measured."""
    most = second if (second.used or 0.0) > (first.used or 0.0) else first
    assert first.error is not None
    assert second.error is not None
    assert most.error is not None
    error = dataclasses.replace(first.error.merge(second.error), worst=most.error.worst)
    return dataclasses.replace(most, error=error)
