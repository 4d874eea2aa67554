"""Runner of the project's own GPT."""

from torch import Tensor

from artpack.calibration.file import hash_config
from artpack.models import GPT
from artpack.models.document_mask import Documents
from artpack.runners.places import places


class GptRunner:
    """
    A GPT that is ready to be calibrated.

    Args:
        model: On its device and in evaluation mode.
    """

    def __init__(self, model: GPT) -> None:
        self.module = model
        self.vocab_size = model.config.vocab_size

    @property
    def fingerprint(self) -> str:
        """Hash of the model's config, in hexadecimal."""
        return hash_config(self.module.config.to_json())

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return (B, T, D) from ids, int64 (B, T)."""
        return self.module.hidden(ids, documents)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return (n, V) from the hidden states (n, D) of some positions."""
        return self.module.logits(hidden)

    def places(self) -> dict[str, Tensor]:
        """Return where each stored tensor lies; matrices in banks by their unbanked names."""
        return places(self.module)
