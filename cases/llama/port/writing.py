"""One text for each prompt, token by token: the best of each step, or drawn.

A text is a pytree of fixed shapes, so that all steps are one program. Shapes: B batch, P length of the padded prompt,
T length of the buffer of a text (one more than the cache has slots: its last token is not read), V vocab.
"""

import dataclasses

import jax
import jax.numpy as jnp

from .generation_config import GenerationConfig
from .heads import LlamaForCausalLM
from .processors import Numbers, process
from .reading import Reading, read_prompt, read_token


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Text:
    """What is written so far.

    Attributes:
        ids_BT: [B, T], the prompt with its padding on the left, then what is new.
        padding_B: [B], how many places of each row are padding on the left.
        written: how many places are filled.
        new: how many of these are behind the prompt.
        ended_B: [B], whether the row's text has ended; from then on its tokens are padding.
        reading: all but the last token, read.
        key: of all that is drawn.
    """

    ids_BT: jax.Array
    padding_B: jax.Array
    written: jax.Array
    new: jax.Array
    ended_B: jax.Array
    reading: Reading
    key: jax.Array | None

    def counted(self) -> jax.Array:
        """[B, T]: the places that hold a token of the prompt or of what is new."""
        place_T = jnp.arange(self.ids_BT.shape[1])
        return (place_T >= self.padding_B[:, None]) & (place_T < self.written)


def begin(
    model: LlamaForCausalLM,
    ids_BP: jax.Array,
    mask_BP: jax.Array,
    key: jax.Array | None,
    numbers: Numbers,
    *,
    slots: int,
    config: GenerationConfig,
) -> Text:
    """Read a prompt, and write the first token.

    Args:
        ids_BP, mask_BP: see `Prompt`.
        key: of a random stream; none without sampling.
        numbers, config: see `process`.
        slots: of the cache.
    """
    B, P = ids_BP.shape
    logits_BV, reading = read_prompt(model, ids_BP, mask_BP, slots=slots)
    text = Text(
        ids_BT=jnp.pad(ids_BP, ((0, 0), (0, slots + 1 - P))),
        padding_B=jnp.argmax(mask_BP, axis=-1),
        written=jnp.int32(P),
        new=jnp.int32(0),
        ended_B=jnp.zeros(B, bool),
        reading=reading,
        key=key,
    )
    return add(text, logits_BV, numbers, config=config)


def go_on(
    model: LlamaForCausalLM, text: Text, until: int | jax.Array, numbers: Numbers, *, config: GenerationConfig
) -> Text:
    """Write until so many tokens are new, or every text has ended."""

    def step(text: Text) -> Text:
        last_B = jax.lax.dynamic_index_in_dim(text.ids_BT, text.written - 1, axis=1, keepdims=False)
        logits_BV, reading = read_token(model, last_B, text.reading)
        return add(dataclasses.replace(text, reading=reading), logits_BV, numbers, config=config)

    return jax.lax.while_loop(lambda text: (text.new < until) & ~jnp.all(text.ended_B), step, text)


def add(text: Text, logits_BV: jax.Array, numbers: Numbers, *, config: GenerationConfig) -> Text:
    """One more token for every text: padding for one that has ended."""
    scores_BV = process(logits_BV, text.ids_BT, text.counted(), new=text.new, numbers=numbers, config=config)
    token_B, ended_B = choose(text, scores_BV, config), text.ended_B
    if config.ends:
        token_B = jnp.where(ended_B, config.pad, token_B)
        ended_B = ended_B | jnp.isin(token_B, jnp.asarray(config.ends))
    ids_BT = jax.lax.dynamic_update_index_in_dim(text.ids_BT, token_B.astype(text.ids_BT.dtype), text.written, axis=1)
    return dataclasses.replace(text, ids_BT=ids_BT, written=text.written + 1, new=text.new + 1, ended_B=ended_B)


def choose(text: Text, scores_BV: jax.Array, config: GenerationConfig) -> jax.Array:
    """The best token of each row, or one drawn with the probabilities that the scores stand for."""
    if not config.do_sample:
        return jnp.argmax(scores_BV, axis=-1)
    assert text.key is not None
    return jax.random.categorical(jax.random.fold_in(text.key, text.new), scores_BV)
