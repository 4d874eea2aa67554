"""Protocols of models: one to score, one to calibrate and to run with other tensors."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from artpack.models.document_mask import Documents
from artpack.runners.losses import OutputLoss


class LanguageModel(Protocol):
    """A language model, cut where the vocabulary projection begins."""

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return (B, T, D) from ids, int64 (B, T); documents of a row do not see each other."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Return (n, V) from the hidden states (n, D) of some positions."""


class Writer(Protocol):
    """A language model that can write."""

    @property
    def module(self) -> nn.Module:
        """The model."""

    @property
    def vocab_size(self) -> int:
        """Every id is below this."""

    def write(
        self, uniform: NDArray[np.float32], *, bos_id: int, temperature: float
    ) -> NDArray[np.int64]:
        """Write windows of ids (windows, tokens), each token drawn by a number in [0, 1)."""


class Runner(Protocol):
    """A model that can be calibrated, and whose tensors can be replaced."""

    @property
    def module(self) -> nn.Module:
        """The model; its state dict has the tensors' own names."""

    @property
    def fingerprint(self) -> str:
        """Hash of what the model is, its weights aside, in hexadecimal."""

    loss: OutputLoss
    """What a change of its outputs costs."""

    @property
    def default_loss(self) -> str:
        """The loss that fits most models of its kind, by name."""

    def states(self, batch: Any) -> Tensor:
        """Run a batch; return (n, D), as far as all positions of it depend on each other."""

    def outputs(self, states: Tensor) -> Tensor:
        """Return (n, d) from the states (n, D) of some positions."""
