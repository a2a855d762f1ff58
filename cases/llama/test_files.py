"""Checkpoints in and out of the port: through transformers bit for bit, under every name, refused in one message."""

# Torch and transformers leave most of what is used here untyped.
# pyright: basic

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from flax import nnx
from hypothesis import given, settings
from safetensors.numpy import load_file, save_file

import parity
from cases.llama.palettes import Config, configs, port_config, reference_config
from cases.llama.port import (
    BadCheckpoint,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForQuestionAnswering,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    LlamaModel,
    tensors,
)
from cases.llama.port import load as loading
from cases.llama.port import names as names_of
from cases.llama.port import save as saving
from cases.llama.port.config_json import merged
from cases.llama.port.load import parameters
from cases.llama.port.tensors import INDEX, SINGLE, write
from parity.checks.subject import Subject
from parity.registry import discover
from parity.tests import tiny

ROOT = Path(__file__).parents[2]
HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"
UP = "model.layers.1.mlp.up_proj.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in one file, its output layer not tied."""
    return tiny.save(tmp_path_factory.mktemp("files") / "saved")


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose token table is the output layer."""
    return tiny.save(tmp_path_factory.mktemp("files") / "tied", tie_word_embeddings=True)


def read(folder: Path, kind: Any = transformers.LlamaForCausalLM, **options: Any) -> Tensors:
    """What transformers loads, all of which must have been there."""
    model, info = kind.from_pretrained(folder, output_loading_info=True, **options)
    assert not any(info.values()), info
    return dict(model.state_dict())


def assert_same(got: Tensors, expected: Tensors) -> None:
    """The same names, dtypes and bits."""
    assert got.keys() == expected.keys()
    for name, x in expected.items():
        assert got[name].dtype == x.dtype, name
        assert torch.equal(got[name].view(torch.uint8), x.view(torch.uint8)), name


def assert_round_trip(folder: Path, space: Path) -> None:
    """A checkpoint in one file goes to where the rules of its case say, and comes back bit for bit."""
    registry, config = discover(ROOT), json.loads((folder / "config.json").read_text())
    plan = Subject(registry, registry["llama/causal_lm"]).plan(registry.suites["llama"].config(config))
    before = load_file(folder / SINGLE)
    expected = dict(plan.forward(lambda name: before[name]))
    ours = LlamaForCausalLM.from_pretrained(folder)
    got = {path: np.asarray(x.get_value()) for path, x in parameters(ours).items()}
    assert got.keys() == expected.keys()
    for path, x in expected.items():
        np.testing.assert_array_equal(got[path], x, err_msg=path, strict=True)
    ours.save_pretrained(space / "ours")
    assert_same(read(space / "ours"), read(folder))


def edited(folder: Path, to: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy with other tensors."""
    return tiny.copy(folder, to, tensors=change)


def renamed(prefix: str, to: str) -> Callable[[dict[str, Any]], Any]:
    """A change of what names begin with."""

    def change(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.startswith(prefix)]:
            tensors[to + name.removeprefix(prefix)] = tensors.pop(name)

    return change


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("tie", [False, True], ids=["apart", "tied"])
@pytest.mark.parametrize("shards", ["1GB", "9KB"])
def test_there_and_back_through_transformers(tmp_path: Path, dtype: str, tie: bool, shards: str) -> None:
    """What transformers saved, the port loads and saves, and transformers loads again bit for bit."""
    first = tiny.save(tmp_path / "first", tie_word_embeddings=tie, attention_bias=True, mlp_bias=True)
    half = transformers.LlamaForCausalLM.from_pretrained(first, dtype=getattr(torch, dtype))
    half.save_pretrained(tmp_path / "theirs", max_shard_size=shards)
    ours = LlamaForCausalLM.from_pretrained(tmp_path / "theirs")
    assert {str(x.dtype) for x in parameters(ours).values()} == {dtype}
    ours.save_pretrained(tmp_path / "ours", max_shard_size=shards)
    assert (tmp_path / "ours" / INDEX).is_file() == (shards == "9KB")
    assert_same(read(tmp_path / "ours"), dict(half.state_dict()))


def test_every_tensor_goes_where_the_weight_rules_say(saved: Path, tmp_path: Path) -> None:
    """The port's own map, against the rules that every check of the whole is made with."""
    assert_round_trip(tiny.save(tmp_path / "all", attention_bias=True, mlp_bias=True), tmp_path)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_parameters_are_cast_as_the_reference_casts_them(saved: Path, tmp_path: Path, dtype: str) -> None:
    """Asked for another dtype, both round the same numbers alike."""
    ours = LlamaForCausalLM.from_pretrained(saved, dtype=jnp.dtype(dtype))
    ours.save_pretrained(tmp_path / "ours")
    assert_same(read(tmp_path / "ours"), read(saved, dtype=getattr(torch, dtype)))


def test_computations_may_have_another_dtype_than_parameters(saved: Path) -> None:
    """`dtype` is that of computations, `param_dtype` that of parameters."""
    ours = LlamaForCausalLM.from_pretrained(saved, dtype=jnp.bfloat16, param_dtype=jnp.float32)
    assert {str(x.dtype) for x in parameters(ours).values()} == {"float32"}
    assert ours(jnp.zeros((1, 3), int)).logits.dtype == jnp.bfloat16


def test_a_bare_backbone_is_written_as_the_reference_has_it(saved: Path, tmp_path: Path) -> None:
    """The backbone of a checkpoint with a head, saved: no prefix, no head, and transformers misses nothing."""
    LlamaModel.from_pretrained(saved).save_pretrained(tmp_path / "bare")
    whole = read(saved)
    bare = read(tmp_path / "bare", transformers.LlamaModel)
    assert_same({f"model.{name}": x for name, x in bare.items()}, {k: x for k, x in whole.items() if k != HEAD})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (renamed("model.", ""), "saved without a head"),
        (renamed("model.", "transformer."), "saved by question answering"),
        (lambda x: x.update({HEAD: x[TABLE].copy()}), "an output layer equal to the table"),
        (lambda x: x.update({HEAD: x.pop(TABLE)}), "an output layer instead of the table"),
        (lambda x: x.update({"score.weight": x[TABLE][:2]}), "another class's head"),
        (lambda x: x.update({"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(3, "f4")}), "an old buffer"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_other_names_are_the_same_checkpoint(tied: Path, tmp_path: Path, change: Any, why: str) -> None:
    """Whatever a checkpoint calls the same tensors, and whatever else it holds that the class does not have."""
    ours = LlamaForCausalLM.from_pretrained(edited(tied, tmp_path / "other", change))
    ours.save_pretrained(tmp_path / "ours")
    assert_same(read(tmp_path / "ours"), read(tied))


def test_a_gguf_file_becomes_a_folder(tmp_path: Path) -> None:
    """As the README says, by transformers: it refuses to save what it still takes for quantised."""
    first = tiny.save(tmp_path / "first")
    tiny.save_gguf(first, tmp_path / "first.gguf")
    llama: Any = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="first.gguf", dtype="float32")
    llama.hf_quantizer = None
    del llama.config.quantization_config
    llama.save_pretrained(tmp_path / "folder")
    LlamaForCausalLM.from_pretrained(tmp_path / "folder").save_pretrained(tmp_path / "ours")
    assert_same(read(tmp_path / "ours"), read(first))


HEADS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LlamaForSequenceClassification": (LlamaForSequenceClassification, {"num_labels": 5}),
    "LlamaForTokenClassification": (LlamaForTokenClassification, {"num_labels": 3}),
    "LlamaForQuestionAnswering": (LlamaForQuestionAnswering, {}),
}


@pytest.mark.parametrize("name", HEADS)
def test_every_head_goes_there_and_back(saved: Path, tmp_path: Path, name: str) -> None:
    """Its tensors and its labels, through transformers; and a head that is not there yet is as wide as asked for."""
    (ours, fields), theirs = HEADS[name], getattr(transformers, name)
    before = theirs(transformers.LlamaConfig(**tiny.CONFIG, **fields))
    before.save_pretrained(tmp_path / "theirs")
    ours.from_pretrained(tmp_path / "theirs").save_pretrained(tmp_path / "ours")
    assert_same(read(tmp_path / "ours", theirs), dict(before.state_dict()))
    assert transformers.AutoConfig.from_pretrained(tmp_path / "ours").num_labels == before.config.num_labels
    config = dataclasses.replace(LlamaConfig.from_json(saved), num_labels=7)
    fresh = ours.from_pretrained(saved, config=config, rngs=nnx.Rngs(0))
    fresh.save_pretrained(tmp_path / "fresh", like=tmp_path / "theirs")
    assert LlamaConfig.from_json(tmp_path / "fresh") == config
    assert transformers.AutoConfig.from_pretrained(tmp_path / "fresh").num_labels == 7
    table = read(tmp_path / "fresh", theirs)[f"{theirs.base_model_prefix}.embed_tokens.weight"]
    assert torch.equal(table, read(saved)[TABLE])


def test_a_missing_head_is_drawn_when_asked_for(saved: Path, tmp_path: Path) -> None:
    """The backbone's parameters are the checkpoint's, the head's are new, and as wide as the configuration says."""
    LlamaModel.from_pretrained(saved).save_pretrained(tmp_path / "bare")
    with pytest.raises(BadCheckpoint, match=r"`lm_head.weight` \(260, 24\) is missing"):
        LlamaForCausalLM.from_pretrained(tmp_path / "bare")
    ours = LlamaForCausalLM.from_pretrained(tmp_path / "bare", rngs=nnx.Rngs(3))
    again = LlamaForCausalLM.from_pretrained(tmp_path / "bare", rngs=nnx.Rngs(3))
    np.testing.assert_array_equal(ours.lm_head.kernel[...], again.lm_head.kernel[...])
    np.testing.assert_allclose(np.std(ours.lm_head.kernel[...]), 0.02, rtol=0.1)
    old = LlamaForCausalLM.from_pretrained(saved)
    np.testing.assert_array_equal(ours.model.norm.scale[...], old.model.norm.scale[...])


def test_everything_that_does_not_fit_is_named_at_once(saved: Path, tmp_path: Path) -> None:
    """Missing, extra and misshapen tensors in one error; a head's bias is extra where the head has none."""

    def change(tensors: dict[str, Any]) -> None:
        del tensors[UP], tensors["model.norm.weight"]
        tensors["model.layers.0.mlp.gate_proj.weight"] = tensors["model.layers.0.mlp.gate_proj.weight"].T.copy()
        tensors.update({"model.layers.2.x": np.zeros(3, "f4"), "lm_head.bias": np.zeros(260, "f4")})

    with pytest.raises(BadCheckpoint) as raised:
        LlamaForCausalLM.from_pretrained(edited(saved, tmp_path / "other", change))
    assert set(raised.value.problems) == {
        "`lm_head.bias` (260,) is extra",
        f"`{UP}` (40, 24) is missing",
        "`model.layers.0.mlp.gate_proj.weight` is (24, 40), the model's (40, 24)",
        "`model.layers.2.x` (3,) is extra",
        "`model.norm.weight` (24,) is missing",
    }
    assert str(raised.value).startswith(f"{tmp_path / 'other'}:\n  `")


def test_tied_tensors_that_differ_are_refused(tied: Path, tmp_path: Path) -> None:
    """An output layer one number away from the table, in the last row."""

    def change(tensors: dict[str, Any]) -> None:
        tensors[HEAD] = tensors[TABLE].copy()
        tensors[HEAD][-1, -1] += 1

    with pytest.raises(BadCheckpoint, match=f"`{TABLE}` and `{HEAD}` differ, and the model ties them"):
        LlamaForCausalLM.from_pretrained(edited(tied, tmp_path / "other", change))


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


def test_what_the_port_does_not_read_is_kept(saved: Path, tmp_path: Path) -> None:
    """Of the folder it came from: generation configuration, tokenizer and other fields, under the port's own."""
    like = tiny.copy(saved, tmp_path / "like", finetuning_task="prose", torch_dtype="float16", rope_theta=7.0)
    ours = LlamaForCausalLM.from_pretrained(saved)
    ours.save_pretrained(tmp_path / "ours", like=like)
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert (config["finetuning_task"], config["architectures"]) == ("prose", ["LlamaForCausalLM"])
    assert (config["dtype"], config["rope_parameters"]["rope_theta"]) == ("float32", 500.0)
    assert not {"torch_dtype", "rope_theta"} & config.keys()
    for name in ("generation_config.json", "tokenizer.json"):
        assert (tmp_path / "ours" / name).read_bytes() == (like / name).read_bytes()


def test_weights_from_before_are_replaced(saved: Path, tmp_path: Path) -> None:
    """A folder with one file becomes one with shards, and the other way round; other files stay."""
    folder = shutil.copytree(saved, tmp_path / "again")
    ours = LlamaForCausalLM.from_pretrained(saved)
    for size, single in ((9000, False), (10**9, True)):
        ours.save_pretrained(folder, max_shard_size=size)
        assert ((folder / SINGLE).is_file(), (folder / INDEX).is_file()) == (single, not single)
        assert_same(read(folder), read(saved))
    assert not list(folder.glob("model-*"))
    assert (folder / "tokenizer.json").is_file()


def test_a_save_that_breaks_off_changes_nothing(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the second shard: the old checkpoint is whole, and nothing else is left beside it."""
    folder = shutil.copytree(saved, tmp_path / "again")
    ours = LlamaModel.from_pretrained(saved)

    def full(file: Path, sources: Any) -> None:
        if "00002" in file.name:
            raise OSError("No space left on device")
        write(file, sources)

    monkeypatch.setattr(saving, "write", full)
    with pytest.raises(OSError, match="No space left"):
        ours.save_pretrained(folder, max_shard_size="9KB")
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    assert_same(read(folder), read(saved))


@pytest.mark.parametrize("size", ["0", 0, "many", "5 parsecs", "-1GB"])
def test_a_shard_needs_a_size(saved: Path, tmp_path: Path, size: Any) -> None:
    """What is no number of bytes is refused before anything is written."""
    with pytest.raises(ValueError, match=r"max_shard_size = .*: give bytes above 0"):
        LlamaModel.from_pretrained(saved).save_pretrained(tmp_path / "ours", max_shard_size=size)
    assert not list(tmp_path.iterdir())


@given(configs(layers=(1, 3), activations=("silu", "relu")))
@settings(max_examples=60)
def test_a_configuration_comes_back(config: Config) -> None:
    """Written and read, it is the same to the port, and both rotary tables of the reference are the same."""
    ours = port_config(config)
    written = json.loads(json.dumps(merged(ours, config)))
    assert LlamaConfig.from_dict(written) == ours
    before, after = reference_config(config), reference_config(written)
    assert (before.rope_parameters or {}).items() >= (after.rope_parameters or {}).items()
    for name in ("head_dim", "num_key_value_heads", "max_position_embeddings", "hidden_act", "tie_word_embeddings"):
        assert getattr(before, name) == getattr(after, name)


FAULTS = {
    "kernel_reshaped": parity.edit(
        loading._array, ("tensor.mapped().T if", "tensor.mapped().reshape(tensor.shape[::-1]) if")
    ),
    "square_kernel_not_turned": parity.edit(
        names_of.stored, ("return Stored(", "transposed &= '.o_proj' not in path; return Stored(")
    ),
    "read_through_half": parity.edit(loading._array, ("jnp.dtype(dtype), order", "jnp.bfloat16, order")),
    "first_layer_for_all": parity.edit(
        names_of.match, ("found[name] for path", "found[name.replace('.1.', '.0.')] for path")
    ),
    "offsets_ignored": parity.edit(tensors._tensor, ("Tensor(file, begin + start,", "Tensor(file, begin,")),
    "saved_in_the_order_of_its_memory": parity.edit(saving._source, ("x.T if", "x.reshape(x.shape[::-1]) if")),
    "saved_once_for_a_shape": parity.edit(
        tensors.write,
        (
            "_write(stream, name, source)",
            "_write(stream, name, next(x for x in sources.values() if x.shape == source.shape))",
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_port_that_misreads_is_found(saved: Path, tmp_path: Path, fault: str) -> None:
    """A deliberate bug in the port's own source: the comparison runs to its end and fails."""
    patch = FAULTS[fault].patch
    assert patch is not None
    with patch(), pytest.raises(AssertionError):
        assert_round_trip(saved, tmp_path)
