"""What one check of one case found at all its places, on all inputs, as one result in the end."""

import dataclasses

from parity.error import Error
from parity.results import Limit, Result, Status, Worst
from parity.tolerance import Tolerances


@dataclasses.dataclass
class Tally:
    """The worst finding so far, and the first that failed: the deepest, since parts come before what they are part of.

    Attributes:
        case, check: what the result will be of; `kind` of check is the one whose bounds judge it.
    """

    case: str
    check: str
    kind: str
    places: int = 0
    failures: int = 0
    seconds: float = 0.0
    status: Status = "passed"
    used: float | None = None
    worst: Worst | None = None
    limit: Limit | None = None
    message: str | None = None
    measured: dict[str, float] = dataclasses.field(default_factory=dict[str, float])

    def add(self, error: Error, place: str, inputs: str, tolerances: Tolerances) -> None:
        """Judge what was measured at a place."""
        self.places += 1
        verdict = tolerances.judge(self.case, self.kind, error)
        self.measured = {name: max(self.measured.get(name, 0.0), value) for name, value in error.measures.items()}
        self.failures += not verdict.passed
        if self.status == "passed" and (not verdict.passed or self.used is None or verdict.used > self.used):
            self.used, self.limit = verdict.used, verdict.limit
            self.worst = error.worst and error.worst.model_copy(
                update={"output": f"{place} {error.worst.output}".strip()}
            )
        if self.status == "passed" and not verdict.passed:
            value = f"{verdict.limit.name} {verdict.used * verdict.limit.value:.2g}"
            self.fail(f"{value}, allowed {verdict.limit.value:g}", place, inputs)

    def trouble(self, status: Status, what: str, place: str, inputs: str) -> None:
        """A place where the two sides could not be compared."""
        self.places += 1
        self.failures += 1
        if self.status == "passed":
            self.used = self.worst = self.limit = None
            self.fail(what, place, inputs, status)

    def fail(self, what: str, place: str, inputs: str, status: Status = "failed") -> None:
        """Keep the first failure."""
        self.status = status
        self.message = f"at `{place}`, on {inputs}: {what}" if place else f"end to end, on {inputs}: {what}"

    def result(self) -> Result:
        """The whole of it; `examples` counts pairs of a place and an input."""
        more = f"; {self.failures} of {self.places} comparisons fail" if self.failures > 1 else ""
        return Result(
            case=self.case,
            check=self.check,
            status=self.status,
            examples=self.places,
            used=self.used,
            worst=self.worst,
            limit=self.limit,
            measured=self.measured,
            message=self.message and self.message + more,
            seconds=round(self.seconds, 3),
        )
