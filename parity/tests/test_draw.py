"""Examples are drawn from a seed alone, and a pool leaves nothing out."""

import importlib
import itertools
import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

import parity
from parity import draw
from parity.case import Case, Example
from parity.errors import ParityError

ODD = [31_337 + 7_919 * number for number in range(40)]  # constants of a module that happens to be imported


def case(*, name: str = "toy/sizes", pool: int = 12) -> Case:
    """Return a case of a few palettes, with nested fields and a field that only some configurations have."""
    kinds = draw.one_of({"kind": "plain"}, {"kind": "scaled", "factor": 2.0}, {"kind": "scaled", "factor": 8.0})
    return parity.Case(
        name=name,
        reference=lambda config: None,
        port=lambda config, dtype, rngs: None,
        configs=st.fixed_dictionaries(
            {"width": draw.one_of(2, 1, 6, 33), "eps": draw.one_of(1e-5, 1e-6, 3e-3), "rope": kinds}
        ),
        forms=lambda config: st.fixed_dictionaries({"batch": draw.one_of(1, 2), "length": draw.one_of(3, 1, 9)}),
        inputs=lambda config, form: st.fixed_dictionaries(
            {
                "x": draw.floats((form["batch"], config["width"])),
                "ids": draw.tokens((form["length"],), 1000),
                "n": st.integers(0, 2**40),
            }
        ),
        pool=pool,
    )


def drawn(seed: int) -> dict[str, Any]:
    """Return what a run with this seed would draw, as JSON."""
    examples: list[str] = []
    pool = draw.pool(case(), seed=seed)
    draw.run(draw.examples(case(), pool), lambda e: examples.append(e.token), examples=25, seed=draw.seed_of(seed, "x"))
    return {"pool": [list(pair) for pair in pool], "examples": examples}


@pytest.fixture
def local_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Import a module of a user's own, whose constants Hypothesis would take up."""
    # Hypothesis leaves folders out whose name sounds like a test's, such as pytest's temporary ones don't.
    (tmp_path / "odd_constants.py").write_text(f"NUMBERS = [{', '.join(map(str, ODD))}]\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("odd_constants")
    yield tmp_path
    sys.modules.pop("odd_constants")


def test_one_seed_is_one_sequence_in_every_process(local_module: Path) -> None:
    """Another process, with other modules loaded and another hash seed, draws the same pool and the same examples."""
    code = (
        "import json, sys; from parity.tests.test_draw import drawn; "
        "assert 'torch' not in sys.modules and 'jax' not in sys.modules, 'drawing needs neither'; "
        "assert 'odd_constants' not in sys.modules; print(json.dumps(drawn(3)))"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "12345"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=local_module, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == json.loads(json.dumps(drawn(3)))


def test_another_seed_is_another_sequence() -> None:
    """A seed decides both the pool and the examples."""
    first, second = drawn(0), drawn(1)
    assert first["pool"] != second["pool"]
    assert len(set(first["examples"]) & set(second["examples"])) < 5  # Hypothesis always draws the simplest ones too


def test_seed_of_a_subject() -> None:
    """Subjects of one run have unlike seeds, which are the same for ever."""
    assert draw.seed_of(0, "llama/norm") == 1485638244
    assert len({draw.seed_of(seed, subject) for seed in range(20) for subject in ("a", "b", "c")}) == 60


def test_constants_of_imported_modules_are_not_drawn(local_module: Path) -> None:
    """Hypothesis itself draws such constants now and then; a run does not."""

    def numbers(strategy: st.SearchStrategy[int]) -> set[int]:
        found: set[int] = set()
        draw.run(strategy, lambda number: found.add(number), examples=400, seed=0)
        return found

    found: set[int] = set()

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=400, database=None, deadline=None)
    @hypothesis.given(st.integers(0, 2**40))
    def plainly(number: int) -> None:
        found.add(number)

    plainly()
    assert found & set(ODD), "Hypothesis no longer draws local constants: nothing is shown here"
    assert not numbers(st.integers(0, 2**40)) & set(ODD)


def test_state_is_restored() -> None:
    """Hypothesis, the warnings and the global random numbers are as before, also when a body raises."""
    before = providers.HypothesisProvider._maybe_draw_constant
    filters = list(warnings.filters)
    state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]

    def fail(value: int) -> None:
        assert providers.HypothesisProvider._maybe_draw_constant is not before
        raise ParityError("on purpose")

    with pytest.raises(ParityError, match="on purpose"):
        draw.run(st.integers(), fail, examples=5, seed=0)
    draw.run(st.integers(), lambda value: None, examples=5, seed=0)
    assert providers.HypothesisProvider._maybe_draw_constant is before
    assert warnings.filters == filters
    assert random.getstate() == state
    assert np.random.get_state()[1].tolist() == numpy_state  # type: ignore[index, union-attr]


def test_run_stops_where_the_body_raises() -> None:
    """What a body raises comes out as it was raised, at once: unasked, nothing is shrunk."""
    seen: list[int] = []

    def fail(value: int) -> None:
        seen.append(value)
        if value > 100:
            raise ParityError("more than a hundred")

    with pytest.raises(ParityError, match="more than a hundred"):
        draw.run(st.integers(0, 1000), fail, examples=50, seed=0)
    assert len({value for value in seen if value > 100}) == 1


def test_run_shrinks_when_asked() -> None:
    """With `shrink`, the last failure is the simplest there is: the first of its palette, the least number."""
    failed: list[Any] = []

    def fail(value: tuple[str, int]) -> None:
        if value[0] != "easy" and value[1] > 17:
            failed.append(value)
            raise ParityError("no")

    with pytest.raises(ParityError):
        draw.run(
            st.tuples(draw.one_of("easy", "harder", "hardest"), st.integers(0, 1000)),
            fail,
            examples=100,
            seed=0,
            shrink=True,
        )
    assert failed[-1] == ("harder", 18)


def test_nothing_is_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No example database takes part, neither read nor written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path / "kept"))
    with pytest.raises(ParityError):
        draw.run(st.integers(), raising, examples=5, seed=0, shrink=True)
    assert list(tmp_path.iterdir()) == []


def raising(value: int) -> None:
    """Fail on whatever was drawn."""
    raise ParityError(str(value))


def values(pool: Any, *path: str) -> set[Any]:
    """Return every value of one field in a pool."""
    found: set[Any] = set()
    for config, form in pool:
        node = {**config, **form}
        for step in path:
            node = node.get(step, {}) if isinstance(node, dict) else {}
        found.add(repr(node))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_pool_holds_every_value_of_a_short_palette(seed: int) -> None:
    """Twelve configurations show each value of each field at least once, nested ones included."""
    pool = draw.pool(case(), seed=seed)
    assert len(pool) == 12
    assert len({json.dumps(pair) for pair in pool}) == 12
    assert values(pool, "width") == {"2", "1", "6", "33"}
    assert values(pool, "eps") == {"1e-05", "1e-06", "0.003"}
    assert values(pool, "rope", "kind") == {"'plain'", "'scaled'"}
    assert {"2.0", "8.0"} <= values(pool, "rope", "factor")
    assert values(pool, "batch") == {"1", "2"}
    assert values(pool, "length") == {"3", "1", "9"}


def test_pool_shows_most_pairs_of_values() -> None:
    """Bugs need two fields to meet: a pool of twelve shows nearly all the pairs that twelve can."""
    met: set[tuple[str, str]] = set()
    for config, form in draw.pool(case(), seed=0):
        fields = [f"{key}={value!r}" for key, value in {**config, **form}.items()]
        met |= set(itertools.combinations(fields, 2))
    every = 4 * 3 + 4 * 3 + 4 * 2 + 4 * 3 + 3 * 3 + 3 * 2 + 3 * 3 + 3 * 2 + 3 * 3 + 2 * 3
    assert len(met) > 0.75 * every


def test_pool_is_never_larger_than_what_there_is() -> None:
    """A case with fewer configurations than its pool asks for gives all of them, once each."""
    few = parity.Case(
        name="toy/few",
        reference=lambda config: None,
        port=lambda config, dtype, rngs: None,
        configs=st.fixed_dictionaries({"width": draw.one_of(1, 2, 3)}),
        inputs=lambda config, form: st.just({}),
    )
    pool = draw.pool(few, seed=0)
    assert sorted(config["width"] for config, _ in pool) == [1, 2, 3]
    assert [form for _, form in pool] == [{}, {}, {}]


def test_examples_come_from_the_pool() -> None:
    """With a pool, no other configuration or form is drawn."""
    pool = draw.pool(case(), seed=0)
    found: list[Example] = []
    draw.run(draw.examples(case(), pool), found.append, examples=100, seed=0)
    keys = {json.dumps([config, form], sort_keys=True) for config, form in pool}
    assert {example.shape_key for example in found} <= keys
    assert {example.weights.regime for example in found} == {"scaled", "small"}


def test_first_choice_is_the_simplest() -> None:
    """An example shrinks to the first value of every palette, and to plain inputs of seed 0."""
    smallest: list[Example] = []

    def fail(example: Example) -> None:
        smallest[:] = [example]
        raise ParityError("no")

    with pytest.raises(ParityError):
        draw.run(draw.examples(case()), fail, examples=10, seed=0, shrink=True)
    assert smallest[0].as_json() == {
        "config": {"width": 2, "eps": 1e-5, "rope": {"kind": "plain"}},
        "form": {"batch": 1, "length": 3},
        "inputs": {
            "x": {"kind": "floats", "shape": (1, 2), "seed": 0, "scale": 1.0, "rows": ""},
            "ids": {"kind": "tokens", "shape": (3,), "seed": 0, "high": 1000, "same": False, "hole": None, "low": 0},
            "n": 0,
        },
        "weights": {"seed": 0, "regime": "scaled"},
    }
