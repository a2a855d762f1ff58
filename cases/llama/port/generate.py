"""`generate`: prompts in, texts out. Greedily, by drawing, or by beam search.

Shapes: B batch, L length of the prompts, R texts returned for each, T length of the longest text.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from flax import nnx

from . import beam, writing
from .generation_config import GenerationConfig
from .heads import LlamaForCausalLM
from .processors import Numbers
from .prompt import Prompt, prepare

OnTokens = Callable[[npt.NDArray[np.int32]], object]


@dataclasses.dataclass(frozen=True)
class Generated:
    """What was generated.

    Attributes:
        sequences: [B R, T] int32, the texts of a prompt one after another, the prompt with its padding included.
        scores: [B R], a beam search's: the logarithm of the text's probability over a power of its length.
    """

    sequences: npt.NDArray[np.int32]
    scores: npt.NDArray[np.floating] | None = None


def generate(
    model: LlamaForCausalLM,
    input_ids: Any,
    attention_mask: Any | None = None,
    *,
    config: GenerationConfig | None = None,
    key: jax.Array | None = None,
    on_tokens: OnTokens | None = None,
    cache_length: int | None = None,
    **options: Any,
) -> Generated:
    """Continue prompts.

    Prompts are padded on the left to a bucket of lengths, and the cache has a bucket's length too: a prompt compiles
    once for its bucket, all tokens behind it once for the cache's. Other numbers, of tokens or of options, compile
    nothing; other batches, options that are new, and other values of `top_k` and of what ends a text do.

    Args:
        model: is only read.
        input_ids: [B, L] ids, padded on the left where the prompts differ in length.
        attention_mask: [B, L], 1 for a token and 0 for padding; see `prepare` for where none is given.
        config: how; what the model's own configuration says about ends and padding, if none is given.
        key: a random key, for `do_sample`. The same key draws the same texts.
        on_tokens: called with the tokens [B R] of each step as soon as they are there; not with a beam search, whose
            texts change until the end.
        cache_length: slots of the cache, if not a bucket's; all tokens but the last must fit.
        options: fields of the `GenerationConfig` that are to be others.

    Raises:
        ValueError: before anything is computed: options that are unknown or at odds, prompts that are empty, padded on
            the right, outside the vocabulary, of another shape than their mask, or too long for the cache.
    """
    config = (config or GenerationConfig.of(model.config)).having(options)
    prompt = prepare(input_ids, attention_mask, model=model.config, config=config, cache_length=cache_length)
    if config.do_sample and key is None:
        raise ValueError("do_sample draws tokens: give a random key, such as jax.random.key(0)")
    if config.num_beams > 1:
        if on_tokens is not None:
            raise ValueError(f"on_tokens can't follow a beam search (num_beams = {config.num_beams})")
        return _searched(model, prompt, config)
    return _written(model, prompt, config, key if config.do_sample else None, on_tokens)


def _written(
    model: LlamaForCausalLM, prompt: Prompt, config: GenerationConfig, key: jax.Array | None, on_tokens: OnTokens | None
) -> Generated:
    """One text for each prompt, or several that are drawn."""
    graph, state = nnx.split(model)
    static: Mapping[str, Any] = {"graph": graph, "config": config.program()}
    numbers = Numbers.of(config, least=prompt.least)
    ids, mask = (np.repeat(x, config.num_return_sequences, axis=0) for x in (prompt.ids, prompt.mask))
    text = _begin(state, ids, mask, key, numbers, slots=prompt.slots, **static)
    for new in range(1, prompt.new + 1) if on_tokens else (prompt.new,):
        text = _go_on(state, text, np.int32(new), numbers, **static)
        if on_tokens:
            on_tokens(np.asarray(text.ids_BT)[:, int(text.written) - 1].copy())
            if np.asarray(text.ended_B).all():
                break
    return Generated(np.asarray(text.ids_BT)[:, mask.shape[1] - prompt.given : int(text.written)])


def _searched(model: LlamaForCausalLM, prompt: Prompt, config: GenerationConfig) -> Generated:
    """The best texts of each prompt."""
    graph, state = nnx.split(model)
    static: Mapping[str, Any] = {"graph": graph, "config": config.program()}
    limits = np.int32(prompt.new), Numbers.of(config, least=prompt.least)
    search = _begin_search(state, prompt.ids, prompt.mask, *limits, slots=prompt.slots, **static)
    best = _search(state, search, *limits, **static).finished
    wanted, start = config.num_return_sequences, prompt.mask.shape[1]
    ids, scores, new = (np.asarray(x)[:, :wanted] for x in (best.ids_BRT, best.scores_BR, best.new_BR))
    texts = ids[:, :, start - prompt.given : start + int(new.max())]
    return Generated(texts.reshape(-1, texts.shape[-1]), scores.reshape(-1))


@partial(jax.jit, static_argnames=("slots", "graph", "config"))
def _begin(state: Any, *args: Any, slots: int, graph: Any, config: GenerationConfig) -> writing.Text:
    return writing.begin(nnx.merge(graph, state), *args, slots=slots, config=config)


@partial(jax.jit, static_argnames=("graph", "config"), donate_argnums=1)
def _go_on(state: Any, text: writing.Text, *args: Any, graph: Any, config: GenerationConfig) -> writing.Text:
    return writing.go_on(nnx.merge(graph, state), text, *args, config=config)


@partial(jax.jit, static_argnames=("slots", "graph", "config"))
def _begin_search(state: Any, *args: Any, slots: int, graph: Any, config: GenerationConfig) -> beam.Search:
    return beam.begin(nnx.merge(graph, state), *args, slots=slots, config=config)


@partial(jax.jit, static_argnames=("graph", "config"), donate_argnums=1)
def _search(state: Any, search: beam.Search, *args: Any, graph: Any, config: GenerationConfig) -> beam.Search:
    return beam.go_on(nnx.merge(graph, state), search, *args, config=config)
