"""What is true of the whole port of Llama."""

from collections.abc import Mapping
from typing import Any

from transformers.models.llama.modeling_llama import (
    LlamaForCausalLM,
    LlamaForQuestionAnswering,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    LlamaModel,
)

import parity
from cases.llama.port.config import LlamaConfig
from cases.llama.speed import WORKLOADS
from cases.llama.text import PROMPTS, TEXT

# What the cases of single layers read by name, and a config.json may leave out.
READ = ("vocab_size", "hidden_size", "rms_norm_eps", "pad_token_id")
OLD_BUFFER = "a buffer of older checkpoints, computed from the configuration"


def config(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """A checkpoint's config.json as a case's configuration; raises UnsupportedConfig naming what the port refuses."""
    complete = LlamaConfig.from_dict(checkpoint)
    return {**{name: getattr(complete, name) for name in READ}, **checkpoint}


suite = parity.Suite(
    name="llama",
    references=(
        LlamaModel,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
        LlamaForTokenClassification,
        LlamaForQuestionAnswering,
    ),
    whole="llama/causal_lm",
    config=config,
    architectures=("llama", "LlamaForCausalLM"),
    refuses={
        "hidden_act": "prelu and xielu have parameters of their own",
        "partial_rotary_factor": "the reference fails on heads rotated in part, but for rope type proportional",
        "sliding_window, layer_types": "no Llama has layers that see only part of the past",
        "quantization_config": "weights are floats here",
    },
    text=TEXT,
    prompts=PROMPTS,
    bench={
        "llama/rmsnorm": {},
        "llama/attention": {},
        "llama/block": {},
        "llama/model": {"num_hidden_layers": 3},
    },
    workloads=WORKLOADS,
    leftovers={
        "model.layers.*.self_attn.rotary_emb.inv_freq": OLD_BUFFER,
        "model.rotary_emb.inv_freq": OLD_BUFFER,
    },
)
