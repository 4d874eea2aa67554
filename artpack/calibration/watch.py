"""
A watch over a running model: every multiplication with stored matrices, every lookup.

No list of module families is needed: what counts are the operations that torch runs,
in the forward pass and in the backward pass. The multiplication that takes a gradient
back through a matrix shows the gradient at the matrix's outputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from artpack.calibration.lookups import find_lookup
from artpack.calibration.products import Product, find_products
from artpack.calibration.views import Part, StoredViews


class Listener(Protocol):
    """Who is told what a watch sees."""

    def see_product(self, product: Product, *, backward: bool) -> None:
        """Be told of a multiplication, in the backward pass or before it."""

    def see_lookup(self, table: Part, index: Tensor, output: Tensor) -> None:
        """Be told which rows (...) of a part of a table were given out as (..., cols)."""


@contextmanager
def watching(places: Mapping[str, Tensor], listener: Listener) -> Iterator[None]:
    """
    Tell a listener what happens to stored tensors while the block runs.

    Where autograd is on, inputs and looked-up rows are made to require a gradient, so
    parameters need not and should not. Fused kernels would hide what they multiply:
    they are switched off.

    Args:
        places: As :class:`~artpack.calibration.views.StoredViews` takes them.
        listener: Who is told.

    Yields:
        Nothing.

    """
    views, fast = StoredViews(places), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _Calls(views, listener), _Operations(views, listener):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operations below autograd, those of the backward pass among them."""

    def __init__(self, views: StoredViews, listener: Listener) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._views, self._listener = views, listener

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        with self:  # inference mode leaves operations whole that autograd takes apart
            result = func.decompose(*args, **options)
        if result is not NotImplemented:
            return result
        name = func.name().partition(".")[0]
        backward = torch._C._current_autograd_node() is not None  # noqa: SLF001
        # With autograd on inside the backward pass, a forward pass is only repeated.
        if not (backward and torch.is_grad_enabled()):
            for product in find_products(self._views, name, args):
                self._listener.see_product(product, backward=backward)
        output = func(*args, **options)
        for source, copy in _copies(name, args, output):
            self._views.follow(source, copy)
        return output


def _copies(name: str, args: Sequence[Any], output: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each tensor that an operation copies or casts, and where the copy is."""
    if name in ("aten::_to_copy", "aten::clone"):
        yield args[0], output
    elif name.startswith("aten::fake_quantize"):
        yield args[0], output[0] if isinstance(output, tuple) else output


class _Calls(TorchFunctionMode):
    """Sees the calls above autograd, and makes gradients flow to where they are wanted."""

    def __init__(self, views: StoredViews, listener: Listener) -> None:
        super().__init__()
        self._views, self._listener = views, listener

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if torch.is_grad_enabled() and not _writes(name, options):
            args, options = self._with_gradients(args, options)
        with _unfused() if name in _RECURRENT else nullcontext():
            output = func(*args, **options)
        lookup = find_lookup(func, args, options)
        return output if lookup is None else self._looked_up(*lookup, output)

    def _with_gradients(
        self, args: Sequence[Any], options: dict[str, Any]
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Let what meets a stored tensor require a gradient, itself stored or not."""
        tensors = list(_floats([*args, *options.values()]))
        stored = {id(tensor) for tensor in tensors if self._views.know(tensor)}
        if not stored or len(tensors) < 2:
            return args, options
        wanted = [tensor for tensor in tensors if id(tensor) not in stored]
        if len(stored) > 1 and id(tensors[0]) in stored:  # learned queries, say
            wanted.append(tensors[0])
        # What is given twice stays one tensor: attention asks whether it is to itself.
        better = {id(tensor): _with_gradient(tensor) for tensor in wanted}
        return _replaced(args, better), _replaced(options, better)

    def _looked_up(self, table: Tensor, index: Tensor, output: Tensor) -> Tensor:
        for match in self._views.matrices(table):
            whole = match.rows.stop - match.rows.start == len(table)
            if whole and not match.turned and match.part.share_of("cols") == 1:
                if torch.is_grad_enabled() and not output.requires_grad:
                    output = output.detach().requires_grad_().clone()  # no leaf: may be changed
                self._listener.see_lookup(match.part, index, output)
        return output


def _floats(value: Any) -> Iterator[Tensor]:
    """Yield the floating tensors in an argument."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _floats(one)
    elif isinstance(value, Tensor) and value.is_floating_point():
        yield value


def _with_gradient(tensor: Tensor) -> Tensor:
    if tensor.requires_grad or tensor.is_inference():
        return tensor
    return tensor.detach().requires_grad_()


def _replaced(value: Any, better: Mapping[int, Tensor]) -> Any:
    """Return an argument with other tensors in the place of some, by their ids."""
    if type(value) in {list, tuple}:
        return type(value)(_replaced(one, better) for one in value)
    if isinstance(value, dict):
        return {name: _replaced(one, better) for name, one in value.items()}
    return better.get(id(value), value)


def _writes(name: str, options: Mapping[str, Any]) -> bool:
    """Return whether a function changes its arguments."""
    inplace = name.endswith("_") and not name.endswith("__")
    return inplace or name.startswith(("__i", "__set")) or options.get("out") is not None


_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@contextmanager
def _unfused() -> Iterator[None]:
    """Run recurrent layers step by step."""
    backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
    enabled = [backend.enabled for backend in backends]
    for backend in backends:
        backend.enabled = False
    try:
        yield
    finally:
        for backend, was in zip(backends, enabled, strict=True):
            backend.enabled = was
