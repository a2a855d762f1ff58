"""A port is shipped without parity: it runs where there is nothing but jax, flax, numpy and what these need."""

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from packaging.requirements import Requirement

from parity.tests import tiny

PORT = Path(__file__).parents[2] / "cases" / "llama" / "port"
SHIPPED_WITH = ("jax", "flax", "numpy")
RUN = """\
import importlib.util, json, sys
import jax.numpy as jnp
from flax import nnx
from shipped import LlamaConfig, LlamaForCausalLM

config = LlamaConfig.from_dict({
    "model_type": "llama", "vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
})
logits = LlamaForCausalLM(config, rngs=nnx.Rngs(0))(jnp.arange(14).reshape(2, 7)).logits
print(json.dumps({
    "shape": logits.shape,
    "finite": bool(jnp.isfinite(logits).all()),
    "spread": float(logits.std()),
    "found": [name for name in ("torch", "parity", "transformers", "hypothesis") if importlib.util.find_spec(name)],
    "prefix": sys.prefix,
}))
"""

READ = """\
import json, sys
import jax.numpy as jnp
from shipped import LlamaForCausalLM, generate

folder, back = sys.argv[1:]
loaded = LlamaForCausalLM.from_pretrained(folder)
loaded.save_pretrained(back, like=folder, max_shard_size="20KB")
again = LlamaForCausalLM.from_pretrained(back)
tokens = jnp.arange(14).reshape(2, 7)
print(json.dumps({
    "logits": again(tokens).logits.tolist(),
    "texts": generate(again, tokens, jnp.ones_like(tokens), max_new_tokens=9).sequences.tolist(),
    "imported": [name for name in ("torch", "parity", "transformers", "safetensors") if name in sys.modules],
}))
"""


def closure(names: tuple[str, ...]) -> dict[str, metadata.Distribution]:
    """These distributions and, by name, all that they ask for here without an extra."""
    found: dict[str, metadata.Distribution] = {}
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        for line in found[name].requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                left.append(needed.name.lower().replace("_", "-"))
    return found


def tops(distribution: metadata.Distribution) -> Iterator[Path]:
    """What a distribution has put right into site-packages."""
    first = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    return (Path(str(distribution.locate_file(name))) for name in sorted(first))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment with the port and what it is shipped with."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for distribution in closure(SHIPPED_WITH).values():
        for path in tops(distribution):
            if not (packages / path.name).exists():  # a namespace (`google`) of several
                (packages / path.name).symlink_to(path)
    (packages / "shipped").mkdir()
    for file in PORT.glob("*.py"):
        (packages / "shipped" / file.name).write_text(file.read_text())
    return folder / "bin" / "python"


def test_the_port_runs_without_torch_parity_and_transformers(alone: Path) -> None:
    """Copied to another name, and called on token ids: logits of the right shape, finite and not all alike."""
    done = subprocess.run([alone, "-I", "-c", RUN], capture_output=True, text=True, check=False, cwd=alone.parent)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["found"] == []
    assert said["prefix"] == str(alone.parents[1]) != sys.prefix
    assert (said["shape"], said["finite"]) == ([2, 7, 50], True)
    assert said["spread"] > 1e-3


def test_a_folder_is_read_and_written_without_torch(alone: Path, tmp_path: Path) -> None:
    """One that transformers saved, read, saved in shards and read again: logits and texts are those of transformers."""
    saved = tiny.save(tmp_path / "saved")
    command = [alone, "-I", "-c", READ, str(saved), str(tmp_path / "back")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=alone.parent)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["imported"] == []
    theirs: Any = transformers.LlamaForCausalLM
    model, tokens = theirs.from_pretrained(saved), torch.arange(14).reshape(2, 7)
    expected = model(tokens).logits.detach().numpy()
    texts = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=9, do_sample=False)
    assert said["texts"] == texts.tolist()
    np.testing.assert_allclose(said["logits"], expected, atol=1e-5 * np.abs(expected).max())
