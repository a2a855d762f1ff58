"""`parity locate` on what decodes: every fault of the cache is named where it lies, and the right port nowhere."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import pytest

from cases.llama.case_decode import decode
from parity.locating.run import locate_drawn
from parity.measure.locating import Trial, measure
from parity.session import Workspace, load

# The part whose code a fault changes: attention writes into its slots and reads them, the model counts them.
ATTENTION = {
    "written_one_late",
    "written_at_the_start",
    "values_written_as_keys",
    "cached_keys_turned_again",
    "keys_cached_unturned",
    "old_values_read",
}
SHOWN = [name for name, fault in decode.faults.items() if "exact" in fault.checks]


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return load()


@pytest.fixture(scope="module")
def trials(workspace: Workspace) -> dict[str, Trial]:
    """Every fault of the case that exact arithmetic shows, and its equivalents: what was named."""
    names = [*SHOWN, *decode.equivalents]
    return {trial.name: trial for trial in measure(workspace, "llama", only=names).trials if trial.case == decode.name}


@pytest.mark.parametrize("fault", SHOWN)
def test_located(trials: dict[str, Trial], fault: str) -> None:
    """The part whose code is changed is named, in the layer where it is, and no other."""
    target = trials[fault].target
    assert target is not None
    assert target.rpartition(".")[2] == ("self_attn" if fault in ATTENTION else "model")
    assert trials[fault].named == (target,)


@pytest.mark.parametrize("equivalent", list(decode.equivalents))
def test_equivalent_is_not_blamed(trials: dict[str, Trial], equivalent: str) -> None:
    """Another way to write the same slots parts from nothing."""
    assert trials[equivalent].outcome == "clean"


def test_right_port(workspace: Workspace) -> None:
    """Nothing is blamed in any step, with the growing cache or the fixed one; every step is walked."""
    found = locate_drawn(workspace, "llama/decode", count=2)
    assert found.culprits == ()
    calls = {place.call for place in found.places if place.path == "model.layers.1.self_attn"}
    assert calls == set(range(len(calls)))


def test_step(workspace: Workspace) -> None:
    """A fault that only what was read before can show is named in a later step than the first."""
    found = locate_drawn(workspace, "llama/decode", fault="cached_keys_turned_again@model.layers.1.self_attn")
    (culprit,) = found.culprits
    assert culprit.path == "model.layers.1.self_attn"
    assert culprit.call > 0
    assert culprit.operation is not None
