"""Checkpoints that cannot be read, or do not fit: one error that names everything, before any tensor is read."""

# Torch and transformers leave most of what is used here untyped.
# pyright: basic

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cases.llama.port import BadCheckpoint, LlamaForCausalLM, LlamaModel
from cases.llama.port.tensors import INDEX, SINGLE
from parity.tests import tiny

HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"
UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in one file, its output layer not tied."""
    return tiny.save(tmp_path_factory.mktemp("refused") / "saved")


def test_everything_that_does_not_fit_is_named_at_once(saved: Path, tmp_path: Path) -> None:
    """Missing, extra and misshapen tensors in one error; a head's bias is extra where the head has none."""

    def change(tensors: dict[str, Any]) -> None:
        del tensors[UP], tensors["model.norm.weight"]
        tensors["model.layers.0.mlp.gate_proj.weight"] = tensors["model.layers.0.mlp.gate_proj.weight"].T.copy()
        tensors.update({"model.layers.2.x": np.zeros(3, "f4"), "lm_head.bias": np.zeros(260, "f4")})

    with pytest.raises(BadCheckpoint) as raised:
        LlamaForCausalLM.from_pretrained(tiny.copy(saved, tmp_path / "other", tensors=change))
    assert set(raised.value.problems) == {
        "`lm_head.bias` (260,) is extra",
        f"`{UP}` (40, 24) is missing",
        "`model.layers.0.mlp.gate_proj.weight` is (24, 40), the model's (40, 24)",
        "`model.layers.2.x` (3,) is extra",
        "`model.norm.weight` (24,) is missing",
    }
    assert str(raised.value).startswith(f"{tmp_path / 'other'}:\n  `")


def test_tied_tensors_that_differ_are_refused(tmp_path: Path) -> None:
    """An output layer one number away from the table, in the last row."""

    def change(tensors: dict[str, Any]) -> None:
        tensors[HEAD] = tensors[TABLE].copy()
        tensors[HEAD][-1, -1] += 1

    tied = tiny.save(tmp_path / "tied", tie_word_embeddings=True)
    with pytest.raises(BadCheckpoint, match=f"`{TABLE}` and `{HEAD}` differ, and the model ties them"):
        LlamaForCausalLM.from_pretrained(tiny.copy(tied, tmp_path / "other", tensors=change))


def _shorter(folder: Path) -> None:
    (folder / SINGLE).write_bytes((folder / SINGLE).read_bytes()[:-1])


def _pickled(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "pytorch_model.bin")


def _indexed(folder: Path, **places: str) -> None:
    (folder / SINGLE).rename(folder / "a.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


def _twice(folder: Path) -> None:
    _indexed(folder, one="a.safetensors", two="b.safetensors")
    shutil.copy(folder / "a.safetensors", folder / "b.safetensors")


def _whole_numbers(folder: Path) -> None:
    save_file({**load_file(folder / SINGLE), HEAD: np.zeros((260, 24), np.int8)}, folder / SINGLE)


def _overlapping(folder: Path) -> None:
    data = (folder / SINGLE).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[HEAD]["data_offsets"][1] += 4
    text = json.dumps(header).encode()
    (folder / SINGLE).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_shorter, r"model.safetensors:\n  truncated: `.*` ends at byte \d+ of \d+"),
        (lambda folder: (folder / SINGLE).write_bytes(b""), "truncated, or no safetensors file: 0 bytes"),
        (lambda folder: (folder / SINGLE).write_bytes(b"\x02" + 7 * b"\0" + b"[]"), "its header cannot be read"),
        (lambda folder: (folder / SINGLE).unlink(), f"neither {SINGLE} nor {INDEX} is there"),
        (_pickled, "pytorch_model.bin is pickled and never loaded"),
        (
            lambda folder: _indexed(folder, x="b.safetensors", y="c.safetensors"),
            r"b\.s.* is missing.*\n  c\.s.* is mis",
        ),
        (
            lambda folder: _indexed(folder, x="../a.safetensors"),
            r"'\.\./a\.safetensors', which is not a file of its own",
        ),
        (_twice, "is in two files: a.safetensors and b.safetensors"),
        (_whole_numbers, f"`{HEAD}` is I8: only F64, F32, F16, BF16 are read"),
        (_overlapping, rf"`{HEAD}` \(260, 24\) F32 does not take 24964 bytes"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is no JSON object: Expecting property"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json is no JSON object: 'list' object"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json is there: give a checkpoint's folder"),
    ],
)
def test_files_that_cannot_be_read_are_named(saved: Path, tmp_path: Path, spoil: Any, told: str) -> None:
    """One error each, that says which file and why."""
    spoil(shutil.copytree(saved, tmp_path / "spoilt") and tmp_path / "spoilt")
    with pytest.raises(BadCheckpoint, match=told):
        LlamaForCausalLM.from_pretrained(tmp_path / "spoilt")


@pytest.mark.parametrize("size", ["0", 0, "many", "5 parsecs", "-1GB"])
def test_a_shard_needs_a_size(saved: Path, tmp_path: Path, size: Any) -> None:
    """What is no number of bytes is refused before anything is written."""
    with pytest.raises(ValueError, match=r"max_shard_size = .*: give bytes above 0"):
        LlamaModel.from_pretrained(saved).save_pretrained(tmp_path / "ours", max_shard_size=size)
    assert not list(tmp_path.iterdir())
