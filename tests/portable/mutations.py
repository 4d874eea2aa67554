"""Files with wrong bytes behind right hashes."""

import contextlib
import hashlib
import random
from typing import Any

import cbor2
import numpy as np

from artpack.artifact.format import checksum
from artpack.artifact.reader import open_artifact
from artpack.errors import ArtifactError
from artpack.stages.symbols import Symbols
from tests.artifact.forging import put_together, take_apart
from tests.portable.test_reader import forgeries


def mutations(artifact: bytes, count: int) -> list[bytes]:
    """Return files with wrong bytes, half of them in streams alone, behind right hashes."""
    header, streams = take_apart(artifact)
    files = list(forgeries(cbor2.dumps(header, canonical=True), streams, count // 2))
    draw = random.Random(1)
    for _ in range(count - len(files)):
        others = [bytearray(stream) for stream in streams]
        for where in draw.choices([stream for stream in others if stream], k=draw.randint(1, 3)):
            at = draw.choice([draw.randrange(len(where)), draw.randrange(min(len(where), 6)), -1])
            where[at] = draw.choice(
                [0, 255, draw.randrange(256), where[at] ^ 1 << draw.randrange(8)]
            )
        files.append(with_right_hashes(header, [bytes(stream) for stream in others]))
    return files


def with_right_hashes(header: dict[str, Any], streams: list[bytes]) -> bytes:
    """Return a file of these streams, every hash right if they decode to anything."""
    columns = {**header["streams"], "checksums": b"".join(map(checksum, streams))}
    changed = {**header, "streams": columns}
    with open_artifact(put_together(cbor2.dumps(changed, canonical=True), streams)) as opened:
        plan = opened.header.plan
        hashes = [hashlib.sha256() for _ in plan.tensors]
        parts: dict[tuple[int, int], Symbols] = {
            (t, p): np.zeros(spec.shape, np.uint8)
            for t, tensor in enumerate(plan.tensors)
            for p, spec in enumerate(tensor.parts)
        }
        with contextlib.suppress(ArtifactError):
            for s, stream in enumerate(plan.streams):
                for member, symbols in zip(stream.members, opened.stream(s), strict=True):
                    part = parts[member.tensor, member.part]
                    part[member.first_row : member.first_row + member.rows] = symbols
    for (t, _), part in parts.items():
        hashes[t].update(part.tobytes())
    digests = b"".join(digest.digest()[:8] for digest in hashes)
    changed = {**changed, "tensors": {**header["tensors"], "hashes": digests}}
    return put_together(cbor2.dumps(changed, canonical=True), streams)
