"""`generate` as it is called: what the reference writes, nothing compiled twice, clear errors before any compute."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import torch
import transformers

from cases.llama.port import GenerationConfig, LlamaConfig, LlamaForCausalLM, UnsupportedGeneration, generate
from cases.llama.port.processors import Numbers, process
from cases.llama.port.prompt import bucket, prepare
from parity.case import Weights
from parity.port import build as build_port
from parity.reference import build as build_reference
from parity.reference import one_thread, parameters
from parity.registry import discover
from parity.weights import plan

ROOT = Path(__file__).parents[2]
VOCABULARY = 23
CONFIG = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "eos_token_id": None,
}
PROMPTS = [[0, 0, 5, 9, 2], [7, 3, 3, 11, 4], [0, 6, 0, 8, 20]]
MASK = [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 0, 1, 1]]  # one with a hole
ENDS = [4, 9, 17]
GREEDY = {"max_new_tokens": 9, "eos_token_id": ENDS, "pad_token_id": 1}
SEARCH = {**GREEDY, "num_beams": 4, "num_return_sequences": 2, "length_penalty": 1.7}
DRAWN = {"do_sample": True, "temperature": 0.8, "top_k": 9, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.4}
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def sides() -> tuple[transformers.LlamaForCausalLM, LlamaForCausalLM]:
    """The reference and the port with the same parameters."""
    registry = discover(ROOT)
    case = registry["llama/causal_lm"]
    reference, port = build_reference(case, CONFIG), build_port(case, CONFIG, dtype="float32")
    drawn = parameters(reference.leaves, Weights(seed=3))
    reference.fill(drawn)
    rules = registry.rules(case, CONFIG)
    moved = plan(case.name, reference=reference.leaves, port=port.leaves, rules=rules, types=reference.types)
    leaves = dict(moved.forward(lambda name: drawn[name]))
    llama: Any = port.bind([jnp.asarray(leaves[path]) for path in port.leaves])
    return reference.call, llama  # type: ignore[return-value]


@pytest.fixture
def compiled() -> Iterator[list[float]]:
    """Seconds of every compilation while the test runs."""
    seconds: list[float] = []

    def listen(name: str, duration: float, **_: object) -> None:
        if name == COMPILED:
            seconds.append(duration)

    monitoring: Any = jax.monitoring
    monitoring.register_event_duration_secs_listener(listen)
    yield seconds
    monitoring.unregister_event_duration_listener(listen)


def written(reference: Any, **options: Any) -> Any:
    """What the reference generates, without its advice."""
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        ids, mask = torch.tensor(PROMPTS), torch.tensor(MASK)
        return reference.generate(
            ids, attention_mask=mask, return_dict_in_generate=True, output_scores=True, output_logits=True, **options
        )


@pytest.mark.parametrize(
    "options", [GREEDY, {**GREEDY, "min_new_tokens": 5, "repetition_penalty": 1.3}, {"max_length": 12}]
)
def test_the_best_tokens_are_the_reference_s(sides: Any, options: dict[str, Any]) -> None:
    """Of prompts of different lengths, until each ends."""
    reference, port = sides
    made = generate(port, PROMPTS, MASK, **options)
    np.testing.assert_array_equal(made.sequences, written(reference, **options).sequences)
    assert made.scores is None


@pytest.mark.parametrize("early", [False, True, "never"])
def test_the_best_texts_are_the_reference_s(sides: Any, early: Any) -> None:
    """The same texts, in the same order, with the same scores."""
    reference, port = sides
    options = {**SEARCH, "early_stopping": early}
    made, theirs = generate(port, PROMPTS, MASK, **options), written(reference, **options)
    np.testing.assert_array_equal(made.sequences, theirs.sequences)
    assert made.scores is not None
    np.testing.assert_allclose(made.scores, theirs.sequences_scores, rtol=1e-5)


def test_a_prompt_without_a_mask_is_padded_where_it_says_so() -> None:
    """With the padding token, unless that ends texts; always on the left of it, as far as the bucket."""
    model = LlamaConfig.from_dict(CONFIG)
    told = prepare(PROMPTS, None, model=model, config=GenerationConfig(pad_token_id=0))
    np.testing.assert_array_equal(told.mask, np.pad(MASK, ((0, 0), (11, 0))))
    np.testing.assert_array_equal(told.ids, np.pad(PROMPTS, ((0, 0), (11, 0))))
    ends = prepare(PROMPTS, None, model=model, config=GenerationConfig(pad_token_id=0, eos_token_id=(0, 4)))
    assert ends.mask[:, 11:].all()
    assert not ends.mask[:, :11].any()


OTHERS = {
    "token by token": ({"repetition_penalty": 1.2}, {"repetition_penalty": 0.9}),
    "drawn": (DRAWN, {**DRAWN, "temperature": 1.3, "top_p": 0.6, "min_p": 0.2, "repetition_penalty": 1.1}),
    "texts": ({"num_beams": 3}, {"num_beams": 3, "length_penalty": 0.4}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_compiles_twice(sides: Any, compiled: list[float], name: str) -> None:
    """Other lengths share the programs of their bucket, one for prompts and one for what follows; so do numbers."""
    _, port = sides
    first, second = OTHERS[name]
    key = jax.random.key(0)
    generate(port, [[1, 2, 3]], max_new_tokens=7, key=key, **first)
    assert compiled
    compiled.clear()
    for length, new in ((3, 7), (5, 11), (16, 17), (11, 2)):
        ids = np.arange(length)[None] % VOCABULARY
        generate(port, ids, max_new_tokens=new, min_new_tokens=new // 2, key=key, **second)
        if "num_beams" not in first:
            generate(port, ids, max_new_tokens=new, key=key, on_tokens=lambda tokens: None, **second)
    assert compiled == []


def test_tokens_are_told_as_they_come(sides: Any) -> None:
    """Each step's, padding behind a text's end included, and no more when all have ended."""
    _, port = sides
    told: list[Any] = []
    made = generate(port, PROMPTS, MASK, on_tokens=told.append, **GREEDY)
    np.testing.assert_array_equal(np.stack(told, axis=1), made.sequences[:, 5:])
    np.testing.assert_array_equal(generate(port, PROMPTS, MASK, **GREEDY).sequences, made.sequences)


def test_a_key_draws_the_same_texts_whatever_the_cache(sides: Any) -> None:
    """Another key draws others; several texts of a prompt are not one."""
    _, port = sides
    options = {"do_sample": True, "max_new_tokens": 8, "num_return_sequences": 2}
    first, again, other = (
        generate(port, PROMPTS, MASK, key=jax.random.key(seed), cache_length=slots, **options).sequences
        for seed, slots in ((5, None), (5, 40), (6, None))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[::2] != first[1::2]).any(axis=1).all()


def test_what_is_drawn_from_has_the_reference_s_probabilities(sides: Any) -> None:
    """All that changes scores, in its order, step by step along what the reference drew."""
    reference, _ = sides
    torch.manual_seed(0)
    theirs = written(reference, max_new_tokens=6, min_new_tokens=3, eos_token_id=ENDS, **DRAWN)
    config = GenerationConfig(eos_token_id=tuple(ENDS), **DRAWN)
    numbers = Numbers.of(config, least=3)
    counted = np.cumsum(MASK, axis=-1) > 0
    for new, (logits, scores) in enumerate(zip(theirs.logits, theirs.scores, strict=True)):
        ids = jnp.asarray(theirs.sequences[:, : 5 + new].numpy())
        there = jnp.pad(counted, ((0, 0), (0, new)), constant_values=True)
        ours = process(jnp.asarray(logits.numpy()), ids, there, new=new, numbers=numbers, config=config)
        np.testing.assert_allclose(jax.nn.softmax(ours), torch.softmax(scores, dim=-1), rtol=1e-5, atol=1e-9)


def test_what_is_drawn_has_these_probabilities(sides: Any) -> None:
    """A chi-square test of four thousand tokens; what has no probability is never drawn."""
    reference, port = sides
    number = 4000
    made = generate(port, PROMPTS[1:2], max_new_tokens=1, num_return_sequences=number, key=jax.random.key(1), **DRAWN)
    torch.manual_seed(0)
    expected = torch.softmax(written(reference, max_new_tokens=1, **DRAWN).scores[0][1], dim=-1).double().numpy()
    counts = np.bincount(made.sequences[:, -1], minlength=VOCABULARY)
    possible = expected > 0
    assert possible.sum() > 2
    assert counts[~possible].sum() == 0
    share = expected[possible] / expected[possible].sum()
    assert scipy.stats.chisquare(counts[possible], number * share).pvalue > 1e-3


WRONG = {
    "empty": ([[]], {}, r"input_ids is float64 of shape \(1, 0\): give whole numbers \[batch, length\]"),
    "no token": (np.zeros((2, 0), int), {}, r"input_ids has shape \(2, 0\): a prompt needs a token at least"),
    "no batch": ([1, 2], {}, r"input_ids is int64 of shape \(2,\): give whole numbers \[batch, length\]"),
    "outside": ([[1, 23], [-1, 2]], {}, r"input_ids\[0, 1\] is 23: outside a vocabulary of 23 \(2 such ids\)"),
    "mask": ([[1, 2]], {"attention_mask": [[1]]}, r"attention_mask has shape \(1, 1\), input_ids \(1, 2\)"),
    "mask of more": ([[1, 2]], {"attention_mask": [[1, 2]]}, "attention_mask holds more than ones and zeros"),
    "right": ([[1, 2], [3, 4]], {"attention_mask": [[1, 1], [1, 0]]}, "row 1 of the prompts is padded on the right"),
    "all padding": ([[1, 2], [3, 4]], {"attention_mask": [[1, 1], [0, 0]]}, "row 1 of the prompts is all padding"),
    "cache": (
        [[1, 2, 3]],
        {"cache_length": 6, "max_new_tokens": 5},
        "a prompt of 3 tokens and 5 new ones do not fit a cache of 6 slots: 7 are needed, all but the last token's",
    ),
    "max_length": ([[1, 2, 3]], {"max_length": 3}, "max_length = 3 leaves no room behind a prompt of 3 tokens"),
    "positions": (
        np.ones((1, 64), int),
        {},
        "max_position_embeddings = 64 leaves no room behind a prompt of 64 tokens: set max_new_tokens",
    ),
    "key": ([[1]], {"do_sample": True}, r"do_sample draws tokens: give a random key, such as jax.random.key\(0\)"),
    "told": ([[1]], {"num_beams": 2, "on_tokens": print}, r"on_tokens can't follow a beam search \(num_beams = 2\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_before_any_compute(sides: Any, compiled: list[float], name: str) -> None:
    """One clear error each."""
    ids, options, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        generate(sides[1], ids, **options)
    assert compiled == []


def test_unknown_and_odd_options_are_named_at_once() -> None:
    """With what may have been meant, and what would be right."""
    with pytest.raises(UnsupportedGeneration) as caught:
        GenerationConfig().having({"max_new_token": 3, "no_repeat_ngram_size": 2, "wild": 1, "typical_p": 1.0})
    assert caught.value.problems == [
        "max_new_token = 3 (not known here; did you mean max_new_tokens?)",
        "no_repeat_ngram_size = 2 (not followed here)",
        "wild = 1 (not known here)",
    ]
    with pytest.raises(UnsupportedGeneration) as caught:
        GenerationConfig(max_new_tokens=0, top_p=1.5, early_stopping="soon", num_beams=2, num_return_sequences=3)
    assert caught.value.problems == [
        "max_new_tokens = 0 (a whole number, at least 1)",
        "top_p = 1.5 (a number from 0 to 1)",
        "early_stopping = 'soon' (true, false or 'never')",
        "num_return_sequences = 3 (at most num_beams = 2)",
    ]
    with pytest.raises(UnsupportedGeneration, match=r"there is one best text without do_sample or num_beams"):
        GenerationConfig(num_return_sequences=2)
    with pytest.raises(UnsupportedGeneration, match=r"a beam search draws nothing here: num_beams = 2"):
        GenerationConfig(num_beams=2, do_sample=True)


def test_a_generation_config_json_is_read(tmp_path: Path) -> None:
    """As the reference writes it, whole or with what differs from its defaults."""
    theirs = transformers.GenerationConfig(
        do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=[5, 7], pad_token_id=0
    )
    theirs.save_pretrained(tmp_path)
    expected = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=(5, 7), pad_token_id=0)
    assert GenerationConfig.from_json(tmp_path) == expected
    assert GenerationConfig.from_dict(theirs.to_dict()) == expected
    assert GenerationConfig(eos_token_id=7).pad == 7


@pytest.mark.parametrize(
    ("options", "new", "least"),
    [
        ({}, 20, -5),
        ({"max_length": 9}, 4, -5),
        ({"max_length": 9, "max_new_tokens": 7, "min_length": 8}, 7, 3),
        ({"max_new_tokens": 7, "min_length": 12, "min_new_tokens": 2}, 7, 2),
    ],
)
def test_new_tokens_outrank_lengths(options: dict[str, Any], new: int, least: int) -> None:
    """A length counts the prompt with its padding, but not with the bucket's."""
    config = GenerationConfig(**options)
    prompt = prepare(PROMPTS, MASK, model=LlamaConfig.from_dict(CONFIG), config=config)
    assert (prompt.given, prompt.new, prompt.least) == (5, new, least)


def test_buckets_are_at_most_a_quarter_too_long() -> None:
    """And few: multiples of 16, then of larger powers of two."""
    assert [bucket(length) for length in (1, 16, 17, 100, 129, 160, 1025)] == [16, 16, 32, 112, 160, 160, 1280]
    assert all(length <= bucket(length) <= max(1.25 * length, length + 15) for length in range(1, 3000))
