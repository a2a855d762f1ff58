"""The dictionary in a Hugging Face config.json: read, with what is harmless and what is refused; and written."""

import dataclasses
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import LlamaConfig

# Fields that do not change what a forward pass computes.
INFORMATIONAL = """
    architectures dtype torch_dtype transformers_version _name_or_path name_or_path _model_name_or_path _commit_hash
    return_dict id2label label2id finetuning_task task_specific_params prefix tokenizer_class
    chunk_size_feed_forward torchscript use_bfloat16 tf_legacy_loss _attn_implementation_autoset is_decoder
    sep_token_id unk_token_id decoder_start_token_id max_sequence_length pretraining_tp is_llama_config
    transformers.js_config
"""

# How text is generated, not what the network computes; the reference drops these when it reads a configuration.
GENERATION = """
    assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens diversity_penalty do_sample
    early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff
    exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty max_length min_length
    no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams
    num_return_sequences output_scores remove_invalid_values repetition_penalty return_dict_in_generate suppress_tokens
    target_lookbehind temperature top_k top_p typical_p
"""

# Fields that are harmless at these values only.
ONLY: Mapping[str, tuple[Any, ...]] = {
    "model_type": ("llama",),
    "is_causal": (True,),
    "is_encoder_decoder": (False, None),
    "add_cross_attention": (False, None),
    "tie_encoder_decoder": (False, None),
    "tie_last_hidden_states": (True, None),
    "attn_implementation": ("eager", None),
    "rope_interleaved": (False, None),
    "pruned_heads": ({}, None),
}

# What only some heads read, with what it is where nothing is said: it is not written then, as no other model has it.
HEAD_ONLY: Mapping[str, Any] = {
    "problem_type": None,
    "classifier_dropout": None,
    "hidden_dropout": None,
    "token_classification_bias": True,
}

NULL_IS_DEFAULT = frozenset({"output_hidden_states", "output_attentions", "attention_dropout"})

_ROPE_AT_TOP = frozenset({"rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor"})
_PRETRAINED_LENGTH = "original_max_position_embeddings"
_HAVE_PRETRAINED_LENGTH = ("llama3", "yarn", "longrope")


def read(
    config: Mapping[str, Any], names: Set[str], rope_names: Set[str]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Split a config.json into the fields of a `LlamaConfig`, those of its `RopeConfig`, and what stands in the way.

    A field that is unknown and null counts as not set.

    Args:
        config: the contents of config.json; not changed.
        names: the fields of `LlamaConfig`.
        rope_names: the fields of `RopeConfig`.

    Returns:
        The fields, the rope fields, and one line for each field that is refused.
    """
    harmless = {*INFORMATIONAL.split(), *GENERATION.split(), *_ROPE_AT_TOP, _PRETRAINED_LENGTH}
    known = {key: value for key, value in config.items() if key in names}
    fields = {key: _frozen(value) for key, value in known.items() if not (value is None and key in NULL_IS_DEFAULT)}
    if "num_labels" not in config and config.get("id2label") is not None:
        fields["num_labels"] = len(config["id2label"])
    problems = []
    for key, value in config.items():
        if key in ONLY and not any(value is good or value == good for good in ONLY[key]):
            problems.append(f"{key} = {value!r} (only {ONLY[key][0]!r} is supported)")
        elif key not in names | harmless | ONLY.keys() and value is not None:
            problems.append(f"{key} = {value!r} (not known here)")
    rope, rope_problems = _read_rope(config, rope_names)
    return fields, rope, problems + rope_problems


def _read_rope(config: Mapping[str, Any], names: Set[str]) -> tuple[dict[str, Any], list[str]]:
    """A non-empty `rope_scaling` replaces `rope_parameters`; what stands inside it outranks what stands beside it."""
    inside = dict(config.get("rope_scaling") or config.get("rope_parameters") or {})
    inside.setdefault("rope_type", inside.get("type", "default"))
    for key in ("rope_theta", "partial_rotary_factor"):
        if key in config and not (key == "partial_rotary_factor" and config[key] is None):
            inside.setdefault(key, config[key])
    if inside["rope_type"] in _HAVE_PRETRAINED_LENGTH and _PRETRAINED_LENGTH in config:
        inside[_PRETRAINED_LENGTH] = config[_PRETRAINED_LENGTH]  # the one field where beside outranks inside
    ignored = {"type", "mrope_section"}
    unknown = {key: value for key, value in inside.items() if key not in names | ignored}
    problems = [f"rope_parameters.{key} = {value!r} (not known here)" for key, value in unknown.items()]
    if inside["rope_type"] == "yarn" and "factor" not in inside:
        problems.append("rope_parameters.factor is missing (yarn needs it; null means that the lengths imply it)")
    return {key: _frozen(value) for key, value in inside.items() if key in names}, problems


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def merged(config: "LlamaConfig", before: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as config.json has it today; what else another config.json says, `before`, is kept."""
    fields = {key: _thawed(value) for key, value in dataclasses.asdict(config).items() if key != "rope"}
    own = {key: value for key, value in fields.items() if key not in HEAD_ONLY or value != HEAD_ONLY[key]}
    rope = {key: _thawed(value) for key, value in dataclasses.asdict(config.rope).items() if value is not None}
    if config.rope.rope_type not in _HAVE_PRETRAINED_LENGTH:
        del rope[_PRETRAINED_LENGTH]
    for key, plain in (("truncate", True), ("partial_rotary_factor", 1.0)):  # in most types not a field at all
        if rope[key] == plain:
            del rope[key]
    replaced = {*_ROPE_AT_TOP, *HEAD_ONLY, _PRETRAINED_LENGTH, "torch_dtype"}
    if len(before.get("id2label") or ()) != config.num_labels:
        replaced |= {"id2label", "label2id"}
    kept = {key: value for key, value in before.items() if key not in replaced}
    return {**kept, **own, "model_type": "llama", "rope_parameters": rope}


def _thawed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
