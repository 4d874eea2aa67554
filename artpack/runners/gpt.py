"""Runner of the project's own GPT."""

from torch import Tensor

from artpack.calibration.file import hash_config
from artpack.calibration.moments import Sites
from artpack.models import GPT
from artpack.models.document_mask import Documents
from artpack.models.head import TiedHead
from artpack.models.linear import Embedding, Linear


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

    def sites(self) -> Sites:
        """
        Find the maps and tables of the model, by the names they are stored under.

        Returns:
            Every matrix and table. Matrices in banks go by their unbanked names, and the
            output head by that of the token table. Head gates are too small to be listed.

        """
        named = [(f"{name}.weight", module) for name, module in self.module.named_modules()]
        maps = [(name, module) for name, module in named if isinstance(module, Linear)]
        head = [("tok_emb.weight", module) for _, module in named if isinstance(module, TiedHead)]
        tables = [(name, module) for name, module in named if isinstance(module, Embedding)]
        return Sites((*maps, *head), tuple(tables))
