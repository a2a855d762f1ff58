"""What the reference's cache holds, so that a walk through a model that decodes gives the port's parts the same.

The reference has caches that grow and ones of fixed length; the port's is of fixed length. For one call, a growing
cache is a fixed one with room for exactly that call: no slot stays empty, and the masks are as wide.

Shapes: B batch, L length, M memory length (the slots), K kv heads, H head dim.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional
from transformers import StaticCache
from transformers.cache_utils import DynamicLayer, StaticLayer
from transformers.models.llama.modeling_llama import LlamaAttention

import parity
from cases.llama.port.attention import Attention
from cases.llama.port.block import DecoderLayer
from cases.llama.port.cache import Cache, LayerCache

ARGUMENT = "past_key_values"
Inputs = Mapping[str, Any]
Held = tuple[
    tuple[tuple[Any, Any], ...], Any
]  # keys and values [B, K, M, H] of each layer, and how many slots are filled


def attentions(module: torch.nn.Module) -> list[LlamaAttention]:
    """The layers of attention in a module, itself included: each knows which part of a cache is its own."""
    return [each for each in module.modules() if isinstance(each, LlamaAttention)]


def read(module: torch.nn.Module, cache: Any, inputs: Inputs) -> Held | None:
    """What a cache holds for the layers of a module; before a call with room for it, after a call as it is.

    A layer that finds a growing cache empty is called as a forward pass calls it, which makes one that no one reads: it
    counts as no cache.
    """
    layers = [cache.layers[each.layer_idx] for each in attentions(module)]
    filled = torch.as_tensor(int(layers[0].get_seq_length()) if layers else 0)
    grows = bool(layers) and isinstance(layers[0], DynamicLayer)
    if not layers or (inputs and grows and not filled and "hidden_states" in inputs):
        return None
    L = _given(inputs).shape[1] if inputs and grows else 0
    return tuple(_slots(*pair, inputs, L) for pair in zip(attentions(module), layers, strict=True)), filled


def read_layer(module: torch.nn.Module, cache: Any, inputs: Inputs) -> Any:
    """The same for one layer: it writes into its slots, and leaves the counting to the model."""
    held = read(module, cache, inputs)
    return held if held is None or inputs else held[0]


def write(module: torch.nn.Module, cache: Any, held: Held) -> None:
    """Put keys and values into a cache, and how many there are."""
    layers, filled = held
    for each, (keys, values) in zip(attentions(module), layers, strict=True):
        layer = cache.layers[each.layer_idx]
        if not layer.is_initialized:
            layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys.clone(), values.clone()
        if isinstance(layer, StaticLayer):
            layer.cumulative_length = filled.clone()


def write_layer(module: torch.nn.Module, cache: Any, layers: Any) -> None:
    """The same for one layer; its count stays."""
    (inner,) = attentions(module)
    write(module, cache, (layers, torch.as_tensor(cache.layers[inner.layer_idx].get_seq_length())))


def make(module: torch.nn.Module, held: Held) -> StaticCache:
    """A cache that holds this for the layers of a module."""
    (keys, _), *_ = held[0]
    cache = StaticCache(config=attentions(module)[0].config, max_cache_len=keys.shape[2])
    write(module, cache, held)
    return cache


def model_with(module: Any, inputs: Inputs, held: Held) -> tuple[Any, Held]:
    """Call the port's model, with its head or without."""
    layers, filled = held
    outputs = module(**inputs, cache=Cache(tuple(LayerCache(*each) for each in layers), filled))
    after = tuple((layer.keys, layer.values) for layer in outputs.cache.layers)
    return dataclasses.replace(outputs, cache=None), (after, outputs.cache.filled)


def attention_with(module: Attention, inputs: Inputs, held: Held) -> tuple[Any, Any]:
    """Call the port's attention: its output and weights, and its slots."""
    ((layer,), filled) = held
    output_BLD, weights_BNLM, after = module.step(
        inputs["hidden_states"],
        inputs["position_embeddings"],
        inputs.get("attention_mask"),
        (LayerCache(*layer), filled),
    )
    assert after is not None
    return (output_BLD, weights_BNLM), ((after.keys, after.values),)


def block_with(module: DecoderLayer, inputs: Inputs, held: Held) -> tuple[Any, Any]:
    """Call a layer of the port: its output, and its slots."""
    ((layer,), filled) = held
    x_BLD, _, after = module.step(
        inputs["hidden_states"],
        inputs.get("attention_mask"),
        inputs["position_embeddings"],
        (LayerCache(*layer), filled),
    )
    assert after is not None
    return x_BLD, ((after.keys, after.values),)


def _given(inputs: Inputs) -> torch.Tensor:
    """What a call reads, [B, L, ...]."""
    names = ("hidden_states", "inputs_embeds", "input_ids")
    return next(inputs[name] for name in names if inputs.get(name) is not None)


def _slots(inner: LlamaAttention, layer: Any, inputs: Inputs, L: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's keys and values, with room for the next L; zeros where nothing was read yet."""
    if layer.is_initialized:
        return functional.pad(layer.keys, (0, 0, 0, L)), functional.pad(layer.values, (0, 0, 0, L))
    M = L if isinstance(layer, DynamicLayer) else layer.get_max_length()
    K = inner.k_proj.out_features // inner.head_dim
    shape = _given(inputs).shape[0], K, M, inner.head_dim
    return inner.k_proj.weight.new_zeros(shape), inner.v_proj.weight.new_zeros(shape)


MODEL = parity.Held(argument=ARGUMENT, read=read, write=write, make=make, port=model_with)
BLOCK = parity.Held(argument=ARGUMENT, read=read_layer, write=write_layer, make=make, port=block_with)
ATTENTION = parity.Held(argument=ARGUMENT, read=read_layer, write=write_layer, make=make, port=attention_with)
