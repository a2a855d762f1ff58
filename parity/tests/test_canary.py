"""The canary: every run rejects a fault of its own, and one that does not is a failed run."""

# Torch and flax leave most of what is used here untyped.
# pyright: basic

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import parity
from parity import canary, session
from parity.checks import exact
from parity.checks.finding import Finding
from parity.faults import Injected
from parity.results import Results
from parity.tests import gain, toy


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PARITY_CACHE", str(tmp_path / "cache"))
    with toy.imports():
        yield


def checked(root: Path, *checks: str) -> Results:
    return session.check("toy/scale", checks=checks or ("exact",), examples=2, root=root)


@pytest.mark.parametrize("check", ["exact", "transfer", "accepts"])
def test_every_run_says_which_fault_it_rejected(tmp_path: Path, check: str) -> None:
    """Whatever was asked for: the fault, its place, and no result of its own."""
    results = checked(toy.write(tmp_path / "root"), check)
    assert results.canary is not None
    assert results.canary.startswith("toy/scale, ")
    assert " at cases/toy/port.py:" in results.canary
    assert results.canary.endswith(": rejected")
    assert (results.exit_status, len(results.results)) == (0, 1)


def test_a_run_whose_fault_is_switched_off_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is injected, so nothing can be rejected."""
    monkeypatch.setattr(Injected, "changes", lambda self, evaluation: None)
    results = checked(toy.write(tmp_path / "root"))
    assert [(r.check, r.status) for r in results.results] == [("exact", "passed"), ("canary", "failed")]
    assert "no fault in it moves any output" in str(results.results[1].message)
    assert results.exit_status == 1


def test_a_run_whose_judge_lets_everything_pass_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is there, and the exact check does not see it."""
    monkeypatch.setattr(exact, "verdict", lambda *args: Finding(passed=True))
    results = checked(toy.write(tmp_path / "root"))
    assert [(r.check, r.status) for r in results.results] == [("exact", "passed"), ("canary", "failed")]
    assert str(results.results[1].message).endswith("the exact check lets it pass")
    assert results.exit_status == 1


def test_a_run_whose_judge_crashes_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash is no rejection."""

    def crash(*args: Any) -> Finding:
        raise ZeroDivisionError

    monkeypatch.setattr(exact, "verdict", crash)
    case = gain.case()
    sung = canary.sing(gain.runner(case), [case])
    assert sung is not None
    assert sung.result is not None
    assert "ZeroDivisionError" in str(sung.result.message)


def test_another_seed_injects_another_fault_and_one_seed_the_same() -> None:
    """So that over many runs the judge is tried in many places."""
    case = gain.case()
    sung = [canary.sing(gain.runner(case, seed=seed), [case]) for seed in (*range(8), 0)]
    said = [found.said for found in sung if found]
    assert len(set(said)) > 2
    assert said[0] == said[-1]


def test_a_port_that_cannot_be_run_has_no_canary(tmp_path: Path) -> None:
    """Its checks say what is wrong; the canary adds nothing. Nor where no case has an exact check."""

    def broken(config: Any, dtype: Any, rngs: Any) -> Any:
        raise RuntimeError("no port")

    case = gain.case(port=broken)
    assert canary.sing(gain.runner(case), [case]) is None
    assert canary.sing(gain.runner(), [gain.case(skips={"exact": "why"})]) is None


def test_a_run_without_a_fault_of_its_own_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among what was not checked, with nothing in its place."""
    monkeypatch.setattr(canary, "sing", lambda *args: None)
    results = checked(toy.write(tmp_path / "root"))
    assert (results.canary, results.exit_status) == (None, 0)
    assert canary.SILENT in results.not_checked


def test_it_costs_less_than_half_a_second() -> None:
    """Of one core, with what the checks will use anyway already built."""
    case = gain.case()
    runner = gain.runner(case)
    canary.sing(runner, [case])
    started = time.process_time()
    canary.sing(runner, [case])
    assert time.process_time() - started < 0.5


def test_a_port_of_one_matrix_product_has_a_canary_too() -> None:
    """None of its operation's own faults moves an output by a tenth; its result negated does."""
    sides = torch.nn.Linear(4, 3, bias=False), nnx.Linear(4, 3, use_bias=False, rngs=nnx.Rngs(0))
    results = parity.compare(*sides, np.ones((2, 4)), checks=("exact",), examples=2)
    assert results.canary is not None
    assert results.canary.endswith(": its result negated: rejected")
    assert results.exit_status == 0


def test_infinite_numbers_do_not_hide_a_fault_in_the_others() -> None:
    """A port that drops what is negative to -inf has a canary that moves what is left."""
    sides = _Kept(), lambda x: jnp.where(x < 0, -jnp.inf, jnp.sin(x))
    results = parity.compare(*sides, np.ones((2, 4)), checks=("exact",), examples=2)
    assert results.canary is not None
    assert results.canary.endswith("rejected")
    assert results.exit_status == 0


class _Kept(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x < 0, -torch.inf, torch.sin(x))
