"""Device, precision and batch size of a model that runs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """
    How models are run.

    Attributes:
        device: Where the models are, as torch names it.
        precision: ``fp32`` is the reference; ``bf16`` autocasts.
        batch_tokens: Tokens per forward pass, as far as whole rows allow.
    """

    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_tokens: int = 16384

    def batch_rows(self, row_tokens: int) -> int:
        """Return how many rows of so many tokens run at once; at least one."""
        return max(1, self.batch_tokens // row_tokens)


REFERENCE = Settings()
