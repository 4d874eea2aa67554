"""The assembly of an artifact from header and streams."""

import hashlib
from collections.abc import Sequence

import numpy as np
from xxhash import xxh3_64

from artpack.artifact.format import PREAMBLE_BYTES, TRAILER_BYTES, Preamble, checksum
from artpack.artifact.header import Header, StreamRecord, encode_header
from artpack.coding.codecs import Brotli
from artpack.coding.pipeline import Coded
from artpack.stages.symbols import Quantized

HEADER_CODEC = Brotli()
"""Small text compresses best with it; its defaults are part of the format."""


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
    digest = xxh3_64()
    for part in quantized.parts.values():
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


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
