"""A checkpoint in one GGUF file: read as the folder is, and a broken one is told before anything is made of it."""

from pathlib import Path

import pytest

from parity.reference.gguf import open_gguf
from parity.tests import tiny

NAMES = ("llama", "LlamaForCausalLM")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint as a folder, to write files from."""
    return tiny.save(tmp_path_factory.mktemp("real") / "saved")


@pytest.fixture(scope="module")
def file(saved: Path) -> Path:
    """The same as a GGUF file."""
    return tiny.save_gguf(saved, saved.parent / "tiny.gguf")


def refused(ran: tiny.Ran, told: str, report: Path) -> None:
    """Hold a run against what all of these have in common."""
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"parity: error: {told}")
    assert ran.err.count("\n") == 1
    assert not report.exists()


def test_a_file_is_the_same_checkpoint_as_the_folder(saved: Path, file: Path) -> None:
    """Tensor by tensor, once heads are back in the order of torch, and field by field where both say it."""
    from parity.checkpoint import open_folder

    ours, theirs = open_gguf(file, NAMES), open_folder(saved)
    assert {name: leaf.shape for name, leaf in ours.leaves.items()} == {
        name: leaf.shape for name, leaf in theirs.leaves.items()
    }
    assert [name for name in theirs.leaves if (ours.read(name) != theirs.read(name)).any()] == []
    for field in tiny.CONFIG.keys() - {"rope_parameters", "rms_norm_eps"}:
        assert ours.config[field] == theirs.config[field]
    assert ours.config["rms_norm_eps"] == pytest.approx(1e-5)  # a float32 of the file
    assert ours.config["rope_parameters"] == tiny.CONFIG["rope_parameters"]
    assert ours.encode is not None
    assert ours.encode("at") == [tiny.BYTES.index("a"), tiny.BYTES.index("t")]


def test_a_right_port_passes(file: Path) -> None:
    """And nothing is said on stderr, neither by transformers nor by its reader."""
    ran = tiny.check(file)
    assert (ran.status, ran.err) == (0, "")
    assert "18 passed in " in ran.out


def test_another_architecture_is_refused_by_name(saved: Path, tmp_path: Path) -> None:
    """Before transformers sees the file."""
    path = tiny.save_gguf(saved, tmp_path / "other.gguf", architecture="qwen2")
    ran = tiny.check(path, "--json", str(tmp_path / "report.json"))
    told = f"{path}: its architecture is 'qwen2'; this port's: llama, LlamaForCausalLM\n"
    refused(ran, told, tmp_path / "report.json")


def test_a_missing_tensor_is_told(saved: Path, tmp_path: Path) -> None:
    """Transformers would draw it at random, and a port would be right about noise."""
    path = tiny.save_gguf(saved, tmp_path / "missing.gguf", without="blk.1.attn_q.weight")
    ran = tiny.check(path, "--json", str(tmp_path / "report.json"))
    names = "missing: `model.layers.1.self_attn.q_proj.weight`"
    refused(ran, f"{path}: the tensors are not those of its configuration: {names}\n", tmp_path / "report.json")


@pytest.mark.parametrize("size", [0, 3, 40, 5000, 20000, -1], ids=["empty", "magic", "head", "tokens", "data", "last"])
def test_a_truncated_file_is_told(file: Path, tmp_path: Path, size: int) -> None:
    """Wherever it was cut; the rest of the line is the reader's own."""
    path = tmp_path / "cut.gguf"
    path.write_bytes(file.read_bytes()[:size])
    ran = tiny.check(path, "--json", str(tmp_path / "report.json"))
    refused(ran, f"{path}: truncated, or no GGUF file: ", tmp_path / "report.json")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As a folder is."""
    path = tmp_path / "none.gguf"
    ran = tiny.check(path, "--json", str(tmp_path / "report.json"))
    refused(ran, f"{path}: there is no such path\n", tmp_path / "report.json")


def test_a_tokenizer_that_cannot_be_read_is_told_with_the_file(saved: Path, tmp_path: Path) -> None:
    """It merges two tokens to one that it does not have."""
    path = tiny.save_gguf(saved, tmp_path / "words.gguf", merge="x y")
    ran = tiny.check(path, "--json", str(tmp_path / "report.json"))
    refused(ran, f"{path}: the tokenizer can't be read: Exception: ", tmp_path / "report.json")
