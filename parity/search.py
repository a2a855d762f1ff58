"""Judges drawn examples until one fails or enough were judged, and shrinks what failed."""

import contextlib
import dataclasses
import itertools
import math
import os
import sysconfig
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from parity import draw
from parity.case import Example
from parity.checks.finding import Finding, Run
from parity.checks.subject import Subject
from parity.errors import BadInput, OutputMismatch, WeightMapError

FIRST = 4  # examples that Hypothesis draws the same way each time it starts, the simplest before all
BARREN = 8  # rounds of drawing without a new example, before there are taken to be no more
SHRINK_SECONDS = 20.0
Judge = Callable[[Example], Finding]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a run is made: examples a check, the seed, and when to stop (on `time.monotonic`'s clock)."""

    examples: int = 50
    seed: int = 0
    stop_at: float | None = None

    @property
    def late(self) -> bool:
        return self.stop_at is not None and time.monotonic() >= self.stop_at


@dataclasses.dataclass
class Seen:
    """The examples that were judged, the worst finding, and the example that failed, if one did."""

    tokens: set[str] = dataclasses.field(default_factory=set[str])
    finding: Finding | None = None
    worst: Example | None = None
    failing: tuple[Example, Finding] | None = None
    used: list[float] = dataclasses.field(default_factory=list[float])

    @property
    def examples(self) -> int:
        return len(self.tokens)

    def add(self, example: Example, finding: Finding) -> None:
        self.tokens.add(example.token)
        self.used += [] if finding.used is None else [finding.used]
        if self.finding is None:
            self.finding, self.worst = finding, example
            return
        before, error = self.finding, finding.error
        merged = before.error.merge(error) if before.error and error else before.error or error
        larger = finding if (finding.used or 0.0) > (before.used or 0.0) else before
        self.worst = example if larger is finding else self.worst
        worst = larger.error.worst if larger.error else None
        error = dataclasses.replace(merged, worst=worst) if merged else None
        self.finding = dataclasses.replace(larger, error=error)


def search(
    subject: Subject,
    run: Run,
    pool: Sequence[Any],
    settings: Settings,
    *,
    asked: int,
    progress: Callable[[int, int], None],
    unmapped: bool = False,
) -> Seen:
    """Judge the case's pins, then as many drawn examples of each setup of the pool.

    Args:
        subject: whose examples; its port is patched meanwhile.
        run: what judges them.
        pool: configurations and forms.
        settings: the seed, and when it is too late.
        asked: how many distinct examples.
        progress: called with the number judged, and asked.
        unmapped: an example whose weights can't be mapped counts for nothing, instead of as a failure.
    """
    case, seen = subject.case, Seen()

    def body(example: Example) -> None:
        if seen.failing:
            raise _Failing  # ends the drawing
        if settings.late or seen.examples >= asked or example.token in seen.tokens:
            return
        finding = judged(run.judge, example)
        if unmapped and finding.kind == "map":
            return
        seen.add(example, finding)
        progress(seen.examples, asked)
        if not finding.passed:
            seen.failing = (example, finding)
            raise _Failing

    with subject.patched(), contextlib.suppress(_Failing):
        for pin in case.pins:
            body(pin)
        barren = 0
        for turn in itertools.count():  # a strategy may draw one example twice: distinct ones are counted
            before = seen.examples
            for number, setup in enumerate(pool):
                share = math.ceil((asked - seen.examples) / (len(pool) - number))
                if share > 0 and not settings.late:
                    share += FIRST if turn else 0
                    seed = draw.seed_of(settings.seed, f"{case.name} examples {turn} {number}")
                    for example in subject.drawn(setup, examples=share, seed=seed):
                        body(example)
            barren = barren + 1 if seen.examples == before else 0
            if seen.examples >= asked or settings.late or barren == BARREN:
                break
    return seen


def shrink(
    subject: Subject, start: Callable[[], Run], settings: Settings, failing: tuple[Example, Finding]
) -> tuple[Example, Finding]:
    """The smallest failing example, over whole palettes instead of a run's pool; else the one given.

    Args:
        subject: whose example; its port is patched meanwhile.
        start: a fresh run of the check that failed.
        settings: the seed.
        failing: the example and what was found; a smaller one must fail in the same way.
    """
    verdicts: dict[str, Finding] = {}
    smallest: list[tuple[Example, Finding]] = []
    stop = time.monotonic() + SHRINK_SECONDS

    def body(drawn: Example) -> None:
        token = drawn.token
        if token not in verdicts:
            if time.monotonic() > stop:
                return  # out of time: nothing smaller is accepted any more
            verdicts[token] = judged(start().judge, drawn)
        if not verdicts[token].passed and verdicts[token].kind == failing[1].kind:
            smallest[:] = [(drawn, verdicts[token])]
            raise _Failing

    with subject.patched(), contextlib.suppress(_Failing):
        seed = draw.seed_of(settings.seed, f"{subject.case.name} shrink")
        draw.run(draw.examples(subject.case), body, examples=200, seed=seed, shrink=True)
    return smallest[0] if smallest else failing


def judged(judge: Judge, example: Example) -> Finding:
    """Judge an example; what can't be compared is a finding, and so is a crash, which is marked as one."""
    try:
        return judge(example)
    except OutputMismatch as error:
        return Finding(passed=False, message=str(error))
    except WeightMapError as error:
        return Finding(passed=False, kind="map", message=str(error))
    except BadInput:
        raise
    except Exception as error:
        return Finding(passed=False, kind="crash", message=crash(error))


def crash(error: BaseException) -> str:
    """An unexpected exception in a line: its type, its text, and the last line outside parity and the libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    others = (str(Path(__file__).parent) + os.sep, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
    own = [frame for frame in frames if not frame.filename.startswith(others)]
    place = own[-1] if own else frames[-1] if frames else None
    where = f" at {place.filename}:{place.lineno}" if place else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{where}"


class _Failing(Exception):
    """Tells Hypothesis that an example failed."""
