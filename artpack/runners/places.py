"""Where a model's stored tensors lie in memory."""

from collections.abc import Iterable

from torch import Tensor, nn

from artpack.checkpoint import Bank, TensorInfo
from artpack.checkpoint.banks import find_banks


def places(module: nn.Module, banks: Iterable[Bank] | None = None) -> dict[str, Tensor]:
    """
    Return views of a module's tensors under the names that a checkpoint stores them by.

    Args:
        module: The model.
        banks: Those of its tensors that are stored as their slices; None to find them as
            a checkpoint does.

    Returns:
        Stored name to view. A change of a view is a change of the model.

    """
    state: dict[str, Tensor] = dict(module.state_dict())
    if banks is None:
        infos = (TensorInfo(name, tuple(t.shape), t.dtype) for name, t in state.items())
        banks = find_banks(infos, state)
    for bank in banks:
        slices = state.pop(bank.name).flatten(0, len(bank.front) - 1)
        state.update(zip(bank.members, slices.unbind(), strict=True))
    return state
