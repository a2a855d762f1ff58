"""The front door of a notebook: modules written here are compared, an example replayed, results show themselves."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import parity
from parity import draw
from parity.errors import BadInput
from parity.results import Results
from parity.tests import toy

X = torch.linspace(-2, 2, 24).reshape(3, 8)


class Gated(nn.Module):
    """down(sigmoid(up x) * up x), in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 6, bias=False)
        self.down = nn.Linear(6, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = self.up(x)
        return self.down(torch.sigmoid(u) * u)


class Ported(nnx.Module):
    """The same in Flax."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(8, 6, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(6, 8, use_bias=False, dtype=jnp.float32, rngs=rngs)

    def __call__(self, hidden: Any) -> Any:
        u = self.up(hidden)
        return self.down(nnx.sigmoid(u) * u)


class Wrong(Ported):
    """And with a slope that is off by a ten-thousandth."""

    def __call__(self, hidden: Any) -> Any:
        u = self.up(hidden)
        return self.down(nnx.sigmoid(1.0001 * u) * u)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARITY_CACHE", str(tmp_path / "cache"))


def statuses(results: Results) -> dict[str, str]:
    return {result.check: result.status for result in results.results}


def test_two_modules_get_the_whole_verdict() -> None:
    """Every check that runs by default, by the names of neither; the modules themselves are left as they were."""
    ours, theirs = Ported(nnx.Rngs(0)), Gated()
    before = theirs.up.weight.detach().clone(), np.asarray(ours.up.kernel[...])
    results = parity.compare(theirs, ours, X, examples=4)
    assert results.exit_status == 0
    assert {result.status for result in results.results} == {"passed"}
    assert {"transfer", "exact", "gradient", "rounded:bfloat16", "float32", "transforms"} <= statuses(results).keys()
    assert results.results[0].case == "compare/Gated"
    assert results.canary is not None
    assert torch.equal(theirs.up.weight, before[0])
    assert np.array_equal(np.asarray(ours.up.kernel[...]), before[1])
    assert ours.down.dtype == jnp.float32


def test_a_slope_off_by_a_ten_thousandth_fails_in_exact_arithmetic() -> None:
    """And is shown as a table and a failure, in HTML and as text, without a command that would find no case."""
    results = parity.compare(Gated(), Wrong(nnx.Rngs(0)), X, checks=("exact",), examples=3, name="gated")
    (failed,) = results.results
    assert (failed.case, failed.status, failed.replay) == ("compare/gated", "failed", None)
    assert failed.used is not None
    assert failed.used > 1e4
    page = results._repr_html_()
    assert "port differs from the reference by" in page
    assert "<script" not in page
    assert str(results).startswith(
        "case          exact\ncompare/gated  FAIL".replace("case          ", "case           ")
    )


def test_a_case_of_their_own_rules_and_names_can_be_asked() -> None:
    """Weights by rule, arguments by name, inputs drawn, bounds given, a function on either side."""
    found = parity.compare(
        Gated(),
        Ported(nnx.Rngs(0)),
        {"x": draw.floats((2, 8))},
        weights={"*.weight": parity.transpose("*.kernel")},
        arguments={"x": "hidden"},
        checks=("exact", "transfer"),
        tolerances={"exact": {"rtol": 1e-12}},
        examples=4,
    )
    assert statuses(found) == {"transfer": "passed", "exact": "passed"}
    assert found.results[1].limit is not None
    assert (found.results[1].limit.value, found.results[1].limit.where) == (1e-12, "tolerances=")
    found = parity.compare(lambda x: torch.exp(x) - 1, lambda y: jnp.expm1(y), [np.ones((2, 3))], checks=("exact",))
    assert found.exit_status == 0


def test_a_constant_is_exact_where_the_module_is_made_and_rounded_where_it_is_given() -> None:
    """What makes a module is called in float64; a module that is there has rounded its buffers already."""

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("angle", torch.tensor([math.pi / 3]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.get_buffer("angle")

    def ported(x: Any) -> Any:
        return x * (math.pi / 3)

    made = parity.compare(lambda: Turned(), ported, X, checks=("exact",), examples=2)
    given = parity.compare(Turned(), ported, X, checks=("exact",), examples=2)
    assert (statuses(made), statuses(given)) == ({"exact": "passed"}, {"exact": "failed"})


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: parity.compare(Gated, Ported, X), "the reference is the class Gated: give a torch module"),
        (lambda: parity.compare(Gated(), 3, X), "the port is a int: give an nnx module"),
        (
            lambda: parity.compare(Gated(), Ported(nnx.Rngs(0)), (X, X)),
            "2 inputs were given, but the reference takes 1",
        ),
        (lambda: parity.compare(Gated(), Ported(nnx.Rngs(0)), {"x": object()}), "input 'x' is a object: give an array"),
        (
            lambda: parity.compare(Gated(), Ported(nnx.Rngs(0)), X, tolerances={"exact": {"atol": 1}}),
            "there is no bound exact.atol",
        ),
        (lambda: parity.replay("e30", "toy/scale"), "no tolerances.yaml in "),
        (lambda: parity.replay("e30"), "a token does not say whose example it is"),
    ],
    ids=["class", "number", "inputs", "input", "bound", "root", "token"],
)
def test_what_cannot_be_compared_is_told_in_a_line(
    call: Callable[[], object], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As wrong use."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=told) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with toy.imports():
        yield toy.write(tmp_path, wrong=True)


def test_a_failure_is_replayed_with_both_sides_arrays(root: Path) -> None:
    """By its command, or by its token and the case's name; from the results of `parity.check`."""
    results = parity.check("scale", checks=("exact",), examples=2)
    (failed,) = results.results
    assert results.exit_status == 1
    assert "toy/scale" in results._repr_html_()
    assert failed.replay is not None
    again = parity.replay(failed.replay)
    assert not again.finding.passed
    assert np.allclose(again.port["output"] - again.reference["output"], 1e-3, rtol=1e-9)
    token = failed.replay.rpartition(" ")[2]
    same = parity.replay(token, "scale")
    assert np.array_equal(same.port["output"], again.port["output"])
    assert parity.replay(token, "scale", check="float32").port["output"].dtype == np.float32
