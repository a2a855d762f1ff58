"""What a check says of one example, and what every check is."""

import dataclasses
from collections.abc import Callable

from parity.case import Example
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
    """A check under way: `judge` judges an example, `finish` what only the whole run can show."""

    judge: Callable[[Example], Finding]
    finish: Callable[[], Finding | None] = lambda: None


@dataclasses.dataclass(frozen=True)
class Check:
    """A question asked of a case.

    Attributes:
        name: its id, as in `--check` and in brackets behind a case's name.
        question: what it asks, in a few words.
        start: makes a run of it for one subject.
        compiles: whether it compiles for the real backend: its examples come from few configurations then.
        traces: whether it traces programs that no other check shares: a variant's examples come from few then.
    """

    name: str
    question: str
    start: Callable[[Subject, Tolerances], Run]
    compiles: bool = False
    traces: bool = False


def judged(subject: Subject, check: str, error: Error, tolerances: Tolerances) -> Finding:
    """Hold an error against the bounds of a case's check."""
    verdict = tolerances.judge(subject.case.name, check, error)
    return Finding(passed=verdict.passed, used=verdict.used, error=error, limit=verdict.limit)
