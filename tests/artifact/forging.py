"""Building artifacts that lie: any header, any streams, every checksum right."""

import hashlib
from collections.abc import Callable
from typing import Any

import cbor2
import torch

from artpack.artifact.format import MAGIC, PREAMBLE_BYTES, TRAILER_BYTES, Preamble, checksum
from artpack.artifact.reader import open_artifact
from artpack.artifact.writer import HEADER_CODEC
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.coding.profiles import FAST
from artpack.pack.compress import compress
from artpack.recipes import load_recipe

Mutation = Callable[[dict[str, Any], list[bytes]], None]


def small_state_dict() -> dict[str, torch.Tensor]:
    """Return two matrices, a vector and an integer."""
    generator = torch.Generator().manual_seed(7)
    return {
        "blocks.0.fc.weight": torch.randn(12, 16, generator=generator),
        "blocks.1.fc.weight": torch.randn(12, 16, generator=generator),
        "norm": torch.randn(16, generator=generator),
        "step": torch.tensor(1234),
    }


def small_artifact(recipe: str = "int6", *, portable: bool | None = None) -> bytes:
    """Pack the small state dict."""
    spec = load_recipe(recipe, [] if recipe == "lossless" else ["matrices.min_rows=0"])
    with from_state_dict(small_state_dict()) as checkpoint:
        packed = compress(checkpoint, select(checkpoint), spec, profile=FAST, portable=portable)
    return packed.content()


def take_apart(artifact: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return the header's map and the streams."""
    with open_artifact(artifact) as opened:
        sizes = opened.preamble
        stored = artifact[PREAMBLE_BYTES : PREAMBLE_BYTES + sizes.header_stored_bytes]
        header = cbor2.loads(HEADER_CODEC.decode(stored, size=sizes.header_decoded_bytes))
        return header, [opened.stored_stream(s) for s in range(len(opened.header.records))]


def put_together(header: bytes, streams: list[bytes]) -> bytes:
    """Return a file with this header, whatever it says, and every checksum right."""
    stored = HEADER_CODEC.encode(header)
    size = PREAMBLE_BYTES + len(stored) + sum(map(len, streams)) + TRAILER_BYTES
    front = Preamble(len(stored), len(header), size, checksum(stored)).pack()
    body = b"".join([front, stored, *streams])
    return body + hashlib.sha256(body).digest()


def forge(mutate: Mutation, recipe: str = "int6", *, portable: bool | None = None) -> bytes:
    """Return the small artifact with its header and streams changed."""
    header, streams = take_apart(small_artifact(recipe, portable=portable))
    mutate(header, streams)
    return put_together(cbor2.dumps(header, canonical=True), streams)


def sealed(front: bytes, rest: bytes) -> bytes:
    """Return a file with this preamble, less its own checksum, which is made right."""
    assert front.startswith(MAGIC)
    body = front + checksum(front) + rest
    return body + hashlib.sha256(body).digest()
