"""What a Llama is: its sizes and switches, under the names that a Hugging Face config.json gives them."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from .activations import ACTIVATIONS
from .config_json import read
from .rope_frequencies import FREQUENCIES, REQUIRED, frequencies

# A number, or None for the rope types that do not read it; `_rope_problems` sees to it that what is read is there.
IfRead = Any


class UnsupportedConfig(ValueError):
    """A configuration asks for something this port does not compute; `problems` holds one line a field."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("this port of Llama does not support:\n" + "\n".join(f"  {line}" for line in problems))


@dataclasses.dataclass(frozen=True)
class RopeConfig:
    """How positions turn into angles; a type reads only the fields that it needs.

    `partial_rotary_factor` is not read by the default type, and for the others it must leave the whole head rotated.
    """

    rope_type: str = "default"
    rope_theta: float = 10000.0
    partial_rotary_factor: float = 1.0
    factor: IfRead = None
    original_max_position_embeddings: IfRead = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True
    short_factor: tuple[float, ...] | None = None
    long_factor: tuple[float, ...] | None = None
    low_freq_factor: IfRead = None
    high_freq_factor: IfRead = None


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """A Llama, complete and hashable; what is left out is derived from the rest.

    Raises:
        UnsupportedConfig: some field, or some pair of fields, describes nothing that the reference can run or that
            this port computes. All are named at once.
    """

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = None  # type: ignore[assignment]  # as many as attention heads
    head_dim: int = None  # type: ignore[assignment]  # hidden_size // num_attention_heads
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    rope: RopeConfig = RopeConfig()
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    initializer_range: float = 0.02
    attention_dropout: float = 0.0
    num_labels: int = 2
    problem_type: str | None = None
    classifier_dropout: float | None = None
    hidden_dropout: float | None = None
    token_classification_bias: bool = True
    use_cache: bool = True
    output_hidden_states: bool = False
    output_attentions: bool = False

    def __post_init__(self):
        if problems := list(_value_problems(self)):
            raise UnsupportedConfig(problems)
        if self.num_key_value_heads is None:  # pyright: ignore[reportUnnecessaryComparison]
            object.__setattr__(self, "num_key_value_heads", self.num_attention_heads)
        if self.head_dim is None:  # pyright: ignore[reportUnnecessaryComparison]
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)
        if self.rope.original_max_position_embeddings is None:
            rope = dataclasses.replace(self.rope, original_max_position_embeddings=self.max_position_embeddings)
            object.__setattr__(self, "rope", rope)
        if problems := [*_size_problems(self), *_rope_problems(self)]:
            raise UnsupportedConfig(problems)

    @property
    def initializer_std(self) -> float:
        """Standard deviation of a fresh kernel or embedding: the reference reads a range of 0 as unset."""
        return self.initializer_range or 0.02

    @property
    def token_dropout(self) -> float:
        """Share of the hidden states that a token classifier drops in training."""
        given = (rate for rate in (self.classifier_dropout, self.hidden_dropout) if rate is not None)
        return next(given, 0.1)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Read the contents of a config.json, of today's form (`rope_parameters`) or the older (`rope_scaling`).

        Raises:
            UnsupportedConfig: names every field that would change the function in a way this port does not follow,
                and every field it does not know.
        """
        fields, rope, problems = read(config, _names(cls) - {"rope"}, _names(RopeConfig))
        try:
            complete = cls(**fields, rope=RopeConfig(**rope))
        except UnsupportedConfig as error:
            raise UnsupportedConfig(problems + error.problems) from None
        if problems:
            raise UnsupportedConfig(problems)
        return complete

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read a config.json, or the one in a checkpoint's folder."""
        path = Path(path)
        return cls.from_dict(json.loads((path / "config.json" if path.is_dir() else path).read_text()))


def _names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


_COUNTS = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "max_position_embeddings")
_OPTIONAL_COUNTS = ("num_key_value_heads", "head_dim")
_OUTPUTS = ("output_hidden_states", "output_attentions")
_SWITCHES = (
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "token_classification_bias",
    "use_cache",
    *_OUTPUTS,
)
_MAY_BE_ZERO = ("num_hidden_layers", "num_labels")
_RATES = ("attention_dropout", "classifier_dropout", "hidden_dropout")
_PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")


def _value_problems(config: LlamaConfig) -> Iterator[str]:
    """Each field on its own."""
    for name in (*_COUNTS, *_OPTIONAL_COUNTS, *_MAY_BE_ZERO):
        value, least = getattr(config, name), 0 if name in _MAY_BE_ZERO else 1
        left_out = value is None and name in _OPTIONAL_COUNTS
        if not left_out and not (type(value) is int and value >= least):
            yield f"{name} = {value!r} (a whole number, at least {least})"
    for name in _SWITCHES:
        if type(getattr(config, name)) is not bool:
            yield f"{name} = {getattr(config, name)!r} (true or false)"
    for name in ("rms_norm_eps", "initializer_range"):
        if type(getattr(config, name)) not in (int, float):
            yield f"{name} = {getattr(config, name)!r} (a number)"
    for name in _RATES:
        rate = getattr(config, name)
        left_out = rate is None and name != "attention_dropout"
        if not left_out and not (isinstance(rate, int | float) and type(rate) is not bool and 0 <= rate <= 1):
            yield f"{name} = {rate!r} (a number from 0 to 1)"
    if config.problem_type not in (None, *_PROBLEMS):
        yield f"problem_type = {config.problem_type!r} (one of {', '.join(_PROBLEMS)})"
    if config.hidden_act not in ACTIVATIONS:
        yield f"hidden_act = {config.hidden_act!r} (one of {', '.join(ACTIVATIONS)})"


def _size_problems(config: LlamaConfig) -> Iterator[str]:
    """Fields that must fit each other."""
    heads, kv_heads, pad = config.num_attention_heads, config.num_key_value_heads, config.pad_token_id
    if config.hidden_size % heads:
        yield f"hidden_size = {config.hidden_size} (a multiple of num_attention_heads = {heads})"
    if heads % kv_heads:
        yield f"num_key_value_heads = {kv_heads} (a divisor of num_attention_heads = {heads})"
    if config.problem_type == "single_label_classification" and config.num_labels == 1:
        yield "problem_type = 'single_label_classification' (with num_labels = 1 there is nothing to choose from)"
    if pad is not None and not -config.vocab_size <= pad < config.vocab_size:
        yield f"pad_token_id = {pad} (a row of an embedding of {config.vocab_size})"


def _rope_problems(config: LlamaConfig) -> Iterator[str]:
    """The type must be known and complete, and must give one angle to each pair of the head."""
    rope, name = config.rope, "rope_parameters"
    given = {key: value for key, value in dataclasses.asdict(rope).items() if value is not None}
    if rope.rope_type not in FREQUENCIES:
        yield f"{name}.rope_type = {rope.rope_type!r} (one of {', '.join(FREQUENCIES)})"
        return
    missing = [key for key in REQUIRED.get(rope.rope_type, ()) if getattr(rope, key) is None]
    yield from (f"{name}.{key} = None (required by rope_type {rope.rope_type!r})" for key in missing)
    if missing:
        return
    try:
        rotated = 2 * len(frequencies(config).inv_freq)
    except (ArithmeticError, TypeError, ValueError) as error:
        yield f"{name} = {given} (its frequencies cannot be computed: {error})"
        return
    if rotated != config.head_dim and not (rotated == 2 and config.head_dim == 1):
        yield (
            f"{name} = {given} (makes tables of width {rotated} for a head_dim of {config.head_dim}; "
            "the reference does not rotate a part of the head)"
        )
