"""The assembly of an artifact from header and streams."""

import hashlib
from collections.abc import Sequence

import numpy as np

from artpack.artifact.format import (
    CHECKSUM_BYTES,
    PREAMBLE_BYTES,
    TRAILER_BYTES,
    Preamble,
    checksum,
)
from artpack.artifact.header import Header, StreamRecord, encode_header
from artpack.coding.codecs import Lzma
from artpack.coding.pipeline import Coded
from artpack.stages.symbols import Quantized

HEADER_CODEC = Lzma(lc=0, lp=0, pb=0)
"""Part of the format. Any standard library has it; without context it is as small as Brotli."""


def record_stream(coded: Coded) -> StreamRecord:
    """
    Describe a stream for the header's directory.

    Args:
        coded: The stream.

    Returns:
        Its sizes and checksum.

    """
    return StreamRecord(len(coded.stored), coded.coded_bytes, checksum(coded.stored))


def hash_symbols(quantized: Quantized) -> bytes:
    """
    Hash a tensor's symbols.

    Args:
        quantized: The tensor; its parts in the order of its quantizer.

    Returns:
        8 bytes: the checksum of all parts, each row-major.

    """
    digest = hashlib.sha256()
    for part in quantized.parts.values():
        digest.update(np.ascontiguousarray(part).reshape(-1).data)
    return digest.digest()[:CHECKSUM_BYTES]


def assemble(header: Header, streams: Sequence[bytes], files: bytes = b"") -> list[bytes]:
    """
    Put an artifact together in memory.

    Args:
        header: With one record for each stream.
        streams: The streams' bytes, in the header's order.
        files: The bytes of carried files.

    Returns:
        The file's content in pieces, to be written one after another.

    Raises:
        UsageError: The header is larger than the format allows.

    """
    assert [len(s) for s in streams] == [record.stored_bytes for record in header.records]
    assert len(files) == (0 if header.files is None else header.files.stored_bytes)
    decoded = encode_header(header)
    stored = HEADER_CODEC.encode(decoded)
    size = PREAMBLE_BYTES + len(stored) + sum(map(len, streams)) + len(files) + TRAILER_BYTES
    preamble = Preamble(len(stored), len(decoded), size, checksum(stored))
    pieces = [preamble.pack(), stored, *streams, files]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return [*pieces, digest.digest()]
