"""Workers: verdicts don't depend on how many there are, and one that dies takes only its check along."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import pytest

from parity import workers
from parity.port import cache
from parity.tests import toy

MAIN = "import sys; from parity.cli import main; sys.exit(main())"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


def started(root: Path, *options: str) -> subprocess.Popen[str]:
    """`parity check` in a process of its own, which is not forked from one that has started JAX.

    It heeds Ctrl-C also where the tests run in a shell's background, which ignores it.
    """
    command = [sys.executable, "-c", MAIN, "check", "--examples", "6", *options]
    place = {**os.environ, "PARITY_CACHE": str(root / "cache")}
    kinds: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": _heed_interrupts}
    return subprocess.Popen(command, cwd=root, env=place, text=True, start_new_session=True, **kinds)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def checked(root: Path, *options: str) -> tuple[int, dict[str, Any]]:
    process = started(root, "--json", "-", *options)
    out, err = process.communicate(timeout=200)
    assert out, err
    return process.returncode, json.loads(out)


def untimed(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**result, "seconds": 0} for result in found["results"]]


def test_two_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    """Examples, shares, messages, order, what rests on what, and the canary."""
    root = toy.write(tmp_path / "root", wrong=True)
    (status, alone), (other, together) = checked(root, "--jobs", "1"), checked(root, "--jobs", "2")
    assert (status, other) == (1, 1)
    assert untimed(together) == untimed(alone)
    assert [together[name] for name in ("summary", "canary", "not_checked")] == [
        alone[name] for name in ("summary", "canary", "not_checked")
    ]


def test_a_worker_that_dies_is_an_error_of_its_check_and_of_nothing_else(tmp_path: Path) -> None:
    """Whatever ends it; another one goes on with the rest of the case."""
    root = toy.write(tmp_path / "root")
    port = root / "cases" / "toy" / "port.py"
    port.write_text(port.read_text().replace("return self.b(self.a(x))", "import os; os._exit(7)"))
    status, found = checked(root, "--jobs", "2")
    assert status == 2
    by_case = {name: [r for r in found["results"] if r["case"] == name] for name in ("toy/scale", "toy/pair")}
    assert {result["status"] for result in by_case["toy/scale"]} == {"passed"}
    died = [result for result in by_case["toy/pair"] if result["status"] == "error"]
    assert len(died) >= 5
    assert {result["message"] for result in died} == {"the process that ran it ended with status 7"}


def test_an_interrupt_ends_all_workers_and_tells_what_there_is(tmp_path: Path) -> None:
    """One Ctrl-C goes to the whole group of processes, as from a terminal."""
    root = toy.write(tmp_path / "root")
    port = root / "cases" / "toy" / "port.py"
    port.write_text(port.read_text().replace("return self.b(self.a(x))", "import time; time.sleep(60)"))
    process = started(root, "--jobs", "2")
    for _ in range(6):  # one that comes at an unlucky moment of an import is lost, as anywhere in Python
        time.sleep(12)
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
            break
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in out
    assert "Traceback" not in out + err


def test_a_process_that_has_started_jax_is_not_forked() -> None:
    """Its threads would be missing in the fork, which would wait for them for ever."""
    assert jax.devices()
    assert cache.started()
    assert not workers.possible()
