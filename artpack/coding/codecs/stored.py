"""No compression: what any other codec has to beat."""

from dataclasses import dataclass
from typing import ClassVar

from artpack.coding.codecs.exact import check_size
from artpack.errors import TruncatedError
from artpack.stages import ConfiguredStage


@dataclass(frozen=True)
class Stored(ConfiguredStage):
    """
    Bytes as they are, with no overhead.

    >>> Stored().encode(b"weights")
    b'weights'
    """

    stage_id: ClassVar[str] = "stored"

    def encode(self, data: bytes) -> bytes:
        """Return the data."""
        return data

    def decode(self, data: bytes, *, size: int) -> bytes:
        """Return the data if there is as much of it as promised."""
        if len(data) < size:
            raise TruncatedError(f"{self.stage_id}: {len(data)} bytes where {size} were promised")
        return check_size(data, size=size, stage_id=self.stage_id)
