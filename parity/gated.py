"""What a gate says of a port: its questions, the answer to each and why not, ready for JSON and every renderer."""

from typing import Any, Literal

from pydantic import ConfigDict
from pydantic import Field as field_of

from parity.results import Model

SCHEMA = 1
Answer = Literal["yes", "no", "not asked"]
# From the worst on; the first four keep a gate shut.
FieldVerdict = Literal[
    "ignored",
    "differs",
    "fails",
    "not handed over",
    "equal",
    "refused",
    "not applicable",
    "no effect",
    "no value",
]
BAD: tuple[FieldVerdict, ...] = ("ignored", "differs", "fails", "not handed over")


class Question(Model):
    """One question asked of a port.

    Attributes:
        name: in a word, as in the report's left column.
        asks: the question.
        answer: 'yes', 'no', or 'not asked'.
        said: what the answer rests on, with figures.
        why_not: an entry for each thing that stands in the way, the worst first; a command that replays it stands in a
            line of its own.
        notes: what a reader should know though nothing stands in the way of it.
        seconds: how long it took.
    """

    name: str
    asks: str
    answer: Answer
    said: str = ""
    why_not: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class Field(Model):
    """A field of the reference's configuration. `change` is the one that decided, such as 'silu -> gelu'.

    `verdict`: 'equal' where the port moves as the reference does; 'refused' where it raises an error that names the
    field; 'no effect' where no change moved the reference; 'not applicable' where the reference can't be run with
    another value; 'no value' where no other legal value is known. The bad ones: 'ignored' where the reference moves and
    the port stands still; 'differs'; 'fails' where the port raises without naming the field; 'not handed over' where
    the case builds its reference without it.
    `moved`, `tried`: changes that moved the reference, and all that it accepted.
    """

    field: str
    verdict: FieldVerdict
    change: str = ""
    said: str = ""
    moved: int = 0
    tried: int = 0

    @property
    def is_bad(self) -> bool:
        return self.verdict in BAD


class Gate(Model):
    """Every question of a port's gate, in the order they were asked; `fields` one by one."""

    schema_: int = SCHEMA
    port: str
    seed: int = 0
    examples: int = 0
    environment: dict[str, Any] = field_of(default_factory=dict)
    questions: tuple[Question, ...] = ()
    fields: tuple[Field, ...] = ()
    interrupted: bool = False
    seconds: float = 0.0

    model_config = ConfigDict(
        frozen=True, ser_json_inf_nan="strings", alias_generator=lambda name: name.rstrip("_"), populate_by_name=True
    )

    @property
    def is_open(self) -> bool:
        """Whether every question was asked and answered with yes."""
        return bool(self.questions) and all(question.answer == "yes" for question in self.questions)

    @property
    def exit_status(self) -> int:
        """0 open, 1 shut, 130 interrupted."""
        return 130 if self.interrupted else 0 if self.is_open else 1
