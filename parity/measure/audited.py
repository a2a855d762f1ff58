"""What an audit found, ready for JSON and for the terminal."""

from typing import Any, Literal

from parity.results import Model

SCHEMA = 1


class Survivor(Model):
    """A fault that no example caught.

    Attributes:
        where: `file:line` of the port, relative to the root.
        occurrence: which of that line's operations of this primitive, counted as they are traced.
        tried: examples in which the fault changed what its operation computes, and nothing that anyone sees.
        verdict: 'equivalent' where a reason holds on hostile inputs too, else 'unresolved'.
        reason: the algebra of an equivalent one; of another, the exception that was no rejection, if there was one.
    """

    where: str
    primitive: str
    occurrence: int
    kind: str
    description: str
    tried: int
    verdict: Literal["equivalent", "unresolved"]
    reason: str | None = None


class Layer(Model):
    """One case under fault injection. `late`: caught, but only by examples beyond those that its check judges.

    `missed` are parameters of which a perturbed element went unseen. `trouble` says why a case could not be audited.
    """

    case: str
    injected: int = 0
    caught: int = 0
    late: int = 0
    survivors: tuple[Survivor, ...] = ()
    parameters: int = 0
    missed: tuple[str, ...] = ()
    examples: int = 0
    seconds: float = 0.0
    trouble: str | None = None

    @property
    def equivalent(self) -> int:
        return sum(survivor.verdict == "equivalent" for survivor in self.survivors)

    @property
    def unresolved(self) -> int:
        return len(self.survivors) - self.equivalent

    @property
    def score(self) -> float | None:
        """The share of faults caught, equivalent ones left out; None where there are none."""
        return self.caught / (self.caught + self.unresolved) if self.caught + self.unresolved else None


class Audit(Model):
    """A whole audit: layer by layer, bottom-up."""

    schema_: int = SCHEMA
    seed: int = 0
    examples: int = 0
    environment: dict[str, Any] = {}
    layers: tuple[Layer, ...] = ()
    interrupted: bool = False

    model_config = Model.model_config | {"alias_generator": lambda name: name.rstrip("_"), "populate_by_name": True}

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
            examples=sum(layer.examples for layer in self.layers),
            seconds=sum(layer.seconds for layer in self.layers),
        )

    @property
    def exit_status(self) -> int:
        """0 every fault is caught or equivalent, 1 one is unresolved, 2 a case could not be audited, 130 interrupted."""
        if self.interrupted:
            return 130
        if not self.layers or any(layer.trouble for layer in self.layers):
            return 2
        return 1 if self.total.unresolved or self.total.missed else 0
