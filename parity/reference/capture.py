"""What flows through a reference: every wanted submodule's inputs and outputs as they pass, and greedy decoding."""

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from parity.case import Case, Json
from parity.errors import ParityError
from parity.held import Held
from parity.reference.build import Outputs, Reference, arithmetic, array, held_after, leaves_of, of, quiet, tensor

Array = npt.NDArray[Any]
_PLAIN = bool | int | float | str
Visit = Callable[[str, dict[str, Any], Outputs], Mapping[str, Array] | None]


def abstract(case: Case, config: Json) -> Reference:
    """The case's reference without memory for its parameters: names, shapes and ties."""
    with torch.device("meta"), arithmetic("float32"), quiet():
        return of(case.reference(config), dtype="float32", ignores=case.ignores)


def submodule(reference: Reference, path: str, case: Case) -> Reference:
    """The module of a case at a path of a reference, in the same arithmetic; '' is the reference itself."""
    module: nn.Module = reference.call.get_submodule(path)  # type: ignore[attr-defined]
    return of(module, dtype=reference.dtype, ignores=case.ignores, held=case.held)


def capture(reference: Reference, paths: Mapping[str, Case], inputs: Mapping[str, Any], visit: Visit) -> Outputs:
    """Run the reference once, and hand over what passes through submodules, as it passes.

    Nothing is kept, so one layer at a time is in memory. Inputs are copied before a submodule runs, since it may
    write into them; so is what an argument holds that its case knows how to read.

    Args:
        reference: the whole; in evaluation mode, as it was built.
        paths: submodule path -> the case that answers for it.
        inputs: of the whole.
        visit: called with a path, the inputs by argument name (arrays, scalars, tuples; None and whatever else is
            passed are left out) and the outputs by name, with what is held after the call. Outputs that it returns
            flow on instead of the submodule's own, those of other names as they are.

    Raises:
        ParityError: the reference is a plain function.
    """
    if not isinstance(reference.call, nn.Module):
        raise ParityError("the reference is a plain function: it has no submodules to watch")
    with contextlib.ExitStack() as hooks:
        for path, case in paths.items():
            module = reference.call.get_submodule(path)
            hooks.enter_context(_watched(module, path, case, visit))
        return reference.run(inputs)


def decode(
    reference: Reference,
    inputs: Mapping[str, Array],
    *,
    steps: int,
    progress: Callable[[int], None] = lambda step: None,
) -> tuple[Array, Array]:
    """Continue left-padded sequences greedily, with the reference's own cache.

    The end-of-text token ends nothing: each row gets all its steps.

    Args:
        reference: a causal language model; takes `input_ids`, `attention_mask`, `position_ids`, `use_cache` and
            `past_key_values`, and returns `logits` and `past_key_values`.
        inputs: the first three, [B, P] each.
        steps: how many tokens to add.
        progress: called with the number of steps done.

    Returns:
        The tokens [B, steps], and the logits that each was chosen by [B, steps, V].
    """
    ids, mask, positions = (tensor(inputs[name]) for name in ("input_ids", "attention_mask", "position_ids"))
    cache: Any = None
    tokens: list[Array] = []
    scores: list[Array] = []
    with arithmetic(reference.dtype), torch.no_grad():
        for step in range(steps):
            outputs = reference.call(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, past_key_values=cache
            )
            cache, logits = outputs.past_key_values, outputs.logits[:, -1]
            ids = logits.argmax(-1, keepdim=True)
            mask = torch.cat((mask, torch.ones_like(ids)), -1)
            positions = positions[:, -1:] + 1
            tokens.append(ids[:, 0].numpy())
            scores.append(logits.numpy())
            progress(step + 1)
    return np.stack(tokens, 1), np.stack(scores, 1)


@contextlib.contextmanager
def _watched(module: nn.Module, path: str, case: Case, visit: Visit) -> Iterator[None]:
    signature, ignores = inspect.signature(module.forward), frozenset(case.ignores)
    under_way: list[tuple[dict[str, Any], _Holder | None]] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = _named(signature, args, kwargs)
        holder = _Holder(case.held, module, named.pop(case.held.argument, None)) if case.held else None
        read = holder.before(named) if holder else {}
        under_way.append((_given({**named, **read}), holder if read else None))

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> Any:
        given, holder = under_way.pop()
        named = {name: array(x).copy() for name, x in leaves_of(outputs, ignores)}
        instead = visit(path, given, named | (holder.after() if holder else {}))
        if instead and holder:
            holder.exchange(instead)
        return _exchanged(outputs, instead) if instead else None

    with hooked(module, before, after):
        yield


class _Holder(NamedTuple):
    """An argument that holds arrays, in one call of a module."""

    held: Held
    module: nn.Module
    argument: Any

    def before(self, others: Mapping[str, Any]) -> dict[str, Any]:
        """What it holds when the call begins, under its name; empty where the call is one without it."""
        tree = None if self.argument is None else self.held.read(self.module, self.argument, others)
        return {} if tree is None else {self.held.argument: tree}

    def after(self) -> Outputs:
        return held_after(self.held, self.module, self.argument)

    def exchange(self, arrays: Mapping[str, Array]) -> None:
        """Let the next call find other values, by the names of `after`."""
        tree = self.held.read(self.module, self.argument, {})
        self.held.write(self.module, self.argument, _exchanged(tree, arrays, self.held.argument))


@contextlib.contextmanager
def hooked(module: nn.Module, before: Callable[..., None], after: Callable[..., Any]) -> Iterator[None]:
    """Call `before` and `after` around each forward call of a module, keyword arguments included."""
    handles = (
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after, with_kwargs=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _exchanged(outputs: Any, arrays: Mapping[str, Array], path: str = "") -> Any:
    """A module's outputs with other values in the tensors of these names."""
    if isinstance(outputs, torch.Tensor):
        x = arrays.get(path or "output")
        return outputs if x is None else tensor(np.asarray(x)).to(outputs.dtype)
    if isinstance(outputs, tuple | list):
        made = [_exchanged(y, arrays, f"{path}.{i}" if path else str(i)) for i, y in enumerate(cast(Any, outputs))]
        return type(cast(Any, outputs))(made)
    if isinstance(outputs, Mapping):
        changed = copy.copy(cast(Any, outputs))
        for name, y in changed.items():
            changed[name] = _exchanged(y, arrays, f"{path}.{name}" if path else str(name))
        return changed
    return outputs


def _named(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, as they are."""
    bound: dict[str, Any] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            bound.update(value)
        else:
            bound[name] = value
    return bound


def _given(named: Mapping[str, Any]) -> dict[str, Any]:
    """What of a call's arguments is an input to a pure function, as arrays of their own."""
    copied = {name: _copied(value) for name, value in named.items()}
    return {name: value for name, value in copied.items() if value is not None}


def _copied(value: Any) -> Any:
    """Tensors as arrays of their own, in tuples too; None for anything that is no input to a pure function."""
    if isinstance(value, torch.Tensor):
        return array(value).copy()
    if isinstance(value, tuple | list):
        items = tuple(_copied(item) for item in cast(Any, value))
        return items if _is_alike(items, np.ndarray | tuple) or _is_alike(items, _PLAIN) else None
    return value if isinstance(value, _PLAIN) else None


def _is_alike(items: tuple[Any, ...], kind: Any) -> bool:
    return bool(items) and all(isinstance(item, kind) for item in items)
