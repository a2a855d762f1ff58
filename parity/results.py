"""The one results model: what a run found, ready for JSON and for every renderer."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["passed", "failed", "blocked", "skipped", "error", "todo"]
STATUSES: tuple[Status, ...] = ("passed", "failed", "blocked", "skipped", "error", "todo")
SCHEMA = 1
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)  # of a result's `spread`


class Model(BaseModel):
    """Frozen; inf and NaN are written as the strings 'Infinity' and 'NaN', since JSON has no word for them."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings", extra="forbid")


class Worst(Model):
    """The worst element: where, and what each side made of it. `exact` is None where no arbiter was run."""

    output: str
    index: tuple[int, ...]
    exact: float | None
    reference: float
    port: float
    ulp: int | None = None


class Limit(Model):
    """The bound that was nearest: which measure, its value, and the file and line that set it."""

    name: str
    value: float
    where: str


class Result(Model):
    """One check of one case. `used` is the share of the limit that the worst example used; 1.0 is the limit.

    `measured` holds the worst value of each measure that the check took: the smallest bound that would pass.
    `spread` are the `QUANTILES` of `used` over the examples, nothing where the check is an equality.
    """

    case: str
    check: str
    status: Status
    blocked_by: str | None = None
    examples: int = 0
    used: float | None = None
    seconds: float = 0.0
    worst: Worst | None = None
    limit: Limit | None = None
    measured: dict[str, float] = {}
    spread: tuple[float, ...] = ()
    example: dict[str, Any] | None = None
    replay: str | None = None
    message: str | None = None

    @property
    def id(self) -> str:
        return f"{self.case}[{self.check}]"


class Component(Model):
    """A case in the map of a port: where it is written, what it is made of, which reference classes it answers for."""

    case: str
    file: str
    parts: dict[str, str] = {}
    covers: tuple[str, ...] = ()
    faults: int = 0
    equivalents: int = 0


class Results(Model):
    """A whole run: where it ran, what was found, what was not looked at, and what became of its canary fault.

    `seconds` is what it took from start to end; several checks may have run at once.
    """

    schema_: int = SCHEMA
    seed: int = 0
    seconds: float = 0.0
    environment: dict[str, Any] = {}
    results: tuple[Result, ...] = ()
    summary: dict[Status, int] = {}
    not_checked: tuple[str, ...] = ()
    interrupted: bool = False
    canary: str | None = None
    components: tuple[Component, ...] = ()

    model_config = ConfigDict(
        frozen=True, ser_json_inf_nan="strings", alias_generator=lambda name: name.rstrip("_"), populate_by_name=True
    )

    @staticmethod
    def of(
        results: Iterable[Result],
        *,
        parts: Mapping[str, Iterable[str]],
        seed: int,
        environment: Mapping[str, Any],
        not_checked: Iterable[str] = (),
    ) -> "Results":
        """Merge results, mark what is blocked (`parts`: case -> the cases it is made of), and count."""
        marked = block(results, parts)
        counts = Counter(result.status for result in marked)
        return Results(
            seed=seed,
            environment=dict(environment),
            results=marked,
            summary={status: counts[status] for status in STATUSES},
            not_checked=tuple(not_checked),
        )

    @property
    def exit_status(self) -> int:
        """0 all passed, 1 a finding, 2 something could not be judged or nothing was selected, 130 interrupted."""
        if self.interrupted:
            return 130
        found = {result.status for result in self.results}
        if "error" in found or not self.results:
            return 2
        return 1 if found & {"failed", "blocked"} else 0


def spread(used: Iterable[float]) -> tuple[float, ...]:
    """The `QUANTILES` of the shares that examples used: each is one of them, so that inf stays inf."""
    ordered = sorted(used)
    return tuple(ordered[round(quantile * (len(ordered) - 1))] for quantile in QUANTILES) if ordered else ()


def block(results: Iterable[Result], parts: Mapping[str, Iterable[str]]) -> tuple[Result, ...]:
    """Turn a failure above a failed part into 'blocked', with the deepest failing part as `blocked_by`.

    A case whose own layer fails blocks its own `rejects:` and `accepts:` checks too: they say nothing about a port
    that is already broken.
    """
    results = tuple(results)
    guilty = {r.case for r in results if r.status in ("failed", "error") and not _about_variants(r)}

    def culprit(case: str) -> str | None:
        for part in parts.get(case, ()):
            if found := culprit(part) or (part if part in guilty else None):
                return found
        return None

    def marked(result: Result) -> Result:
        if result.status not in ("failed", "error"):
            return result
        cause = culprit(result.case) or (result.case if _about_variants(result) and result.case in guilty else None)
        return result.model_copy(update={"status": "blocked", "blocked_by": cause}) if cause else result

    return tuple(marked(result) for result in results)


def _about_variants(result: Result) -> bool:
    return result.check.startswith(("rejects:", "accepts:", "canary"))
