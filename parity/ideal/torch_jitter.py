"""Monte Carlo arithmetic for torch: perturb every rounded result by a random part of a unit roundoff."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# What moves, selects, makes or flips the sign of values is exact in every precision, and so is never perturbed.
# Views need no entry: their schema tells that they alias.
_EXACT_NAMES = (
    "clone copy_ copy _to_copy to contiguous _unsafe_view _reshape_copy lift lift_fresh lift_fresh_copy detach "
    "cat stack hstack vstack index index_select gather take take_along_dim embedding where masked_fill masked_fill_ "
    "masked_scatter masked_select index_put index_put_ _index_put_impl_ index_copy index_copy_ index_fill index_fill_ "
    "scatter scatter_ select_scatter slice_scatter diagonal_scatter select_backward slice_backward diagonal_backward "
    "repeat repeat_interleave roll flip rot90 tril triu tril_ triu_ constant_pad_nd reflection_pad1d replication_pad1d "
    "im2col pixel_shuffle pixel_unshuffle channel_shuffle diag_embed unfold_copy "
    "neg neg_ abs abs_ sign sgn sign_ copysign relu relu_ threshold threshold_backward clamp clamp_ clamp_min "
    "clamp_min_ clamp_max clamp_max_ maximum minimum fmax fmin max min amax amin aminmax sort topk kthvalue median "
    "cummax cummin max_pool2d_with_indices hardtanh hardtanh_ floor ceil round trunc frac floor_ ceil_ round_ trunc_ "
    "fill fill_ zero_ zeros zeros_like ones ones_like full full_like empty empty_like empty_strided new_empty "
    "new_empty_strided new_zeros new_ones new_full scalar_tensor arange linspace eye "
    "rand rand_like randn randn_like randint randint_like randperm normal normal_ uniform_ bernoulli bernoulli_ "
    "multinomial exponential_ random_ nan_to_num nan_to_num_ set_ resize_ alias _local_scalar_dense"
)
EXACT = frozenset(_EXACT_NAMES.split())


class Jitter(TorchDispatchMode):
    """Multiply each floating result of an arithmetic operation by 1 + u*xi, xi uniform in [-1, 1].

    It works on aten operations, below autograd, and so perturbs the backward pass too. An in-place operation's result
    is perturbed in place, once.
    """

    def __init__(self, unit: float, *, seed: int) -> None:
        """Start a generator of its own.

        Args:
            unit: the unit roundoff u, such as 2**-24 for float32.
            seed: the same seed and program give the same bits.
        """
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        self._unit = unit
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        schema = func._schema
        if schema.name.partition("::")[2] in EXACT:
            return result
        if len(schema.returns) == 1:
            return self._perturb(result, schema.returns[0].alias_info)
        values = [self._perturb(value, ret.alias_info) for value, ret in zip(result, schema.returns, strict=True)]
        return type(result)(values)

    def _perturb(self, value: Any, alias: Any) -> Any:
        if isinstance(value, list):
            return [self._perturb(item, alias) for item in cast(list[Any], value)]
        if not isinstance(value, torch.Tensor) or not (value.is_floating_point() or value.is_complex()):
            return value
        if alias is None:
            return self._moved(value)
        return value.copy_(self._moved(value)) if alias.is_write else value

    def _moved(self, value: torch.Tensor) -> torch.Tensor:
        """Rounding makes no number infinite that is not beyond the largest one: such a neighbour is not taken."""
        moved = value * self._factor(value)
        return torch.where(torch.isfinite(value) & ~torch.isfinite(moved), value, moved)

    def _factor(self, value: torch.Tensor) -> torch.Tensor:
        # Drawn on the CPU, so that a seed means the same everywhere.
        xi = torch.rand(value.shape, generator=self._generator, dtype=torch.float64) * 2 - 1
        return (1 + self._unit * xi).to(value.device)
