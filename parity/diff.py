"""What moved between two runs, and whether the environment moved with it: 'a dependency moved' or 'the port broke'."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from pydantic import ConfigDict, Field

from parity.results import Model, Result, Results, Status

SCHEMA = 1
NOISE = 4.0  # times the worst of before: two seeds of one port, 50 examples a check, were up to 3.2 times apart
SMALL = 0.01  # of its limit: an error below is not told, however it has grown
BAD: tuple[Status, ...] = ("failed", "error", "blocked")
IDEAL = ("transfer", "structure", "exact", "rounded")  # kinds of check that no machine or backend has a part in
MACHINE = ("platform", "cpus", "threads", "jax_backend", "python")  # what surrounds a run and is no package


class Turned(Model):
    """A check whose verdict is another one. `before` is None where the old run did not have it."""

    case: str
    check: str
    before: Status | None
    after: Status
    blocked_by: str | None = None
    message: str | None = None


class Bound(Model):
    """A bound that moved."""

    case: str
    check: str
    measure: str
    before: float
    after: float
    where: str


class Grown(Model):
    """A worst error that is more than `NOISE` times what it was, and more than `SMALL` of its limit."""

    case: str
    check: str
    measure: str
    before: float
    after: float
    used: float


class Moved(Model):
    """A part of the environment that is another one; None where one of the two runs does not name it."""

    name: str
    before: str | None
    after: str | None

    @property
    def is_dependency(self) -> bool:
        """Whether it is a package, and not the machine."""
        return self.name.partition(".")[0] not in MACHINE


class Diff(Model):
    """Two runs side by side.

    Attributes:
        failing: newly failing, or failing and not there before.
        passing: newly passing.
        gone: checks of the old run that the new one does not have.
        new: checks that only the new one has, and that do not fail.
        bounds: those that moved.
        grown: errors that grew by more than noise.
        environment: what differs in it.
        seeds: of both, where they differ: other examples have other worst errors.
        verdict: what it comes to, in a sentence.
    """

    schema_: Literal[1] = SCHEMA
    failing: tuple[Turned, ...] = ()
    passing: tuple[Turned, ...] = ()
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    grown: tuple[Grown, ...] = ()
    environment: tuple[Moved, ...] = Field(default_factory=tuple[Moved, ...])
    seeds: tuple[int, int] | None = None
    verdict: str = ""

    model_config = ConfigDict(
        frozen=True, ser_json_inf_nan="strings", alias_generator=lambda name: name.rstrip("_"), populate_by_name=True
    )

    @property
    def exit_status(self) -> int:
        """1 where something newly fails."""
        return 1 if self.failing else 0


def diff(old: Results, new: Results) -> Diff:
    """Compare two runs check by check."""
    before, after = ({result.id: result for result in run.results} for run in (old, new))
    pairs = [(before[name], result) for name, result in after.items() if name in before]
    failing = tuple(
        _turned(before.get(name), result)
        for name, result in after.items()
        if result.status in BAD and (name not in before or before[name].status not in BAD)
    )
    environment = tuple(_moved(old.environment, new.environment))
    return Diff(
        failing=failing,
        passing=tuple(_turned(a, b) for a, b in pairs if a.status in BAD and b.status == "passed"),
        gone=tuple(name for name in before if name not in after),
        new=tuple(name for name, result in after.items() if name not in before and result.status not in BAD),
        bounds=tuple(bound for a, b in pairs for bound in _bounds(a, b)),
        grown=tuple(grown for a, b in pairs for grown in _grown(a, b)),
        environment=environment,
        seeds=(old.seed, new.seed) if old.seed != new.seed else None,
        verdict=_verdict(failing, environment, old.seed != new.seed),
    )


def _turned(before: Result | None, after: Result) -> Turned:
    return Turned(
        case=after.case,
        check=after.check,
        before=before.status if before else None,
        after=after.status,
        blocked_by=after.blocked_by,
        message=after.message,
    )


def _bounds(before: Result, after: Result) -> Iterator[Bound]:
    old, new = before.limit, after.limit
    if old and new and old.name == new.name and old.value != new.value:
        yield Bound(case=after.case, check=after.check, measure=new.name, before=old.value, after=new.value,
                    where=new.where)  # fmt: skip


def _grown(before: Result, after: Result) -> Iterator[Grown]:
    """The measure that was nearest its bound, where it was held against one both times."""
    limit = after.limit
    if limit is None or after.check.startswith(("rejects:", "accepts:")) or limit.name not in before.measured:
        return
    old, new = before.measured[limit.name], after.measured.get(limit.name, 0.0)
    used = math.inf if math.isnan(new) else new / limit.value
    if used > SMALL and not new <= NOISE * old:  # NaN has grown
        yield Grown(case=after.case, check=after.check, measure=limit.name, before=old, after=new, used=used)


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Moved]:
    before, after = dict(_flat(old)), dict(_flat(new))
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield Moved(name=name, before=before.get(name), after=after.get(name))


def _flat(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(cast(Mapping[str, Any], value), f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value)


def _verdict(failing: tuple[Turned, ...], environment: tuple[Moved, ...], reseeded: bool) -> str:
    """What it comes to. A check that no backend has a part in can't be moved by one: then the port broke."""
    packages = [f"{moved.name} {moved.before} -> {moved.after}" for moved in environment if moved.is_dependency]
    machine = [moved.name for moved in environment if not moved.is_dependency]
    around = ", ".join([*packages, *machine]) or "nothing"
    if not failing:
        return f"nothing newly fails; {around} moved" if environment else "nothing newly fails"
    own = sum(turned.after != "blocked" for turned in failing) or len(failing)
    count = f"{own} check{'s' if own > 1 else ''} newly fail{'' if own > 1 else 's'}"
    count += f" and {len(failing) - own} rest on that" if own < len(failing) else ""
    if reseeded:
        return f"{count}, but the seed is another one and so are the examples: run one seed on both to tell why"
    if not environment:
        return f"{count}, and nothing in the environment moved: the port broke, or its cases did"
    ideal = [turned for turned in failing if turned.check.partition(":")[0] in IDEAL]
    if not ideal:
        return f"{count}, all on the real backend or in a search, and {around} moved: consistent with that"
    reference = [moved for moved in environment if moved.name in ("transformers", "torch")]
    if reference:
        return (
            f"{count}, {len(ideal)} of them in ideal arithmetic, and {around} moved: the reference may be another one"
        )
    return f"{count}, {len(ideal)} of them in ideal arithmetic, which {around} has no part in: the port broke"
