"""What the Llama cases draw their configurations from: sizes that hide nothing, every rope type with limits that bite.

A configuration is a dictionary as config.json holds it, so that every example also exercises the port's reading of it.
Avoided on purpose: head sizes 4 and 16 alone (the scale is a power of two), theta 1e4 with head size 4 or 8 alone (the
frequencies are round numbers), as many kv heads as heads alone, no biases alone, lengths below every threshold.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers import LlamaConfig as ReferenceConfig

from cases.llama.port.activations import ACTIVATIONS
from cases.llama.port.config import LlamaConfig
from parity.draw import one_of

Config = Mapping[str, Any]

# hidden_size, num_attention_heads, num_key_value_heads, head_dim
HEADS = (
    (6, 1, 1, 6),
    (12, 2, 2, 6),  # every kernel of attention is square
    (12, 2, 1, 6),
    (24, 4, 2, 10),
    (18, 6, 3, 4),
    (20, 2, 1, 14),
    (30, 6, 2, 8),
    (24, 4, 2, 6),
)
EPS = (1e-5, 1e-6, 3e-3)
CASTS = ("rounded:bfloat16",)  # the check that must reject a fault of rounding
THETA = (10000.0, 500000.0, 77.0)


@st.composite
def configs(
    draw: st.DrawFn, *, layers: tuple[int, ...] = (1,), activations: tuple[str, ...] = ("silu", "gelu")
) -> Config:
    """A whole Llama configuration, tiny."""
    heads = draw(rotaries())
    return {
        "model_type": "llama",
        "vocab_size": draw(one_of(11, 32, 57)),
        "intermediate_size": draw(one_of(heads["hidden_size"], 7, 40)),
        "num_hidden_layers": draw(one_of(*layers)),
        "hidden_act": draw(one_of(*activations)),
        "rms_norm_eps": draw(one_of(*EPS)),
        "attention_bias": draw(st.booleans()),
        "mlp_bias": draw(st.booleans()),
        "tie_word_embeddings": draw(st.booleans()),
        "pad_token_id": draw(one_of(None, 0, 3)),
        **heads,
    }


@st.composite
def rotaries(draw: st.DrawFn) -> Config:
    """The fields that decide heads and rotary tables, in today's spelling of rope or an older one."""
    width, heads, kv_heads, head_dim = draw(one_of(*HEADS))
    kind = draw(one_of(*ROPES))
    fields, longest = draw(ROPES[kind](head_dim))
    theta = draw(one_of(*THETA))
    spelling = draw(one_of("rope_parameters", "rope_type", "type"))
    if spelling == "rope_parameters" or kind == "proportional":
        rope = {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **fields}}
    else:
        rope = {"rope_theta": theta, "rope_scaling": {spelling: kind, **fields} if kind != "default" else None}
    sizes = {"hidden_size": width, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim}
    return {**sizes, "max_position_embeddings": longest, **rope}


FACTORS = one_of(2.0, 3.5, 8.0)
ORIGINALS = one_of(13, 8)
Rope = SearchStrategy[tuple[dict[str, Any], int]]


def _plain(head_dim: int) -> Rope:
    return st.tuples(st.just({}), one_of(32, 9))


def _stretched(head_dim: int) -> Rope:
    return st.tuples(st.fixed_dictionaries({"factor": FACTORS}), one_of(32, 9))


def _llama3(head_dim: int) -> Rope:
    bands = one_of({"low_freq_factor": 1.0, "high_freq_factor": 4.0}, {"low_freq_factor": 0.5, "high_freq_factor": 3.0})
    return _with_original(one_of(64, 13), FACTORS.map(lambda factor: {"factor": factor}), bands)


def _yarn(head_dim: int) -> Rope:
    band = one_of(
        {},
        {"beta_fast": 4.0, "beta_slow": 0.5},
        {"attention_factor": 1.3},
        {"mscale": 0.7, "mscale_all_dim": 1.2},
        {"truncate": False},
    )
    return _with_original(one_of(64, 13), FACTORS.map(lambda factor: {"factor": factor}), band)


def _longrope(head_dim: int) -> Rope:
    lists = {
        "short_factor": [1.0 + 0.25 * i for i in range(head_dim // 2)],
        "long_factor": [1.5 + 1.75 * i for i in range(head_dim // 2)],
    }
    return _with_original(ORIGINALS, st.just(lists), one_of({"factor": 3.5}, {}, {"attention_factor": 1.25}))


def _proportional(head_dim: int) -> Rope:
    return st.tuples(
        st.fixed_dictionaries({"partial_rotary_factor": one_of(0.75, 0.5, 1.0), "factor": FACTORS}), one_of(32, 9)
    )


def _with_original(original: SearchStrategy[int], *fields: SearchStrategy[dict[str, Any]]) -> Rope:
    """Fields with an original length, in a model that is longer than it was trained to be."""

    def complete(drawn: tuple[Any, ...]) -> tuple[dict[str, Any], int]:
        first, *rest = drawn
        return {
            "original_max_position_embeddings": first,
            **{k: v for part in rest for k, v in part.items()},
        }, 2 * first

    return st.tuples(original, *fields).map(complete)


ROPES = {
    "default": _plain,
    "llama3": _llama3,
    "linear": _stretched,
    "dynamic": _stretched,
    "yarn": _yarn,
    "longrope": _longrope,
    "proportional": _proportional,
}


def thresholds(config: Config) -> tuple[int, ...]:
    """Lengths at which something changes, and just past them; where nothing changes, those past which nothing may."""
    return (3, 1, *sorted({length for limit in limits(config) for length in (limit, limit + 1)}))


def limits(config: Config) -> set[int]:
    """The length at which a rope type that looks at it changes its tables; of any other type all that it mentions."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    longest, original = config["max_position_embeddings"], rope.get("original_max_position_embeddings", 9)
    return {"dynamic": {longest}, "longrope": {original}}.get(kind_of(rope), {longest, original})


def kind_of(rope: Mapping[str, Any]) -> str:
    """The rope type, in either spelling."""
    return rope.get("rope_type") or rope.get("type") or "default"


def reference_config(config: Config) -> ReferenceConfig:
    """The configuration as transformers reads it, with eager attention: the one that shows its weights."""
    made = ReferenceConfig(**{name: _copied(value) for name, value in config.items() if name != "model_type"})
    made._attn_implementation = "eager"
    return made


def port_config(config: Config) -> LlamaConfig:
    """The configuration as the port reads it."""
    return LlamaConfig.from_dict(config)


def batches(*lengths: int, **fields: tuple[Any, ...]) -> SearchStrategy[dict[str, Any]]:
    """Batch, length and other fields of a form: each length stands for a threshold, or for what is just past one."""
    others = {name: one_of(*palette) for name, palette in fields.items()}
    return st.fixed_dictionaries({"batch": one_of(1, 2, 3), "length": one_of(*lengths), **others})


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value  # transformers completes the dictionary in place


PURE_ACTIVATIONS = ("silu", *(name for name in ACTIVATIONS if name != "silu"))
