"""Models whose layers run through torch.compile."""

import torch
from torch import Tensor

from artpack.models.document_mask import Documents
from artpack.runners.protocol import LanguageModel


class Compiled:
    """
    A model whose layers run compiled; the vocabulary projection does not.

    The number of scored positions differs from batch to batch, and a compiled
    projection would be compiled anew for each.

    Args:
        model: On its device and in evaluation mode.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._hidden = torch.compile(model.hidden)

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return (B, T, D) from ids, int64 (B, T)."""
        states: Tensor = self._hidden(ids, documents)
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """Return (n, V) from the hidden states (n, D) of some positions."""
        return self._model.logits(hidden)
