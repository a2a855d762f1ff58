"""The port on many virtual devices and on two hosts: a process has to ask for these before it imports jax."""

# Torch and transformers leave most of what is used here untyped.
# pyright: basic

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

from parity.tests import tiny

TESTS = Path(__file__).with_name("on_eight_devices.py")
ROOT = TESTS.parents[2]
LEAST = 24  # tests that must have been run: an empty file passes too
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # half the time to compile
HOST = """\
import json, sys
import jax, numpy as np
from jax.experimental.multihost_utils import process_allgather

address, rank, folder, to = sys.argv[1:]
jax.distributed.initialize(address, 2, int(rank))
from cases.llama.port import LlamaForCausalLM, batch_sharding, make_mesh

mesh = make_mesh(data=1, model=4)
llama = LlamaForCausalLM.from_pretrained(folder, mesh=mesh)
ids = jax.make_array_from_process_local_data(batch_sharding(mesh), np.arange(14).reshape(2, 7))
logits = process_allgather(jax.jit(lambda llama, ids: llama(ids).logits)(llama, ids), tiled=True)
llama.save_pretrained(to, max_shard_size="9KB")
print(json.dumps([len(jax.local_devices()), llama.lm_head.kernel.get_value().is_fully_addressable, logits.tolist()]))
"""


def environment(devices: int) -> dict[str, str]:
    """This one, of a process that sees so many devices of its own; no pytest is noticed in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    flags = f"{kept.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices} {QUICK}"
    return {**kept, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def test_the_port_runs_on_eight_devices() -> None:
    """Everything in the file next to this one passes."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment(8))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"^(\d+) passed[ ,]", done.stdout, re.MULTILINE)
    assert passed, done.stdout[-1000:]
    assert int(passed[1]) >= LEAST


def test_two_hosts_hold_one_checkpoint_between_them(tmp_path: Path) -> None:
    """Two devices each, and a model over all four: the logits of the reference, and one folder, written by the first.

    Every kernel lies on both, so that a tensor has to be sent over to be saved.
    """
    saved = tiny.save(tmp_path / "saved")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, address, str(rank), str(saved), str(tmp_path / "again")],
            stdout=(tmp_path / f"said.{rank}").open("w"),  # a pipe that nobody reads would stop the other host too
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment(2) | {"PYTHONPATH": str(ROOT)},
        )
        for rank in (0, 1)
    ]
    try:
        ended = [host.wait(timeout=240) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    said = [(tmp_path / f"said.{rank}").read_text() for rank in (0, 1)]
    assert ended == [0, 0], [text[-2000:] for text in said]
    (devices, here, logits), second = (json.loads(re.findall(r"^\[\d.*\]$", text, re.M)[-1]) for text in said)
    assert (devices, here) == (2, False)
    assert second[2] == logits
    theirs = transformers.LlamaForCausalLM.from_pretrained(saved)
    expected = theirs(torch.arange(14).reshape(2, 7)).logits.detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(again[name], x) for name, x in theirs.state_dict().items())
    assert not list(tmp_path.glob(".*"))
