"""Generation by beam search: the same texts as the reference's, and the same scores."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from hypothesis import strategies as st

import parity
from cases.llama.generation import SKIPS, Generate, filled, models, padded, prompts
from cases.llama.palettes import Config, port_config
from cases.llama.port import beam
from cases.llama.port.generation_config import GenerationConfig
from cases.llama.port.heads import LlamaForCausalLM
from cases.llama.port.processors import Numbers
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
        """Texts [B R, L + new], how long the longest is, and their scores."""
        config = GenerationConfig.of(self.model.config).having(options)
        ids, mask = padded(input_ids, attention_mask, bucket)
        limits = max_new_tokens, Numbers.of(config, least=min_new_tokens)
        search = beam.begin(self.model, ids, mask, *limits, slots=ids.shape[1] + max_new_tokens - 1, config=config)
        best = beam.go_on(self.model, search, *limits, config=config).finished
        wanted = config.num_return_sequences
        length = input_ids.shape[1] + jnp.max(best.new_BR[:, :wanted])
        texts = best.ids_BRT[:, :wanted, bucket:]
        return {
            "sequences": filled(texts.reshape(-1, texts.shape[-1]), length),
            "length": length,
            "scores": best.scores_BR[:, :wanted].reshape(-1),
        }


def forms(config: Config) -> st.SearchStrategy[dict[str, Any]]:
    """Sizes, lengths, and which options."""
    return st.fixed_dictionaries(
        {
            "batch": one_of(2, 1, 3),
            "length": one_of(3, 5, 1),
            "new": one_of(8, 10, 1, 4),
            "bucket": one_of(2, 0),
            "ends": one_of((0, 2, 6, 9, 10), (2, 5, 7), (4,), (1, 3, 4, 6, 8)),  # of 11 tokens
            "pad": one_of(0, 9, None),
            "least": one_of(0, 0, 2),
            "penalty": one_of(1.0, 1.0, 1.7),
            "texts": one_of((3, 3), (4, 2), (2, 1)),
            "length_penalty": one_of(1.0, 2.5, -1.0, 0.5, 0.0),
            "early_stopping": one_of(False, True, "never"),
        }
    )


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """A prompt, and the form's options by their names."""
    texts, wanted = form["texts"]
    options = {
        "max_new_tokens": form["new"],
        "min_new_tokens": form["least"],
        "eos_token_id": tuple(form["ends"]),
        "repetition_penalty": form["penalty"],
        "num_beams": texts,
        "num_return_sequences": wanted,
        "length_penalty": form["length_penalty"],
        "early_stopping": form["early_stopping"],
        "bucket": form["bucket"],
    }
    pad = {} if form["pad"] is None else {"pad_token_id": form["pad"]}
    return draw(prompts(config, form)) | options | pad


EARLY = " & (config.early_stopping is True)"

beam_search = parity.Case(
    name="llama/beam_search",
    parts={"model": "llama/causal_lm"},
    reference=Generate,
    port=Port,
    configs=models(),
    forms=forms,
    inputs=inputs,
    skips=SKIPS,
    pool=6,
    faults={
        "length_penalty_off": parity.edit(beam.power, ("** penalty", "** 0.0")),
        "length_counts_the_prompt": parity.edit(
            beam.best_finished, ("power(search.new + 1,", "power(search.written + 1,")
        ),
        "length_off_by_one": parity.edit(beam.best_finished, ("power(search.new + 1,", "power(search.new,")),
        "scores_not_reordered": parity.edit(
            beam.advance,
            (
                "    parent_BR =",
                "    running = dataclasses.replace(running, scores_BR=scores_BC[:, :R])\n    parent_BR =",
            ),
        ),
        "cache_not_reordered": parity.edit(beam.advance, ("search.reading.rows(order)", "search.reading")),
        "cache_of_the_first_prompt": parity.edit(beam.advance, ("R * jnp.arange(B)", "0 * jnp.arange(B)")),
        "early_stopping_ignored": parity.both(
            parity.edit(beam.advance, (EARLY, " & False")), parity.edit(beam.best_finished, (EARLY, " & False"))
        ),
        "never_ignored": parity.edit(beam.may_improve, ('config.early_stopping == "never"', "False")),
        "best_for_the_worst": parity.edit(beam.may_improve, ("jnp.min(", "jnp.max(")),
        "backups_finish_too": parity.edit(beam.best_finished, ("jnp.arange(proposed.ended_BR.shape[1]) < R", "True")),
        "backups_for_one_end": parity.edit(beam.candidates, ("max(2, 1 + len(config.ends))", "2")),
        "copies_of_one_text": parity.edit(beam.begin, ("jnp.arange(R) > 0, OUT", "jnp.arange(R) > 0, 0 * OUT")),
        "ended_texts_go_on": parity.edit(beam.advance, ("proposed.scores_BR + ends_BC * OUT", "proposed.scores_BR")),
        "first_end_alone": parity.edit(
            beam.advance, ("jnp.asarray(config.ends, jnp.int32)", "jnp.asarray(config.ends[:1])")
        ),
        "logits_added": parity.edit(beam.continued, ("jax.nn.log_softmax(logits, axis=-1)", "logits")),
        "padding_with_token_0": parity.edit(beam._filler, ("config.pad or config.ends[0]", "config.pad")),
        "penalty_of_the_first_text": parity.edit(
            beam.continued,
            ("search.running.ids_BRT.reshape(B * R, T)", "jnp.repeat(search.running.ids_BRT[:, 0], R, axis=0)"),
        ),
    },
    equivalents={
        "power_by_logarithms": parity.same(
            beam.power,
            ("jnp.asarray(length, dtype) ** penalty", "jnp.exp(penalty * jnp.log(jnp.asarray(length, dtype)))"),
            why="n ** p = exp(p log n)",
        ),
    },
)
