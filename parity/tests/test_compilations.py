"""What a run compiles: XLA is asked for few shapes, and each gets many values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from parity import session
from parity.run import Runner, check_ids

ROOT = Path(__file__).parents[2]
MOST = 12  # compilations of a layer in a run with all its checks, but those that are asked for by name
EVENT = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled() -> Iterator[list[float]]:
    """Seconds of every compilation while the test runs."""
    seconds: list[float] = []

    def listen(name: str, duration: float, **_: object) -> None:
        if name == EVENT:
            seconds.append(duration)

    monitoring: Any = jax.monitoring
    monitoring.register_event_duration_secs_listener(listen)
    yield seconds
    monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("layer", ["norm_with_most_faults", "layer_with_most_equivalents"])
def test_a_layer_is_compiled_a_dozen_times_at_most(layer: str, compiled: list[float]) -> None:
    """Three shapes in float32, two in bfloat16, two gradients, one of each equivalent, and faults of the backend."""
    workspace = session.load(ROOT)
    name = {"norm_with_most_faults": "llama/rmsnorm", "layer_with_most_equivalents": "llama/attention"}[layer]
    runner = Runner(workspace.registry, workspace.tolerances, session.settings(examples=20))
    case = workspace.registry.cases[name]
    results = [runner.run(case, check) for check in check_ids(case, deep=False)]
    assert {result.status for result in results} == {"passed"}
    assert 7 <= len(compiled) <= MOST
