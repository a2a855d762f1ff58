"""Build and run a torch module on an ideal half-precision machine: each operation in float64, rounded once."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from parity.ideal.rounding import Rounding, rounder
from parity.ideal.torch_float64 import Float64Mode, _cdouble, _double, _view, default_dtype
from parity.ideal.torch_jitter import EXACT

HALVES: Mapping[Any, str] = {torch.bfloat16: "bfloat16", torch.float16: "float16"}
# float32 is wide here: float64, which promotes beside half precision as float32 does.
_WIDENED: dict[Any, torch.dtype] = {torch.float32: torch.float64, torch.complex64: torch.complex128}
_LEGACY: dict[Any, torch.dtype] = {torch.FloatTensor: torch.float64, "torch.FloatTensor": torch.float64}
# Frames that ask for an operation on behalf of others.
_INNER = (os.path.join("parity", "ideal", ""), os.path.join("site-packages", "torch", ""))
# What changes the dtype of values and nothing else.
_CASTS = frozenset(("_to_copy", "copy_", "copy", "to"))
_declared: dict[Any, tuple[Any, ...]] = {}  # an operation and its operands' dtypes -> its results' dtypes


def _type(tensor: torch.Tensor, dtype: Any = None, *args: Any, **options: Any) -> Any:
    return tensor.type(_LEGACY.get(dtype, _WIDENED.get(dtype, dtype)), *args, **options)


class WideMode(Float64Mode):
    """Turn every request for float32 into one for float64; half precision stays what it is."""

    lifted = _WIDENED
    replaced: ClassVar[dict[Any, Callable[..., Any]]] = {
        torch.Tensor.float: _double,
        torch.Tensor.cfloat: _cdouble,  # type: ignore[attr-defined]
        torch.Tensor.type: _type,
        torch.Tensor.view: _view,
    }


class RoundedMode(TorchDispatchMode):
    """Compute each aten operation on half-precision tensors in float64, and round its results once.

    A half-precision tensor holds its own exact value, so nothing is kept beside it. What an operation returns in half
    precision is found out once for each combination of dtypes, by running it as it is.
    """

    def __init__(self, record: list[Rounding] | None = None) -> None:
        """Add every rounded result to `record`, if there is one."""
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        self._record = record

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = _widened(kwargs or {})
        kind = _kind(func)
        if kind == "exact" or not (_has_half(args) or _has_half(kwargs.values())):
            return func(*args, **kwargs)
        compute = {"cast": _cast, "written": _write}.get(kind, self._compute)
        results = compute(func, args, kwargs)
        if self._record is not None:
            self._record.extend(_roundings(func, results))
        return results

    def _compute(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        declared = self._dtypes(func, args, kwargs)
        results = func(*_lifted(args), **_lifted(kwargs))
        if isinstance(results, torch.Tensor):
            return round_tensor(results, declared[0])
        return type(results)(
            round_tensor(x, dtype) if isinstance(x, torch.Tensor) else x
            for x, dtype in zip(results, declared, strict=True)
        )

    @staticmethod
    def _dtypes(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """The dtype of each result of the real operation; None for what is no tensor."""
        key = (func, *map(_form, args), *((name, _form(value)) for name, value in kwargs.items()))
        if key not in _declared:
            results = func(*args, **kwargs)
            results = (results,) if isinstance(results, torch.Tensor) else results
            _declared[key] = tuple(getattr(x, "dtype", None) for x in results)
        return _declared[key]


@contextlib.contextmanager
def rounded(dtype: str, *, record: list[Rounding] | None = None) -> Generator[None]:
    """Build a module inside as `from_pretrained(dtype=...)` would, or run one, on the ideal machine.

    Only half precision is rounded. What the module asks for in float32 is float64: such tensors, constants among
    them, are exact, and those that it returns are float64.

    Args:
        dtype: the default dtype inside: 'bfloat16' or 'float16' to build, 'float32' to run.
        record: takes in every result that was rounded, in order.
    """
    default: torch.dtype = getattr(torch, dtype)
    with default_dtype(_WIDENED.get(default, default), lifted=_WIDENED), RoundedMode(record), WideMode():
        yield


def round_tensor(x: torch.Tensor, dtype: Any) -> torch.Tensor:
    """Float64 numbers rounded once to a half precision; as they are for any other dtype."""
    if dtype not in HALVES:
        return x
    round_one = rounder(HALVES[dtype])
    assert round_one is not None
    return torch.from_numpy(np.asarray(round_one(x.double().numpy()))).to(dtype)


def _roundings(func: Any, results: Any) -> list[Rounding]:
    frame = sys._getframe(2)
    while frame.f_back is not None and any(name in frame.f_code.co_filename for name in _INNER):
        frame = frame.f_back
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    tensors = [results] if isinstance(results, torch.Tensor) else results
    return [
        Rounding(str(func), HALVES[x.dtype], where, x.double().numpy())
        for x in tensors
        if isinstance(x, torch.Tensor) and x.dtype in HALVES
    ]


def _cast(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Round before the cast, which then is exact: torch's own goes by way of float32."""
    written = func._schema.name.partition("::")[2] in ("copy_", "copy")
    source = args[1] if written else args[0]
    dtype = args[0].dtype if written else kwargs.get("dtype")
    if dtype not in HALVES or source.dtype == dtype:
        return func(*args, **kwargs)
    settled = round_tensor(source, dtype)
    return func(args[0], settled, *args[2:], **kwargs) if written else func(settled, *args[1:], **kwargs)


def _write(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """An operation in place, or with `out=`: on float64 copies, then rounded into what it writes."""
    lifted, named = _lifted(args), _lifted(kwargs)
    result = func(*lifted, **named)
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        key: Any = place if place < len(args) else argument.name
        before, after = (args[key], lifted[key]) if key == place else (kwargs[key], named[key])
        if before is not after:
            before.copy_(round_tensor(after, before.dtype))
            result = before
    return result


@functools.cache
def _kind(func: Any) -> str:
    schema = func._schema
    name = schema.name.partition("::")[2]
    if name in _CASTS:
        return "cast"
    aliases = [result.alias_info for result in schema.returns]
    if name in EXACT or (aliases and all(alias is not None and not alias.is_write for alias in aliases)):
        return "exact"
    writes = any(argument.alias_info is not None and argument.alias_info.is_write for argument in schema.arguments)
    return "written" if writes else "computed"


def _has_half(values: Any) -> bool:
    for value in values:
        if isinstance(value, torch.Tensor):
            if value.dtype in HALVES:
                return True
        elif isinstance(value, torch.dtype):
            if value in HALVES:
                return True
        elif isinstance(value, list | tuple) and _has_half(value):
            return True
    return False


def _widened(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What torch itself asks for in float32, below what a function mode sees."""
    if isinstance(kwargs.get("dtype"), torch.dtype):
        return {**kwargs, "dtype": _WIDENED.get(kwargs["dtype"], kwargs["dtype"])}
    return kwargs


def _lifted(tree: Any) -> Any:
    def lift(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.double() if value.dtype in HALVES else value
        return torch.float64 if isinstance(value, torch.dtype) and value in HALVES else value

    return tree_map(lift, tree)


def _form(value: Any) -> Any:
    """What type promotion sees of an argument."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.dim() == 0
    if isinstance(value, list | tuple):
        return tuple(_form(item) for item in value)
    return value if isinstance(value, torch.dtype) else type(value)
