"""What a reference is given in an object of its own, such as a cache: how a part alone is given the same.

A part is judged by itself on what the reference gives it, and arrays are all that both sides share.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Inputs = Mapping[str, Any]
Tree = Any  # arrays in tuples: torch's on the reference's side, jax's on the port's


@dataclasses.dataclass(frozen=True, kw_only=True)
class Held:
    """An argument of the reference that is no array but holds some, and that a call may change.

    What it holds when a call begins is an input of the part that is called; what it holds when the call is over is
    compared as the outputs are, under the argument's name.

    Attributes:
        argument: the reference's name of it.
        read: (the reference's module, the argument, the call's other inputs; after the call: none) -> what is in it for
            this module. None where the module is called as if it had none.
        write: (the reference's module, the argument, such a tree as it is read after a call) -> put that into it.
        make: (the reference's module, such a tree as it is read before a call) -> an argument that holds it.
        port: (the port's module, its other inputs, such a tree) -> its outputs, and what is held after the call.
    """

    argument: str
    read: Callable[[Any, Any, Inputs], Tree | None]
    write: Callable[[Any, Any, Tree], None]
    make: Callable[[Any, Tree], Any]
    port: Callable[[Any, Inputs, Tree], tuple[Any, Tree]]
