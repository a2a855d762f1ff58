"""The port on eight virtual devices, which a process has to ask for before it imports jax: so it is another one."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).with_name("on_eight_devices.py")
LEAST = 22  # tests that must have been run: an empty file passes too


def test_the_port_runs_on_eight_devices() -> None:
    """Everything in the file next to this one passes."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(TESTS)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS.parents[2],
        env={**environment, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    assert passed, done.stdout[-1000:]
    assert int(passed[1]) >= LEAST
