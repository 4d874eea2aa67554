"""
Places of stored tensors in a live module.

A stored tensor is a view of some parameter: the whole, a slice of a bank, transposed or
not. Where a module has its tensors under other names than the checkpoint, or fuses several
in one, they are found by their content.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from artpack.checkpoint import Bank, Checkpoint, TensorInfo
from artpack.checkpoint.banks import find_banks

Places = Mapping[str, Tensor]
"""Stored name to a view of a module's own memory, of the stored shape."""


def places(module: nn.Module, banks: Iterable[Bank] | None = None) -> dict[str, Tensor]:
    """
    Return views of a module's tensors under the names that a checkpoint stores them by.

    Args:
        module: The model.
        banks: Those of its tensors that are stored as their slices, or transposed; None to
            find them as a checkpoint does.

    Returns:
        Stored name to view. A change of a view is a change of the model.

    """
    named = module.state_dict().items()  # which may hold other things, too
    state = {name: tensor.detach() for name, tensor in named if isinstance(tensor, Tensor)}
    if banks is None:
        infos = (TensorInfo(name, tuple(t.shape), t.dtype) for name, t in state.items())
        banks = find_banks(infos, state)
    for bank in banks:
        if bank.name in state:
            state |= _slices(bank, state.pop(bank.name))
    return state


def find_places(module: nn.Module, checkpoint: Checkpoint) -> Places:
    """
    Find where each stored tensor lies in a module that was built of a checkpoint.

    Args:
        module: The module; its weights are the checkpoint's.
        checkpoint: What is stored.

    Returns:
        Where those are that could be found.

    """
    known, shapes = places(module, checkpoint.banks), {i.name: i.shape for i in checkpoint.tensors}
    found = {name: known[name] for name, shape in shapes.items() if _fits(known.get(name), shape)}
    used = {place.untyped_storage().data_ptr() for place in found.values()}
    others = [t for t in known.values() if t.untyped_storage().data_ptr() not in used]
    for name in shapes.keys() - found.keys():
        place = _by_content(checkpoint.read(name), others)
        if place is not None:
            found[name] = place
    return {name: found[name] for name in shapes if name in found}


def _fits(place: Tensor | None, shape: tuple[int, ...]) -> bool:
    return place is not None and tuple(place.shape) == shape


def _slices(bank: Bank, whole: Tensor) -> dict[str, Tensor]:
    parts = whole.view(-1, *whole.shape[len(bank.front) :]).unbind()
    return dict(zip(bank.members, (p.T if bank.transposed else p for p in parts), strict=True))


def _by_content(stored: Tensor, others: list[Tensor]) -> Tensor | None:
    """Find a matrix among the rows of others, as it is or transposed."""
    if stored.ndim != 2 or not stored.numel():
        return None
    for turned in (False, True):
        wanted = stored.T if turned else stored
        for place in _runs_of_rows(wanted, others):
            if torch.equal(place, wanted.to(place.dtype)):
                return place.T if turned else place
    return None


def _runs_of_rows(wanted: Tensor, others: list[Tensor]) -> Iterator[Tensor]:
    """Yield runs of rows that begin as a matrix does."""
    rows, cols = wanted.shape
    for other in others:
        if other.ndim < 2 or other.shape[-1] != cols or not other.is_contiguous():
            continue
        flat = other.view(-1, cols)
        starts = (flat[:, 0] == wanted[0, 0].to(flat.dtype)).nonzero().flatten().tolist()
        yield from (flat[at : at + rows] for at in starts if at + rows <= len(flat))
