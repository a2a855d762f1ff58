"""Which examples an audit injects faults into: those that the exact check judges, then more and harder ones."""

import dataclasses
from collections.abc import Sequence

from hypothesis import strategies as st

from parity import draw
from parity.case import Example, Json
from parity.checks import exact
from parity.checks.finding import Finding, Run
from parity.checks.subject import Subject
from parity.faults import Place, places
from parity.run import Runner
from parity.search import search

FORMS = 12  # other forms that a configuration with survivors is called in
MORE = 6  # examples of each of these
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


def further_examples(runner: Runner, subject: Subject, configs: Sequence[Json]) -> list[Example]:
    """Some configurations, called in other ways; and what other seeds would draw.

    Args:
        runner: its settings give the seed.
        subject: the clean case.
        configs: those that survivors stand in.
    """
    case, seed = subject.case, runner.settings.seed
    setups = [
        setup
        for config in configs
        for setup in draw.pool(dataclasses.replace(case, configs=st.just(config), pool=FORMS), seed=seed)
    ]
    setups += [setup for step in range(1, OTHERS + 1) for setup in draw.pool(case, seed=seed + step)]
    drawn: list[Example] = []
    for number, setup in enumerate(setups):
        strategy = draw.examples(case, [setup])
        draw.run(strategy, drawn.append, examples=MORE, seed=draw.seed_of(seed, f"{case.name} more {number}"))
    return spread(drawn)
