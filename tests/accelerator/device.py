"""
A make-believe accelerator: PyTorch's backend in Python for the dispatch key PrivateUse1.

Its tensors say that they are on a device of another name, and hold their numbers on the CPU, where
all is computed. Tensors of both devices in one operation are an error, as on a real one; but for
copies, and for single numbers of the CPU. A process that has installed it keeps it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "elsewhere"
COPIES = frozenset({"aten::copy_", "aten::_to_copy"})
INSTALLED: list[torch.library.Library] = []


class Backend(_DummyBackendModule):
    """What torch asks of a device besides."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class Elsewhere(Tensor):
    """A tensor of the device."""

    held: Tensor

    @staticmethod
    def __new__(cls: type["Elsewhere"], held: Tensor) -> "Elsewhere":  # noqa: PYI034 - see torch
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    # A wrapper has no memory that it could show.

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # torch's own are no narrower
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return compute(func, *args, **(kwargs or {}))


def compute(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Compute on the CPU what was asked for on the device."""
    given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    name = func._schema.name
    if name not in COPIES:
        refuse_mixing(name, given)
    own = {id(one.held): one for one in given if isinstance(one, Elsewhere)}
    asked = kwargs.get("device")
    leaves = name == "aten::_to_copy" and asked is not None and asked.type == "cpu"
    if asked is not None:
        kwargs["device"] = torch.device("cpu")
    kwargs.pop("pin_memory", None)
    found = func(*tree_map(held, args), **tree_map(held, kwargs))
    if leaves or (name == "aten::copy_" and not isinstance(args[0], Elsewhere)):
        return args[0] if name == "aten::copy_" else found

    def back(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        return own[id(one)] if id(one) in own else Elsewhere(one)

    return tree_map(back, found)


def refuse_mixing(name: str, given: list[Tensor]) -> None:
    """Refuse tensors of the CPU among others, but for single numbers."""
    there = any(isinstance(one, Elsewhere) for one in given)
    here = [one for one in given if not isinstance(one, Elsewhere) and one.dim()]
    if there and here:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")


def held(one: Any) -> Any:
    """Return the CPU's tensor."""
    return one.held if isinstance(one, Elsewhere) else one


def install() -> str:
    """Install the device, once; return its name."""
    if not INSTALLED:
        _setup_privateuseone_for_python_backend(NAME, Backend())
        library = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]
        library.fallback(compute, "PrivateUse1")  # type: ignore[no-untyped-call]
        INSTALLED.append(library)
    return NAME
