"""The audit: what is caught, what survives and why, and what it says of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
import torch
from hypothesis import strategies as st

import parity
from parity.cli import main
from parity.draw import floats, one_of
from parity.measure import audit
from parity.measure.audited import Audit, Layer
from parity.measure.examples import Open, further_examples, spread
from parity.report import audit as report
from parity.session import Workspace
from parity.tests import gain, toy


def audited(*cases: parity.Case, examples: int = 6) -> Audit:
    workspace = Workspace(gain.registry(*cases), gain.tolerances())
    return audit.run(workspace, cases, examples=examples)


def layer(case: parity.Case) -> Layer:
    (found,) = audited(case).layers
    return found


def blind(**changes: Any) -> parity.Case:
    """A case whose inputs are so small that the bias hides what is done to them."""
    hidden = {
        "inputs": lambda config, form: st.fixed_dictionaries(
            {"x": floats((form["batch"], config["width"]), scales=(1e-14,), rows=("",))}
        )
    }
    return gain.case(**hidden, **changes)


def test_a_layer_with_good_examples_catches_everything() -> None:
    """Every operation and every parameter; nothing is late."""
    found = layer(gain.case())
    assert found.injected > 15
    assert (found.caught, found.late, found.survivors) == (found.injected, 0, ())
    assert (found.parameters, found.missed, found.score, found.trouble) == (2, (), 1.0, None)


def test_examples_that_hide_a_fault_leave_it_unresolved_with_its_place() -> None:
    """And so they do a parameter: the run has a finding."""
    found = audited(blind())
    (only,) = found.layers
    assert only.count("unresolved") > 5
    assert only.missed == ("scale",)
    assert only.score is not None
    assert only.score < 1
    survivor = next(survivor for survivor in only.survivors if survivor.primitive == "mul")
    assert survivor.where.endswith(f"gain.py:{line_of('return x * scale + bias')}")
    assert survivor.verdict == "unresolved"
    assert survivor.tried > 0
    assert found.exit_status == 1


def line_of(text: str) -> int:
    lines = Path(str(gain.__file__)).read_text().splitlines()
    return next(number + 1 for number, line in enumerate(lines) if text in line)


def test_a_case_can_explain_its_survivors_but_not_those_it_has_not() -> None:
    """Explained ones still count against the score; an explanation of nothing is a finding."""
    found = layer(blind(survivors={"gain.py: *": "too small to see", "gain.py: sin: *": "there is no sine"}))
    assert found.count("unresolved") == 0
    assert found.count("explained") > 5
    assert found.stale == ("gain.py: sin: *",)
    assert found.found
    assert found.score is not None
    assert found.score < 1


def test_faults_in_a_port_that_is_wrong_say_nothing() -> None:
    """A case that fails its exact check can't be audited: status 2, and why."""
    case = gain.case(weights=parity.rules({"weight": parity.copy("bias"), "bias": parity.copy("scale")}))
    found = audited(case)
    assert "the port fails its exact check" in str(found.layers[0].trouble)
    assert found.exit_status == 2


def test_a_port_that_raises_is_told_and_the_others_are_audited() -> None:
    """With the exception."""

    def broken(config: Any, dtype: Any, rngs: Any) -> Any:
        raise RuntimeError("no port")

    found = audited(gain.case(name="toy/broken", port=broken), gain.case())
    assert "RuntimeError: no port" in str(found.layers[0].trouble)
    assert found.layers[1].score == 1.0
    assert found.exit_status == 2


def test_examples_come_in_turns_one_of_each_shape() -> None:
    """The last drawn first: the first is the simplest, which shows least."""
    a, b = ({"width": 1}, {"width": 2})
    drawn = [parity.Example(config, {}, {"n": n}) for n, config in enumerate((a, a, a, b))]
    assert [example.inputs["n"] for example in spread(drawn)] == [2, 3, 1, 0]


def test_what_is_inside_a_loop_is_said_not_to_be_entered() -> None:
    """Its results get faults all the same."""

    def looped(config: Any, dtype: Any, rngs: Any) -> Any:
        return lambda x: jax.lax.fori_loop(0, 2, lambda _, y: y * 2.0, x)

    quadrupled = parity.Case(
        name="toy/loop",
        reference=lambda config: lambda x: x * 4.0,
        port=looped,
        configs=st.just({"width": 3}),
        inputs=lambda config, form: st.fixed_dictionaries({"x": floats((2, 3))}),
    )
    found = layer(quadrupled)
    assert (found.trouble, found.closed) == (None, 1)
    assert found.caught == found.injected > 0


def test_a_survivor_is_looked_for_in_configurations_like_those_it_stands_in() -> None:
    """They share what no other one has; what others have too plays no part."""

    def function(config: Any) -> Any:
        return jax.nn.relu if config["act"] == 9 else lambda x: x

    rare = parity.Case(
        name="toy/rare",
        reference=lambda config: torch.relu if config["act"] == 9 else lambda x: x,
        port=lambda config, dtype, rngs: function(config),
        configs=st.fixed_dictionaries({"act": one_of(*range(10)), "bias": st.booleans()}),
        inputs=lambda config, form: st.fixed_dictionaries(
            {"x": floats((2, 3), scales=(1.0,) if config["bias"] else (1e-14,))}
        ),
        pool=1,
    )
    met = Open(within=[{"act": 9, "bias": True}], without=[{"act": n, "bias": True} for n in range(9)])
    subject = gain.runner(rare).subject(rare)
    configs = [example.config for example in further_examples(gain.runner(rare), subject, [met])]
    assert {"act": 9, "bias": False} in configs


def test_one_seed_gives_one_audit() -> None:
    """But for its seconds."""
    first, second = (layer(blind()).model_copy(update={"seconds": 0.0}) for _ in range(2))
    assert first == second


def test_the_report_names_every_survivor_and_fits_80_columns() -> None:
    """Layer by layer, then survivors by line with what is known of them."""
    found = audited(blind(survivors={"gain.py: *": "too small to see"}))
    text = report.render(found)
    assert text.splitlines()[0].split() == [
        "layer", "faults", "caught", "late", "equiv", "expl", "unres", "score", "params", "s",
    ]  # fmt: skip
    assert "\ntoy/gain, explained:\n" in text
    assert "too small to see" in text
    assert "no example shows parameter `scale` perturbed" in text
    assert "SURVIVORS" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_json_has_a_schema_and_comes_back() -> None:
    """Keys as in the schema."""
    found = audited(gain.case())
    text = report.to_json(found)
    assert json.loads(text)["schema"] == 1
    assert Audit.model_validate_json(text) == found


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("COLUMNS", "80")
    folder = toy.write(tmp_path / "root")
    monkeypatch.chdir(folder)
    with toy.imports():
        yield folder


def test_the_command_audits_a_port(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0, a line a layer and one for all; the JSON is written."""
    assert main(["audit", "toy", "--examples", "4", "--json", "audit.json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out[1:4]] == ["toy/scale", "toy/pair", "all"]
    scale, pair = json.loads((root / "audit.json").read_text())["layers"]
    assert (scale["case"], scale["elsewhere"]) == ("toy/scale", {})
    assert (pair["case"], pair["elsewhere"]) == ("toy/pair", {"toy/scale": 2})
    assert scale["injected"] > 3


@pytest.mark.parametrize(("selection", "told"), [("toy", "toy/scale (2)"), ("pair", "toy/scale (2, not in this run)")])
def test_what_stands_in_a_part_is_injected_there_and_counted_above(
    root: Path, capsys: pytest.CaptureFixture[str], selection: str, told: str
) -> None:
    """Both layers of the pair come by one way to one product and one broadcast; its parameters are perturbed in it."""
    assert main(["audit", selection, "--examples", "4"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "toy/pair 0 0 0 0 0 0 - 2/2" in out
    assert f"toy/pair: operations that get their faults in the part they stand in: {told}" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("audit sclae", "unknown case 'sclae'; did you mean 'scale' or 'toy/scale'?"),
        ("audit --examples 0", "Invalid value for '--examples': "),
        ("audit --json missing/audit.json", "missing/audit.json: there is no folder missing"),
    ],
    ids=["name", "zero", "folder"],
)
def test_wrong_use_is_one_line_and_status_2(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: str, told: str
) -> None:
    """On stderr."""
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"parity: error: {told}")
    assert captured.err.count("\n") == 1


def test_a_constant_of_one_element_is_a_number_too() -> None:
    """Whatever its shape: hostile inputs lie beside it."""

    def reference(x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.isin(x, torch.tensor([3.0], dtype=x.dtype)), 0.0, x)

    def port(x: jax.Array) -> jax.Array:
        return jax.numpy.where(jax.numpy.isin(x, jax.numpy.array([3.0], x.dtype)), 0.0, x)

    case = parity.Case(
        name="tiny/chosen",
        reference=lambda config: reference,
        port=lambda config, dtype, rngs: port,
        configs=st.just({}),
        inputs=lambda config, form: st.fixed_dictionaries({"x": floats((3, 4))}),
    )
    assert layer(case).trouble is None
