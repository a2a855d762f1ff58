"""Injects every fault of a case's traced port into drawn examples, and tells which of them the exact check catches."""

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from parity.case import Example
from parity.checks import exact
from parity.checks.finding import Finding
from parity.checks.subject import Subject
from parity.faults import BODIES, PICKS, Injected, Place, every, owner, perturbed, places
from parity.measure.examples import Open, examples_of_check, further_examples
from parity.measure.proof import explanation, prover
from parity.port import Followed
from parity.run import Runner
from parity.search import judged

TRIES = 240  # more examples that change something and show nothing, before a fault counts as surviving
SIGHTS = 480  # more examples altogether, where it changes little
KNOWN = 6  # more examples where it is known why nothing can show it
PARAMETER = "largest"  # which element of a parameter is perturbed
Key = tuple[str, str, int, str, str]
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
        reason: why nothing can show it, held against hostile inputs; empty where there is none, or it was not `sought`.
        explained: whether its case says why no example can show it.
        seen: examples, each with the fault as it stands in that trace, none of which caught it.
    """

    injected: Injected
    tried: int = 0
    late_tries: int = 0
    late_sights: int = 0
    caught: bool = False
    late: bool = False
    crash: str = ""
    reason: str = ""
    sought: bool = False
    explained: bool = False
    seen: list[tuple[Example, Injected]] = dataclasses.field(default_factory=list[tuple[Example, Injected]])

    @property
    def known(self) -> bool:
        """Whether it is known why nothing shows it."""
        return bool(self.reason) or self.explained

    @property
    def tired(self) -> bool:
        """Whether it was tried often enough to count as surviving."""
        return self.late_tries >= (KNOWN if self.known else TRIES) or self.late_sights >= SIGHTS


@dataclasses.dataclass
class Survey:
    """What became of every fault of one case, and of every parameter perturbed on the port's side alone.

    `parts` are the places of the operations that parts of the case have: what belongs to one gets its faults there,
    and is only counted here, in `elsewhere`. `places` are all that the exact check's own examples reach. `closed`
    counts the loops and branches of a trace, whose bodies are not entered.
    """

    subject: Subject
    runner: Runner
    parts: Mapping[str, Collection[Place]] = dataclasses.field(default_factory=dict[str, Collection[Place]])
    elsewhere: dict[Place, str | None] = dataclasses.field(default_factory=dict[Place, "str | None"])
    places: set[Place] = dataclasses.field(default_factory=set[Place])
    faults: dict[Key, Standing] = dataclasses.field(default_factory=dict[Key, Standing])
    parameters: dict[str, bool] = dataclasses.field(default_factory=dict[str, bool])
    closed: int = 0
    examples: int = 0
    runs: int = 0
    _traces: dict[str, tuple[Injected, ...]] = dataclasses.field(default_factory=dict[str, tuple[Injected, ...]])

    @property
    def survivors(self) -> dict[Key, Standing]:
        return {key: standing for key, standing in self.faults.items() if not standing.caught}

    @property
    def unproven(self) -> list[Standing]:
        return [standing for standing in self.survivors.values() if not standing.reason]

    @property
    def missed(self) -> list[str]:
        """Parameters of which a perturbed element went unseen so far."""
        return [path for path, caught in self.parameters.items() if not caught]

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
        if not late and example.shape_key not in self._traces:
            self.places.update(places(followed.evaluation.program))
        for injected in self._faults(example, followed):
            self._try(example, injected, followed, judge, late=late)
        for path, slot in followed.parameters.items():
            if not self.parameters.setdefault(path, False):
                changes = {slot: perturbed(followed.evaluation.values[slot], PICKS[PARAMETER])}
                self.parameters[path] = not judge(lambda changes=changes: followed.outputs(changes)).passed

    def sought(self, standing: Standing) -> Open:
        """Which configurations a survivor was met in, of those that were traced."""
        within = {example.shape_key: example.config for example, _ in standing.seen}
        without = [json.loads(key)[0] for key in self._traces if key not in within]
        return Open(list(within.values()), without)

    def concerns(self, example: Example) -> bool:
        """Whether a survivor stands in an example's trace, as far as is known without tracing."""
        faults = self._traces.get(example.shape_key)
        if self.missed:
            return True
        alive = {key for key, standing in self.survivors.items() if not (standing.tired or standing.known)}
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

    def _belongs_elsewhere(self, place: Place) -> bool:
        if place not in self.elsewhere:
            self.elsewhere[place] = owner(place, self.parts)
        return self.elsewhere[place] is not None

    def _faults(self, example: Example, followed: Followed) -> tuple[Injected, ...]:
        key = example.shape_key
        if key not in self._traces:
            program = followed.evaluation.program
            self._traces[key] = tuple(every(program, skipped=self._belongs_elsewhere))
            self.closed = max(self.closed, sum(line.name in BODIES for line in program.lines))
        return self._traces[key]


class Unsound(Exception):
    """The clean port fails, so that a fault's rejection means nothing."""


def survey(
    runner: Runner,
    subject: Subject,
    *,
    parts: Mapping[str, Collection[Place]],
    progress: Progress = lambda done, asked: None,
) -> Survey:
    """Inject into the examples that the exact check would judge; then, what survives, into more and harder ones.

    Args:
        runner: its settings give the seed and the number of examples.
        subject: the clean case.
        parts: name of a part -> the places of the operations that get their faults there.
        progress: called with the number of examples done, and how many there will be, as far as that is known.

    Raises:
        Unsound: the clean port does not pass.
    """
    found = Survey(subject, runner, parts)
    own = examples_of_check(runner, subject)
    for number, example in enumerate(own):
        found.take(example, late=False)
        progress(number + 1, len(own))
    _prove(found)
    open_ = [standing for standing in found.unproven if not standing.explained]
    left = [found.sought(standing) for standing in open_]
    more = further_examples(runner, subject, left) if open_ or found.missed else []
    for number, example in enumerate(more):
        if found.concerns(example):
            found.take(example, late=True)
        progress(len(own) + number + 1, len(own) + len(more))
    _prove(found)  # what stands in no trace of the exact check's own
    return found


def _prove(found: Survey) -> None:
    """Look for a reason for every survivor that has none; one that failed before fails again."""
    reason = prover(found.subject, seed=found.runner.settings.seed)
    for standing in found.unproven:
        if not standing.crash and not standing.sought:
            standing.reason, standing.sought = reason(standing.seen) or "", True
            standing.explained = explanation(found.subject.case, standing.injected) is not None
