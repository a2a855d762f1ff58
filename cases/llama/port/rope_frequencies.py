"""Inverse frequencies of every rotary type, as constants: float64 on the host, rounded where they are used.

A frequency function takes the whole configuration: some types depend on the head's width and on the maximum length.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .config import LlamaConfig


class Frequencies(NamedTuple):
    """What a type makes of a configuration before it has seen any input.

    Attributes:
        inv_freq: radians a position, one for each pair of the head.
        attention_scaling: multiplies both tables.
        long_inv_freq: what replaces `inv_freq` past the original length (longrope only).
    """

    inv_freq: tuple[float, ...]
    attention_scaling: float = 1.0
    long_inv_freq: tuple[float, ...] = ()


def frequencies(config: "LlamaConfig") -> Frequencies:
    """The frequencies of a freshly built model."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return FREQUENCIES[config.rope.rope_type](config)


def rotary_dim(config: "LlamaConfig") -> int:
    """Width that the frequencies are spread over, for every type but the default and the proportional one."""
    return int(config.head_dim * config.rope.partial_rotary_factor)


def exponents(dim: int) -> np.ndarray:
    """0, 2/dim, 4/dim ...: one for each pair."""
    return np.arange(0, dim, 2) / dim


def dynamic_base(theta: float, factor: float, length: Any, max_length: int, dim: int) -> Any:
    """The base that stretches `max_length` over `length` positions (NTK); `length` may be a traced array."""
    return theta * (factor * length / max_length - (factor - 1)) ** (dim / (dim - 2))


def _default(config: "LlamaConfig") -> Frequencies:
    return Frequencies(_tuple(1.0 / config.rope.rope_theta ** exponents(config.head_dim)))


def _linear(config: "LlamaConfig") -> Frequencies:
    inv_freq = 1.0 / config.rope.rope_theta ** exponents(rotary_dim(config))
    return Frequencies(_tuple(inv_freq / config.rope.factor))


def _dynamic(config: "LlamaConfig") -> Frequencies:
    dim, longest = rotary_dim(config), config.max_position_embeddings
    base = dynamic_base(config.rope.rope_theta, config.rope.factor, longest, longest, dim)
    return Frequencies(_tuple(1.0 / base ** exponents(dim)))


def _yarn(config: "LlamaConfig") -> Frequencies:
    rope, dim = config.rope, rotary_dim(config)
    wavelengths = rope.rope_theta ** exponents(dim)
    extrapolated = 1.0 / wavelengths
    interpolated = 1.0 / (_implied_factor(config) * wavelengths)
    low = _yarn_dimension(rope.beta_fast or 32, config)
    high = _yarn_dimension(rope.beta_slow or 1, config)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low or 0.001
    ramp = np.clip((np.arange(dim // 2) - low) / width, 0, 1)
    keep = 1 - ramp
    return Frequencies(_tuple(interpolated * (1 - keep) + extrapolated * keep), _yarn_scaling(config))


def _yarn_dimension(rotations: float, config: "LlamaConfig") -> float:
    """The dimension, counted in fractions, that turns `rotations` times over the original length."""
    rope = config.rope
    turns = math.log(rope.original_max_position_embeddings / (rotations * 2 * math.pi))
    return rotary_dim(config) * turns / (2 * math.log(rope.rope_theta))


def _yarn_scaling(config: "LlamaConfig") -> float:
    rope, factor = config.rope, _implied_factor(config)

    def scaling(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.mscale and rope.mscale_all_dim:
        return scaling(rope.mscale) / scaling(rope.mscale_all_dim)
    return scaling(1)


def _longrope(config: "LlamaConfig") -> Frequencies:
    rope = config.rope
    wavelengths = rope.rope_theta ** exponents(rotary_dim(config))
    short = 1.0 / (np.array(rope.short_factor) * wavelengths)
    long = 1.0 / (np.array(rope.long_factor) * wavelengths)
    return Frequencies(_tuple(short), _longrope_scaling(config), _tuple(long))


def _longrope_scaling(config: "LlamaConfig") -> float:
    rope, factor, original = config.rope, _implied_factor(config), config.rope.original_max_position_embeddings
    if rope.attention_factor is not None:
        return rope.attention_factor
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))


def _implied_factor(config: "LlamaConfig") -> float:
    """The factor, or where none is given how much longer the model is than it was trained to be."""
    rope = config.rope
    if rope.factor is not None:
        return rope.factor
    return config.max_position_embeddings / rope.original_max_position_embeddings


def _llama3(config: "LlamaConfig") -> Frequencies:
    rope, original = config.rope, config.rope.original_max_position_embeddings
    inv_freq = 1.0 / rope.rope_theta ** exponents(rotary_dim(config))
    wavelengths = 2 * math.pi / inv_freq
    slow = wavelengths > original / rope.low_freq_factor
    fast = wavelengths < original / rope.high_freq_factor
    smooth = (original / wavelengths - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    blended = (1 - smooth) * inv_freq / rope.factor + smooth * inv_freq
    return Frequencies(_tuple(np.where(slow, inv_freq / rope.factor, np.where(fast, inv_freq, blended))))


def _proportional(config: "LlamaConfig") -> Frequencies:
    rope, pairs = config.rope, config.head_dim // 2
    turning = int(rope.partial_rotary_factor * config.head_dim // 2)
    inv_freq = 1.0 / rope.rope_theta ** (np.arange(0, 2 * turning, 2) / config.head_dim)
    still = np.zeros(max(pairs - turning, 0))
    return Frequencies(_tuple(np.concatenate([inv_freq, still]) / (1.0 if rope.factor is None else rope.factor)))


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(values.tolist())


FREQUENCIES: Mapping[str, Callable[["LlamaConfig"], Frequencies]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
    "proportional": _proportional,
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
}
