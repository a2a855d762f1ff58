"""One field of a configuration changed on both sides: does the reference's output move, and what does the port do?"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from parity import draw
from parity.case import Case, Example, Json
from parity.checks import exact
from parity.checks.subject import Outputs, Subject
from parity.error import exact_error, same_form
from parity.errors import OutputMismatch
from parity.gate.alternatives import Options, changed, options, others, value_at
from parity.gated import Field, FieldVerdict
from parity.locating.drawn import depth
from parity.reference import build
from parity.run import crash
from parity.session import Workspace

BASES = 36  # configurations of a pool; of these the shallower half is used
POOLS = 3  # seeds whose pools are used
HELD = 2  # changes that move the reference, after which a field that is followed equally is believed
MANY = 600  # configurations that are drawn to find further ones that hold a field
TRIED = 80  # changes that the reference accepts, after which a field is said to have no effect
MOVED = 1e-10  # of a row's largest value: less may be rounding in float64


class Bench:
    """The examples that a port's fields are changed in; both sides are built once for each configuration."""

    def __init__(self, workspace: Workspace, case: Case, seed: int) -> None:
        self.tolerances, self.case, self.seed = workspace.tolerances.beyond(), case, seed  # sizes that no case draws
        self.subject = Subject(workspace.registry, case)
        self.bases = list(_examples(case, seed))
        self.agreed: dict[str, bool] = {}
        self.built = {e.token: _config_of(case, e) for e in self.bases}
        port = [other for other in workspace.registry.bottom_up() if other.port_name == case.port_name]
        configs = [config for other in port for config, _ in draw.pool(other, seed=seed)]
        first = next((built for built in self.built.values() if built is not None), None)
        self.options = options([*configs, *(e.config for e in self.bases)], first)

    def agrees(self, example: Example) -> bool:
        """Whether both sides agree on an example as it was drawn: what differs anyway is told by the checks."""
        if example.token not in self.agreed:
            try:
                reference = self.subject.reference_outputs(example, "float64")
                port = self.subject.exact_outputs(example)
                self.agreed[example.token] = exact.verdict(self.subject, reference, port, self.tolerances).passed
            except Exception:  # the author's code, on either side
                self.agreed[example.token] = False
        return self.agreed[example.token]

    def ask(self, option: Options) -> Field:
        """One field's verdict: the first bad one, else equal or refused where a change moved the reference.

        A field that a case draws is there for its effect: it is looked for in further configurations that hold it.
        """
        seen = _Seen(handed=not option.declared)
        found = self._ask(option, seen, self.bases, most=TRIED)
        if found is None and option.palette and not (seen.moved or seen.apart):
            found = self._ask(option, seen, self._further(option), most=2 * TRIED)
        return found or self._all(option, seen)

    def _ask(self, option: Options, seen: "_Seen", bases: list[Example], *, most: int) -> Field | None:
        """Change a field in these examples until enough is seen; its verdict, if that is a bad one."""
        enough = max(HELD, len(option.words) - 1)
        for example, other, change in self._changes(option, bases):
            if seen.tried >= most or len(seen.moved) >= enough:
                break
            if change in seen.moved and option.words:
                continue  # each word is asked about once
            seen.given += 1
            try:
                before = self.subject.reference_outputs(example, "float64")
                after = self.subject.reference_outputs(other, "float64")
            except Exception:  # the reference refuses this value, in its own words
                continue
            seen.tried += 1
            seen.handed = seen.handed or self._holds_value(other, option)
            if not _moved(before, after):
                continue
            if not self.agrees(example):
                seen.apart += 1
                continue
            seen.moved.append(change)
            verdict, said = self._port(example, other, option)
            if verdict == "refused":
                seen.refused = seen.refused or said
            elif verdict != "equal":
                return seen.field(option, verdict, change, said)
        return None

    def _further(self, option: Options) -> list[Example]:
        """Examples of the first configurations that hold a field, of very many that are drawn."""
        drawn: dict[str, tuple[Json, Json]] = {}

        def take(setup: tuple[Json, Json]) -> None:
            if value_at(setup[0], None, option.path) is not None:
                drawn.setdefault(" ".join(draw.values_of((setup[0], {}))), setup)

        setups = self.case.configs.flatmap(lambda config: st.tuples(st.just(config), self.case.forms(config)))
        draw.run(setups, take, examples=MANY, seed=draw.seed_of(self.seed, option.name))
        found = [_example(self.case, setup, self.seed) for setup in drawn.values()]
        self.built.update({e.token: _config_of(self.case, e) for e in found})
        return found

    def _all(self, option: Options, seen: "_Seen") -> Field:
        """The verdict of all changes together, where none was bad."""
        if not seen.given:
            return seen.field(option, "no value", said="no other legal value is known")
        if not seen.tried:
            return seen.field(option, "not applicable", said=f"the reference can't be run with {seen.given} others")
        if not seen.handed:
            said = f"{self.case.name} builds its reference without this field of its configuration"
            return seen.field(option, "not handed over", said=said)
        if seen.moved:
            return seen.field(option, "refused" if seen.refused else "equal", seen.moved[0], seen.refused)
        if seen.apart:
            return seen.field(option, "fails", said="both sides differ before anything is changed")
        return seen.field(option, "no effect")

    def _changes(self, option: Options, bases: list[Example]) -> Iterator[tuple[Example, Example, str]]:
        """An example, the same with the field changed, and the change in words; those that hold the field first.

        An argument of the field's own name, such as a switch, would outrank the field: it is left out of the call.
        """
        for base in sorted(bases, key=lambda e: value_at(e.config, None, option.path) is None):
            value = value_at(base.config, self.built[base.token], option.path)
            inputs = {name: tree for name, tree in base.inputs.items() if name != option.path[-1]}
            example = base if len(inputs) == len(base.inputs) else dataclasses.replace(base, inputs=inputs)
            for new in others(value, option):
                config = changed(base.config, option.path, new)
                if config is not None:
                    said = f"-> {new!r:.40}" if option.words else f"{value!r:.40} -> {new!r:.40}"
                    yield example, dataclasses.replace(example, config=config), said

    def _holds_value(self, example: Example, option: Options) -> bool:
        """Whether a reference built from a configuration holds a field's value where its own class has the field."""
        held = _config_of(self.case, example)
        given = value_at(example.config, None, option.path)
        return len(option.path) > 1 or value_at({}, held, option.path) == given

    def _port(self, base: Example, example: Example, option: Options) -> tuple[FieldVerdict, str]:
        """What the port makes of a changed field that moves the reference."""
        try:
            reference = self.subject.reference_outputs(example, "float64")
            outputs = self.subject.exact_outputs(example)
        except Exception as error:
            text = crash(error)
            if re.search(rf"\b{re.escape(option.path[-1])}\b", str(error)):
                return "refused", text
            return "fails", f"the port raises, and does not name the field: {text}"
        try:
            if exact.verdict(self.subject, reference, outputs, self.tolerances).passed:
                return "equal", ""
        except OutputMismatch as error:
            return "differs", f"the reference's output moves, and the port's moves otherwise: {error}"
        if not _moved(self.subject.exact_outputs(base), outputs):
            return "ignored", "the reference's output moves, and the port's stands still"
        return "differs", "the reference's output moves, and the port's moves otherwise"


@dataclasses.dataclass
class _Seen:
    """What came of a field's changes so far: how many there were, the reference ran with, moved it; and the rest.

    `apart`: changes that moved the reference where both sides differ anyway. `handed`: whether a reference was seen
    to hold a changed value. `refused`: what the port said when it refused one.
    """

    handed: bool
    given: int = 0
    tried: int = 0
    apart: int = 0
    moved: list[str] = dataclasses.field(default_factory=list[str])
    refused: str = ""

    def field(self, option: Options, verdict: FieldVerdict, change: str = "", said: str = "") -> Field:
        moved = len(self.moved)
        return Field(field=option.name, verdict=verdict, change=change, said=said, moved=moved, tried=self.tried)


def _config_of(case: Case, example: Example) -> Any:
    """The configuration that a built reference holds, as transformers' models do; None where it can't be built."""
    try:
        return getattr(build(case, example.config).call, "config", None)
    except Exception:  # the author's code
        return None


def _examples(case: Case, seed: int) -> Iterator[Example]:
    """One example of each of many configurations and forms, of the shallower ones: they trace fastest."""
    for number in range(POOLS):
        setups = draw.pool(dataclasses.replace(case, pool=BASES), seed=seed + number)
        depths = [depth(case, config) for config, _ in setups]
        middle = sorted(depths)[len(depths) // 2] if depths else 0
        shallow = (setup for setup, deep in zip(setups, depths, strict=True) if deep <= middle)
        yield from (_example(case, setup, seed) for setup in shallow)


def _example(case: Case, setup: tuple[Json, Json], seed: int) -> Example:
    """An example of a configuration and form; not the first, which is the simplest."""
    return draw.some(case, setup, number=3, seed=draw.seed_of(seed, f"{case.name} fields"))[-1]


def _moved(before: Outputs, after: Outputs) -> bool:
    """Whether outputs differ by more than rounding in exact arithmetic can."""
    try:
        same_form(before, after)
        return exact_error(before, after).measures["rtol"] > MOVED
    except OutputMismatch:
        return True
