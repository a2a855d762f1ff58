"""How text is generated: the fields of a generation_config.json that this port follows, checked as a whole."""

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from .config import LlamaConfig

# Fields that do not change which tokens are chosen.
INFORMATIONAL = """
    transformers_version _from_model_config _commit_hash bos_token_id use_cache cache_implementation cache_config
    max_cache_len prefill_chunk_size return_dict_in_generate output_scores output_logits output_attentions
    output_hidden_states compile_config disable_compile low_memory generation_kwargs num_assistant_tokens
    num_assistant_tokens_schedule assistant_confidence_threshold assistant_lookbehind target_lookbehind
    is_assistant trust_remote_code chat_format max_matching_ngram_size decoder_start_token_id
"""

# Fields of the reference that are not followed here, each with the values at which it does nothing; null is one more.
IDLE: Mapping[str, tuple[Any, ...]] = {
    "typical_p": (1.0,),
    "top_h": (),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1.0,),
    "diversity_penalty": (0.0,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0.0,),
    "guidance_scale": (1.0,),
    "renormalize_logits": (False,),
    "remove_invalid_values": (False,),
    "token_healing": (False,),
    "bad_words_ids": (),
    "sequence_bias": (),
    "suppress_tokens": (),
    "begin_suppress_tokens": (),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "force_words_ids": (),
    "constraints": (),
    "exponential_decay_length_penalty": (),
    "prompt_lookup_num_tokens": (),
    "assistant_early_exit": (),
    "dola_layers": (),
    "watermarking_config": (),
    "max_time": (),
    "stop_strings": (),
}


class UnsupportedGeneration(ValueError):
    """Options that are unknown, not followed or at odds with each other; `problems` holds one line an option."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("text can't be generated like this:\n" + "\n".join(f"  {line}" for line in problems))


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """Complete and hashable, with the reference's defaults.

    Attributes:
        max_new_tokens: how many tokens are added at the most; outranks `max_length`, which counts the prompt with its
            padding too. With neither, 20, or as many as `max_position_embeddings` leaves.
        min_new_tokens, min_length: how many before the text may end, counted likewise; the first outranks the second.
        do_sample: draw each token; otherwise take the best. Only then do the next four take part.
        temperature, top_k, top_p, min_p: see `processors`; 1, 0, 1 and None change nothing.
        repetition_penalty: see `processors.penalise_repetition`; 1 changes nothing.
        num_beams: how many texts a beam search follows; 1 for none.
        num_return_sequences: how many texts are returned for a prompt.
        length_penalty: a finished text is worth its logarithm over its number of new tokens to this power.
        early_stopping: whether a beam search ends when it has `num_beams` texts; if not, when no better one is
            likely, judged by the present length, or ('never') by the length that serves it best.
        eos_token_id: what ends a text; none for no end before the last token.
        pad_token_id: what follows an ended text; the first of `eos_token_id` if there is none.

    Raises:
        UnsupportedGeneration: some value or pair of values means nothing; all are named at once.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None

    def __post_init__(self):
        if problems := [*_value_problems(self), *_pair_problems(self)]:
            raise UnsupportedGeneration(problems)

    @property
    def ends(self) -> tuple[int, ...]:
        """What ends a text."""
        if self.eos_token_id is None:
            return ()
        return (self.eos_token_id,) if isinstance(self.eos_token_id, int) else tuple(self.eos_token_id)

    @property
    def pad(self) -> int:
        """What follows an ended text; -1 where nothing is said and none ends."""
        return next(iter((*self.ends, -1))) if self.pad_token_id is None else self.pad_token_id

    def program(self) -> Self:
        """What decides which program runs, all else at some value: lengths and `Numbers` are its arguments."""
        return dataclasses.replace(
            self,
            max_new_tokens=None,
            max_length=None,
            min_new_tokens=None,
            min_length=0,
            temperature=1.0 if self.temperature == 1 else 2.0,
            top_p=1.0 if self.top_p == 1 else 0.5,
            min_p=None if self.min_p is None else 0.5,
            repetition_penalty=1.0 if self.repetition_penalty == 1 else 2.0,
            length_penalty=float((self.length_penalty > 0) - (self.length_penalty < 0)),
        )

    @classmethod
    def of(cls, config: LlamaConfig) -> Self:
        """What a model that came without a generation_config.json is generated with."""
        return cls(eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read the contents of a generation_config.json.

        Raises:
            UnsupportedGeneration: names every field that would change the text in a way this port does not follow, and
                every field it does not know, with what may have been meant.
        """
        return cls().having({name: value for name, value in fields.items() if value is not None})

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read a generation_config.json, or the one in a checkpoint's folder."""
        path = Path(path)
        return cls.from_dict(json.loads((path / "generation_config.json" if path.is_dir() else path).read_text()))

    def having(self, options: Mapping[str, Any]) -> Self:
        """The same with other values of some fields; None stands for a field's default."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        if problems := [said for name, value in options.items() if (said := _refused(name, value, set(defaults)))]:
            raise UnsupportedGeneration(problems)
        chosen = {name: value for name, value in options.items() if name in defaults}
        return dataclasses.replace(
            self, **{name: defaults[name] if value is None else _frozen(value) for name, value in chosen.items()}
        )


def _refused(name: str, value: Any, names: set[str]) -> str | None:
    """Why an option can't be followed; None where it can, or where it says nothing."""
    harmless = {*INFORMATIONAL.split()}
    if name in names or name in harmless or (value is None and name in IDLE):
        return None
    if name in IDLE:
        good = IDLE[name]
        return None if value in good else f"{name} = {value!r} (not followed here)"
    near = difflib.get_close_matches(name, [*names, *IDLE, *harmless], n=1)
    return f"{name} = {value!r} (not known here{f'; did you mean {near[0]}?' if near else ''})"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _value_problems(config: GenerationConfig) -> Iterator[str]:
    """Each field on its own."""
    for name, least in _COUNTS.items():
        value = getattr(config, name)
        if not (type(value) is int and value >= least) and not (value is None and name in _OPTIONAL):
            yield f"{name} = {value!r} (a whole number, at least {least})"
    for name, (good, said) in _NUMBERS.items():
        value = getattr(config, name)
        if not (type(value) in (int, float) and good(value)) and not (value is None and name in _OPTIONAL):
            yield f"{name} = {value!r} ({said})"
    if type(config.do_sample) is not bool:
        yield f"do_sample = {config.do_sample!r} (true or false)"
    if type(config.early_stopping) is not bool and config.early_stopping != "never":
        yield f"early_stopping = {config.early_stopping!r} (true, false or 'never')"
    ends = config.eos_token_id if isinstance(config.eos_token_id, tuple) else (config.eos_token_id,)
    if config.eos_token_id is not None and not all(type(end) is int and end >= 0 for end in ends):
        yield f"eos_token_id = {config.eos_token_id!r} (token ids)"


def _pair_problems(config: GenerationConfig) -> Iterator[str]:
    """Fields that must fit each other."""
    beams, wanted = config.num_beams, config.num_return_sequences
    if not all(type(value) is int for value in (beams, wanted)):
        return
    if beams > 1 and config.do_sample:
        yield f"do_sample = True (a beam search draws nothing here: num_beams = {beams})"
    if beams > 1 and wanted > beams:
        yield f"num_return_sequences = {wanted} (at most num_beams = {beams})"
    if beams == 1 and wanted > 1 and not config.do_sample:
        yield f"num_return_sequences = {wanted} (there is one best text without do_sample or num_beams)"


_COUNTS = {
    "max_new_tokens": 1,
    "max_length": 1,
    "min_new_tokens": 0,
    "min_length": 0,
    "top_k": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "pad_token_id": 0,
}
_OPTIONAL = ("max_new_tokens", "max_length", "min_new_tokens", "pad_token_id", "min_p")
_NUMBERS = {
    "temperature": (lambda x: x > 0, "a number above 0"),
    "top_p": (lambda x: 0 <= x <= 1, "a number from 0 to 1"),
    "min_p": (lambda x: 0 <= x <= 1, "a number from 0 to 1"),
    "repetition_penalty": (lambda x: x > 0, "a number above 0"),
    "length_penalty": (lambda x: x == x, "a number"),
}
