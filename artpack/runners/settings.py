"""Device, precision and batch size of a model that runs."""

from dataclasses import dataclass
from typing import Literal

from artpack.errors import UsageError

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Settings:
    """
    How models are run.

    Attributes:
        device: Where the models are, as torch names it.
        precision: ``fp32`` is the reference; ``bf16`` autocasts.
        batch_tokens: Tokens per forward pass, as far as whole rows allow; 1 or more.

    Raises:
        UsageError: A value is none of these.

    >>> Settings(batch_tokens=2048).batch_rows(1024)
    2

    """

    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_tokens: int = 16384

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"`precision` must be fp32 or bf16, got {self.precision!r}")
        if type(self.batch_tokens) is not int or self.batch_tokens < 1:
            raise UsageError(f"`batch_tokens` must be 1 or more, got {self.batch_tokens!r}")

    def batch_rows(self, row_tokens: int) -> int:
        """Return how many rows of so many tokens run at once; at least one."""
        return max(1, self.batch_tokens // row_tokens)


REFERENCE = Settings()
