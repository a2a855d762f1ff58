"""A tiny checkpoint of Llama as transformers saves one, the same as a GGUF file, and the command line run on it."""

# Torch, transformers, tokenizers and gguf leave most of what is used here untyped.
# pyright: basic

import contextlib
import dataclasses
import importlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from cases.llama.text import TEXT
from parity.case import Weights
from parity.checkpoint import SINGLE
from parity.cli import main
from parity.reference import one_thread, parameters
from parity.weights import Leaf

ROOT = Path(__file__).parents[2]
SHORT = TEXT[:310]  # one token a character, and 300 are needed
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
CONFIG: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    "tie_word_embeddings": False,
}
GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a run of the command line came to."""

    status: int
    out: str
    err: str


def check(path: Path, *options: str, text: bool = False, steps: int = 3) -> Ran:
    """Run `parity check llama --checkpoint PATH` in the root, with few greedy steps, on a short text or a given one."""
    arguments = ["check", "llama", "--checkpoint", str(path), *options]
    if not text:
        (path.parent / "short.txt").write_text(SHORT)
        arguments += ["--text", str(path.parent / "short.txt")]
    return call(*arguments, steps=steps)


def call(*arguments: str, steps: int = 3, root: Path = ROOT) -> Ran:
    """Run the command line in a root; in one thread, since two cost ten times as much on tensors of this size."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(root)
        patch.setenv("COLUMNS", "120")
        patch.setattr(importlib.import_module("parity.real.run"), "STEPS", steps)
        for context in (one_thread(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)):
            stack.enter_context(context)
        status = main(arguments)
    return Ran(status, out.getvalue(), err.getvalue())


def save(folder: Path, *, shards: str = "1GB", **config: Any) -> Path:
    """Save a checkpoint with random weights, its norms far from 1, and a tokenizer of one token a byte."""
    whole = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**CONFIG, **config}))
    leaves = {name: Leaf(tuple(x.shape), "float32") for name, x in whole.named_parameters()}
    drawn = parameters(leaves, Weights())
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            parameter.copy_(torch.from_numpy(drawn[name]))
    whole.save_pretrained(folder, max_shard_size=shards)
    tokenizer = Tokenizer(models.BPE({byte: number for number, byte in enumerate(BYTES)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def copy(folder: Path, to: Path, *, tensors: Callable[[dict[str, Array]], Any] | None = None, **config: Any) -> Path:
    """Copy a checkpoint of one file, with its tensors changed in place or fields of its configuration exchanged."""
    shutil.copytree(folder, to)
    if tensors:
        changed = load_file(to / SINGLE)
        tensors(changed)
        save_file(changed, to / SINGLE)
    if config:
        fields = json.loads((to / "config.json").read_text())
        (to / "config.json").write_text(json.dumps({**fields, **config}))
    return to


def save_gguf(folder: Path, path: Path, *, architecture: str = "llama", without: str = "", merge: str = "Ġ t") -> Path:
    """Write a checkpoint of one file as GGUF: other names, and heads whose pairs of numbers stand side by side."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(CONFIG["max_position_embeddings"])
    writer.add_embedding_length(CONFIG["hidden_size"])
    writer.add_block_count(CONFIG["num_hidden_layers"])
    writer.add_feed_forward_length(CONFIG["intermediate_size"])
    writer.add_head_count(CONFIG["num_attention_heads"])
    writer.add_head_count_kv(CONFIG["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_rope_freq_base(CONFIG["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(CONFIG["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*BYTES, "<a>", "<b>", "<c>", "Ġt"])
    writer.add_token_types([1] * CONFIG["vocab_size"])
    writer.add_token_merges([merge])
    for name, x in load_file(folder / SINGLE).items():
        if (renamed := _in_gguf(name)) != without:
            writer.add_tensor(renamed, _paired(name, x))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _in_gguf(name: str) -> str:
    stem = name.removesuffix(".weight")
    if not stem.startswith("model.layers."):
        return f"{GGUF_NAMES[stem]}.weight"
    _, _, number, rest = stem.split(".", 3)
    return f"blk.{number}.{GGUF_NAMES[rest]}.weight"


def _paired(name: str, x: Array) -> Array:
    """Queries and keys in the order of llama.cpp: number i of a head's first half, then number i of its second."""
    fields = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    field = fields.get(name.split(".")[-2])
    if field is None:
        return x
    heads = x.reshape(CONFIG[field], 2, -1, x.shape[-1])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(x.shape)
