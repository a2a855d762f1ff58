"""Beam search: the most likely texts of all those that the best ones so far can become.

Every step, each of R texts of a prompt proposes its continuations; of all proposals the best few are looked at, of
which those that end go to the finished texts and the best others run on. Scores of running texts are sums of
logarithms of probabilities, scores of finished ones these over a power of their length. Shapes: B batch, R running
(and finished) texts of each prompt, C candidates of each prompt, P length of the padded prompt, T length of the buffer
of a text, V vocab.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from .generation_config import GenerationConfig
from .heads import LlamaForCausalLM
from .processors import Number, Numbers, process
from .reading import Reading, read_prompt, read_token

OUT = -1e9  # added to what may not be chosen: below any text's score, and still in order, unlike -inf


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Texts:
    """Some texts of each prompt.

    Attributes:
        ids_BRT: [B, R, T], prompts with their padding on the left included.
        scores_BR: [B, R], the best first.
        new_BR: [B, R], how many tokens are behind the prompt.
        ended_BR: [B, R], whether a finished text is one: at first none is.
    """

    ids_BRT: jax.Array
    scores_BR: jax.Array
    new_BR: jax.Array
    ended_BR: jax.Array

    def of(self, choice_BR: jax.Array) -> "Texts":
        """Some of them, by their numbers [B, R]."""

        def taken(x: jax.Array) -> jax.Array:
            return jnp.take_along_axis(x, choice_BR.reshape(*choice_BR.shape, *[1] * (x.ndim - 2)), axis=1)

        return jax.tree.map(taken, self)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Search:
    """A search under way.

    Attributes:
        running: texts that go on.
        finished: the best that have ended.
        open_B: [B], whether a better one may come.
        going: whether there is a step to do.
        padding_B: [B], how many places of each prompt are padding on the left.
        written: how many places of the running texts are filled; `new`: how many of these are behind the prompt.
        reading: all but the last tokens of the running texts, read; a row for each.
    """

    running: Texts
    finished: Texts
    open_B: jax.Array
    going: jax.Array
    padding_B: jax.Array
    written: jax.Array
    new: jax.Array
    reading: Reading


def begin(
    model: LlamaForCausalLM,
    ids_BP: jax.Array,
    mask_BP: jax.Array,
    limit: int | jax.Array,
    numbers: Numbers,
    *,
    slots: int,
    config: GenerationConfig,
) -> Search:
    """Read the prompts, once for all texts of each, and take the first step.

    Args:
        ids_BP, mask_BP: see `Prompt`.
        limit: how many tokens may follow a prompt.
        numbers, config: see `process`; of the penalty on lengths, `config` says whether it favours long texts.
        slots: of the cache.
    """
    (B, P), R = ids_BP.shape, config.num_beams
    logits_BV, reading = read_prompt(model, ids_BP, mask_BP, slots=slots)
    ids_BT = jnp.pad(ids_BP, ((0, 0), (0, slots + 1 - P)), constant_values=_filler(config))
    ids_BRT = jnp.broadcast_to(ids_BT[:, None], (B, R, slots + 1))
    alike_BR = jnp.where(jnp.arange(R) > 0, OUT, jnp.zeros((B, R), logits_BV.dtype))  # one of R equal texts runs
    none_BR, no_BR = jnp.zeros((B, R), jnp.int32), jnp.zeros((B, R), bool)
    search = Search(
        running=Texts(ids_BRT, alike_BR, none_BR, no_BR),
        finished=Texts(ids_BRT, jnp.full_like(alike_BR, OUT), none_BR, no_BR),
        open_B=jnp.ones(B, bool),
        going=jnp.array(True),
        padding_B=jnp.argmax(mask_BP, axis=-1),
        written=jnp.int32(P),
        new=jnp.int32(0),
        reading=reading.rows(jnp.repeat(jnp.arange(B), R)),
    )
    return advance(search, jnp.repeat(logits_BV, R, axis=0), limit, numbers, config=config)


def go_on(
    model: LlamaForCausalLM, search: Search, limit: int | jax.Array, numbers: Numbers, *, config: GenerationConfig
) -> Search:
    """Search until no better text is to be expected."""

    def step(search: Search) -> Search:
        last_BR = jax.lax.dynamic_index_in_dim(search.running.ids_BRT, search.written - 1, axis=2, keepdims=False)
        logits, reading = read_token(model, last_BR.reshape(-1), search.reading)
        return advance(dataclasses.replace(search, reading=reading), logits, limit, numbers, config=config)

    return jax.lax.while_loop(lambda search: search.going, step, search)


def advance(
    search: Search, logits: jax.Array, limit: int | jax.Array, numbers: Numbers, *, config: GenerationConfig
) -> Search:
    """One step, given the logits [B R, V] of what follows each running text."""
    B, R = search.running.scores_BR.shape
    sums_BRV = continued(search, logits, numbers, config)
    proposed, parent_BC = candidates(search, sums_BRV, config)
    last_BC = jax.lax.dynamic_index_in_dim(proposed.ids_BRT, search.written, axis=2, keepdims=False)
    ends_BC = jnp.isin(last_BC, jnp.asarray(config.ends, jnp.int32)) | (search.new + 1 >= limit)
    proposed = dataclasses.replace(proposed, ended_BR=ends_BC)

    scores_BC = proposed.scores_BR + ends_BC * OUT
    _, choice_BR = jax.lax.top_k(scores_BC, R)
    running = dataclasses.replace(proposed, scores_BR=scores_BC).of(choice_BR)
    parent_BR = jnp.take_along_axis(parent_BC, choice_BR, axis=1)
    order = (parent_BR + R * jnp.arange(B)[:, None]).reshape(-1)

    new = search.new + 1
    finished = best_finished(search, proposed, numbers, config)
    open_B = search.open_B & may_improve(running, finished, new, limit, numbers, config)
    full = jnp.all(finished.ended_BR) & (config.early_stopping is True)
    return Search(
        running=running,
        finished=finished,
        open_B=open_B,
        going=jnp.any(open_B) & ~full & ~jnp.all(ends_BC),
        padding_B=search.padding_B,
        written=search.written + 1,
        new=new,
        reading=search.reading.rows(order),
    )


def continued(search: Search, logits: jax.Array, numbers: Numbers, config: GenerationConfig) -> jax.Array:
    """The score [B, R, V] of each running text with each token behind it."""
    B, R, T = search.running.ids_BRT.shape
    place_T = jnp.arange(T)
    counted_BT = (place_T >= search.padding_B[:, None]) & (place_T < search.written)
    scores = process(
        jax.nn.log_softmax(logits, axis=-1),
        search.running.ids_BRT.reshape(B * R, T),
        jnp.repeat(counted_BT, R, axis=0),
        new=search.new,
        numbers=numbers,
        config=config,
    )
    return scores.reshape(B, R, -1) + search.running.scores_BR[:, :, None]


def candidates(search: Search, sums_BRV: jax.Array, config: GenerationConfig) -> tuple[Texts, jax.Array]:
    """The best continuations of each prompt, and the running text [B, C] that each continues.

    So many that R of them go on, even if every text's best tokens are those that end it.
    """
    B, R, V = sums_BRV.shape
    C = max(2, 1 + len(config.ends)) * R
    scores_BC, place_BC = jax.lax.top_k(sums_BRV.reshape(B, R * V), C)
    parent_BC, token_BC = place_BC // V, place_BC % V
    texts = search.running.of(parent_BC)
    ids_BCT = jax.lax.dynamic_update_index_in_dim(
        texts.ids_BRT, token_BC.astype(texts.ids_BRT.dtype), search.written, axis=2
    )
    return Texts(ids_BCT, scores_BC, texts.new_BR + 1, texts.ended_BR), parent_BC


def best_finished(search: Search, proposed: Texts, numbers: Numbers, config: GenerationConfig) -> Texts:
    """The best R of the finished texts and of the candidates that end.

    Only the best R candidates count, and only while a better text may come: with `early_stopping`, while not all R
    have ended.
    """
    before, R = search.finished, config.num_beams
    counts_BC = proposed.ended_BR & (jnp.arange(proposed.ended_BR.shape[1]) < R)
    full_B1 = jnp.all(before.ended_BR, axis=1, keepdims=True) & (config.early_stopping is True)
    scores_BC = proposed.scores_BR / power(search.new + 1, numbers.length_penalty, proposed.scores_BR.dtype)
    scores_BC = scores_BC + full_B1 * OUT + ~search.open_B[:, None] * OUT + ~counts_BC * OUT
    new = dataclasses.replace(proposed, scores_BR=scores_BC, ended_BR=counts_BC)
    both: Any = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), before, new)
    return both.of(jax.lax.top_k(both.scores_BR, R)[1])


def may_improve(
    running: Texts, finished: Texts, new: jax.Array, limit: int | jax.Array, numbers: Numbers, config: GenerationConfig
) -> jax.Array:
    """Whether the best running text [B] could be worth more, once finished, than the worst finished one.

    Its score is taken over the present length; with `early_stopping` of 'never' and a penalty that favours long texts,
    over the longest.
    """
    longest = config.early_stopping == "never" and config.length_penalty > 0
    length = power(limit if longest else new, numbers.length_penalty, running.scores_BR.dtype)
    worst_B1 = jnp.min(finished.scores_BR, axis=1, keepdims=True)
    worst_BR = jnp.where(finished.ended_BR, worst_B1, OUT)
    return jnp.any(running.scores_BR[:, :1] / length > worst_BR, axis=-1)


def power(length: int | jax.Array, penalty: Number, dtype: Any) -> jax.Array:
    """What a score is divided by."""
    return jnp.asarray(length, dtype) ** penalty


def _filler(config: GenerationConfig) -> int:
    """What stands behind a text: the padding, but as in the reference not token 0, and -1 where no text ends."""
    return (config.pad or config.ends[0]) if config.ends else -1
