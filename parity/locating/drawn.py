"""The model that is walked: a drawn example of the whole case, as deep as the case draws them."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from parity import draw, values
from parity.case import Case, Example, Json
from parity.checks.subject import Subject
from parity.locating.parts import Parts
from parity.locating.walk import Setting
from parity.reference.capture import abstract
from parity.registry import Registry
from parity.tolerance import Tolerances

MOST = 6  # times that as many configurations are drawn as are asked for
SPARE = 3  # configurations drawn for each that is asked for: a case draws shallow ones too
Array = npt.NDArray[Any]


def examples(case: Case, *, seed: int, count: int) -> Iterator[Example]:
    """Examples of the deepest configurations among the many that a case draws, as diverse as a run's pool is."""
    pool = draw.pool(dataclasses.replace(case, pool=SPARE * count), seed=seed)
    depths = [depth(case, config) for config, _ in pool]
    deepest = [pair for pair, found in zip(pool, depths, strict=True) if found == max(depths)]
    for number, pair in enumerate(deepest[:count]):
        drawn: list[Example] = []
        # Three, since the first is the simplest.
        draw.run(draw.examples(case, [pair]), drawn.append, examples=3, seed=draw.seed_of(seed, f"locate {number}"))
        yield drawn[-1]


def random_examples(case: Case, *, seed: int, count: int) -> list[Example]:
    """As many examples of the deepest configurations, as they are drawn: not made diverse, and so of every kind."""
    pairs: list[tuple[Json, Json]] = []
    deepest: list[tuple[Json, Json]] = []
    drawn: list[Example] = []
    for attempt in range(MOST):
        setups = case.configs.flatmap(lambda config: st.tuples(st.just(config), case.forms(config)))
        draw.run(setups, pairs.append, examples=count, seed=draw.seed_of(seed, f"{case.name} setups {attempt}"))
        depths = [depth(case, config) for config, _ in pairs]
        deepest = [pair for pair, found in zip(pairs, depths, strict=True) if found == max(depths)]
        if len(deepest) >= count:
            break
    for number, pair in enumerate(deepest[:count]):
        found: list[Example] = []
        draw.run(draw.examples(case, [pair]), found.append, examples=3, seed=draw.seed_of(seed, f"random {number}"))
        drawn.append(found[-1])
    return drawn


def depth(case: Case, config: Json) -> int:
    """How deep a stack is: the largest number in a module's path, and one."""
    steps = (step for path in abstract(case, config).types for step in path.split("."))
    return max((int(step) + 1 for step in steps if step.isdigit()), default=0)


def setting(
    registry: Registry, tolerances: Tolerances, case: Case, example: Example, *, dtype: str, parts: type[Parts] = Parts
) -> Setting:
    """Both sides of a drawn example, with its parameters."""
    subject = Subject(registry, case)
    parameters = subject.parameters(example, dtype)
    leaves = dict(subject.plan(example.config, dtype).forward(lambda name: parameters[name]))
    made = parts(registry, case, example.config, dtype=dtype, leaf=leaves.__getitem__)
    truth = None
    if made.is_real:
        held = {name: x.astype(dtype).astype(np.float64) for name, x in parameters.items()}
        truth = subject.filled(example, "float64", held)
    return Setting(subject.filled(example, dtype, parameters), made, tolerances, truth, parameters.__getitem__)


def inputs(example: Example, dtype: str) -> Mapping[str, Any]:
    """An example's inputs as arrays, by the reference's names."""
    working = dtype.removeprefix("rounded:")
    return {name: values.arrays(tree, working) for name, tree in example.inputs.items()}
