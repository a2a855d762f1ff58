"""Asks every question of a port, coverage first and the expensive ones last, and puts the answers together."""

import dataclasses
import time
from collections.abc import Callable, Iterator

from parity import session
from parity.case import Suite
from parity.environment import describe
from parity.errors import BadInput
from parity.gate.bounds import ASKS as BOUNDS_ASKS
from parity.gate.bounds import bounds
from parity.gate.checks import ASKS as CHECKS_ASKS
from parity.gate.checks import DECLARED_ASKS, checks, declared
from parity.gate.coverage import ASKS as COVERAGE_ASKS
from parity.gate.coverage import coverage
from parity.gate.faults import CAUGHT_ASKS, LOCATED_ASKS, caught, located
from parity.gate.fields import ASKS as FIELDS_ASKS
from parity.gate.fields import fields
from parity.gated import Field, Gate, Question
from parity.measure import audit as audits
from parity.measure.audited import Audit
from parity.port import cache
from parity.registry import nearest
from parity.results import Results
from parity.run import crash
from parity.session import Hooks, Workspace

# In the order they are asked. Checks come before fields, since workers are forked before JAX starts its threads.
QUESTIONS = {
    "coverage": COVERAGE_ASKS,
    "tolerances": BOUNDS_ASKS,
    "checks": CHECKS_ASKS,
    "declared faults": DECLARED_ASKS,
    "fields": FIELDS_ASKS,
    "located": LOCATED_ASKS,
    "injected faults": CAUGHT_ASKS,
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """How a gate is asked.

    Attributes:
        results: of a run that was already made; None makes one.
        audit: fault injection that was already made; None injects.
        examples: a check, of a run that is made.
        seed: of the run, of what is injected, of the fields' examples.
        jobs: how many cases are checked at once.
        deep: every fault is located, instead of a sample.
        stop_first: ask no further question after one that was answered with no.
    """

    results: Results | None = None
    audit: Audit | None = None
    examples: int = 50
    seed: int = 0
    jobs: int = 1
    deep: bool = False
    stop_first: bool = False


def gate(
    workspace: Workspace,
    port: str,
    asked: Asked | None = None,
    *,
    hooks: Hooks | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Gate:
    """Ask every question of a port.

    Args:
        workspace: the root's cases and tolerances.
        port: its name.
        asked: how.
        hooks: told of the checks under way.
        progress: called with a line about what comes next.

    Returns:
        The answers, in the order they were asked.

    Raises:
        BadInput: no such port.
    """
    asked, started = asked or Asked(), time.monotonic()
    suites = workspace.registry.suites
    if port not in suites:
        raise BadInput(f"unknown port {port!r}{nearest(port, suites)}")
    asker = _Asker(workspace, suites[port], asked, hooks or Hooks(), progress)
    interrupted = False
    answers: dict[str, Question] = {}
    try:
        for question in asker.questions():
            answers[question.name] = question
            if asked.stop_first and question.answer == "no":
                break
    except KeyboardInterrupt:
        interrupted = True
    left = (Question(name=name, asks=asks, answer="not asked") for name, asks in QUESTIONS.items())
    return Gate(
        port=port,
        seed=asked.seed,
        examples=asked.examples,
        environment=describe(),
        questions=tuple(answers.get(question.name, question) for question in left),
        fields=asker.fields,
        interrupted=interrupted,
        seconds=round(time.monotonic() - started, 1),
    )


@dataclasses.dataclass
class _Asker:
    """The questions of one port, and what was found on the way."""

    workspace: Workspace
    suite: Suite
    asked: Asked
    hooks: Hooks
    progress: Callable[[str], None]
    fields: tuple[Field, ...] = ()

    def questions(self) -> Iterator[Question]:
        """Answers, one after the other."""
        registry, suite, asked = self.workspace.registry, self.suite, self.asked
        yield coverage(registry, suite)
        yield bounds(self.workspace, suite)
        results = asked.results or self._checked()
        yield checks(registry, suite, results)
        yield declared(registry, suite, results)
        with cache.persistent():
            yield self._safely("fields", self._fields)
            yield self._safely(
                "located",
                lambda: located(self.workspace, suite, seed=asked.seed, deep=asked.deep, progress=self.progress),
            )
            yield self._safely("injected faults", lambda: caught(registry, suite, asked.audit or self._audited()))

    def _checked(self) -> Results:
        selection = session.select(self.workspace.registry, [self.suite.name])
        settings = session.settings(examples=self.asked.examples, seed=self.asked.seed)
        results = session.run(self.workspace, selection, settings, hooks=self.hooks, jobs=self.asked.jobs)
        if results.interrupted:
            raise KeyboardInterrupt
        return results

    def _fields(self) -> Question:
        question, self.fields = fields(self.workspace, self.suite, seed=self.asked.seed, progress=self.progress)
        return question

    def _audited(self) -> Audit:
        self.progress("injecting faults")
        cases = audits.select(self.workspace, [self.suite.name])
        found = audits.run(self.workspace, cases, examples=self.asked.examples, seed=self.asked.seed)
        if found.interrupted:
            raise KeyboardInterrupt
        return found

    def _safely(self, name: str, ask: Callable[[], Question]) -> Question:
        """The answer; 'no' where a broken port keeps a question from being asked at all."""
        try:
            return ask()
        except Exception as error:
            said = str(error) if isinstance(error, BadInput) else crash(error)
            return Question(name=name, asks=QUESTIONS[name], answer="no", why_not=(f"it can't be asked: {said}",))
