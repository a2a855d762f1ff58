"""`sharded`: a case that says how it lies on a mesh is held against the reference there."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import parity
from parity.draw import one_of
from parity.port import ask_for_devices
from parity.run import check_ids
from parity.tests import gain

ROOT = Path(__file__).parents[2]


def split(module: Any, inputs: Any) -> Any:
    """Rows over two devices, columns over three, where there are as many."""
    rows, columns = inputs["x"].shape
    if rows % 2 or columns % 3:
        return None
    mesh = Mesh(np.array(jax.devices()[:6]).reshape(2, 3), ("rows", "columns"), axis_types=(AxisType.Auto,) * 2)
    lies = {"scale": NamedSharding(mesh, PartitionSpec("columns"))}
    return lies, {"x": NamedSharding(mesh, PartitionSpec("rows", "columns"))}


def misspelt(module: Any, inputs: Any) -> Any:
    """A layout of a parameter that there is not."""
    found = split(module, inputs)
    return found and ({"gain": found[0]["scale"]}, found[1])


def case(layouts: Any, **changes: Any) -> parity.Case:
    """The layer, of widths and with rows that some layout fits."""
    widths = st.fixed_dictionaries({"width": one_of(3, 6, 1)})
    rows = st.fixed_dictionaries({"batch": one_of(2, 4)})
    return gain.case(layouts=layouts, configs=widths, forms=lambda config: rows, **changes)


CASES = {
    "right": case({"split": split}),
    "a term for every device": case(
        {"split": split},
        faults={"each": parity.edit(gain.gained, ("x * scale + bias", "x * scale + bias * len(jax.devices())"))},
    ),
    "never fits": case({"split": split, "other": lambda module, inputs: None}),
    "misspelt": case({"misspelt": misspelt}),
}


def judged() -> dict[str, Any]:
    """Every case's status and message; for a process of its own."""
    ask_for_devices()
    results = {name: gain.run(case, "sharded", within=next(iter(case.faults), None)) for name, case in CASES.items()}
    return {name: (result.status, result.message or "") for name, result in results.items()}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What a process with eight devices comes to."""
    script = "import json; from parity.tests.test_checks_sharded import judged; print(json.dumps(judged()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_right_port_passes(found: dict[str, Any]) -> None:
    """Outputs and gradient, on six devices."""
    assert found["right"] == ["passed", ""]


def test_what_depends_on_the_devices_is_found(found: dict[str, Any]) -> None:
    """The layout is named, and the element with both values."""
    status, message = found["a term for every device"]
    assert status == "failed"
    assert "outputs laid out as `split` differs: `output` at (" in message


def test_a_layout_that_never_fits_is_a_finding(found: dict[str, Any]) -> None:
    """What was not looked at must not look like a pass."""
    assert found["never fits"][0] == "failed"
    assert "no example fits the layout other" in found["never fits"][1]


def test_a_layout_of_nothing_is_an_error(found: dict[str, Any]) -> None:
    """A parameter that the port does not have is named."""
    assert found["misspelt"][0] in ("error", "failed")
    assert "the layout places gain, which there is not" in found["misspelt"][1]


def test_it_runs_only_where_it_is_asked_for() -> None:
    """And only of a case that has a layout."""
    assert "sharded" not in check_ids(gain.case())
    assert "sharded" in check_ids(CASES["right"])
    assert "sharded" not in check_ids(CASES["right"], deep=False)


def test_a_process_with_one_device_says_so() -> None:
    """JAX has counted its devices already, in this one."""
    assert len(jax.devices()) == 1
    ask_for_devices()
    result = gain.run(CASES["right"], "sharded")
    assert result.status == "error"
    assert "`sharded` needs 8 devices, and JAX has started with 1" in (result.message or "")
