"""A port on a tiny real checkpoint: every layer judged in place, whatever way the tensors are stored."""

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import parity
from parity import real, session
from parity.case import Case
from parity.checkpoint import SINGLE
from parity.error import Error
from parity.faults import Injected
from parity.reference import one_thread
from parity.registry import discover
from parity.tests import tiny

PARTS = ("attention", "embedding", "mlp", "rmsnorm", "rotary", "block", "model")
WITHIN = ("llama/block", "llama/model", "llama/causal_lm")  # what holds a norm, and attention
TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint in one file."""
    return tiny.save(tmp_path_factory.mktemp("real") / "saved")


def found(ran: tiny.Ran, file: Path) -> list[dict[str, Any]]:
    """The results that a run wrote, without their times."""
    assert ran.err == ""
    return [{**result, "seconds": 0} for result in json.loads(file.read_text())["results"]]


def statuses(results: list[dict[str, Any]], check: str) -> dict[str, str]:
    """By case, of one check."""
    return {result["case"]: result["status"] for result in results if result["check"] == f"checkpoint:{check}"}


def test_a_right_port_passes_every_check_of_every_part(saved: Path, tmp_path: Path) -> None:
    """On the port's own text and 64 tokens of five prompts: all places, in exact arithmetic and in float32."""
    ran = tiny.check(saved, "--json", str(tmp_path / "all.json"), text=True, steps=64)
    results = found(ran, tmp_path / "all.json")
    places = {result["case"]: result["examples"] for result in results if result["check"] == "checkpoint:exact"}
    assert ran.status == 0
    assert {result["status"] for result in results} == {"passed"}
    assert [(r["case"], r["check"]) for r in results] == [
        ("llama/causal_lm", "checkpoint:transfer"),
        *((f"llama/{case}", f"checkpoint:{check}") for case in PARTS for check in ("exact", "float32")),
        ("llama/causal_lm", "checkpoint:exact"),
        ("llama/causal_lm", "checkpoint:float32"),
        ("llama/causal_lm", "checkpoint:greedy"),
    ]
    assert (results[0]["examples"], results[-1]["examples"]) == (21, 5 * 64)
    assert places == {
        "llama/embedding": 2,
        "llama/rotary": 2,
        "llama/rmsnorm": 10,
        "llama/attention": 4,
        "llama/mlp": 4,
        "llama/block": 4,
        "llama/model": 2,
        "llama/causal_lm": 2,
    }
    assert ran.out.splitlines()[0].split()[1:] == [
        f"checkpoint:{check}" for check in ("transfer", "exact", "float32", "greedy")
    ]
    assert "18 passed in " in ran.out


def test_what_was_not_looked_at_is_listed(saved: Path) -> None:
    """Faults, a case without a place, an ignored output; a short text is read to its end."""
    out = " ".join(tiny.check(saved).out.split())
    assert "not checked: drawn examples, faults and equivalents: run `parity check llama`" in out
    assert re.search(r"so without a place in a checkpoint: [a-z_/, ]*\bllama/rotation\b", out)
    assert "output `past_key_values` of llama/causal_lm: " in out
    assert "of the text" not in out


def test_shards_give_the_same_values_as_one_file(saved: Path, tmp_path: Path) -> None:
    """Every number of the report."""
    folder = tiny.save(tmp_path / "shards", shards="20KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
    assert not (folder / SINGLE).exists()
    files = tmp_path / "one.json", tmp_path / "many.json"
    runs = [tiny.check(path, "--json", str(file)) for path, file in zip((saved, folder), files, strict=True)]
    one, many = (found(ran, file) for ran, file in zip(runs, files, strict=True))
    assert runs[1].status == 0
    assert many == one


@pytest.mark.parametrize("stored", [(TABLE,), (HEAD,), (TABLE, HEAD)], ids=["table", "head", "both"])
def test_a_tied_head_may_be_stored_either_way(saved: Path, tmp_path: Path, stored: tuple[str, ...]) -> None:
    """It is one tensor of 20."""

    def tie(tensors: dict[str, Any]) -> None:
        tensors[HEAD] = tensors[TABLE]
        for name in {TABLE, HEAD} - set(stored):
            del tensors[name]

    folder = tiny.copy(saved, tmp_path / "tied", tensors=tie, tie_word_embeddings=True)
    results = found(tiny.check(folder, "--json", str(tmp_path / "tied.json")), tmp_path / "tied.json")
    assert {result["status"] for result in results} == {"passed"}
    assert results[0]["examples"] == 20


def test_halves_and_leftovers_are_read_and_told(saved: Path, tmp_path: Path) -> None:
    """Stored in float16, with a buffer as older checkpoints have it."""

    def change(tensors: dict[str, Any]) -> None:
        tensors.update({name: x.astype(np.float16) for name, x in tensors.items()})
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(3, np.float32)

    ran = tiny.check(tiny.copy(saved, tmp_path / "halves", tensors=change))
    out = " ".join(ran.out.split())
    assert ran.status == 0
    assert "model.layers.0.self_attn.rotary_emb.inv_freq of halves: nothing reads it" in out
    assert "arithmetic in float16: tensors so stored were widened to float32" in out


def test_a_wrong_port_is_told_with_its_deepest_place(saved: Path, tmp_path: Path) -> None:
    """A norm without eps: the norm fails, first in the first layer; what is beside it passes, what holds it waits."""
    norm = discover(tiny.ROOT)["llama/rmsnorm"]
    patch = norm.faults["eps_missing"].patch
    assert patch is not None
    with patch():
        ran = tiny.check(saved, "--json", str(tmp_path / "wrong.json"))
    results = found(ran, tmp_path / "wrong.json")
    first = next(r for r in results if (r["case"], r["check"]) == ("llama/rmsnorm", "checkpoint:exact"))
    assert ran.status == 1
    assert statuses(results, "exact") == {
        **{f"llama/{name}": "passed" for name in PARTS if name not in ("block", "model", "rmsnorm")},
        "llama/rmsnorm": "failed",
        **dict.fromkeys(WITHIN, "blocked"),
    }
    assert {r["blocked_by"] for r in results if r["status"] == "blocked"} == {"llama/rmsnorm"}
    assert first["message"].startswith("at `model.layers.0.input_layernorm`, on the text: rtol ")
    assert first["message"].endswith(", allowed 1e-10; 10 of 10 comparisons fail")
    assert first["worst"]["output"] == "model.layers.0.input_layernorm output"
    assert first["limit"]["where"].startswith("tolerances.yaml:")
    assert "\nllama/rmsnorm [checkpoint:exact]: at `model.layers.0.input_layernorm`, on the text: rtol " in ran.out


@pytest.fixture
def with_rules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run with more weight rules for attention than it has."""

    def run(rules: Any, *arguments: Any) -> tiny.Ran:
        workspace = session.load(tiny.ROOT)
        before = workspace.registry["llama/attention"]
        wrong: Case = dataclasses.replace(before, weights=lambda config: rules(before.rules(config)))
        cases = {**workspace.registry.cases, before.name: wrong}
        registry = dataclasses.replace(workspace.registry, cases=cases)
        monkeypatch.setattr(session, "load", lambda: dataclasses.replace(workspace, registry=registry))
        return tiny.check(*arguments)

    return run


def test_a_wrong_rule_shows_in_its_layer(saved: Path, tmp_path: Path, with_rules: Any) -> None:
    """A square kernel that is not transposed comes back bit for bit, and attention is the first that it fails."""
    fault = discover(tiny.ROOT)["llama/attention"].faults["q_kernel_as_it_is"]
    ran = with_rules(fault.weights, saved, "--json", str(tmp_path / "wrong.json"))
    results = found(ran, tmp_path / "wrong.json")
    assert ran.status == 1
    assert statuses(results, "transfer") == {"llama/causal_lm": "passed"}
    assert {name for name, status in statuses(results, "exact").items() if status == "failed"} == {"llama/attention"}
    assert "\nllama/attention [checkpoint:exact]: at `model.layers.0.self_attn`, on the text: rtol " in ran.out


def test_a_run_on_a_checkpoint_rejects_a_fault_of_its_own(saved: Path) -> None:
    """In the first place that passes; the report says which."""
    ran = tiny.check(saved)
    assert ran.status == 0
    assert "canary: llama/embedding, " in ran.out
    assert ": rejected" in " ".join(ran.out.split())


@pytest.mark.parametrize("off", [False, True], ids=["passes", "off"])
def test_a_run_on_a_checkpoint_that_does_not_has_failed(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: bool
) -> None:
    """Whether what judges it sees no error anywhere, or nothing is injected."""
    if off:
        monkeypatch.setattr(Injected, "changes", lambda self, evaluation: None)
    else:
        monkeypatch.setattr(sys.modules["parity.real.layers"], "exact_error", lambda *args: Error({"rtol": 0.0}))
    ran = tiny.check(saved, "--json", str(tmp_path / "dead.json"))
    results = found(ran, tmp_path / "dead.json")
    assert ran.status == 1
    assert [(r["case"], r["check"]) for r in results if r["status"] == "failed"] == [("llama/embedding", "canary")]
    assert "the run's own fault was not rejected, so its verdicts mean nothing: " in results[-1]["message"]


def test_a_map_that_does_not_fit_ends_with_the_transfer(saved: Path, with_rules: Any) -> None:
    """Every shape that is wrong, and what was not looked at for it."""
    rules = parity.rules({"k_proj.weight": parity.copy("k_proj.kernel")})
    ran = with_rules(lambda own: own | rules, saved)
    assert (ran.status, ran.err) == (1, "")
    assert "llama/causal_lm [checkpoint:transfer]: " in ran.out
    assert all(f"model.layers.{number}.self_attn.k_proj" in ran.out for number in (0, 1))
    assert "the checkpoint's layers: its weights could not be transferred" in ran.out


def test_logits_of_another_shape_are_a_finding(saved: Path) -> None:
    """Neither are there tokens to compare then, and that is told."""
    from cases.llama.port.heads import keep

    fault = parity.edit(keep, ("x_BLD[:, -positions:]", "x_BLD[:, -1:]"))
    assert fault.patch is not None
    with fault.patch():
        ran = tiny.check(saved)
    out = " ".join(ran.out.split())
    assert (ran.status, ran.err) == (1, "")
    assert "output `logits` has shape (1, 1, 260) in the port, (1, 310, 260) in the reference" in out
    assert "the greedy tokens: the port's logits can't be compared" in out


def test_a_run_tells_what_it_is_doing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check once when it starts and once with its result; the places of both inputs are counted to the end."""
    told: list[str] = []
    counts: list[tuple[int, int]] = []
    hooks = session.Hooks(
        on_start=lambda case, check: told.append(f"{case.name}[{check}]"),
        on_progress=lambda done, asked: counts.append((done, asked)),
        on_result=lambda result: told.append(result.status),
    )
    monkeypatch.setattr(sys.modules["parity.real.run"], "STEPS", 3)
    (saved.parent / "short.txt").write_text(tiny.SHORT)
    with one_thread():
        results = real.run(session.load(tiny.ROOT), "llama", saved, text=saved.parent / "short.txt", hooks=hooks)
    assert told[::2][0] == results.results[0].id
    assert len(told[::2]) == len(results.results)
    assert set(told[1::2]) == {"passed"}
    assert [asked for _, asked in counts] == [3] * 3 + [30] * 30
    assert [done for done, _ in counts] == [1, 2, 3, *range(1, 31)]
