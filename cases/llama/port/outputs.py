"""What the whole models return: frozen pytrees, with None where something was not asked for.

Shapes: B batch, L length, M memory length, D width, N heads, V vocab, C classes.
"""

from dataclasses import dataclass

import jax

from .cache import Cache


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ModelOutput:
    """Of `LlamaModel`.

    Attributes:
        last_hidden_state: [B, L, D], normed.
        hidden_states: what enters each layer, then `last_hidden_state`; one more than there are layers. What the
            last layer returns before the final norm is not among them. Empty where there are no layers.
        attentions: the weights [B, N, L, M] of each layer.
        cache: with what was read now, where one was given.
    """

    last_hidden_state: jax.Array
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None
    cache: Cache | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CausalLMOutput:
    """Of `LlamaForCausalLM`.

    Attributes:
        loss: a scalar, where labels were given.
        logits: [B, L, V], or of the positions that were kept.
        hidden_states, attentions, cache: as in `ModelOutput`, of every position.
    """

    loss: jax.Array | None
    logits: jax.Array
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None
    cache: Cache | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ClassifierOutput:
    """Of `LlamaForSequenceClassification` and `LlamaForTokenClassification`.

    Attributes:
        loss: a scalar, where labels were given.
        logits: [B, C] of the sequences, or [B, L, C] of the tokens.
        hidden_states, attentions: as in `ModelOutput`.
    """

    loss: jax.Array | None
    logits: jax.Array
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SpanOutput:
    """Of `LlamaForQuestionAnswering`.

    Attributes:
        loss: a scalar, where both positions were given.
        start_logits, end_logits: [B, L], of the answer's first and last position.
        hidden_states, attentions: as in `ModelOutput`.
    """

    loss: jax.Array | None
    start_logits: jax.Array
    end_logits: jax.Array
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None
