"""Configuration fields: does every one that moves the reference's output move the port's equally, or is it refused?"""

import time
from collections.abc import Callable

from parity.case import Suite
from parity.gate.moving import Bench
from parity.gated import BAD, Field, FieldVerdict, Question
from parity.reference import one_thread, quiet
from parity.session import Workspace

ASKS = "does every field that moves the reference's output move the port's equally, or is it refused?"
Progress = Callable[[str], None]


def fields(
    workspace: Workspace, suite: Suite, *, seed: int = 0, progress: Progress = lambda text: None
) -> tuple[Question, tuple[Field, ...]]:
    """Change every field of the whole model's configuration, one at a time, and run both sides in exact arithmetic."""
    started = time.monotonic()
    with one_thread(), quiet():
        bench = Bench(workspace, workspace.registry[suite.whole], seed)
        found: list[Field] = []
        for option in bench.options:
            progress(option.name)
            found.append(bench.ask(option))
    bad = [field for field in found if field.is_bad]
    shut = [
        f"`{field.field}`{field.change and f' ({field.change})'}: {field.said}"
        for field in sorted(bad, key=lambda field: BAD.index(field.verdict))
    ]
    if not found:
        shut = [f"{suite.whole}: its configurations have no fields"]
    counts: dict[FieldVerdict, list[str]] = {
        verdict: [f.field for f in found if f.verdict == verdict] for verdict in _SAID
    }
    return Question(
        name="fields",
        asks=ASKS,
        answer="no" if shut else "yes",
        said=", ".join(f"{len(names)} {_SAID[verdict]}" for verdict, names in counts.items() if names),
        why_not=tuple(shut),
        notes=tuple(f"{_SAID[v]}: {', '.join(names)}" for v, names in counts.items() if names and v != "equal"),
        seconds=round(time.monotonic() - started, 1),
    ), tuple(found)


_SAID: dict[FieldVerdict, str] = {
    "equal": "followed equally",
    "refused": "refused by name",
    "no effect": "without effect on the reference",
    "not applicable": "that the reference can't be run with otherwise",
    "no value": "with no other value known",
    "ignored": "ignored",
    "differs": "followed otherwise",
    "fails": "failing",
    "not handed over": "not handed over",
}
