"""Which examples an audit injects faults into: those that the exact check judges, then more and harder ones."""

import dataclasses
from collections.abc import Sequence

from hypothesis import strategies as st

from parity import draw
from parity.case import Case, Example, Json
from parity.checks import exact
from parity.checks.finding import Finding, Run
from parity.checks.subject import Subject
from parity.faults import Place, places
from parity.run import Runner
from parity.search import search

FORMS = 12  # other forms that a configuration with survivors is called in
MORE = 6  # examples of each of these
CALLS = 4  # ways in which a configuration like it is called
ALIKE = 6  # such configurations, of so many
CANDIDATES = 200
OTHERS = 3  # further pools, as other seeds would draw them


def places_of(runner: Runner, subject: Subject) -> set[Place]:
    """Where the operations of a case stand, in the configurations that its exact check draws: none is injected into."""
    traces = {example.shape_key: example for example in examples_of_check(runner, subject)}
    return {place for example in traces.values() for place in places(subject.follow(example).evaluation.program)}


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


@dataclasses.dataclass(frozen=True)
class Open:
    """What is looked for: the configurations that a survivor was met in, and those that it was not."""

    within: Sequence[Json]
    without: Sequence[Json]


def further_examples(runner: Runner, subject: Subject, left: Sequence[Open]) -> list[Example]:
    """The configurations that survivors stand in, called in other ways; others like them; and what other seeds draw.

    Args:
        runner: its settings give the seed.
        subject: the clean case.
        left: the survivors.
    """
    case, seed = subject.case, runner.settings.seed
    own = {str(config): config for survivor in left for config in survivor.within}
    setups = [setup for config in own.values() for setup in _calls(case, config, forms=FORMS, seed=seed)]
    for config in _alike(case, left, seed=seed):
        setups += _calls(case, config, forms=CALLS, seed=seed)
    setups += [setup for step in range(1, OTHERS + 1) for setup in draw.pool(case, seed=seed + step)]
    drawn: list[Example] = []
    for number, setup in enumerate(setups):
        strategy = draw.examples(case, [setup])
        draw.run(strategy, drawn.append, examples=MORE, seed=draw.seed_of(seed, f"{case.name} more {number}"))
    return spread(drawn)


def _calls(case: Case, config: Json, *, forms: int, seed: int) -> Sequence[tuple[Json, Json]]:
    return draw.pool(dataclasses.replace(case, configs=st.just(config), pool=forms), seed=seed)


def _alike(case: Case, left: Sequence[Open], *, seed: int) -> list[Json]:
    """Configurations that share the most of what sets those that a survivor stands in apart, such as an activation."""
    marks = {mark for survivor in left if (mark := _mark(survivor))}
    drawn: list[Json] = []
    if marks:
        draw.run(case.configs, drawn.append, examples=CANDIDATES, seed=draw.seed_of(seed, f"{case.name} alike"))
    chosen: dict[str, Json] = {}
    for mark in sorted(marks, key=sorted):
        best = sorted(drawn, key=lambda config: -len(mark.intersection(draw.values_of((config, {})))))
        chosen.update({str(config): config for config in best[:ALIKE]})
    return list(chosen.values())


def _mark(survivor: Open) -> frozenset[str]:
    """The values that all configurations of a survivor have, and no other one."""
    within = [frozenset(draw.values_of((config, {}))) for config in survivor.within]
    others = [value for config in survivor.without for value in draw.values_of((config, {}))]
    return frozenset.intersection(*within).difference(others) if within else frozenset()
