"""Injects every fault of a case's traced port into drawn examples, and tells which of them the exact check catches."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from parity import draw
from parity.case import Example, Json
from parity.checks import exact
from parity.checks.finding import Finding, Run
from parity.checks.subject import Subject
from parity.faults import BODIES, PICKS, Injected, every, perturbed
from parity.port import Followed
from parity.run import Runner
from parity.search import judged, search

FORMS = 6  # other forms that a configuration with survivors is called in
MORE = 6  # examples of each of these
OTHERS = 2  # further pools, as other seeds would draw them
TRIES = 60  # more examples that change something and show nothing, before a fault counts as surviving
SIGHTS = 160  # more examples altogether, where it changes little
PARAMETER = "largest"  # which element of a parameter is perturbed
Key = tuple[str, str, int, str, str]
Setup = tuple[Json, Json]
Progress = Callable[[int, int], None]


@dataclasses.dataclass
class Standing:
    """One fault of the port, in whatever configurations it can stand.

    Attributes:
        injected: where it was first met.
        tried: examples in which it changed what its operation computes.
        late_tries, late_sights: examples beyond the exact check's in which it changed something, and all of them.
        late: whether only examples beyond those of the exact check caught it.
        crash: the exception that it once ran into, which is no verdict.
        seen: examples, each with the fault as it stands in that trace, none of which caught it.
    """

    injected: Injected
    tried: int = 0
    late_tries: int = 0
    late_sights: int = 0
    caught: bool = False
    late: bool = False
    crash: str = ""
    seen: list[tuple[Example, Injected]] = dataclasses.field(default_factory=list[tuple[Example, Injected]])

    @property
    def tired(self) -> bool:
        """Whether it was tried often enough to count as surviving."""
        return self.late_tries >= TRIES or self.late_sights >= SIGHTS


@dataclasses.dataclass
class Survey:
    """What became of every fault of one case, and of every parameter perturbed on the port's side alone.

    `closed` counts the loops and branches of a trace, whose bodies are not entered.
    """

    subject: Subject
    runner: Runner
    faults: dict[Key, Standing] = dataclasses.field(default_factory=dict[Key, Standing])
    parameters: dict[str, bool] = dataclasses.field(default_factory=dict[str, bool])
    closed: int = 0
    examples: int = 0
    runs: int = 0
    _traces: dict[str, tuple[Injected, ...]] = dataclasses.field(default_factory=dict[str, tuple[Injected, ...]])

    @property
    def survivors(self) -> dict[Key, Standing]:
        return {key: standing for key, standing in self.faults.items() if not standing.caught}

    def take(self, example: Example, *, late: bool) -> None:
        """Run every fault that is not caught yet in one example; raises Unsound where the clean port fails it."""
        followed = self.subject.follow(example)
        reference = self.subject.reference_outputs(example, "float64")

        def judge(outputs: Callable[[], Mapping[str, Any]]) -> Finding:
            return judged(lambda _: exact.verdict(self.subject, reference, outputs(), self.runner.tolerances), example)

        clean = judge(followed.outputs)
        if not clean.passed:
            raise Unsound(clean.message or "the port fails its exact check: faults in it would say nothing")
        self.examples += 1
        for injected in self._faults(example, followed):
            self._try(example, injected, followed, judge, late=late)
        for path, slot in followed.parameters.items():
            if not self.parameters.setdefault(path, False):
                changes = {slot: perturbed(followed.evaluation.values[slot], PICKS[PARAMETER])}
                self.parameters[path] = not judge(lambda changes=changes: followed.outputs(changes)).passed

    def concerns(self, example: Example) -> bool:
        """Whether a survivor stands in an example's trace, as far as is known without tracing."""
        faults = self._traces.get(example.shape_key)
        alive = {key for key, standing in self.survivors.items() if not standing.tired}
        return bool(alive) and (faults is None or any(injected.key in alive for injected in faults))

    def _try(
        self,
        example: Example,
        injected: Injected,
        followed: Followed,
        judge: Callable[[Callable[[], Mapping[str, Any]]], Finding],
        *,
        late: bool,
    ) -> None:
        standing = self.faults.setdefault(injected.key, Standing(injected))
        if standing.caught:
            return
        if late and standing.tired:
            return
        standing.late_sights += late
        standing.seen.append((example, injected))
        changes = injected.changes(followed.evaluation)
        if changes is None:
            return
        self.runs += 1
        standing.tried += 1
        standing.late_tries += late
        finding = judge(lambda: followed.outputs(changes, after=injected.index))
        if finding.kind == "crash":
            standing.crash = finding.message or ""
        elif not finding.passed:
            standing.caught, standing.late = True, late
            standing.seen.clear()

    def _faults(self, example: Example, followed: Followed) -> tuple[Injected, ...]:
        key = example.shape_key
        if key not in self._traces:
            program = followed.evaluation.program
            self._traces[key] = tuple(every(program))
            self.closed = max(self.closed, sum(line.name in BODIES for line in program.lines))
        return self._traces[key]


class Unsound(Exception):
    """The clean port fails, so that a fault's rejection means nothing."""


def survey(runner: Runner, subject: Subject, *, progress: Progress = lambda done, asked: None) -> Survey:
    """Inject into the examples that the exact check would judge; then, what survives, into more and harder ones.

    Args:
        runner: its settings give the seed and the number of examples.
        subject: the clean case.
        progress: called with the number of examples done, and how many there will be, as far as that is known.

    Raises:
        Unsound: the clean port does not pass.
    """
    found = Survey(subject, runner)
    own = examples_of_check(runner, subject)
    for number, example in enumerate(own):
        found.take(example, late=False)
        progress(number + 1, len(own))
    more = spread(_drawn(found, [*_other_forms(found), *_other_pools(found)])) if found.survivors else []
    for number, example in enumerate(more):
        if found.concerns(example):
            found.take(example, late=True)
        progress(len(own) + number + 1, len(own) + len(more))
    return found


def examples_of_check(runner: Runner, subject: Subject) -> list[Example]:
    """The examples that `parity check` with these settings judges, one of each configuration before a second one."""
    taken: list[Example] = []

    def take(example: Example) -> Finding:
        taken.append(example)
        return Finding(passed=True)

    pool, asked = runner.pool(exact.check), runner.settings.examples
    search(subject, Run(take), pool, runner.settings, asked=asked, progress=lambda done, asked: None)
    return spread(taken)


def spread(examples: Sequence[Example]) -> list[Example]:
    """Examples in turns, one of each configuration and form, the last that was drawn before the first, simplest one."""
    by_setup: dict[str, list[Example]] = {}
    for example in examples:
        by_setup.setdefault(example.shape_key, []).append(example)
    longest = max(map(len, by_setup.values()), default=0)
    return [own[-turn] for turn in range(1, longest + 1) for own in by_setup.values() if turn <= len(own)]


def _other_forms(found: Survey) -> list[Setup]:
    """The configurations that survivors stand in, called in other ways."""
    case, seed = found.subject.case, found.runner.settings.seed
    configs = {
        str(example.config): example.config for standing in found.survivors.values() for example, _ in standing.seen
    }
    return [
        setup
        for config in configs.values()
        for setup in draw.pool(dataclasses.replace(case, configs=st.just(config), pool=FORMS), seed=seed)
    ]


def _other_pools(found: Survey) -> list[Setup]:
    """What other seeds would draw."""
    seed = found.runner.settings.seed
    return [setup for step in range(1, OTHERS + 1) for setup in draw.pool(found.subject.case, seed=seed + step)]


def _drawn(found: Survey, setups: Sequence[Setup]) -> list[Example]:
    case, seed = found.subject.case, found.runner.settings.seed
    drawn: list[Example] = []
    for number, setup in enumerate(setups):
        strategy = draw.examples(case, [setup])
        draw.run(strategy, drawn.append, examples=MORE, seed=draw.seed_of(seed, f"{case.name} more {number}"))
    return drawn
