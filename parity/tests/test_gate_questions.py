"""The gate's questions about coverage, tolerances, a run and faults: what keeps it shut, and the reason it gives."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import dataclasses
from typing import Any

import pytest
from torch import nn

from parity import session
from parity.gate.bounds import bounds
from parity.gate.checks import checks, declared
from parity.gate.coverage import coverage
from parity.gate.faults import caught, located
from parity.measure import locating
from parity.measure.audit import select
from parity.measure.audited import Survivor
from parity.session import Workspace
from parity.tests import gain
from parity.tests.gated import COVERS, SUITE, audit, calibrated, passed, registry


def test_every_class_has_a_case_or_a_rule() -> None:
    """Three by a case; Linear, ModuleList and Identity need none."""
    found = coverage(registry(), SUITE)
    assert (found.answer, found.said) == ("yes", "6 classes: 3 by a case, 3 built in, 0 inside what has a case")


@pytest.mark.parametrize("name", sorted(COVERS))
def test_case_file_removed(name: str) -> None:
    """Its class is named, with the path where it stands, and the cases that it is a part of."""
    found = coverage(registry(name), SUITE)
    told = " ".join(found.why_not)
    assert found.answer == "no"
    assert COVERS[name][0].__qualname__ in told or f"names {name} as the whole model" in told
    assert name == "toy/stack" or f"has {name} as a part, and there is no such case" in told


class Bent(nn.Module):
    """An activation: no parameters, nothing inside."""


class Holder(nn.Module):
    """Something that holds an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.act = Bent()


@pytest.mark.parametrize(("covers", "answer"), [((Holder,), "no"), ((Holder, Bent), "yes")], ids=["bare", "own_case"])
def test_activation_in_the_reference_itself_needs_a_case(covers: tuple[Any, ...], answer: str) -> None:
    """Only inside a smaller layer with a case is it computed by that case's checks."""
    case = gain.case(reference=lambda config: Holder(), covers=covers)
    suite = dataclasses.replace(SUITE, references=(Holder,), whole=case.name)
    assert coverage(gain.registry(case), suite).answer == answer


def test_nothing_declared_is_no_coverage() -> None:
    """A suite that declares nothing covers nothing."""
    found = coverage(registry(), dataclasses.replace(SUITE, references=()))
    assert found.why_not == ("the suite of toy declares no reference model: there is no tree to read",)


def test_tolerances_that_were_measured() -> None:
    """Fifteen entries: five checks of three cases."""
    found = bounds(calibrated(), SUITE)
    assert (found.answer, found.said) == ("yes", "15 of 15 entries measured, 0 loosened for a reason")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rtol": 1e-3, "measured": {"rtol": 1e-7}}, "allows rtol 0.001 (here); 1e-07 was measured"),
        ({"ratio": 4.0, "measured": {"ratio": 1.1}}, "allows ratio 4 (here); 1.1 was measured"),
        ({"measured": {"fingerprint": "0"}}, "the bounds of toy/gain[float32] were measured on other code"),
    ],
    ids=["rtol", "ratio", "stale"],
)
def test_tolerance_loosened_or_stale(changes: dict[str, Any], told: str) -> None:
    """What was measured calls for a tighter bound, or says nothing of this code."""
    found = bounds(calibrated(**changes), SUITE)
    assert found.answer == "no"
    assert told in found.why_not[0]


def test_tolerance_loosened_for_a_reason() -> None:
    """It is told, and keeps nothing shut."""
    workspace = calibrated(rtol=1e-3, measured={"rtol": 1e-7})
    reasons = {("toy/gain", "float32"): "its table is baked"}
    found = bounds(
        dataclasses.replace(workspace, tolerances=dataclasses.replace(workspace.tolerances, reasons=reasons)), SUITE
    )
    assert (found.answer, found.notes) == ("yes", ("toy/gain[float32] is loosened: its table is baked",))


def test_tolerances_never_measured() -> None:
    """A line a case, with the command that measures."""
    found = bounds(Workspace(registry(), gain.tolerances()), SUITE)
    assert len(found.why_not) == 3
    assert found.why_not[0].endswith("was never calibrated: parity calibrate toy gain --write")


def test_run_in_which_all_passed() -> None:
    """Faults are a question of their own."""
    own = registry()
    assert checks(own, SUITE, passed()).answer == "yes"
    assert declared(own, SUITE, passed()).said == "5 of 5 rejected"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"canary": None}, "the run injected no canary fault"),
        ({"interrupted": True}, "the run was interrupted"),
        ({"results": passed().results[1:]}, "toy/gain[transfer] was not run: parity check toy"),
        ({"results": passed(exact="failed").results}, "toy/gain[exact] failed: no reason was given"),
        ({"results": passed(exact="skipped").results}, "toy/gain[exact] was skipped"),
        ({"components": (session.components(registry())[0].model_copy(update={"faults": 9}),)}, "is another case than"),
    ],
    ids=["canary", "interrupted", "missing", "failed", "skipped", "other_code"],
)
def test_run_that_lets_nothing_through(change: dict[str, Any], told: str) -> None:
    """Each for its own reason."""
    found = checks(registry(), SUITE, passed().model_copy(update=change))
    assert found.answer == "no"
    assert told in " ".join(found.why_not)


def test_declared_fault_that_survives() -> None:
    """It is named, and the other checks are not asked about it."""
    results = passed(rejects_no_factor="failed")
    assert checks(registry(), SUITE, results).answer == "yes"
    assert declared(registry(), SUITE, results).why_not == ("toy/gain[rejects:no_factor] failed: no reason was given",)


SURVIVOR = Survivor(
    where="port.py:3",
    primitive="mul",
    occurrence=0,
    kind="literal",
    description="2 -> 3",
    tried=5,
    verdict="unresolved",
)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"survivors": (SURVIVOR,)}, "toy/gain: a fault survives at port.py:3: mul: 2 -> 3"),
        ({"missed": ("scale",)}, "toy/gain: no example shows parameter `scale` perturbed"),
        ({"stale": ("a: b",)}, "toy/gain: nothing survives any more as `a: b`"),
        ({"trouble": "boom"}, "toy/gain could not be audited: boom"),
        ({"case": "other/gain"}, "toy/gain: no faults were injected: parity audit toy"),
    ],
    ids=["survivor", "missed", "stale", "trouble", "missing"],
)
def test_injected_fault_that_survives(change: dict[str, Any], told: str) -> None:
    """Or is not accounted for; a clean audit lets through."""
    assert caught(registry(), SUITE, audit()).answer == "yes"
    assert caught(registry(), SUITE, audit(**change)).why_not == (told,)


def test_case_that_says_why_it_is_not_audited() -> None:
    """Nothing is missing where an audit leaves it out, and the reason is told."""
    left_out = gain.registry(gain.case(), gain.case(name="toy/chosen", skips={"audit": "it says little"}))
    found = caught(left_out, SUITE, audit())
    assert (found.answer, found.notes) == ("yes", ("toy/chosen: no faults are injected: it says little",))
    assert [case.name for case in select(Workspace(left_out, gain.tolerances()), ["toy"])] == ["toy/gain"]


def test_fault_that_locate_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """What locate named instead is told; the parent of the right part is let through, with a note."""
    outcomes: dict[str, locating.Outcome] = {"one": "wrong", "two": "parent", "three": "right"}
    trials = [
        locating.Trial(
            case="toy/gain", name=name, search="float64", outcome=outcome, target="last", named=("layers.0",)
        )
        for name, outcome in outcomes.items()
    ]

    def measure(*args: Any, **kwargs: Any) -> locating.Measured:
        return locating.Measured(port="toy", seed=0, trials=tuple(trials), seconds=0.0)

    monkeypatch.setattr(locating, "measure", measure)
    found = located(calibrated(), SUITE)
    assert found.why_not == ("toy/gain, one at `last`: locate names layers.0",)
    assert found.notes == ("toy/gain, two: located to its parent layers.0",)
    assert found.said == "1 of 3 faults to the right part and layer, 1 to its parent, a sample of 4 (all: --deep)"
