"""The torch side of the ideal machine: everything asked for in a lower precision is float64."""

# Transformers leave most of what is used here untyped.
# pyright: basic

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

from parity.ideal.torch_float64 import LowPrecisionTensor, float64

DIM, BASE = 16, 10000.0
FREQUENCIES = BASE ** -(np.arange(0, DIM, 2) / DIM)


def config(**rope: Any) -> LlamaConfig:
    """Return a small configuration."""
    return LlamaConfig(
        hidden_size=64, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=2,
        vocab_size=40, max_position_embeddings=128, dtype=torch.bfloat16,
        rope_parameters={"rope_theta": BASE, "rope_type": "default", **rope},
        **cast(Any, {"attn_implementation": "eager"}),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Check after every test that nothing of the mode is left."""
    setter = torch.set_default_dtype
    yield
    assert torch.get_default_dtype() == torch.float32
    assert torch.set_default_dtype is setter
    assert torch.ones(1).float().dtype == torch.float32


REQUESTS: dict[str, Callable[[], torch.Tensor]] = {
    "float": lambda: torch.arange(3).float(),
    "half": lambda: torch.ones(2).half(),
    "bfloat16": lambda: torch.ones(2).bfloat16(),
    "to_positional": lambda: torch.ones(2).to(torch.float16),
    "to_device_and_dtype": lambda: torch.ones(2).to("cpu", torch.float32),
    "to_keyword": lambda: torch.ones(2).to(dtype=torch.bfloat16),
    "type": lambda: torch.ones(2).type(torch.float32),
    "type_name": lambda: torch.ones(2).type("torch.HalfTensor"),
    "type_class": lambda: torch.ones(2).type(cast(Any, torch.FloatTensor)),
    "type_as": lambda: torch.arange(2).type_as(torch.ones(1)),
    "tensor": lambda: torch.tensor([0.1]),
    "tensor_of_float32": lambda: torch.tensor(np.array([0.1], np.float32), dtype=torch.float32),
    "tensor_without_dtype": lambda: torch.tensor(np.array([0.1], np.float32)),
    "as_tensor": lambda: torch.as_tensor(np.array([0.1], np.float32)),
    "zeros": lambda: torch.zeros(2, dtype=torch.float32),
    "arange": lambda: torch.arange(0, 4, 2, dtype=torch.float32),
    "full_like": lambda: torch.full_like(torch.ones(2), 0.1, dtype=torch.float16),
    "softmax": lambda: F.softmax(torch.ones(2), dim=-1, dtype=torch.float32),
    "sum": lambda: torch.ones(2).sum(dtype=torch.float32),
    "parameter": lambda: nn.Parameter(torch.empty(2, dtype=torch.bfloat16)),
    "buffer": lambda: nn.Buffer(torch.empty(2, dtype=torch.bfloat16)),
    "linear": lambda: nn.Linear(2, 2, dtype=torch.bfloat16).half()(torch.ones(2)),
    "module_to": lambda: nn.LayerNorm(2).to(torch.bfloat16)(torch.ones(2)),
    "division_of_integers": lambda: torch.ones(2, dtype=torch.int32) / 3,
    "randn": lambda: torch.randn(2, dtype=torch.float32),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_request_becomes_float64(name: str) -> None:
    """However a lower dtype is asked for, the result is float64."""
    with float64():
        assert REQUESTS[name]().dtype == torch.float64


def test_constants_are_not_rounded() -> None:
    """A Python number that is asked for in float32 keeps all its digits."""
    with float64():
        assert torch.tensor(0.1, dtype=torch.float32).item() == 0.1
        assert torch.full((1,), 0.1, dtype=torch.bfloat16).item() == 0.1


def test_complex_is_lifted() -> None:
    """complex64 becomes complex128."""
    with float64():
        assert torch.ones(2, dtype=torch.complex64).dtype == torch.complex128
        assert cast(Any, torch.ones(2)).cfloat().dtype == torch.complex128


def test_integers_and_booleans_are_left_alone() -> None:
    """Other dtypes keep their meaning."""
    with float64():
        assert torch.ones(2, dtype=torch.int32).dtype == torch.int32
        assert torch.ones(2).to(torch.int64).dtype == torch.int64
        assert torch.ones(2).bool().dtype == torch.bool


def test_default_dtype_stays_and_is_restored() -> None:
    """The default is float64 inside, even when the code inside sets another, also after an exception."""

    def fail() -> None:
        torch.set_default_dtype(torch.bfloat16)
        assert torch.get_default_dtype() == torch.float64
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"), float64():
        fail()
    with float64(), float64():
        assert torch.tensor(1.0).dtype == torch.float64


def test_autocast_is_harmless() -> None:
    """Autocast finds nothing to cast."""
    with float64(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float64


def test_tensors_made_outside_are_refused() -> None:
    """Computing with float32 tensors from outside is refused, by name; moving them inside is not."""
    outside = torch.ones(2)
    with float64():
        assert outside.detach()[0].dtype == torch.float32
        assert (outside.float() + outside.to(torch.float32)).dtype == torch.float64
        with pytest.raises(LowPrecisionTensor, match=r"add returned torch\.float32 inside float64"):
            _ = outside + outside


def longrope() -> tuple[dict[str, Any], np.ndarray]:
    """Return parameters, and the formula by hand."""
    short = [1.0 + 0.1 * i for i in range(DIM // 2)]
    rope = {"rope_type": "longrope", "short_factor": short, "long_factor": [2.3] * (DIM // 2), "factor": 4.0}
    return {**rope, "original_max_position_embeddings": 32}, FREQUENCIES / np.array(short)


def llama3() -> tuple[dict[str, Any], np.ndarray]:
    """Return parameters, and the formula by hand."""
    rope = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    smooth = np.clip((64 * FREQUENCIES / (2 * math.pi) - 1.0) / 3.0, 0, 1)
    return {"rope_type": "llama3", **rope}, (1 - smooth) * FREQUENCIES / 8.0 + smooth * FREQUENCIES


def yarn() -> tuple[dict[str, Any], np.ndarray]:
    """Return parameters, and the formula by hand."""

    def find(turns: Any) -> Any:
        return DIM * math.log(64 / (turns * 2 * math.pi)) / (2 * math.log(BASE))

    low, high = max(math.floor(find(32)), 0), min(math.ceil(find(1)), DIM - 1)
    ramp = np.clip((np.arange(DIM // 2) - low) / (high - low), 0, 1)
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    return rope, FREQUENCIES / 4.0 * ramp + FREQUENCIES * (1 - ramp)


@pytest.mark.parametrize(
    "kind", [longrope, llama3, yarn, lambda: ({}, FREQUENCIES)], ids=["longrope", "llama3", "yarn", "plain"]
)
def test_frequencies_are_exact(kind: Callable[[], tuple[dict[str, Any], np.ndarray]]) -> None:
    """The inverse frequencies agree with an independent float64 formula, though they are written in float32."""
    rope, expected = kind()
    with float64():
        got = LlamaRotaryEmbedding(config(**rope)).inv_freq
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-15)


def test_norm_upcast_is_inert() -> None:
    """The norm's hard-coded float32 upcast computes in float64."""
    x = np.random.default_rng(0).normal(size=(3, 64))
    with float64():
        got = LlamaRMSNorm(64, 1e-6)(torch.tensor(x))
    np.testing.assert_allclose(got.detach().numpy(), x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6), rtol=1e-14)


def decoder(weights: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """Compute the logits of a small Llama in NumPy."""

    def norm(x: Any, w: Any) -> Any:
        return w * x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)

    angle = np.tile(np.arange(tokens.shape[1])[:, None] * FREQUENCIES, 2)

    def turn(x: Any) -> Any:
        return np.cos(angle) * x + np.sin(angle) * np.concatenate([-x[..., DIM // 2 :], x[..., : DIM // 2]], -1)

    def heads(x: Any) -> Any:
        return x.reshape(*x.shape[:2], -1, DIM).transpose(0, 2, 1, 3)

    mask = np.tril(np.ones((tokens.shape[1],) * 2, bool))
    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(2):

        def w(name: Any, layer: int = layer) -> Any:
            return weights[f"model.layers.{layer}.{name}.weight"]

        h = norm(x, w("input_layernorm"))
        q, k, v = (heads(h @ w(f"self_attn.{name}_proj").T) for name in "qkv")
        k, v = (np.repeat(part, 2, axis=1) for part in (turn(k), v))
        scores = np.where(mask, turn(q) @ k.swapaxes(2, 3) / math.sqrt(DIM), -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out = scores / scores.sum(-1, keepdims=True) @ v
        x = x + out.transpose(0, 2, 1, 3).reshape(x.shape) @ w("self_attn.o_proj").T
        h = norm(x, w("post_attention_layernorm"))
        gate = h @ w("mlp.gate_proj").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w("mlp.up_proj").T)) @ w("mlp.down_proj").T
    return norm(x, weights["model.norm.weight"]) @ weights["lm_head.weight"].T


def test_whole_network_is_exact() -> None:
    """A Llama built and run inside agrees with the same network written in NumPy float64."""
    tokens = np.random.default_rng(0).integers(0, 40, (2, 9))
    with float64():
        network = LlamaForCausalLM(config()).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3 + (parameter.ndim == 1))
        got = network(torch.tensor(tokens)).logits
        got.sum().backward()
    assert all(cast(torch.Tensor, parameter.grad).dtype == torch.float64 for parameter in network.parameters())
    weights = {name: value.detach().numpy() for name, value in network.named_parameters()}
    expected = decoder(weights, tokens)
    np.testing.assert_allclose(got.detach().numpy(), expected, atol=1e-13 * np.abs(expected).max())


def jittered(fn: Callable[[], torch.Tensor], *, seed: int = 0) -> torch.Tensor:
    """Evaluate with a large jitter."""
    with float64(jitter=2.0**-10, seed=seed):
        return fn()


def test_jitter_is_seeded_and_bounded() -> None:
    """The same seed repeats the same bits, another gives others, all within the unit roundoff."""

    def fn() -> torch.Tensor:
        return torch.ones(1000) + 1.0

    first, again, other = jittered(fn), jittered(fn), jittered(fn, seed=1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    deviation = (first.double() / 2 - 1).abs()
    assert 0.9 * 2.0**-10 < deviation.max() <= 2.0**-10
    assert abs(float((first / 2 - 1).mean())) < 2.0**-14


MOVED: dict[str, Callable[[], torch.Tensor]] = {
    "view": lambda: torch.ones(4).view(2, 2).transpose(0, 1)[None],
    "reshape": lambda: torch.ones(2, 3).t().reshape(6),
    "copy": lambda: torch.ones(4).clone().contiguous(),
    "cast": lambda: torch.ones(4).half().to(torch.float32),
    "indexing": lambda: torch.ones(4)[torch.tensor([0, 2])],
    "assignment": lambda: torch.zeros(2, 2).index_put_((torch.tensor([0, 1]),), torch.ones(2, 2)),
    "concatenation": lambda: torch.cat([torch.ones(2), torch.stack([torch.ones(1)]).flatten()]),
    "selection": lambda: torch.where(torch.tensor([True, False]), torch.ones(2), torch.ones(2)).clamp(1, 2).max()[None],
    "creation": lambda: torch.full((3,), 1.0).fill_(1.0),
    "sign": lambda: -(-torch.ones(3)).abs().neg(),
    "splitting": lambda: torch.ones(4).chunk(2)[0],
}


@pytest.mark.parametrize("name", MOVED)
def test_jitter_spares_what_is_exact(name: str) -> None:
    """What only moves, selects or makes values is not perturbed."""
    assert torch.equal(jittered(MOVED[name]), torch.ones_like(jittered(MOVED[name])))


def test_jitter_in_place() -> None:
    """An in-place operation is perturbed once, in place, also through a view."""
    x = torch.ones(100, dtype=torch.float64)
    with float64(jitter=2.0**-10):
        result = x[:50].mul_(1.0)
        x.zero_().add_(1.0)
        assert result.data_ptr() == x.data_ptr()
    deviation = (x - 1).abs()
    assert 0 < deviation.max() <= 2.0**-10


def test_jitter_reaches_the_backward_pass() -> None:
    """Gradients are perturbed too."""

    def gradient() -> torch.Tensor:
        x = torch.linspace(0.1, 1, 50).requires_grad_()
        x.sin().sum().backward()
        assert x.grad is not None
        return x.grad

    with float64():
        exact = gradient()
    relative = (jittered(gradient) / exact - 1).abs()
    assert 2.0**-13 < relative.max() < 2.0**-7


def test_jitter_makes_no_number_infinite() -> None:
    """A mask's lowest number would be moved beyond the largest there is, and a row of them would have no softmax."""
    lowest = torch.finfo(torch.float64).min

    def masked() -> torch.Tensor:
        return (torch.zeros(64, dtype=torch.float64) + lowest).reshape(8, 8)

    for seed in range(4):
        assert torch.isfinite(jittered(masked, seed=seed)).all()
    assert torch.isfinite(jittered(lambda: torch.softmax(masked(), -1))).all()
