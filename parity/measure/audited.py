"""What an audit found, ready for JSON and for the terminal."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from parity.results import Model

SCHEMA = 1
Verdict = Literal["unresolved", "explained", "equivalent"]
VERDICTS: tuple[Verdict, ...] = ("unresolved", "explained", "equivalent")


class Survivor(Model):
    """A fault that no example caught.

    Attributes:
        where: `file:line` of the port, relative to the root.
        occurrence: which of that line's operations of this primitive, counted as they are traced.
        tried: examples in which the fault changed what its operation computes, and nothing that anyone sees.
        verdict: 'equivalent' where a reason holds on hostile inputs too; else 'explained' where the case says why no
            example can show it; else 'unresolved'.
        reason: the algebra, or the case's explanation; or the exception that was no rejection, if there was one.
    """

    where: str
    primitive: str
    occurrence: int
    kind: str
    description: str
    tried: int
    verdict: Verdict
    reason: str | None = None


class Layer(Model):
    """One case under fault injection. `late`: caught, but only by examples beyond those that its check judges.

    `missed` are parameters of which a perturbed element went unseen, `stale` the case's explanations of survivors that
    there are none of, `elsewhere` parts -> how many operations stand in them and get their faults there (one for each
    way to reach it, however many layers take that way), `closed` loops and branches whose bodies were not entered.
    `trouble`: why there was no audit.
    """

    case: str
    injected: int = 0
    caught: int = 0
    late: int = 0
    survivors: tuple[Survivor, ...] = ()
    parameters: int = 0
    missed: tuple[str, ...] = ()
    elsewhere: Mapping[str, int] = Field(default_factory=dict[str, int])
    closed: int = 0
    stale: tuple[str, ...] = ()
    examples: int = 0
    seconds: float = 0.0
    trouble: str | None = None

    def count(self, verdict: Verdict) -> int:
        """How many survivors there are of one verdict."""
        return sum(survivor.verdict == verdict for survivor in self.survivors)

    @property
    def found(self) -> bool:
        """Whether something here needs an answer."""
        return bool(self.count("unresolved") or self.missed or self.stale)

    @property
    def score(self) -> float | None:
        """The share of faults caught, equivalent ones left out, explained ones not; None where there are none."""
        faults = self.caught + len(self.survivors) - self.count("equivalent")
        return self.caught / faults if faults else None


class Audit(Model):
    """A whole audit: layer by layer, bottom-up."""

    schema_: int = SCHEMA
    seed: int = 0
    examples: int = 0
    environment: dict[str, Any] = Field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    interrupted: bool = False

    model_config = ConfigDict(
        frozen=True, ser_json_inf_nan="strings", alias_generator=lambda name: name.rstrip("_"), populate_by_name=True
    )

    @property
    def total(self) -> Layer:
        """All layers as one, without their survivors' and parameters' names told apart."""
        return Layer(
            case="all",
            injected=sum(layer.injected for layer in self.layers),
            caught=sum(layer.caught for layer in self.layers),
            late=sum(layer.late for layer in self.layers),
            survivors=tuple(survivor for layer in self.layers for survivor in layer.survivors),
            parameters=sum(layer.parameters for layer in self.layers),
            missed=tuple(path for layer in self.layers for path in layer.missed),
            stale=tuple(pattern for layer in self.layers for pattern in layer.stale),
            examples=sum(layer.examples for layer in self.layers),
            seconds=sum(layer.seconds for layer in self.layers),
        )

    @property
    def exit_status(self) -> int:
        """0 every fault is caught or explained, 1 one is not, 2 a case could not be audited, 130 interrupted."""
        if self.interrupted:
            return 130
        if not self.layers or any(layer.trouble for layer in self.layers):
            return 2
        return 1 if self.total.found else 0
