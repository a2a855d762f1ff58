"""Examples and their replay tokens: what was drawn, and not how it was drawn."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import parity
from parity import draw, values
from parity.case import Case, Example, Weights
from parity.errors import BadInput
from parity.values import Floats, Padding, Positions, Tokens

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda node: st.lists(node, max_size=3) | st.dictionaries(st.text(max_size=5), node, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)
INPUTS = st.one_of(
    draw.floats((2, 3)),
    draw.tokens((2, 4), 9),
    draw.masks(2, 3),
    draw.positions(2, 3),
    draw.rotations((1, 2, 4)),
    st.none(),
    st.booleans(),
    st.integers(),
)
EXAMPLES = st.builds(
    Example,
    config=OBJECTS,
    form=OBJECTS,
    inputs=st.dictionaries(st.text(max_size=5), INPUTS, max_size=3),
    weights=st.builds(Weights, seed=draw.seeds(), regime=st.sampled_from(["scaled", "small"])),
)

# Written by the first version of parity: what it means must never change.
OLD = {
    "config": {"rms_norm_eps": 1e-05, "width": 3},
    "form": {"batch": 1},
    "inputs": {
        "x": {"kind": "floats", "rows": "onehot", "scale": 0.03, "seed": 12345, "shape": [2, 3]},
        "both": [
            {"kind": "positions", "form": "packed", "seed": 3, "shape": [1, 6], "start": 5},
            {"kind": "padding", "seed": 3, "shape": [2, 4], "side": "left"},
        ],
        "ids": {"high": 100, "kind": "tokens", "same": False, "seed": 3, "shape": [4]},
    },
    "weights": {"regime": "small", "seed": 77},
}
X_THEN = [
    [-0.04271475225687027, 0.037911854684352875, -0.02611985243856907],
    [-0.007775197271257639, -0.0, -0.0],
]
IDS_THEN = [81, 8, 17, 23]
BOTH_THEN = [[[5, 5, 6, 7, 5, 6]], [[1, 1, 1, 1], [0, 0, 0, 1]]]


def token_of(node: Any) -> str:
    """Return the token that some JSON would have."""
    return base64.urlsafe_b64encode(json.dumps(node).encode()).decode().rstrip("=")


@given(EXAMPLES)
def test_token_round_trip(drawn: Example) -> None:
    """An example comes back from its token equal in every field, and has that token again."""
    again = Example.from_token(drawn.token)
    assert again == drawn
    assert again.token == drawn.token


@given(EXAMPLES)
def test_token_goes_through_a_shell(drawn: Example) -> None:
    """A token is one word, without characters that a shell or a file name would mind."""
    assert drawn.token.replace("-", "").replace("_", "").isalnum()


def test_token_does_not_depend_on_the_order_of_fields() -> None:
    """Two examples that are equal have one token."""
    a = Example({"x": 1, "y": 2}, {}, {})
    b = Example({"y": 2, "x": 1}, {}, {})
    assert a.token == b.token
    assert a.shape_key == b.shape_key


@given(st.text())
@example("")
@example("AXic")
@example("é")
@example("=====")
@example(token_of([]))
@example(token_of(None))
@example(token_of("text"))
@example(base64.urlsafe_b64encode(b"[" * 100_000).decode())
@example(base64.urlsafe_b64encode(b"\xff\xfe\n{").decode())
def test_garbage_is_no_token(text: str) -> None:
    """Whatever text is given for a token is refused in one line."""
    with pytest.raises(BadInput) as error:
        Example.from_token(text)
    assert str(error.value).startswith("--example is not a replay token: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["config", "form", "inputs", "weights"])
@pytest.mark.parametrize("wrong", [None, 3, "text", [1]], ids=["null", "number", "text", "list"])
def test_field_of_a_wrong_type_is_no_token(field: str, wrong: Any) -> None:
    """JSON that has all the fields, with something else in one of them, is refused as well."""
    with pytest.raises(BadInput, match="--example is not a replay token"):
        Example.from_token(token_of({**OLD, field: wrong}))


@pytest.mark.parametrize("field", ["config", "form", "inputs", "weights"])
def test_field_that_is_missing_is_named(field: str) -> None:
    """A token without one of its fields names that field."""
    with pytest.raises(BadInput) as error:
        Example.from_token(token_of({name: value for name, value in OLD.items() if name != field}))
    assert str(error.value) == f"--example is not a replay token: KeyError: '{field}'"


def test_kind_that_is_unknown_is_named() -> None:
    """A token with an input that no version knows says so."""
    with pytest.raises(BadInput, match="an example names an input of unknown kind 'noise'"):
        Example.from_token(token_of({**OLD, "inputs": {"x": {"kind": "noise", "shape": [2]}}}))


def test_old_token_means_what_it_meant() -> None:
    """A token written long ago still makes the very same numbers."""
    old = Example.from_token(token_of(OLD))
    assert old.weights == Weights(seed=77, regime="small")
    assert old.inputs["x"] == Floats(shape=(2, 3), seed=12345, scale=0.03, rows="onehot")
    assert old.inputs["both"] == (
        Positions(shape=(1, 6), seed=3, form="packed", start=5),
        Padding(shape=(2, 4), seed=3, side="left"),
    )
    x = values.arrays(old.inputs["x"], np.float32)
    assert x.tolist() == X_THEN
    assert values.arrays(old.inputs["ids"], np.float32).tolist() == IDS_THEN
    assert [array.tolist() for array in values.arrays(old.inputs["both"], np.float32)] == BOTH_THEN


def test_token_outlives_the_palettes(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every palette it was drawn from has changed, a token makes the same example and the same arrays."""

    def case(widths: tuple[int, ...]) -> Case:
        return parity.Case(
            name="toy/values",
            reference=lambda config: None,
            port=lambda config, dtype, rngs: None,
            configs=st.fixed_dictionaries({"width": draw.one_of(*widths)}),
            inputs=lambda config, form: st.fixed_dictionaries(
                {"x": draw.floats((2, config["width"]), scales=draw.SCALES, rows=draw.ROWS)}
            ),
        )

    before: list[Example] = []
    draw.run(draw.examples(case((3, 4, 5))), before.append, examples=30, seed=0)
    kept = {drawn.token: values.arrays(drawn.inputs["x"], np.float32) for drawn in before}

    monkeypatch.setattr(draw, "SCALES", (7.0,))
    monkeypatch.setattr(draw, "ROWS", ("same",))
    after: list[Example] = []
    draw.run(draw.examples(case((11,))), after.append, examples=30, seed=0)
    assert not kept.keys() & {drawn.token for drawn in after}
    for token, array in kept.items():
        again = Example.from_token(token)
        assert again.config["width"] in (3, 4, 5)
        assert np.array_equal(values.arrays(again.inputs["x"], np.float32), array)


def test_tokens_may_be_wrapped() -> None:
    """A token that a terminal has broken into lines is read all the same."""
    token = Example({"width": 3}, {}, {"ids": Tokens(shape=(2,), high=3)}).token
    assert Example.from_token(token[:20] + "\n  " + token[20:]).token == token


def test_port_name_and_rules() -> None:
    """A case's port is what stands before the slash; its rules may depend on the configuration."""
    fixed = parity.rules({"weight": parity.copy("scale")})
    fields: dict[str, Any] = {
        "name": "toy/one",
        "reference": lambda config: None,
        "port": lambda config, dtype, rngs: None,
        "configs": st.just({}),
        "inputs": lambda config, form: st.just({}),
    }
    assert parity.Case(**fields).port_name == "toy"
    assert parity.Case(**fields, weights=fixed).rules({}) is fixed
    by_config = parity.Case(**fields, weights=lambda config: fixed if config["fused"] else parity.rules({}))
    assert by_config.rules({"fused": True}) is fixed
    assert not by_config.rules({"fused": False}).table
