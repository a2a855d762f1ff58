"""Generation that takes the best token of each step: token for token what the reference generates."""

from typing import Any

import jax
from flax import nnx
from hypothesis import strategies as st

import parity
from cases.llama.generation import SKIPS, Generate, filled, models, padded, prompts
from cases.llama.palettes import Config, port_config
from cases.llama.port import reading, writing
from cases.llama.port.generation_config import GenerationConfig
from cases.llama.port.heads import LlamaForCausalLM
from cases.llama.port.processors import Numbers, process
from parity.draw import one_of


class Port(nnx.Module):
    """The port, its prompt padded as for a bucket, its texts filled up to their greatest length."""

    def __init__(self, config: Config, dtype: Any, rngs: nnx.Rngs):
        self.model = LlamaForCausalLM(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs)

    def __call__(
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array,
        max_new_tokens: int,
        min_new_tokens: int,
        bucket: int,
        **options: Any,
    ) -> dict[str, jax.Array]:
        """Texts [B, L + new], and how long the longest is."""
        config = GenerationConfig.of(self.model.config).having(options)
        numbers = Numbers.of(config, least=min_new_tokens)
        ids, mask = padded(input_ids, attention_mask, bucket)
        slots = ids.shape[1] + max_new_tokens - 1
        text = writing.begin(self.model, ids, mask, None, numbers, slots=slots, config=config)
        text = writing.go_on(self.model, text, max_new_tokens, numbers, config=config)
        length = text.written - bucket
        return {"sequences": filled(text.ids_BT[:, bucket:], length), "length": length}


def forms(config: Config) -> st.SearchStrategy[dict[str, Any]]:
    """Sizes, lengths, and which options."""
    return st.fixed_dictionaries(
        {
            "batch": one_of(2, 1, 3),
            "length": one_of(3, 7, 5, 1),
            "new": one_of(6, 4, 9, 1),
            "bucket": one_of(2, 0),
            "ends": one_of((2, 5, 7), (4,), (1, 3, 4, 8)),
            "pad": one_of(0, 9, None),
            "least": one_of(0, 2),
            "penalty": one_of(1.0, 1.7, 2.5, 0.6),
        }
    )


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """A prompt, and the form's options by their names."""
    options = {
        "max_new_tokens": form["new"],
        "min_new_tokens": form["least"],
        "eos_token_id": tuple(form["ends"]),
        "repetition_penalty": form["penalty"],
        "bucket": form["bucket"],
    }
    pad = {} if form["pad"] is None else {"pad_token_id": form["pad"]}
    return draw(prompts(config, form)) | options | pad


greedy_search = parity.Case(
    name="llama/greedy_search",
    parts={"model": "llama/causal_lm"},
    reference=Generate,
    port=Port,
    configs=models(),
    forms=forms,
    inputs=inputs,
    skips=SKIPS,
    pool=6,
    faults={
        "end_stops_nothing": parity.edit(
            writing.add, ("ended_B | jnp.isin(token_B, jnp.asarray(config.ends))", "ended_B")
        ),
        "first_end_alone": parity.edit(writing.add, ("jnp.asarray(config.ends)", "jnp.asarray(config.ends[:1])")),
        "padding_not_written": parity.edit(
            writing.add, ("jnp.where(ended_B, config.pad, token_B)", "jnp.where(ended_B, token_B, token_B)")
        ),
        "padded_with_the_end": parity.edit(writing.add, ("ended_B, config.pad,", "ended_B, config.ends[0],")),
        "ends_with_the_first": parity.edit(writing.go_on, ("~jnp.all(text.ended_B)", "~jnp.any(text.ended_B)")),
        "one_token_too_many": parity.edit(writing.go_on, ("text.new < until", "text.new <= until")),
        "token_before_the_last_read": parity.edit(writing.go_on, ("text.written - 1", "text.written - 2")),
        "position_stuck": parity.edit(reading.read_token, ("position_B + 1", "position_B")),
        "position_counts_padding": parity.edit(reading.read_prompt, ("count_BP[:, -1])", "jnp.full(B, P))")),
        "positions_of_the_buffer": parity.edit(
            reading.read_prompt, ("jnp.where(mask_BP, count_BP - 1, 0)", "jnp.arange(P)[None] + 0 * count_BP")
        ),
        "padding_seen": parity.edit(reading.read_prompt, ("jnp.pad(mask_BP, ", "jnp.pad(mask_BP | True, ")),
        "new_tokens_not_seen": parity.edit(reading.read_prompt, ("constant_values=True", "constant_values=False")),
        "padding_penalised": parity.edit(
            writing.Text.counted,
            ("place_T >= self.padding_B[:, None]", "place_T >= 0 * self.padding_B[:, None]"),
        ),
        "least_counts_the_next": parity.edit(writing.add, ("new=text.new, numbers", "new=text.new + 1, numbers")),
        "penalty_forgotten": parity.edit(process, ("config.repetition_penalty != 1", "False")),
    },
    equivalents={
        "best_of_one": parity.same(
            writing.choose,
            ("jnp.argmax(scores_BV, axis=-1)", "jax.lax.top_k(scores_BV, 1)[1][:, 0]"),
            why="the best token is the first of the best",
        ),
    },
)
