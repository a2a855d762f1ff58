"""What is true of the whole port of Llama."""

from collections.abc import Mapping
from typing import Any

from transformers.models.llama.modeling_llama import LlamaForCausalLM, LlamaModel

import parity
from cases.llama.port.config import LlamaConfig


def config(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """A checkpoint's config.json as a case's configuration; raises UnsupportedConfig naming what the port refuses."""
    LlamaConfig.from_dict(checkpoint)
    return checkpoint


suite = parity.Suite(
    name="llama",
    references=(LlamaModel, LlamaForCausalLM),
    whole="llama/causal_lm",
    config=config,
    architectures=("llama", "LlamaForCausalLM"),
    refuses={
        "pretraining_tp": "more than 1 changes how projections are split; transformers 5 no longer reads it",
        "mlp with prelu or xielu": "these activations have parameters of their own",
    },
)
