"""The gate's question about configuration fields: followed, refused, ignored, or never handed over."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import pytest
import torch
from flax import nnx
from hypothesis import strategies as st
from torch import nn

import parity
from parity.draw import floats, one_of
from parity.gate.fields import fields
from parity.gated import Field, Question
from parity.session import Workspace
from parity.tests import gain
from parity.tests.gated import SUITE


@dataclasses.dataclass
class Config:
    """What the reference of `Affine` reads, and one field that it does not."""

    width: int = 3
    gain: float = 0.75
    shifted: bool = False
    unused: int = 1
    style: str = "plain"


class Affine(nn.Module):
    """x * weight * gain, and a shift."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        if config.unused > 2:
            raise ValueError("more than 2")
        self.config = config
        self.weight = nn.Parameter(torch.ones(config.width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * self.weight * self.config.gain
        return y + 1.0 if self.config.shifted else y


class AffinePort(nnx.Module):
    """The same in Flax; `gain` may be a wrong one."""

    def __init__(self, config: Mapping[str, Any], dtype: Any, gain: float) -> None:
        self.scale = nnx.Param(jnp.ones(config["width"], dtype))
        self.gain, self.shifted = gain, config.get("shifted", False)

    def __call__(self, x: Any) -> Any:
        y = x * self.scale[...] * self.gain
        return y + 1.0 if self.shifted else y


def follows(config: Mapping[str, Any], dtype: Any, rngs: Any) -> AffinePort:
    return AffinePort(config, dtype, config["gain"])


def ignores(config: Mapping[str, Any], dtype: Any, rngs: Any) -> AffinePort:
    return AffinePort(config, dtype, 0.75)


def differs(config: Mapping[str, Any], dtype: Any, rngs: Any) -> AffinePort:
    return AffinePort(config, dtype, 0.75 + 2 * (config["gain"] - 0.75))


def refuses(config: Mapping[str, Any], dtype: Any, rngs: Any) -> AffinePort:
    if config["gain"] != 0.75:
        raise ValueError(f"gain = {config['gain']} is not supported")
    return AffinePort(config, dtype, 0.75)


def crashes(config: Mapping[str, Any], dtype: Any, rngs: Any) -> AffinePort:
    if config["gain"] != 0.75:
        raise ValueError("something is again not as it should be")
    return AffinePort(config, dtype, 0.75)


def asked(port: Any, reference: Any = lambda config: Affine(Config(**config))) -> tuple[Question, dict[str, Field]]:
    """The fields of a port of `Affine`, which is drawn with one gain alone."""
    case = gain.case(
        reference=reference,
        port=port,
        weights=parity.rules({"weight": parity.copy("scale")}),
        configs=st.fixed_dictionaries({"width": one_of(3, 1), "gain": st.just(0.75)}),
        inputs=lambda config, form: st.fixed_dictionaries({"x": floats((form["batch"], config["width"]), rows=("",))}),
    )
    suite = dataclasses.replace(SUITE, whole=case.name)
    question, found = fields(Workspace(gain.registry(case), gain.tolerances()), suite)
    return question, {field.field: field for field in found}


def test_every_field_of_the_reference_is_asked_about() -> None:
    """Those of its class that no example draws too; what does nothing, or has no other value, is told apart."""
    question, found = asked(follows)
    verdicts = {name: field.verdict for name, field in found.items()}
    assert verdicts == {
        "width": "equal",
        "gain": "equal",
        "shifted": "equal",
        "unused": "no effect",
        "style": "no value",
    }
    assert (question.answer, found["gain"].change, found["gain"].moved) == ("yes", "0.75 -> 1.5", 2)


@pytest.mark.parametrize(
    ("port", "verdict", "said"),
    [
        (ignores, "ignored", "the port's stands still"),
        (differs, "differs", "the port's moves otherwise"),
        (crashes, "fails", "does not name the field: ValueError: something"),
        (refuses, "refused", "gain = 1.5 is not supported"),
    ],
    ids=["stands_still", "moves_otherwise", "crash", "by_name"],
)
def test_field_that_is_not_followed(port: Any, verdict: str, said: str) -> None:
    """The gate is shut by it, but where the port refuses the field by its name."""
    question, found = asked(port)
    assert found["gain"].verdict == verdict
    assert said in found["gain"].said
    assert question.answer == ("yes" if verdict == "refused" else "no")
    assert [reason.split()[0] for reason in question.why_not] == ([] if verdict == "refused" else ["`gain`"])


def test_field_that_never_reaches_the_reference() -> None:
    """A case that builds its reference from other fields can show nothing about this one."""
    question, found = asked(follows, lambda config: Affine(Config(config["width"], config["gain"])))
    assert found["shifted"].verdict == "not handed over"
    assert question.answer == "no"


def test_field_without_a_value_that_runs() -> None:
    """Whatever the reference itself refuses does not apply."""
    _, found = asked(follows, lambda config: Affine(Config(**{**config, "unused": 3 * config.get("unused", 0)})))
    assert found["unused"].verdict == "not applicable"
