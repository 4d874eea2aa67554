"""Protocols of models: one to score, one to calibrate as well."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from artpack.models.document_mask import Documents


class LanguageModel(Protocol):
    """A language model, cut where the vocabulary projection begins."""

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return (B, T, D) from ids, int64 (B, T); documents of a row do not see each other."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Return (n, V) from the hidden states (n, D) of some positions."""


class Runner(LanguageModel, Protocol):
    """A language model that can be calibrated, and whose tensors can be replaced."""

    @property
    def module(self) -> nn.Module:
        """The model; its state dict has the tensors' own names."""

    @property
    def vocab_size(self) -> int:
        """Number of logits."""

    @property
    def fingerprint(self) -> str:
        """Hash of what the model is, its weights aside, in hexadecimal."""

    def places(self) -> Mapping[str, Tensor]:
        """Return stored name to a view of the live tensor, rows first."""
