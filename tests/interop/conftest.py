"""What the tests of other people's containers share."""

import pytest

from artpack.interop.pr2086 import payloads, per_stream


@pytest.fixture
def quick_xz(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take xz's smallest preset: the largest clears half a gigabyte for every payload."""
    monkeypatch.setattr(payloads, "PRESET", 0)
    monkeypatch.setattr(per_stream, "PRESET", 0)
