"""Runner of the project's own GPT."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artpack.calibration.file import hash_config
from artpack.models import GPT
from artpack.models.generate import generate
from artpack.runners.losses import LogitsLoss, OutputLoss


class GptRunner:
    """
    A GPT that is ready to be calibrated.

    Args:
        model: On its device and in evaluation mode.
    """

    def __init__(self, model: GPT) -> None:
        self.module = model
        self.vocab_size = model.config.vocab_size
        self.loss: OutputLoss = LogitsLoss()
        self.default_loss = "logits"

    @property
    def fingerprint(self) -> str:
        """Hash of the model's config, in hexadecimal."""
        return hash_config(self.module.config.to_json())

    def states(self, batch: Tensor) -> Tensor:
        """Return the hidden states (B * T, D) of ids, int64 (B, T)."""
        return self.module.hidden(batch).flatten(0, 1)

    def outputs(self, states: Tensor) -> Tensor:
        """Return the logits (n, V) of some positions."""
        return self.module.logits(states)

    def write(
        self, uniform: NDArray[np.float32], *, bos_id: int, temperature: float
    ) -> NDArray[np.int64]:
        """Write windows of ids, see :func:`artpack.models.generate.generate`."""
        return generate(self.module, uniform, bos_id=bos_id, temperature=temperature)
