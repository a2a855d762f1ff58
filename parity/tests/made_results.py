"""Results made by hand, for tests of what is shown of them: every status, hostile texts, a place where models part."""

import dataclasses
from types import SimpleNamespace
from typing import Any

from parity.results import Component, Limit, Result, Results, Worst, spread

HOSTILE = "<img src=x onerror=alert(1)> </script><script>alert(2)</script> | `a` [b](http://c) **d** @team #1"
LIMIT = Limit(name="ratio", value=4, where="tolerances.yaml:3 (defaults)")
FAILED = Result(
    case="toy/scale",
    check="float32",
    status="failed",
    examples=3,
    used=250000.0,
    seconds=1.5,
    worst=Worst(output="output", index=(0, 1), exact=0.1922363, reference=0.19223632, port=1.5409960, ulp=25191875),
    limit=LIMIT,
    measured={"ratio": 1e6, "rtol": 0.2},
    spread=spread([0.1, 3.0, 250000.0]),
    example={
        "config": {"size": 2, "eps": 1e-6},
        "form": {},
        "inputs": {"x": {"kind": "floats", "shape": [1, 1, 2], "seed": 3, "scale": 1e-3}},
        "weights": {"seed": 0, "regime": "scaled"},
    },
    replay=f"parity replay toy/scale --check float32 --example {'A' * 300}",
)
PASSED = Result(
    case="toy/scale",
    check="exact",
    status="passed",
    examples=50,
    used=3e-5,
    limit=Limit(name="rtol", value=1e-10, where="tolerances.yaml:2 (defaults)"),
    measured={"rtol": 3e-15},
    spread=spread([0.0, 1e-6, 3e-5]),
    seconds=0.5,
)
OTHERS = (
    Result(case="toy/scale", check="rejects:adds", status="passed", examples=1, message="rejected by exact"),
    Result(case="toy/pair", check="float32", status="failed"),
    Result(case="toy/pair", check="exact", status="passed", used=0.5, limit=PASSED.limit, measured={"rtol": 5e-11}),
    Result(case="toy/last", check="exact", status="skipped", message="it does not apply"),
)
CRASHED = Result(
    case="toy/last", check="float32", status="error", message=f"ValueError: {HOSTILE}\n  {'long/' * 20}word.py:1"
)


def results(*found: Result, seed: int = 0, **environment: object) -> Results:
    """A run of these results, or of one of every status, with a map of the port."""
    made = Results.of(
        found or (PASSED, FAILED, *OTHERS, CRASHED),
        parts={"toy/pair": ["toy/scale"]},
        seed=seed,
        environment={"torch": "2.13.0", "jax": "0.10.2", "cpus": 2, "threads": {"torch": 1}, **environment},
        not_checked=["toy/odd: not selected", HOSTILE],
    )
    components = (
        Component(case="toy/scale", file="cases/toy/case_scale.py", covers=("torch.nn.Scale",), faults=1),
        Component(case="toy/pair", file="cases/toy/case_pair.py", parts={"a": "toy/scale"}),
    )
    return made.model_copy(update={"components": components, "canary": "toy/scale, mul -> div: rejected"})


@dataclasses.dataclass(frozen=True)
class Place:
    """One call of one part."""

    path: str
    case: str | None
    layer: int | None
    own_error: float | None
    inherited: float | None
    status: str = "passed"
    own: float | None = None
    call: int = 0


def located() -> Any:
    """Three layers, of which the second is wrong: its own error is large, and the third inherits it."""
    places = [
        Place("layers.0", "toy/scale", 0, 1e-16, 1e-16),
        Place("layers.1", "toy/scale", 1, 1e-3, 1e-3, "failed", 1e7),
        Place("layers.2", "toy/scale", 2, 0.0, 2e-3),
        Place("head", None, None, None, None, "bridged"),
    ]
    operation = SimpleNamespace(
        primitive="mul",
        port_file="cases/toy/port.py",
        port_line=10,
        port_source="x * self.scale * 1.001",
        reference_file="reference.py",
        reference_line=7,
        reference_source="x * self.weight",
    )
    culprit = SimpleNamespace(
        path="layers.1",
        case="toy/scale",
        call=0,
        reason="it fails on the reference's inputs",
        operation=operation,
        cause=("consistent with a factor of 1.001",),
    )
    return SimpleNamespace(port="toy", dtype="float64", places=places, culprits=[culprit])
