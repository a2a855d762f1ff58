"""The search for a failing example: pins first, then distinct ones, the same for one seed; and what it shrinks to."""

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st

import parity
from parity import draw, search
from parity.case import Example, Weights
from parity.checks.finding import Finding, Run
from parity.checks.subject import Subject
from parity.errors import BadInput, OutputMismatch, WeightMapError
from parity.registry import discover
from parity.results import Result
from parity.run import Runner, Settings
from parity.search import Seen, judged, shrink
from parity.tests import gain, tiny
from parity.values import Floats

Judge = Callable[[Example], Finding]


def passes(example: Example) -> Finding:
    """Find nothing."""
    return Finding(passed=True)


def found(
    judge: Judge, *, asked: int, seed: int = 0, case: parity.Case | None = None, **options: Any
) -> tuple[list[Example], Seen]:
    """Search a case with a judge: the examples that it saw, in order, and what came of it."""
    case = case or gain.case()
    order: list[Example] = []

    def noted(example: Example) -> Finding:
        order.append(example)
        return judge(example)

    seen = search.search(
        Subject(gain.registry(case), case),
        Run(noted),
        draw.pool(case, seed=seed),
        options.pop("settings", Settings(seed=seed)),
        asked=asked,
        progress=lambda done, asked: None,
        **options,
    )
    return order, seen


def pin(width: int, seed: int) -> Example:
    """An example of the tiny layer."""
    return Example({"width": width}, {"batch": 2}, {"x": Floats(shape=(2, width), seed=seed)}, Weights(seed=9))


def few(monkeypatch: pytest.MonkeyPatch) -> parity.Case:
    """A case that there are eight examples of: two seeds of inputs, two of weights, two regimes."""
    monkeypatch.setattr(draw, "seeds", lambda: st.integers(0, 1))
    return gain.case(
        configs=st.just({"width": 3}),
        forms=lambda config: st.just({"batch": 1}),
        inputs=lambda config, form: st.fixed_dictionaries({"x": draw.floats((1, 3), scales=(1.0,), rows=())}),
    )


def test_pins_run_first_and_count() -> None:
    """In their order, though no palette has them."""
    pins = (pin(17, 5), pin(3, 6))
    order, seen = found(passes, asked=5, case=gain.case(pins=pins))
    assert order[:2] == list(pins)
    assert len(order) == seen.examples == 5


@pytest.mark.parametrize("asked", [1, 7, 40])
def test_as_many_distinct_examples_are_judged_as_were_asked_for(asked: int) -> None:
    """Not one more or less, and every setup of the pool has its share."""
    order, seen = found(passes, asked=asked)
    setups = {example.shape_key for example in order}
    assert len(order) == len({example.token for example in order}) == seen.examples == asked
    assert len(setups) == min(asked, gain.case().pool)


def test_an_example_that_is_drawn_again_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """All eight are found, however often others came up before."""
    order, seen = found(passes, asked=8, case=few(monkeypatch))
    assert len(order) == len({example.token for example in order}) == seen.examples == 8


def test_a_search_ends_where_there_are_no_more_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check has not done what it was asked to, and says so."""
    case = few(monkeypatch)
    assert found(passes, asked=9, case=case)[1].examples == 8
    result = Runner(gain.registry(case), gain.tolerances(), Settings(examples=20)).run(case, "exact")
    assert (result.status, result.examples) == ("failed", 8)
    assert result.message == "only 8 of 20 examples were completed"


def test_one_seed_means_one_sequence_of_examples() -> None:
    """And another one another."""
    first, again, other = ([e.token for e in found(passes, asked=20, seed=seed)[0]] for seed in (3, 3, 4))
    assert first == again
    assert len(set(first) & set(other)) < 5


def test_the_first_failure_ends_the_search() -> None:
    """With the example that failed."""
    order, seen = found(lambda example: Finding(passed=len(example.inputs) > 1), asked=20)
    assert len(order) == seen.examples == 1
    assert seen.failing == (order[0], Finding(passed=False))


def test_of_examples_that_pass_the_worst_is_kept() -> None:
    """The one that used most of its limit."""
    shares = iter((0.1, 0.7, 0.3, 0.2))
    order, seen = found(lambda example: Finding(passed=True, used=next(shares)), asked=4)
    assert seen.worst is order[1]
    assert seen.finding is not None
    assert seen.finding.used == 0.7


def test_weights_that_cannot_be_mapped_count_for_nothing_where_that_is_asked() -> None:
    """A fault of the transfer is refused at one width and must be rejected at another; else it is a failure."""

    def judge(example: Example) -> Finding:
        if example.config["width"] != 5:
            raise WeightMapError("toy/gain", ["no rule"])
        return Finding(passed=True)

    order, seen = found(judge, asked=4, unmapped=True)
    assert seen.examples == 4 < len(order)
    assert seen.failing is None
    assert found(judge, asked=30)[1].failing is not None


def test_past_its_time_a_search_judges_nothing() -> None:
    """Not even a pin."""
    settings = Settings(stop_at=time.monotonic() - 1)
    assert found(passes, asked=5, case=gain.case(pins=(pin(3, 1),)), settings=settings)[0] == []


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OutputMismatch("other shapes"), "verdict", "other shapes"),
        (WeightMapError("toy/gain", ["no rule"]), "map", "toy/gain: the weight map is not one-to-one:\n  no rule"),
        (ZeroDivisionError("division\n  by zero"), "crash", "ZeroDivisionError: division by zero at "),
    ],
    ids=["mismatch", "map", "crash"],
)
def test_what_a_judge_raises_is_a_finding(error: Exception, kind: str, message: str) -> None:
    """A crash is told apart, since it is no verdict."""

    def judge(example: Example) -> Finding:
        raise error

    finding = judged(judge, pin(3, 0))
    assert (finding.passed, finding.kind) == (False, kind)
    assert (finding.message or "").startswith(message)


@pytest.mark.parametrize("error", [BadInput("no bound"), KeyboardInterrupt()], ids=["wrong_use", "interrupt"])
def test_what_is_nobody_s_finding_goes_through(error: BaseException) -> None:
    """Wrong use and Ctrl-C."""

    def judge(example: Example) -> Finding:
        raise error

    with pytest.raises(type(error)):
        judged(judge, pin(3, 0))


def test_a_crash_is_told_with_the_last_line_of_the_port_s_own() -> None:
    """Below it are only libraries."""
    names: dict[str, Any] = {"json": json}
    exec(compile("\n\ndef port():\n    return json.loads('nothing\\n')\n", "/somewhere/port.py", "exec"), names)
    with pytest.raises(ValueError, match="Expecting value") as caught:
        names["port"]()
    assert search.crash(caught.value) == (
        "JSONDecodeError: Expecting value: line 1 column 1 (char 0) at /somewhere/port.py:4"
    )


def shrunk(judge: Judge, failing: Example) -> tuple[Example, Finding]:
    """What a failing example of the tiny layer shrinks to."""
    case = gain.case()
    return shrink(Subject(gain.registry(case), case), lambda: Run(judge), Settings(), (failing, judge(failing)))


def test_a_smaller_example_must_fail_in_the_same_way() -> None:
    """A crash at the simplest width does not stand for a wrong value at another."""

    def judge(example: Example) -> Finding:
        width = example.config["width"]
        return Finding(passed=width == 1, kind="crash" if width == 3 else "verdict")

    example, finding = shrunk(judge, pin(5, 77))
    assert (example.config, example.form, finding.kind) == ({"width": 5}, {"batch": 1}, "verdict")
    assert example.inputs == {"x": Floats(shape=(1, 5), seed=0)}


def test_an_example_that_nothing_smaller_fails_like_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin beyond every palette; and so does any, where there is no time."""

    def judge(example: Example) -> Finding:
        return Finding(passed=example.config["width"] != 17)

    assert shrunk(judge, pin(17, 5))[0] == pin(17, 5)
    monkeypatch.setattr(search, "SHRINK_SECONDS", -1.0)
    assert shrunk(lambda example: Finding(passed=False), pin(5, 5))[0] == pin(5, 5)


LLAMA: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "eps": (
        "llama/rmsnorm",
        "eps_missing",
        {"hidden_size": 2, "rms_norm_eps": 1e-5},
        {"batch": 1, "length": 2},
    ),
    "groups": (
        "llama/attention",
        "kv_tiled",
        {"hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10},
        {"batch": 1, "length": 3},
    ),
}


@functools.cache
def failed(layer: str, fault: str) -> Result:
    """The result of `exact` for a layer of Llama with a fault in it."""
    registry = discover(tiny.ROOT)
    patch = registry[layer].faults[fault].patch
    assert patch is not None
    with patch():
        return Runner(registry, gain.tolerances(), Settings(examples=30)).run(registry[layer], "exact")


def chosen(config: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: config[name] for name in names}


@pytest.mark.parametrize("which", LLAMA)
def test_a_fault_shrinks_to_the_simplest_configuration_that_shows_it(which: str) -> None:
    """The first choice of every palette, but for what the fault needs: eps, or groups of more than one kv head."""
    layer, fault, config, form = LLAMA[which]
    result = failed(layer, fault)
    example = result.example
    assert result.status == "failed"
    assert example is not None
    assert chosen(example["config"], tuple(config)) == config
    assert chosen(example["form"], tuple(form)) == form
    assert example["weights"] == {"seed": 0, "regime": "scaled"}
    assert (example["inputs"]["hidden_states"]["seed"], example["inputs"]["hidden_states"]["scale"]) == (0, 1.0)


def test_a_replay_token_outlives_the_palettes() -> None:
    """It holds the drawn values and not the draws: with other palettes it means the same, to the last bit."""
    layer, fault, *_ = LLAMA["eps"]
    result = failed(layer, fault)
    assert result.replay is not None
    command, token = result.replay.rsplit(" ", 1)
    assert command == f"parity replay {layer} --check exact --example"
    registry = discover(tiny.ROOT)
    other = st.just({"hidden_size": 7, "rms_norm_eps": 0.5})
    case = dataclasses.replace(registry[layer], configs=other, forms=lambda config: st.just({"batch": 9, "length": 9}))
    patch = case.faults[fault].patch
    assert patch is not None
    with patch():
        subject = Subject(dataclasses.replace(registry, cases={layer: case}), case)
        runner = Runner(registry, gain.tolerances(), Settings())
        finding = runner.judge(subject, "exact", Example.from_token(token))
    assert not finding.passed
    assert finding.error is not None
    assert (finding.error.worst, finding.used) == (result.worst, result.used)
