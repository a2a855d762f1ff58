"""A checkpoint that can't be judged: status 2 and one line, before a report is begun; and how an interrupt ends."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from parity.tests import tiny, toy

Breaks = Callable[[Path, Path], Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint in one file."""
    return tiny.save(tmp_path_factory.mktemp("real") / "saved")


def refused(ran: tiny.Ran, told: str, report: Path) -> None:
    """Hold a run against what all of these have in common."""
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"parity: error: {told}")
    assert ran.err.count("\n") == 1
    assert not list(report.parent.glob("*report.json*"))


def copied(tensors: Callable[[dict[str, Any]], Any] | None = None, **config: Any) -> Breaks:
    """Copy the checkpoint with something changed."""
    return lambda saved, to: tiny.copy(saved, to, tensors=tensors, **config)


def without(name: str) -> Breaks:
    """Copy the checkpoint but for one file."""
    return lambda saved, to: (tiny.copy(saved, to) / name).unlink()


def rewritten(name: str, text: str) -> Breaks:
    """Copy the checkpoint with another text in one file."""
    return lambda saved, to: (tiny.copy(saved, to) / name).write_text(text)


def not_a_number(tensors: dict[str, Any]) -> None:
    tensors["model.norm.weight"][3] = np.nan


def infinite(tensors: dict[str, Any]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = np.inf


BROKEN: dict[str, tuple[Breaks, str]] = {
    "nowhere": (lambda saved, to: None, "{p}: there is no such path\n"),
    "other_kind": (
        copied(model_type="mistral"),
        "{p}: this port of Llama does not support: model_type = 'mistral' (only 'llama' is supported)\n",
    ),
    "quantized": (
        copied(quantization_config={"bits": 4}),
        "{p}: this port of Llama does not support: quantization_config = {{'bits': 4}} (not known here)\n",
    ),
    "rope_of_another_type": (copied(rope_scaling=[1, 2]), "{p}: its configuration can't be read: TypeError: "),
    "reference_refuses": (
        copied(bos_token_id=[1]),
        "{p}: the reference can't be built: StrictDataclassFieldValidationError: Validation error for field ",
    ),
    "another_size": (
        copied(intermediate_size=41),
        "{p}: the tensors are not those of its configuration: of another shape: `model.layers.0.mlp.",
    ),
    "nan": (copied(not_a_number), "{p}: tensor `model.norm.weight` holds NaN or inf\n"),
    "inf": (copied(infinite), "{p}: tensor `model.layers.1.mlp.up_proj.weight` holds NaN or inf\n"),
    "tied_to_another_head": (
        copied(tie_word_embeddings=True),
        "{p}: tied to `model.embed_tokens.weight` by the configuration, but another tensor: `lm_head.weight`\n",
    ),
    "no_tokenizer": (
        without("tokenizer.json"),
        "{p} has no tokenizer: neither tokenizer.json nor tokenizer.model\n",
    ),
    "broken_tokenizer": (rewritten("tokenizer.json", "{"), "{p}: the tokenizer can't be read: JSONDecodeError: "),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_checkpoint_is_told_in_one_line(saved: Path, tmp_path: Path, how: str) -> None:
    """Which file or tensor, and what is the matter with it."""
    breaks, told = BROKEN[how]
    breaks(saved, tmp_path / "broken")
    ran = tiny.check(tmp_path / "broken", "--json", str(tmp_path / "report.json"))
    refused(ran, told.format(p=tmp_path / "broken"), tmp_path / "report.json")


def test_a_tokenizer_of_another_checkpoint_is_told(tmp_path: Path) -> None:
    """It has tokens that the table has no row for."""
    folder = tiny.save(tmp_path / "small", vocab_size=80)
    ran = tiny.check(folder, "--json", str(tmp_path / "report.json"), text=True)
    (number,) = (int(word) for word in ran.err.replace(",", "").split() if word.isdigit() and word != "80")
    assert number >= 80
    told = f"the port's own text has token {number}, the model 80 rows: not this checkpoint's tokenizer\n"
    refused(ran, told, tmp_path / "report.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (tiny.SHORT[:299].encode(), "{file} has 299 tokens: at least 300 are needed\n"),
        (b"", "{file} has no tokens\n"),
        (b"\xff\xfe", "--text {file}: not UTF-8\n"),
        (None, "--text {file}: No such file or directory\n"),
    ],
    ids=["short", "empty", "bytes", "missing"],
)
def test_a_text_that_cannot_be_read_is_told(saved: Path, tmp_path: Path, text: bytes | None, told: str) -> None:
    """An empty one is not taken for none."""
    file = tmp_path / "prose.txt"
    if text is not None:
        file.write_bytes(text)
    ran = tiny.check(saved, "--text", str(file), "--json", str(tmp_path / "report.json"), text=True)
    refused(ran, told.format(file=file), tmp_path / "report.json")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("llama --text prose.txt", "--text is what a checkpoint reads: give --checkpoint too\n"),
        ("--checkpoint x", "--checkpoint runs all its checks of one port: name the port, and no --check\n"),
        ("llama toy --checkpoint x", "--checkpoint runs all its checks of one port: name the port, and no --check\n"),
        (
            "llama --check exact --checkpoint x",
            "--checkpoint runs all its checks of one port: name the port, and no --check\n",
        ),
        ("lama --checkpoint x", "--checkpoint checks one whole port: 'lama' is none; known: llama\n"),
        ("llama/mlp --checkpoint x", "--checkpoint checks one whole port: 'llama/mlp' is none; known: llama\n"),
    ],
    ids=["text_alone", "no_port", "two_ports", "one_check", "unknown_port", "one_layer"],
)
def test_wrong_use_is_one_line_and_status_2(tmp_path: Path, arguments: str, told: str) -> None:
    """Before anything is opened."""
    report = tmp_path / "report.json"
    refused(tiny.call("check", *arguments.split(), "--json", str(report)), told, report)


def test_a_port_with_a_broken_case_file_is_refused(saved: Path, tmp_path: Path) -> None:
    """Its layer would be left out without a word."""
    root = tmp_path / "root"
    shutil.copytree(tiny.ROOT / "cases" / "llama", root / "cases" / "llama", ignore=shutil.ignore_patterns("case_*"))
    (root / "cases" / "__init__.py").touch()
    (root / "cases" / "llama" / "case_wrong.py").write_text("\n\nraise RuntimeError('why')\n")
    shutil.copy(tiny.ROOT / "tolerances.yaml", root)
    with toy.imports():
        ran = tiny.call("check", "llama", "--checkpoint", str(saved), root=root)
    told = "cases/llama/case_wrong.py:3: RuntimeError: why: without it, what it answers for would go unchecked\n"
    refused(ran, told, tmp_path / "report.json")


def interrupt(*arguments: Any, **options: Any) -> None:
    """Be Ctrl-C."""
    raise KeyboardInterrupt


def test_an_interrupt_ends_with_the_table_so_far(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the reference decodes: the transfer's result stays, on the screen and in the report."""
    monkeypatch.setattr(importlib.import_module("parity.real.run"), "decode", interrupt)
    ran = tiny.check(saved, "--json", str(tmp_path / "report.json"))
    report = cast(dict[str, Any], json.loads((tmp_path / "report.json").read_text()))
    assert (ran.status, ran.err) == (130, "")
    assert [line.split() for line in ran.out.splitlines()[:2]] == [
        ["case", "checkpoint:transfer"],
        ["llama/causal_lm", "ok"],
    ]
    assert ": interrupted\n" in ran.out
    assert "interrupted: not all of the checkpoint's checks were run" in ran.out
    assert report["interrupted"] is True
    assert [result["check"] for result in report["results"]] == ["checkpoint:transfer"]


def test_an_interrupt_before_the_first_check_leaves_no_report(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the checkpoint is opened."""
    monkeypatch.setattr(importlib.import_module("parity.real.run"), "open_folder", interrupt)
    ran = tiny.check(saved, "--json", str(tmp_path / "report.json"))
    assert (ran.status, ran.out, ran.err) == (130, "", "parity: error: interrupted\n")
    assert not (tmp_path / "report.json").exists()
