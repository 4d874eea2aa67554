"""Artifacts: damaged, and with other headers and streams behind right hashes."""

from functools import cache
from random import Random
from typing import Any

import cbor2
import torch

from artpack.artifact.reader import Artifact, open_artifact
from artpack.errors import ArtpackError
from tests.artifact.forging import put_together, take_apart
from tests.artifact.golden_cases import FOLDER
from tests.fuzz.mutate import change_bytes, change_tree, edits
from tests.fuzz.target import FaultError, Target, digest
from tests.portable.mutations import with_right_hashes

DECODED_BYTES = 1 << 20
SLOW = ("adaptive", "codecs", "lrzip")
"""Their stages are fed by themselves."""


def golden(*, slow: bool) -> list[bytes]:
    """Return the golden artifacts, but those that take long unless they are asked for."""
    paths = sorted(FOLDER.glob("*.artpack"))
    return [p.read_bytes() for p in paths if p.stem != "lrzip" and (slow or p.stem not in SLOW)]


def read(data: bytes) -> str:
    """Read everything, and compare it with what the header promises."""
    with open_artifact(data, max_decoded_bytes=DECODED_BYTES) as artifact:
        artifact.check_trailer()
        tensors = artifact.load()
        _check(artifact, tensors)
        artifact.inspect(entropy=False)
        return digest(tensors) + repr(sorted(artifact.files.items())) + repr(artifact.model)


def _check(artifact: Artifact, tensors: dict[str, torch.Tensor]) -> None:
    if tuple(tensors) != artifact.names:
        raise FaultError("other names than promised")
    for plan in artifact.header.plan.tensors:
        tensor = tensors.get(plan.name)
        if tensor is None:
            continue
        if (tuple(tensor.shape), tensor.dtype) != (plan.shape, getattr(torch, plan.dtype)):
            raise FaultError(f"{plan.name!r} is {tensor.dtype} {list(tensor.shape)}")


@cache
def _parts(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    header, streams = take_apart(data)
    return cbor2.dumps(header, canonical=True), tuple(streams)


def other_header(draw: Random, data: bytes) -> bytes:
    """Change the header as a tree."""
    header, streams = _parts(data)
    changed: Any = change_tree(draw, cbor2.loads(header))
    return put_together(cbor2.dumps(changed, canonical=True), list(streams))


def other_cbor(draw: Random, data: bytes) -> bytes:
    """Change the bytes of the header."""
    header, streams = _parts(data)
    return put_together(change_bytes(draw, header), list(streams))


def other_streams(draw: Random, data: bytes) -> bytes:
    """Change bytes of streams, and make the hashes right again."""
    header, parts = _parts(data)
    streams = list(parts)
    for _ in range(edits(draw) if streams else 0):
        at = draw.randrange(len(streams))
        size = len(streams[at])
        # Most of the time of the same size, since the header has it.
        changed = change_bytes(draw, streams[at])
        streams[at] = (changed + bytes(size))[:size]
    try:
        return with_right_hashes(cbor2.loads(header), streams)
    except ArtpackError:
        return put_together(header, streams)


TARGETS = (
    Target("artifact", lambda: golden(slow=True), change_bytes, read, sealed=True),
    Target("artifact-header", lambda: golden(slow=False), other_header, read),
    Target("artifact-cbor", lambda: golden(slow=False), other_cbor, read),
    Target("artifact-streams", lambda: golden(slow=False), other_streams, read),
)
