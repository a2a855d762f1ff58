"""Build and run a torch module as if every floating dtype it asks for were float64."""

import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Any, ClassVar, cast

import torch
from torch.overrides import TorchFunctionMode

from parity.ideal.torch_jitter import Jitter

_LIFTED: dict[Any, torch.dtype] = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
    **{
        getattr(torch, name): torch.float64
        for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
        if hasattr(torch, name)
    },
}

# The older spellings that Tensor.type() accepts; strings also reach it from Module.type().
_LEGACY: dict[Any, torch.dtype] = {
    spelling: torch.float64
    for name in ("FloatTensor", "HalfTensor", "BFloat16Tensor")
    for spelling in (getattr(torch, name), f"torch.{name}")
}

# These hand on what already exists, so a float32 tensor made outside may pass through them unharmed.
_MOVES_NAMES = (
    "__get__ __getitem__ __iter__ __deepcopy__ __reduce_ex__ detach detach_ clone contiguous view view_as reshape "
    "reshape_as flatten unflatten transpose permute t swapaxes swapdims movedim squeeze unsqueeze expand expand_as "
    "narrow select index_select requires_grad_ retain_grad pin_memory share_memory_ cpu cuda copy_ set_ "
    "zero_ fill_ normal_ uniform_ alias rename refine_names unbind split chunk as_subclass"
)
_MOVES = frozenset(_MOVES_NAMES.split())

# These make a tensor out of values that are exact whatever dtype they come in.
_IMPORTS = frozenset(("tensor", "as_tensor", "asarray", "from_numpy", "frombuffer", "as_strided", "sparse_coo_tensor"))


# Not a TypeError: Python would take one raised by an operator for an unsupported operand.
class LowPrecisionTensor(RuntimeError):
    """An operation inside `float64()` worked in a lower precision, since its tensors were made outside."""


def _double(tensor: torch.Tensor, *_args: Any, **_options: Any) -> torch.Tensor:
    return tensor.double()


def _cdouble(tensor: Any, *_args: Any, **_options: Any) -> torch.Tensor:
    return tensor.cdouble()


def _type(tensor: torch.Tensor, dtype: Any = None, *args: Any, **options: Any) -> Any:
    return tensor.type(_LEGACY.get(dtype, _LIFTED.get(dtype, dtype)), *args, **options)


# `view(dtype)` reads the same bits anew: there a dtype is a layout, not a precision.
def _view(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
    return tensor.view(*args, **options)


_REPLACED: dict[Any, Callable[..., Any]] = {
    torch.Tensor.float: _double,
    torch.Tensor.half: _double,
    torch.Tensor.bfloat16: _double,
    # The stubs of torch leave this pair of methods out.
    cast(Any, torch.Tensor).cfloat: _cdouble,
    torch.Tensor.type: _type,
    torch.Tensor.view: _view,
}


class Float64Mode(TorchFunctionMode):
    """Turn every request for a lower floating dtype into one for float64; use it through `float64()`."""

    lifted: ClassVar[dict[Any, torch.dtype]] = _LIFTED
    replaced: ClassVar[dict[Any, Callable[..., Any]]] = _REPLACED

    # About 1 us a call: `type(x) is` and one dictionary look-up are all that an ordinary call meets.
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        func = self.replaced.get(func, func)
        if func is not _view:
            for argument in args:
                if type(argument) is torch.dtype:
                    args = tuple(self._lift(a) for a in args)
                    break
            if kwargs and "dtype" in kwargs:
                kwargs = {name: self._lift(value) for name, value in kwargs.items()}
        result = func(*args, **kwargs) if kwargs else func(*args)
        if isinstance(result, torch.Tensor) and result.dtype in self.lifted:
            return _settle(func, args, result)
        return result

    def _lift(self, argument: Any) -> Any:
        return self.lifted[argument] if type(argument) is torch.dtype and argument in self.lifted else argument


def _settle(func: Any, args: tuple[Any, ...], result: torch.Tensor) -> torch.Tensor:
    """Decide about a result of lower precision: hand it on, lift it where that is exact, or refuse it."""
    name = getattr(func, "__name__", str(func))
    if name in _MOVES or func is _view or (name == "to" and args[0].dtype == result.dtype):
        return result
    if name in _IMPORTS or not any(isinstance(argument, torch.Tensor) for argument in args):
        return result.to(_LIFTED[result.dtype])
    raise LowPrecisionTensor(
        f"{name} returned {result.dtype} inside float64(): a tensor it was given was made outside; "
        "make it inside, or convert it with .double() first"
    )


@contextlib.contextmanager
def float64(*, jitter: float | None = None, seed: int = 0) -> Generator[Float64Mode]:
    """Evaluate torch in exact float64: build *and* run a module inside, so that its constants are exact too.

    Inside, the default dtype is float64 and stays so, `.float()` and `dtype=torch.bfloat16` mean float64, and autocast
    finds nothing to cast. The default dtype belongs to the process: don't enter from two threads at once.

    Args:
        jitter: a unit roundoff u. Each floating result of an arithmetic operation, forward and backward, is multiplied
            by 1 + u*xi, with xi uniform in [-1, 1] (Monte Carlo arithmetic); None means exact. Slow.
        seed: of the jitter's own generator; torch's global one is left alone.

    Yields:
        The active mode.

    Raises:
        LowPrecisionTensor: an operation inside computed in a lower precision, on tensors made outside.
    """
    with default_dtype(torch.float64, lifted=_LIFTED), contextlib.ExitStack() as stack:
        if jitter is not None:
            stack.enter_context(Jitter(jitter, seed=seed))
        yield stack.enter_context(Float64Mode())


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype, *, lifted: Mapping[Any, torch.dtype]) -> Generator[None]:
    """Make `dtype` the default; who sets another one inside gets what it is lifted to."""
    default, setter = torch.get_default_dtype(), torch.set_default_dtype

    def set_default_dtype(dtype: torch.dtype) -> None:
        setter(lifted.get(dtype, dtype))

    with contextlib.ExitStack() as stack:
        stack.callback(setter, default)
        stack.callback(setattr, torch, "set_default_dtype", setter)
        setter(dtype)
        # transformers sets the default dtype while it builds a module, and modes don't see that function.
        torch.set_default_dtype = set_default_dtype
        yield
