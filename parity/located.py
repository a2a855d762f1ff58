"""The results model of `parity locate`: how far each part of a whole model is off, alone and by inheritance."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from parity.results import Model

Standing = Literal["passed", "failed", "bridged", "glue"]
SCHEMA = 1


class Place(Model):
    """One call of one module of the reference, in the reference's own names.

    Attributes:
        path: of the module, such as 'model.layers.3.self_attn'; '' is the whole.
        case: the case that answers for it; None where there is none, or where the port has no such module.
        call: which of its calls this is, from 0 on, where a module is called repeatedly.
        layer: its place in a stack: the first number in its path.
        own: the share of its bound that its own error uses, on the reference's inputs; 1.0 is the limit. None where it
            was not judged.
        own_error: its output's largest error over the output's largest value, on the reference's inputs.
        inherited: the same where the port runs freely, so with what all parts before it have done.
        status: 'failed' on the reference's inputs; 'glue' where it fails so though its parts pass; 'bridged' where it
            has no counterpart in the port.
        message: why the two sides could not be compared, where they could not.
    """

    path: str
    case: str | None = None
    call: int = 0
    layer: int | None = None
    own: float | None = None
    own_error: float | None = None
    inherited: float | None = None
    status: Standing = "passed"
    message: str | None = None


class Operation(Model):
    """The first operation of a culprit whose result the reference never has, and the reference's line beside it.

    Attributes:
        primitive: as the traced port names it.
        port_file, port_line, port_source: the line of the port that asked for it, the file relative to the root.
        reference_file, reference_line, reference_source: the line of the reference that stands beside it, if known.
        error: how far its result is from the nearest that the reference has, over the largest value; None if unknown.
    """

    primitive: str
    port_file: str
    port_line: int
    port_source: str
    reference_file: str | None = None
    reference_line: int | None = None
    reference_source: str | None = None
    error: float | None = None


class Culprit(Model):
    """A part that is at fault: it fails on the reference's inputs while its parts pass.

    `cause` holds repairs that make it pass, each as 'consistent with ...'; it is empty where none does, or several do.
    """

    path: str
    case: str | None
    call: int = 0
    reason: str
    operation: Operation | None = None
    cause: tuple[str, ...] = ()


class Located(Model):
    """Where a port and its reference part, or that they don't.

    Attributes:
        dtype: 'float64' is exact arithmetic; in another dtype parts are judged by their error ratio.
        backward: whether cotangents were walked from the loss down, instead of values up.
        checkpoint: the path of a real checkpoint, if it was one.
        inputs: what the model was given, in a few words.
        places: in order of execution (of the gradient, if backward).
        culprits: none where no divergence was found.
        peak_memory_bytes: of the process, if known.
    """

    schema_: int = SCHEMA
    port: str
    seed: int = 0
    dtype: str = "float64"
    backward: bool = False
    checkpoint: str | None = None
    inputs: str = ""
    environment: dict[str, Any] = Field(default_factory=dict[str, Any])
    places: tuple[Place, ...] = ()
    culprits: tuple[Culprit, ...] = ()
    peak_memory_bytes: int | None = None
    seconds: float = 0.0
    not_checked: tuple[str, ...] = ()

    model_config = ConfigDict(
        frozen=True, ser_json_inf_nan="strings", alias_generator=lambda name: name.rstrip("_"), populate_by_name=True
    )

    @property
    def exit_status(self) -> int:
        """1 where a culprit was found, else 0."""
        return 1 if self.culprits else 0
