"""How the whole models are laid out over devices in `sharded`: as many as heads and rows allow, in two ways."""

from collections.abc import Mapping
from typing import Any

import jax

from cases.llama.port import RULES, make_mesh, shardings
from cases.llama.port.sharding import Rules, batch_sharding

Placed = tuple[Mapping[str, Any], Mapping[str, Any]]
ROWS = ("input_ids", "inputs_embeds", "attention_mask", "labels")  # what has the batch as its first axis


def over_heads(module: Any, inputs: Mapping[str, Any]) -> Placed | None:
    """Heads over one axis of the mesh, rows over the other."""
    return _placed(module, inputs, RULES)


def over_everything(module: Any, inputs: Mapping[str, Any]) -> Placed | None:
    """Heads and rows so, and the width of every parameter over the rows' axis."""
    return _placed(module, inputs, {**RULES, "embed": "data"})


def _placed(module: Any, inputs: Mapping[str, Any], rules: Rules) -> Placed | None:
    """The largest mesh that the heads and the rows divide; what else does not divide is whole."""
    config = module.config
    batch = next(x.shape[0] for name, x in inputs.items() if name in ROWS)
    model = next(n for n in (4, 2, 1) if config.num_attention_heads % n == 0)
    data = next(n for n in (2, 1) if batch % n == 0)
    if model * data == 1:
        return None
    sizes = {"vocab": config.vocab_size, "mlp": config.intermediate_size, "embed": config.hidden_size}
    whole = {axis: None for axis, size in sizes.items() if size % (data if axis == "embed" else model)}
    mesh = make_mesh(data=data, model=model, devices=jax.devices()[: model * data])
    lies = batch_sharding(mesh)
    return shardings(module, mesh, {**rules, **whole}), {name: lies for name in ROWS if name in inputs}


LAYOUTS = {"over_heads": over_heads, "over_everything": over_everything}
