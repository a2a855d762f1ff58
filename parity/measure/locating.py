"""How often `parity locate` names the right part and layer: every fault of a port, somewhere in a deep model."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from parity.case import Case, Variant
from parity.errors import StaleEdit, WeightMapError
from parity.locating import drawn
from parity.locating.backward import pulled
from parity.locating.run import whole_of
from parity.locating.walk import alone, culprits, inside, passes, standing_places
from parity.measure.injected import Clean, home, seeded
from parity.real.places import Place
from parity.reference import one_thread, quiet
from parity.results import Model
from parity.session import Workspace

Outcome = Literal["right", "parent", "wrong", "unseen", "blamed", "clean", "not asked"]
ROUNDED = "rounded:bfloat16"
TRIES = 120  # examples that a fault is asked about until one shows it
BACKWARD = 12  # the same, for gradients of which one costs more
KEPT = 24  # examples of which both sides are kept from one fault to the next
CLEAN = 2  # examples that an equivalent is asked about
Progress = Callable[[str], None]


class Trial(Model):
    """One fault or equivalent at one place: what was named."""

    case: str
    name: str
    search: str  # 'float64', 'rounded:bfloat16', 'backward'
    outcome: Outcome
    target: str | None = None
    named: tuple[str, ...] = ()
    examples: int = 0
    message: str = ""


class Measured(Model):
    """All trials of a port."""

    port: str
    seed: int
    trials: tuple[Trial, ...]
    seconds: float

    def count(self, *outcomes: str) -> int:
        """How many trials came out so."""
        return sum(trial.outcome in outcomes for trial in self.trials)

    @property
    def share(self) -> float:
        """Of the faults that were asked about, the share that was located to the right part and layer."""
        asked = self.count("right", "parent", "wrong", "unseen")
        return self.count("right") / asked if asked else 0.0

    @property
    def exit_status(self) -> int:
        """1 where a part was blamed wrongly, or a fault was not found."""
        return 1 if self.count("wrong", "unseen", "blamed") else 0


def measure(
    workspace: Workspace,
    name: str,
    *,
    seed: int = 0,
    only: Sequence[str] = (),
    progress: Progress = lambda text: None,
) -> Measured:
    """Inject every fault and equivalent of a port's cases, one at a time, at a random place of its deepest model.

    What no part of the port's whole shows, such as a fault of its cache, is asked about in the case that declares it.

    Args:
        workspace: the root's cases and tolerances.
        name: of the port.
        seed: chooses examples and places.
        only: names of faults; none means all, and the equivalents.
        progress: called with a line about what comes next.
    """
    started = time.monotonic()
    port, whole = whole_of(workspace, name)
    with one_thread(), quiet():
        bench = _Bench(workspace, whole, seed)
        trials = tuple(bench.trials(only, progress))
    return Measured(port=port, seed=seed, trials=trials, seconds=round(time.monotonic() - started, 1))


class _Bench:
    """The examples of a measurement, kept from one fault to the next."""

    def __init__(self, workspace: Workspace, whole: Case, seed: int) -> None:
        self.workspace, self.whole, self.seed = workspace, whole, seed
        self.examples = drawn.random_examples(whole, seed=seed, count=TRIES)
        self._clean: dict[tuple[int, str], Clean] = {}
        self._homes: dict[str, Case | None] = {}
        self._own: dict[str, _Bench] = {}

    def trials(self, only: Sequence[str], progress: Progress) -> Iterator[Trial]:
        for case in self.workspace.registry.bottom_up():
            if case.port_name != self.whole.port_name:
                continue
            for kind, variants in (("fault", case.faults), ("equivalent", case.equivalents)):
                for name, variant in variants.items():
                    if not only or name in only:
                        progress(f"{case.name}: {name}")
                        yield self._trial(case, name, variant, equivalent=kind == "equivalent")

    def _trial(self, case: Case, name: str, variant: Variant, *, equivalent: bool) -> Trial:
        search = _search(variant, equivalent=equivalent)
        told = Trial(case=case.name, name=name, search=search or "", outcome="not asked")
        if search is None:
            return told.model_copy(update={"message": f"only {', '.join(variant.checks)} can see it"})
        known = self._at(0, "float64").setting.places
        if case.name not in self._homes:
            self._homes[case.name] = home(self.workspace.registry, case, variant, known)
        where = self._homes[case.name]
        if where is not None:
            return self._asked(told, variant, (where,), equivalent=equivalent)
        if not case.parts:
            return told.model_copy(update={"message": "no part of the whole is changed by it"})
        if case.name not in self._own:
            self._own[case.name] = _Bench(self.workspace, case, self.seed)
        return self._own[case.name].asked_within(told, variant, equivalent=equivalent)

    def asked_within(self, told: Trial, variant: Variant, *, equivalent: bool) -> Trial:
        """A fault of the case that is walked: it belongs to the deepest of its parts that shows it, or to no part."""
        names = {place.case.name for place in self._at(0, "float64").setting.places.values()}
        parts = [case for case in self.workspace.registry.bottom_up() if case.name in names]
        return self._asked(told, variant, (self.whole,) if equivalent else parts, equivalent=equivalent)

    def _asked(self, told: Trial, variant: Variant, wheres: Sequence[Case], *, equivalent: bool) -> Trial:
        """A fault at a random place of one example after the other, until a part of these cases shows it."""
        rng, target, tried, message = seeded(f"{told.case} {told.name}", self.seed), None, 0, ""
        backward = told.search == "backward"
        most = CLEAN if equivalent else BACKWARD if backward else TRIES
        for number in range(min(most, len(self.examples))):  # a case may not draw as many
            clean = self._at(number, "float64" if backward else told.search)
            run = drawn.inputs(clean.example, clean.dtype)
            targets = [_chosen(clean, run, where, rng) for where in wheres]
            tried += any(targets)
            for target in filter(None, targets):
                try:
                    setting = clean.with_fault(variant, target)
                    if not (equivalent or backward) and passes(setting, run, target):
                        continue  # this example does not show it, or it is another part's
                    found = (pulled if backward else alone)(setting, run, above=False)
                except (WeightMapError, StaleEdit) as error:
                    message = " ".join(str(error).split())[:100]
                    continue
                named = tuple(each.path for each in culprits(found.told))
                if named or not (equivalent or backward):
                    return _told(told, target, named, clean.expected(variant, target), tried, equivalent=equivalent)
        return told.model_copy(
            update={
                "outcome": "clean" if equivalent else "unseen",
                "target": target.path if target else None,
                "examples": tried,
                "message": message,
            }
        )

    def _at(self, number: int, dtype: str) -> Clean:
        if (number, dtype) not in self._clean:
            while len(self._clean) >= KEPT:
                self._clean.pop(max(self._clean))  # the first examples are asked about most often
            self._clean[number, dtype] = Clean.of(self.workspace, self.whole, self.examples[number], dtype)
        return self._clean[number, dtype]


def _chosen(clean: Clean, run: Mapping[str, Any], where: Case, rng: np.random.Generator) -> Place | None:
    """A random place of a case, of those that the reference runs on these inputs."""
    places = [place for place in clean.setting.places.values() if place.case.name == where.name]
    places = standing_places(clean.setting, run, places)
    return places[int(rng.integers(len(places)))] if places else None


def _told(
    told: Trial, target: Place, named: tuple[str, ...], expected: set[str], tried: int, *, equivalent: bool
) -> Trial:
    outcome: Outcome = "wrong"
    if equivalent:
        outcome = "blamed"
    elif set(named) <= expected:
        outcome = "right"
    elif len(named) == 1 and inside(target.path, named[0]):
        outcome = "parent"
    return told.model_copy(update={"outcome": outcome, "target": target.path, "named": named, "examples": tried})


def _search(variant: Variant, *, equivalent: bool) -> str | None:
    """Which search can see a fault."""
    if equivalent or "exact" in variant.checks:
        return "float64"
    if "gradient" in variant.checks:
        return "backward"
    return ROUNDED if any(check.startswith("rounded") for check in variant.checks) else None
