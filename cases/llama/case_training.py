"""Training by the recipe of `transformers.Trainer`, on both sides: every loss, and every parameter after every step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaForCausalLM as Reference
from transformers.optimization import get_linear_schedule_with_warmup
from transformers.trainer import Trainer

import parity
from cases.llama import heads
from cases.llama.case_model import NO_CACHE
from cases.llama.palettes import Config, batches, port_config, reference_config
from cases.llama.port import training as recipe
from cases.llama.port.heads import LlamaForCausalLM
from parity.draw import one_of, padding, tokens

TRAINED = "the model that is trained is the one of llama/causal_lm, which is asked"
# A rate at which a wrong step shows, a warm-up and an end within the steps taken, and a norm that clips some of them.
RECIPE = recipe.Recipe(learning_rate=0.02, warmup_steps=5, total_steps=18, weight_decay=0.1, max_grad_norm=1.0)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A small Llama with biases; with a head of its own, or tied to the table."""
    return {**draw(heads.configs()), "mlp_bias": True, "tie_word_embeddings": draw(one_of(False, True))}


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Batches with padding or without."""
    return batches(5, 3, padding=(False, True))


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """Tokens and labels, some of which take no part, as many as it happens in each micro-batch."""
    shape = (form["batch"], form["length"])
    drawn: dict[str, Any] = {
        "input_ids": draw(tokens(shape, config["vocab_size"])),
        "labels": draw(tokens(shape, config["vocab_size"], holes=(-100,))),
    }
    return drawn | ({"attention_mask": draw(padding(*shape, sides=("right", "left")))} if form["padding"] else {})


def stepping(module: Any) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
    """The reference's recipe, as `Trainer` puts it together; a batch is read at once, not in its micro-batches."""
    decayed = set(Trainer.get_decay_parameter_names(None, module))  # type: ignore[arg-type]  # it does not look at itself
    named = dict(module.named_parameters())
    groups = [
        {"params": [p for name, p in named.items() if name in decayed], "weight_decay": RECIPE.weight_decay},
        {"params": [p for name, p in named.items() if name not in decayed], "weight_decay": 0.0},
    ]
    moments = (RECIPE.beta1, RECIPE.beta2)
    optimizer = torch.optim.AdamW(groups, lr=RECIPE.learning_rate, betas=moments, eps=RECIPE.epsilon)
    schedule = get_linear_schedule_with_warmup(optimizer, RECIPE.warmup_steps, RECIPE.total_steps)

    def step(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        loss = module(**{name: x.flatten(0, 1) for name, x in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), RECIPE.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        return loss

    return step


def build(config: Config, dtype: Any, rngs: Any) -> LlamaForCausalLM:
    """The port."""
    return LlamaForCausalLM(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs)


OTHERS = (
    *("transfer", "structure", "exact", "gradient", "rounded:bfloat16", "rounded:float16", "float32"),
    *("bfloat16", "float16", "transforms", "eager:float32", "eager:bfloat16", "eager:float16"),
)
ONLY_TRAINING = ("training",)
ADAM = "scaled_by_moments(recipe),"
STARTED = "-jnp.expm1(count.astype(jnp.result_type(float)) * (math.log(decay) if decay else -math.inf))"
DECAY = "optax.add_decayed_weights(recipe.weight_decay, mask=decays)"
CLIP = "clipped(recipe.max_grad_norm),"


def fault(target: Callable[..., Any], *changes: tuple[str, str]) -> parity.Variant:
    """An edit that only training shows."""
    return parity.edit(target, *changes, checks=ONLY_TRAINING)


training = parity.Case(
    name="llama/training",
    parts={"model": "llama/model"},
    reference=lambda config: Reference(reference_config(config)),
    port=build,
    configs=configs(),
    forms=forms,
    inputs=inputs,
    training=parity.Training(
        reference=stepping, optimizer=lambda model: recipe.adamw(model, RECIPE), step=recipe.train_step
    ),
    ignores=NO_CACHE,
    skips=dict.fromkeys(OTHERS, TRAINED),
    pool=2,
    faults={
        "decay_scaled_by_moments": fault(recipe.transformation, (ADAM, ""), (f"{DECAY},", f"{DECAY}, {ADAM}")),
        "clipped_after_the_moments": fault(recipe.transformation, (CLIP, ""), (ADAM, f"{ADAM} {CLIP}")),
        "warm_up_one_step_early": fault(recipe.rate, ("count.astype", "(count + 1).astype")),
        "bias_of_moments_kept": fault(
            recipe.scaled_by_moments, ("started(recipe.beta1, count), started(recipe.beta2, count)", "1.0, 1.0")
        ),
        "bias_of_moments_in_float32": fault(recipe.started, (STARTED, "1 - decay**count")),
        "bias_one_step_late": fault(
            recipe.scaled_by_moments, ("state.steps + 1", "state.steps + 1 + (state.steps > 0)")
        ),
        "epsilon_under_the_root": fault(
            recipe.scaled_by_moments,
            ("(jnp.sqrt(v / of_square) + recipe.epsilon)", "jnp.sqrt(v / of_square + recipe.epsilon)"),
        ),
        "norms_decay": fault(recipe.decays, ("SPARED &", "{'bias'} &")),
        "mean_of_means": fault(
            recipe.train_step,
            (
                "called(**micro, num_items_in_batch=items, dropout_key=key).loss",
                "(called(**micro).loss / len(batch['labels']))",
            ),
        ),
        "first_labels_counted": fault(recipe.train_step, ('batch["labels"][..., 1:]', 'batch["labels"]')),
        "clipped_one_by_one": fault(
            recipe.clipped,
            (
                "lambda x: x * share.astype(x.dtype)",
                "lambda x: x * jnp.minimum(most / (optax.tree.norm(x) + ROUND), 1.0).astype(x.dtype)",
            ),
        ),
        "norm_not_rounded_up": fault(recipe.clipped, (" + ROUND", "")),
    },
    equivalents={
        "moments_by_optax": parity.same(
            recipe.transformation,
            (ADAM, "optax.scale_by_adam(b1=recipe.beta1, b2=recipe.beta2, eps=recipe.epsilon),"),
            why="the same but for how 1 - beta^t is rounded",
        ),
    },
)
