"""The harness against a plain loop, side by side: examples a second in the exact check, and where the time goes."""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from parity import draw, garbage, values
from parity.case import Case, Example, Json
from parity.checks.subject import Subject
from parity.environment import describe
from parity.error import exact_error, same_form
from parity.port.eager import run_eagerly
from parity.reference import build as build_reference
from parity.reference import one_thread
from parity.session import Workspace

SCHEMA = 1
LATER = 2  # examples of a configuration that the plain loop runs after its first
PARTS: tuple[str, ...] = ("draw", "build", "trace", "parameters", "reference", "evaluate", "judge")
Progress = Callable[[str], None]
Setup = tuple[Json, Json]


class Row(BaseModel):
    """One layer on one stream of examples; times in seconds for the whole stream.

    Attributes:
        stream: 'pool' (a run's dozen configurations, again and again) or 'fresh' (none repeats).
        examples: how many the harness judged.
        harness: from nothing built to all judged.
        parts: where the harness's time goes, timed one by one in a second pass.
        warm: the stream once more, with everything built and traced.
        bare: the reference's forward pass and the evaluation alone, warm.
        plain: what a plain loop takes for the same stream, with as many torch threads as there are by default;
            `plain_run` of the examples were run, the later examples of a configuration counting as the mean of those.
        plain_alarms: how many of those the plain loop would have called wrong, at rtol 1e-4 and atol 1e-5.
    """

    model_config = ConfigDict(frozen=True)
    case: str
    stream: str
    examples: int
    harness: float
    parts: dict[str, float]
    warm: float
    bare: float
    plain: float
    plain_run: int
    plain_alarms: int

    @property
    def factor(self) -> float:
        """How many times the plain loop's examples a second."""
        return self.plain / self.harness

    @property
    def over_bare(self) -> float:
        """Warm time over the bare arithmetic."""
        return self.warm / self.bare


class Bench(BaseModel):
    """A whole measurement."""

    model_config = ConfigDict(frozen=True)
    schema_version: int = SCHEMA
    environment: dict[str, Any]
    seed: int
    rows: tuple[Row, ...]

    def over_own(self, row: Row) -> float:
        """How many times the plain loop's examples a second, where that draws as it would: nothing repeats."""
        own = next(other for other in self.rows if (other.case, other.stream) == (row.case, "fresh"))
        return (row.examples / row.harness) / (own.examples / own.plain)


def bench(
    workspace: Workspace,
    cases: Sequence[Case],
    *,
    overrides: Mapping[str, Json],
    examples: int = 300,
    fresh: int = 30,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Bench:
    """Measure each case on both streams.

    Args:
        workspace: the root's cases and tolerances.
        cases: which.
        overrides: case name -> fields of the configuration that are set, such as a number of layers.
        examples: of the pool's stream.
        fresh: of the stream in which no configuration repeats; a third of them are run by the plain loop.
        seed: of the draws.
        progress: told what is measured next.
    """
    rows: list[Row] = []
    for case in cases:
        changed = _with(case, overrides.get(case.name, {}))
        setups = draw.pool(changed, seed=seed)
        progress(f"{case.name}, a pool of {len(setups)}")
        rows.append(_row(workspace, changed, "pool", _stream(changed, setups, examples, seed), LATER))
        many = draw.pool(dataclasses.replace(changed, pool=fresh), seed=seed + 1)
        progress(f"{case.name}, {len(many)} configurations")
        rows.append(_row(workspace, changed, "fresh", _stream(changed, many, len(many), seed), 0))
    return Bench(environment=describe(), seed=seed, rows=tuple(rows))


def _row(workspace: Workspace, case: Case, stream: str, groups: Callable[[], list[list[Example]]], later: int) -> Row:
    clock = _Clock()
    with one_thread(), garbage.seldom():  # as in a run
        start = time.perf_counter()
        drawn = groups()
        subject = Subject(workspace.registry, case)
        for example in itertools.chain(*drawn):
            _judge(subject, example)
        harness = time.perf_counter() - start

        timed = Subject(workspace.registry, case)
        with clock("draw"):
            drawn = groups()
        for example in itertools.chain(*drawn):
            _judge_timed(timed, example, clock)
        start = time.perf_counter()
        for example in itertools.chain(*groups()):
            subject.forget_outputs()
            _judge(subject, example)
        warm = time.perf_counter() - start
        bare = _bare(subject, list(itertools.chain(*drawn)))

    examples = sum(map(len, drawn))
    shown = drawn if later else drawn[: max(1, len(drawn) // 3)]
    plain, ran, alarms = _plain(timed, shown, later)
    return Row(
        case=case.name,
        stream=stream,
        examples=examples,
        harness=harness,
        parts={name: round(clock.spent[name], 4) for name in PARTS},
        warm=warm,
        bare=bare,
        plain=plain * examples / sum(map(len, shown)),
        plain_run=ran,
        plain_alarms=alarms,
    )


def _judge(subject: Subject, example: Example) -> None:
    """What the exact check does with an example."""
    reference, port = subject.reference_outputs(example, "float64"), subject.exact_outputs(example)
    same_form(reference, port)
    exact_error(reference, port)


def _judge_timed(subject: Subject, example: Example, clock: "_Clock") -> None:
    """The same, in parts."""
    with clock("build"):
        subject.plan(example.config, "float64")
    with clock("parameters"):
        parameters = subject.parameters(example, "float64")
        leaves = subject.leaves(example, parameters, "float64")
        inputs = subject.port_inputs(example, "float64")
        theirs = {name: values.arrays(tree, "float64") for name, tree in example.inputs.items()}
        filled = subject.filled(example, "float64", parameters)
    with clock("trace"):
        traced = subject.traced(example, inputs)
    with clock("reference"):
        reference = filled.run(theirs)
    with clock("evaluate"):
        port = traced.run(leaves, inputs)
    with clock("judge"):
        same_form(reference, port)
        exact_error(reference, port)


def _bare(subject: Subject, examples: Sequence[Example]) -> float:
    """The two forward passes alone, everything else made before."""
    total = 0.0
    for example in examples:
        parameters = subject.parameters(example, "float64")
        leaves, inputs = subject.leaves(example, parameters, "float64"), subject.port_inputs(example, "float64")
        theirs = {name: values.arrays(tree, "float64") for name, tree in example.inputs.items()}
        traced, filled = subject.traced(example, inputs), subject.filled(example, "float64", parameters)
        start = time.perf_counter()
        filled.run(theirs)
        traced.run(leaves, inputs)
        total += time.perf_counter() - start
    return total


def _plain(subject: Subject, groups: Sequence[Sequence[Example]], later: int) -> tuple[float, int, int]:
    """A loop as one would write it first, on each group's first example and some later ones.

    Returns:
        Seconds for all the groups' examples, how many were run, how many of these it would have called wrong.
    """
    total, ran, alarms = 0.0, 0, 0
    for group in groups:
        spent: list[float] = []
        for example in group[: later + 1]:
            parameters = subject.parameters(example)
            leaves = subject.leaves(example, parameters, "float32")
            ours = subject.port_inputs(example, "float32")
            start = time.perf_counter()
            reference = build_reference(subject.case, example.config)
            reference.fill(parameters)
            theirs = reference.run({name: values.arrays(tree, "float32") for name, tree in example.inputs.items()})
            port = run_eagerly(subject.case, example.config, leaves, ours)
            alarms += not _close(theirs, port)
            spent.append(time.perf_counter() - start)
        ran += len(spent)
        total += spent[0] + (len(group) - 1) * statistics.mean(spent[1:] or spent)
    return total, ran, alarms


def _close(reference: Mapping[str, Any], port: Mapping[str, Any]) -> bool:
    try:
        for name, y in reference.items():
            np.testing.assert_allclose(port[name], y, rtol=1e-4, atol=1e-5)
    except AssertionError:
        return False
    return True


def _stream(case: Case, setups: Sequence[Setup], examples: int, seed: int) -> Callable[[], list[list[Example]]]:
    """Draws the examples of each setup, as a run does."""

    def groups() -> list[list[Example]]:
        share = -(-examples // len(setups))
        return [draw.some(case, setup, number=share, seed=seed + n)[:share] for n, setup in enumerate(setups)]

    return groups


def _with(case: Case, fields: Json) -> Case:
    if not fields:
        return case
    return dataclasses.replace(case, configs=case.configs.map(lambda config: {**config, **fields}))


class _Clock:
    """Adds up seconds by name."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        self._name = ""
        self._start = 0.0

    def __call__(self, name: str) -> "_Clock":
        self._name = name
        return self

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.spent[self._name] += time.perf_counter() - self._start
