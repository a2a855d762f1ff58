"""What CI runs: the workflow and `.ci/run` parse, and every command in them is one that there is."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from parity.cli import entry

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "parity.yml"
GIVEN = {"$SEED": "7", "$found": "found.json", "$gguf": "x.gguf"}  # what a shell would put there


def workflow() -> Any:
    """The workflow as YAML has it."""
    return YAML(typ="safe").load(WORKFLOW.read_text())


def steps() -> list[Any]:
    """Every step of every job."""
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def scripts() -> list[str]:
    """Every text that a shell runs."""
    return [*(step["run"] for step in steps() if "run" in step), (ROOT / ".ci" / "run").read_text()]


def commands(name: str) -> Iterator[list[str]]:
    """The arguments of every call of a program, as a shell would hand them over."""
    for script in scripts():
        for line in script.splitlines():
            if line.strip().startswith(f"{name} "):
                yield [GIVEN.get(word, word) for word in shlex.split(line, comments=True)[1:]]


def test_permissions_and_versions() -> None:
    """Nothing may be written, and each action is pinned by its major version."""
    assert workflow()["permissions"] == {"contents": "read"}
    used = [step["uses"] for step in steps() if "uses" in step]
    assert len(used) >= 10
    assert [name for name in used if not re.fullmatch(r"actions/[a-z/-]+@v\d+", name)] == []


def test_each_night_looks_elsewhere() -> None:
    """Another seed each run, more examples, float16; what it finds comes with its replay command in the summary."""
    nightly = workflow()["jobs"]["nightly"]
    assert "schedule" in workflow()["on"]
    assert nightly["env"]["SEED"] == "${{ github.run_number }}"
    text = " ".join(step.get("run", "") for step in nightly["steps"])
    assert "--check float16" in text
    assert "--examples 1000" in text
    assert 'out/gate.md out/report.md out/float16.md >> "$GITHUB_STEP_SUMMARY"' in text


@pytest.mark.parametrize("number", range(len(scripts())))
def test_shell_can_read_it(number: int) -> None:
    """Expressions of the workflow language stand in no script: they would be text of somebody else's."""
    assert "${{" not in scripts()[number]
    done = subprocess.run(["bash", "-n"], input=scripts()[number], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", list(commands("parity")), ids=" ".join)
def test_command_is_one_that_there_is(arguments: list[str]) -> None:
    """Its name, its options and their values are taken; nothing is run."""
    group = typer.main.get_command(entry.app)
    name, *rest = arguments
    command = group.commands[name]  # type: ignore[attr-defined]
    with command.make_context(name, rest) as context:
        assert context.params


@pytest.mark.parametrize("name", ["pytest", "ruff", "pyright", "lint-imports"])
def test_tool_is_installed(name: str) -> None:
    """By the extra that CI installs."""
    assert list(commands(name)) or any(name in script.split() for script in scripts())
    assert (Path(sys.executable).parent / name).is_file()
